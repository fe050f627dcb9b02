"""The YOLOX head (Ge et al. 2021, arXiv:2107.08430): anchor-free boxes, objectness times class score."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from midstream.errors import InputError
from midstream.models.detector_heads import YoloxHead
from midstream.models.heads.nms import LONGEST_SIDE, Candidates, cell_count, cell_grid, sigmoid


def candidates(head: YoloxHead, outputs: Mapping[str, NDArray[Any]], size: tuple[int, int], classes: int) -> Candidates:
    """See heads.candidates."""
    name = head.output or next(iter(outputs))
    counts = [cell_count(size, stride) for stride in head.strides]
    value, shape = outputs[name], (sum(counts), 5 + classes)
    if value.size != shape[0] * shape[1] or value.shape[-1] != shape[1]:
        raise InputError(f"output '{name}' has shape {list(value.shape)}, the head expects {[1, *shape]}")
    rows = np.asarray(value, np.float32).reshape(shape)
    centres, sides = (rows[:, :2], rows[:, 2:4]) if head.decoded else _decoded(head, rows, size, counts)
    halves = np.minimum(sides, LONGEST_SIDE) / 2
    chances = sigmoid(rows[:, 4:]) if head.sigmoid else rows[:, 4:]
    scores = chances[:, :1] * chances[:, 1:]
    boxes = np.concatenate([centres - halves, centres + halves], axis=1)
    return Candidates(boxes, scores)


def _decoded(
    head: YoloxHead, rows: NDArray[np.float32], size: tuple[int, int], counts: list[int]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Centres and sides in pixels, [n, 2] each, of what the network says in cells and as logarithms."""
    points = np.concatenate([cell_grid(size, stride, head.cell_offset) for stride in head.strides])
    strides = np.repeat(np.array(head.strides, np.float32), counts)[:, None]
    with np.errstate(over="ignore"):
        return rows[:, :2] * strides + points, np.exp(rows[:, 2:4]) * strides
