"""Quantised graphs: a cut goes through the float side of a pair of QuantizeLinear and DequantizeLinear."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import onnx

from midstream.errors import InputError

_FLOATS = ("tensor(float)", "tensor(float16)", "tensor(double)", "tensor(bfloat16)")
#: Nodes whose first input is float and whose output is integer, and the other way about.
_TO_INTEGER, _TO_FLOAT = ("QuantizeLinear", "DynamicQuantizeLinear"), ("DequantizeLinear",)
#: What moves numbers without changing them.
_SAME = ("MaxPool", "Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Concat", "Slice", "Split")


def float_beside(model: onnx.ModelProto, tensor: str) -> str | None:
    """The float tensor of which an integer one is the quantised form, or which is made of it; None for neither."""
    makers: dict[str, Any] = {output: node for node in model.graph.node for output in node.output}
    for reader in model.graph.node:
        if reader.op_type in _TO_FLOAT and reader.input[0] == tensor:
            return str(reader.output[0])
    while (node := makers.get(tensor)) is not None:
        if node.op_type in _TO_INTEGER:
            return str(node.input[0])
        if node.op_type not in _SAME:
            return None
        tensor = node.input[0]
    return None


def check_floats(model: onnx.ModelProto, outputs: Iterable[Any]) -> None:
    """Hold the tensors of a cut, as a session of ONNX Runtime lists them, to being floats.

    Raises:
        InputError: one that is not, with the float tensor beside it.
    """
    for value in outputs:
        if value.type in _FLOATS:
            continue
        beside = float_beside(model, value.name)
        instead = f"cut at '{beside}' beside it, which is float" if beside is not None else "cut at a float tensor"
        raise InputError(f"tensor '{value.name}' is a {value.type}, a quantised feature or no feature: {instead}")
