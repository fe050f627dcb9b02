"""The heads of YOLOv5 and of YOLOv8, 9, 11 and 12 as Ultralytics exports them (github.com/ultralytics, YOLOv5 7.0)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from midstream.errors import InputError
from midstream.models.detector_heads import YoloV5Head, YoloV8Head
from midstream.models.heads.nms import LONGEST_SIDE, Candidates, cell_count, cell_grid, sigmoid


def anchor_free(head: YoloV8Head, outputs: Mapping[str, NDArray[Any]], classes: int) -> Candidates:
    """YOLOv8's, of [1, 4 + classes, n]; see heads.candidates."""
    name = head.output or next(iter(outputs))
    value = outputs[name]
    if value.ndim < 2 or value.shape[-2] != 4 + classes or value.size != value.shape[-2] * value.shape[-1]:
        raise InputError(f"output '{name}' has shape {list(value.shape)}, the head expects [1, {4 + classes}, boxes]")
    rows = np.asarray(value, np.float32).reshape(value.shape[-2:])
    return Candidates(_corners(rows[:2].T, rows[2:4].T), np.ascontiguousarray(rows[4:].T))


def anchored(head: YoloV5Head, outputs: Mapping[str, NDArray[Any]], size: tuple[int, int], classes: int) -> Candidates:
    """YOLOv5's, of [1, n, 5 + classes]; see heads.candidates."""
    name = head.output or next(iter(outputs))
    counts = [cell_count(size, stride) for stride in head.strides]
    shapes = [len(each) for each in head.anchors]
    value = outputs[name]
    shape = (sum(cells * each for cells, each in zip(counts, shapes, strict=True)), 5 + classes)
    if value.size != shape[0] * shape[1] or value.shape[-1] != shape[1]:
        raise InputError(f"output '{name}' has shape {list(value.shape)}, the head expects {[1, *shape]}")
    rows = np.asarray(value, np.float32).reshape(shape)
    if head.sigmoid:
        rows = sigmoid(rows)
    centres, sides = (rows[:, :2], rows[:, 2:4]) if head.decoded else _of_anchors(head, rows, size)
    return Candidates(_corners(centres, sides), rows[:, 4:5] * rows[:, 5:])


def _of_anchors(
    head: YoloV5Head, rows: NDArray[np.float32], size: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Centres and sides in pixels, [n, 2] each: (2 v - 0.5 + cell) * stride and (2 v)^2 anchors (YOLOv5's `Detect`)."""
    points, strides, anchors = [], [], []
    for stride, shapes in zip(head.strides, head.anchors, strict=True):
        cells = cell_grid(size, stride, -0.5)
        for shape in shapes:  # all cells of an anchor, then those of the next
            points.append(cells)
            strides.append(np.full((len(cells), 1), stride, np.float32))
            anchors.append(np.tile(np.asarray(shape, np.float32), (len(cells), 1)))
    centres = 2 * rows[:, :2] * np.concatenate(strides) + np.concatenate(points)
    return centres, (2 * rows[:, 2:4]) ** 2 * np.concatenate(anchors)


def _corners(centres: NDArray[np.float32], sides: NDArray[np.float32]) -> NDArray[np.float32]:
    halves = np.minimum(sides, LONGEST_SIDE) / 2
    return np.concatenate([centres - halves, centres + halves], axis=1)
