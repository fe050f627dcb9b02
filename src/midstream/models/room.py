"""How much memory the tensors of a graph take, told from their shapes before it runs: a small file can ask for any."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import onnx
import onnx.shape_inference

from midstream.errors import InputError
from midstream.models.graph import uses
from midstream.models.storage import without_weights

#: Bytes of all tensors that are there at once. A ResNet-50 with a pyramid takes a fortieth of it at 1216x800.
MOST_BYTES = 8 * 10**9


def check_room(model: onnx.ModelProto, shapes: Mapping[str, Sequence[int]] | None = None) -> None:
    """Refuse a graph whose tensors would not fit into memory, as far as their shapes are known beforehand.

    Args:
        model: the graph.
        shapes: of its inputs, where they are not those that it has itself.

    Raises:
        InputError: what is there at once is more than MOST_BYTES; the largest tensor is named.
    """
    sizes = tensor_bytes(model, shapes)
    last = {name: number for number, node in enumerate(model.graph.node) for name in uses(node)}
    last |= {value.name: len(model.graph.node) for value in model.graph.output}
    there = {value.name: sizes.get(value.name, 0) for value in model.graph.input}
    total = sum(there.values())
    for number, node in enumerate(model.graph.node):
        for name in node.output:
            there[name] = sizes.get(name, 0)
            total += there[name]
        if total > MOST_BYTES:
            largest = max(there, key=lambda name: there[name])
            raise InputError(
                f"tensor '{largest}' would take {_gigabytes(there[largest])} and all that is there with it "
                f"{_gigabytes(total)}, more than the {_gigabytes(MOST_BYTES)} that a network may: export a smaller "
                "one, or give a smaller size"
            )
        for name in {*uses(node), *node.output}:
            if last.get(name, number) <= number:
                total -= there.pop(name, 0)


def fitting(names: Sequence[str], sizes: Mapping[str, int], most: int) -> int:
    """How many of some tensors, from the first on, take no more than `most` bytes; at least one."""
    return max(sum(total <= most for total in accumulate(sizes.get(name, 0) for name in names)), 1)


def tensor_bytes(model: onnx.ModelProto, shapes: Mapping[str, Sequence[int]] | None = None) -> dict[str, int]:
    """Bytes of the tensors that nodes and inputs give, by name, where types and shapes tell them; arguments as above.

    What the file itself says of tensors within the graph is not believed.
    """
    bare = without_weights(model)
    del bare.graph.value_info[:]
    for value in bare.graph.input:
        if shapes is not None and value.name in shapes:
            kind = value.type.tensor_type.elem_type
            value.CopyFrom(onnx.helper.make_tensor_value_info(value.name, kind, shapes[value.name]))
    names = [value.name for value in bare.graph.output]
    del bare.graph.output[:]
    bare.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    try:
        graph = onnx.shape_inference.infer_shapes(bare, data_prop=True).graph
    except Exception:  # an operator of another domain, say: ONNX Runtime has the last word
        return {}
    return {value.name: _bytes(value) for value in (*graph.value_info, *graph.input, *graph.output)}


def _bytes(value: Any) -> int:
    tensor = value.type.tensor_type
    sides: list[int] = [dim.dim_value for dim in tensor.shape.dim]
    if not tensor.HasField("shape") or any(side <= 0 for side in sides):  # open, or not known
        return 0
    try:
        return math.prod(sides) * onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).itemsize
    except (KeyError, ValueError, TypeError):
        return 0


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:,.1f} GB"
