"""What the layers behind a cut see of a level's channels: as many of its directions as they have weights for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from midstream.models.graph import constant, uses

#: Operators that do the same to every channel, and in proportion: what reads their output reads the level.
_PASSING = frozenset({"Identity", "Cast", "Dropout", "AveragePool", "GlobalAveragePool", "Resize", "Upsample", "Pad"})


def first_weights(back: onnx.ModelProto, tensors: Sequence[str]) -> NDArray[np.float64] | None:
    """What multiplies the channels of tensors [1, C, ...] of a level first.

    Args:
        back: the graph behind the cut.
        tensors: inputs of it: the level, and what is derived from it.

    Returns:
        [weights, C], of all convolutions that read them, their outputs and their positions. None where something else
        reads one, too.
    """
    found: list[NDArray[np.float64]] = []
    names = [*tensors]
    outputs = {value.name for value in back.graph.output}
    for name in names:  # grows
        if name in outputs:
            return None
        for node in (node for node in back.graph.node if name in uses(node)):
            if _passes(node) and node.input[0] == name:
                names.append(node.output[0])
            elif (weights := _weights(back, node, name)) is not None:
                found.append(weights)
            else:
                return None
    return np.concatenate(found) if found else None


def _passes(node: Any) -> bool:
    if node.op_type == "MaxPool":  # of single positions: every second one, say
        return any(each.name == "kernel_shape" and set(each.ints) == {1} for each in node.attribute)
    return node.op_type in _PASSING


def _weights(back: onnx.ModelProto, node: Any, name: str) -> NDArray[np.float64] | None:
    """Of a convolution of `name`: [outputs and positions, C], zero where an output does not read a channel."""
    if node.op_type != "Conv" or uses(node).count(name) != 1 or node.input[0] != name:
        return None
    kernel = constant(back, node.input[1])
    if kernel is None:
        return None
    groups = next((each.i for each in node.attribute if each.name == "group"), 1)
    outputs, of_each = kernel.shape[:2]
    rows = np.zeros((groups, outputs // groups * kernel[0, 0].size, groups, of_each))
    for group, own in enumerate(np.split(kernel.astype(np.float64), groups)):
        rows[group, :, group] = np.moveaxis(own.reshape(len(own), of_each, -1), 1, 2).reshape(-1, of_each)
    return rows.reshape(-1, groups * of_each)
