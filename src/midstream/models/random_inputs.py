"""Random values for the inputs of an ONNX graph, to try it out with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from midstream.errors import InputError, unknown


def random_inputs(
    model: onnx.ModelProto,
    shapes: Mapping[str, Sequence[int]],
    seed: int = 0,
    given: Mapping[str, NDArray[Any]] | None = None,
) -> dict[str, NDArray[Any]]:
    """A random value for every input: standard normal for floats, 0 to 255 for uint8, numbers of the rows of a table
    that is looked up (tokens), 0 or 1 otherwise.

    Args:
        model: the graph.
        shapes: input name -> shape, for inputs that leave more than the batch open.
        seed: of the generator.
        given: arrays for some of the inputs, which are taken as they are.

    Raises:
        InputError: an open dimension without a given shape; a shape for no input, or other than the graph fixes it.
    """
    rng = np.random.default_rng(seed)
    weights = {initialiser.name for initialiser in model.graph.initializer}
    inputs = {value.name: value for value in model.graph.input if value.name not in weights}
    given = given or {}
    for name in (*shapes, *given):
        if name not in inputs:
            raise unknown("input", name, inputs)
    values = dict(given)
    for value in (value for name, value in inputs.items() if name not in given):
        shape = _input_shape(value, shapes.get(value.name))
        try:
            dtype = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
            floating = np.issubdtype(dtype, np.floating)
            drawn = rng.normal(size=shape) if floating else rng.integers(0, _values(model, value), shape)
            values[value.name] = drawn.astype(dtype)
        except (KeyError, ValueError, MemoryError) as error:
            raise InputError(f"input '{value.name}' of shape {shape} cannot be made: {error}") from error
    return values


def _input_shape(value: Any, given: Sequence[int] | None) -> list[int]:
    """The shape to try an input with: as given where the graph leaves it open, with a batch of 1 unless told."""
    tensor = value.type.tensor_type
    dims = [max(dim.dim_value, 0) for dim in tensor.shape.dim]
    if given is None:
        shape = [side or (1 if axis == 0 else 0) for axis, side in enumerate(dims)]
        if 0 in shape or not tensor.HasField("shape"):
            example = _example(dims)
            raise InputError(
                f"input '{value.name}' has open dimensions: give all, as in --shape {value.name}={example}"
            )
        return shape
    fits = len(given) == len(dims) and all(side in (0, asked) for side, asked in zip(dims, given, strict=True))
    if tensor.HasField("shape") and not fits:
        fixed = ",".join(str(side or "?") for side in dims)
        wrong = ",".join(map(str, given))
        raise InputError(f"--shape {value.name}={wrong}: the graph has this input as {value.name}={fixed} (?: open)")
    return list(given)


def _example(dims: Sequence[int]) -> str:
    """What --shape may say of an input whose open dimensions are 0: those of an image, or any for another rank."""
    usual = ["1", "3", "H", "W"] if len(dims) in (0, 4) else ["1", *["7"] * (len(dims) - 1)]
    return ",".join(str(side or instead) for side, instead in zip(dims or [0] * 4, usual, strict=True))


def _values(model: onnx.ModelProto, value: Any) -> int:
    """How many values an input of whole numbers may have, counted from 0."""
    if value.type.tensor_type.elem_type == onnx.TensorProto.UINT8:
        return 256
    tables = {weight.name: weight.dims for weight in model.graph.initializer}
    same = {value.name}  # as another type or of another shape
    for node in model.graph.node:
        if node.op_type in ("Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze") and node.input[0] in same:
            same.update(node.output)
    rows = [
        tables[node.input[0]][next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 0)]
        for node in model.graph.node
        if node.op_type == "Gather" and node.input[1] in same and node.input[0] in tables
    ]
    return min(rows, default=2)
