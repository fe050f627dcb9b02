"""What a graph's inputs other than the image's are given: the constants of a description, as arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from midstream.errors import InputError, unknown
from midstream.models.input_description import other_shape, with_words

#: ONNX Runtime's words for types -> NumPy's.
TYPES = {
    "float": np.float32, "float16": np.float16, "double": np.float64, "int64": np.int64, "int32": np.int32,
    "int16": np.int16, "int8": np.int8, "uint8": np.uint8, "uint16": np.uint16, "uint32": np.uint32,
    "uint64": np.uint64, "bool": np.bool_,
}  # fmt: skip


def constants_of(part: Any, constants: Mapping[str, Any], sizes: Sequence[tuple[int, int]]) -> dict[str, NDArray[Any]]:
    """The arrays for those inputs of a session that are constants.

    Args:
        part: of ONNX Runtime.
        constants: of the description.
        sizes: (height, width) of the original images, one for each of the batch, whose arrays are put together along
            the first axis.

    Raises:
        InputError: a constant of another shape than its input's, or of a type that is none of numbers.
    """
    found = {}
    for value in part.get_inputs():
        if value.name in constants:
            ones = [_array(value, with_words(constants[value.name], size)) for size in sizes]
            found[value.name] = ones[0] if len(ones) == 1 else np.concatenate(ones)
    return found


def _array(value: Any, given: Any) -> NDArray[Any]:
    kind = str(value.type).removeprefix("tensor(").removesuffix(")")
    if kind not in TYPES:
        raise InputError(f"the constant '{value.name}' would be a {kind}, which no number is")
    shape = [side if isinstance(side, int) and side > 0 else None for side in value.shape]
    if not isinstance(given, list):
        return np.full([side or 1 for side in shape], given, TYPES[kind])
    try:
        array: NDArray[Any] = np.array(given, TYPES[kind])
    except (ValueError, OverflowError) as error:
        raise InputError(f"the constant '{value.name}' is no array of {kind}: {error}") from error
    if array.ndim < len(shape) and all(side in (1, None) for side in shape[: len(shape) - array.ndim]):
        array = array.reshape([1] * (len(shape) - array.ndim) + list(array.shape))
    if array.ndim != len(shape) or any(w not in (None, g) for w, g in zip(shape, array.shape, strict=True)):
        raise other_shape(value.name, array.shape, value.shape)
    return array


def check_names(constants: Mapping[str, Any], image: str | None, inputs: Sequence[str]) -> str:
    """The name of the input that takes the image, once all others are constants.

    Raises:
        InputError: a constant for no input, or inputs that the description says nothing about.
    """
    for name in constants:
        if name not in inputs:
            raise unknown("input", name, inputs)
    others = [name for name in inputs if name not in constants]
    if image is not None and image not in inputs:
        raise unknown("input", image, inputs)
    if image is None and len(others) != 1:
        raise InputError(f"the graph has the inputs {', '.join(others)}: say in [input] which `name` takes the image")
    taken = image if image is not None else others[0]
    if lacking := [name for name in others if name != taken]:
        raise InputError(
            f"the graph has the inputs {', '.join(inputs)}, and the description nothing about {', '.join(lacking)}: "
            f"give a number or a list in a table [constants], such as {lacking[0]} = 0"
        )
    return taken
