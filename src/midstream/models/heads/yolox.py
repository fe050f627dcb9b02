"""The YOLOX head (Ge et al. 2021, arXiv:2107.08430): anchor-free boxes, objectness times class score."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from midstream.models.detector_heads import YoloxHead
from midstream.models.heads.nms import Candidates, cell_count, cell_grid, sigmoid
from midstream.models.heads.reading import corners, rows


def candidates(head: YoloxHead, outputs: Mapping[str, NDArray[Any]], size: tuple[int, int], classes: int) -> Candidates:
    """See heads.candidates."""
    counts = [cell_count(size, stride) for stride in head.strides]
    table = rows(outputs, head.output, columns=5 + classes, count=sum(counts))
    centres, sides = (table[:, :2], table[:, 2:4]) if head.decoded else _decoded(head, table, size, counts)
    chances = sigmoid(table[:, 4:]) if head.sigmoid else table[:, 4:]
    return Candidates(corners(centres, sides), chances[:, :1] * chances[:, 1:])


def _decoded(
    head: YoloxHead, table: NDArray[np.float32], size: tuple[int, int], counts: list[int]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Centres and sides in pixels, [n, 2] each, of what the network says in cells and as logarithms."""
    points = np.concatenate([cell_grid(size, stride, head.cell_offset) for stride in head.strides])
    strides = np.repeat(np.array(head.strides, np.float32), counts)[:, None]
    with np.errstate(over="ignore"):
        return table[:, :2] * strides + points, np.exp(table[:, 2:4]) * strides
