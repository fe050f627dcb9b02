"""Face detectors: SCRFD (Guo et al. 2021, arXiv:2105.04714), YuNet (Wu et al. 2023, OpenCV's), RetinaFace.

Their own programs suppress with overlaps of whole pixels (SCRFD's counts one more a side, OpenCV cuts boxes to such);
here overlaps are those of the boxes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from midstream.errors import InputError
from midstream.models.detector_heads import RetinaFaceHead, ScrfdHead, YunetHead
from midstream.models.heads.nms import Candidates, cell_count, cell_grid, sigmoid, softmax
from midstream.models.heads.reading import MisfitError, bounded, class_columns, corners, rows


def candidates(
    head: ScrfdHead | YunetHead | RetinaFaceHead,
    outputs: Mapping[str, NDArray[Any]],
    size: tuple[int, int],
    classes: int,
) -> Candidates:
    """See heads.candidates."""
    if isinstance(head, ScrfdHead):
        return _scrfd(head, outputs, size, classes)
    if isinstance(head, YunetHead):
        return _yunet(head, outputs, size, classes)
    return _retinaface(head, outputs, size, classes)


def _scrfd(head: ScrfdHead, outputs: Mapping[str, NDArray[Any]], size: tuple[int, int], classes: int) -> Candidates:
    """Sides and landmarks are distances from the cell's corner, in strides."""
    levels = len(head.strides)
    names = [head.scores, head.boxes, head.keypoints] if head.scores else _in_order(outputs, levels, (2, 3))
    scores, boxes, points = [], [], []
    for i, stride in enumerate(head.strides):
        cells = np.repeat(cell_grid(size, stride, 0.0), head.anchors, axis=0)
        scores.append(class_columns(names[0][i], rows(outputs, names[0][i], count=len(cells)), classes, None))
        sides = rows(outputs, names[1][i], columns=4, count=len(cells)) * np.float32(stride)
        boxes.append(np.concatenate([cells - sides[:, :2], cells + sides[:, 2:]], axis=1))
        if len(names) == 3 and names[2]:
            offsets = _pairs(outputs, names[2][i], len(cells)) * np.float32(stride)
            points.append(cells[:, None] + offsets)
    return Candidates(bounded(np.concatenate(boxes)), np.concatenate(scores), keypoints=_scored(points))


def _yunet(head: YunetHead, outputs: Mapping[str, NDArray[Any]], size: tuple[int, int], classes: int) -> Candidates:
    """Centres and landmarks are offsets from the cell's corner, sides logarithms."""
    given = [head.scores, head.objectness, head.boxes, head.keypoints]
    names = given if head.scores else _in_order(outputs, len(head.strides), (4,))
    scores, boxes, points = [], [], []
    for i, stride in enumerate(head.strides):
        count, cells = cell_count(size, stride), cell_grid(size, stride, 0.0)
        chances = class_columns(names[0][i], rows(outputs, names[0][i], count=count), classes, None)
        objects = rows(outputs, names[1][i], columns=1, count=count)
        scores.append(np.sqrt(np.clip(chances, 0, 1) * np.clip(objects, 0, 1)))
        table = rows(outputs, names[2][i], columns=4, count=count)
        with np.errstate(over="ignore"):
            boxes.append(corners(table[:, :2] * stride + cells, np.exp(table[:, 2:]) * stride))
        points.append(cells[:, None] + _pairs(outputs, names[3][i], count) * np.float32(stride))
    return Candidates(np.concatenate(boxes), np.concatenate(scores), keypoints=_scored(points))


def _retinaface(
    head: RetinaFaceHead, outputs: Mapping[str, NDArray[Any]], size: tuple[int, int], classes: int
) -> Candidates:
    """RetinaFace's (Deng et al. 2019, arXiv:1905.00641). Offsets are against anchors."""
    anchors = _anchors(head, size)
    centres, sides = anchors[:, :2], anchors[:, 2:]
    step, scale = (np.float32(each) for each in head.variances)
    behind = head.keypoints == head.boxes
    table = _joined(outputs, head.boxes, len(anchors), None if behind else 4)
    with np.errstate(over="ignore"):
        lengths = table[:, 2:4] * scale if head.linear else np.exp(table[:, 2:4] * scale)
    boxes = corners(centres + table[:, :2] * step * sides, sides * lengths)
    given = _joined(outputs, head.scores, len(anchors))
    given = sigmoid(given) if head.sigmoid else softmax(given) if head.softmax else given
    alone = head.sigmoid or given.shape[1] == 1  # without a background
    chances = class_columns(_first(head.scores), given if alone else given[:, 1:], classes, None)
    points = None
    if head.keypoints is not None:
        values = table[:, 4:] if behind else _joined(outputs, head.keypoints, len(anchors))
        pairs = _as_pairs(_first(head.keypoints), values)
        points = _scored([centres[:, None] + pairs * step * sides[:, None]])
    return Candidates(boxes, chances, keypoints=points)


def _first(names: str | Sequence[str]) -> str:
    return names if isinstance(names, str) else names[0]


def _joined(
    outputs: Mapping[str, NDArray[Any]], names: str | Sequence[str], count: int, columns: int | None = None
) -> NDArray[np.float32]:
    """The rows of one output, or of several one after the other, [count, columns]."""
    if isinstance(names, str):
        return rows(outputs, names, columns, count)
    tables = [rows(outputs, name, columns) for name in names]
    widths, there = {table.shape[1] for table in tables}, sum(map(len, tables))
    if len(widths) > 1 or there != count:
        raise MisfitError(f"outputs {', '.join(names)} have {there} rows of {sorted(widths)}, the head expects {count}")
    return np.concatenate(tables)


def _anchors(head: RetinaFaceHead, size: tuple[int, int]) -> NDArray[np.float32]:
    """Centre and sides of all anchors in pixels, float32 [n, 4]."""
    levels = []
    for stride, lengths in zip(head.strides, head.sizes, strict=True):
        cells = np.repeat(cell_grid(size, stride, 0.5), len(lengths), axis=0)
        sides = np.tile(np.asarray(lengths, np.float32), cell_count(size, stride))
        levels.append(np.concatenate([cells, np.stack([sides, sides], axis=1)], axis=1))
    return np.concatenate(levels)


def _in_order(outputs: Mapping[str, NDArray[Any]], levels: int, kinds: Sequence[int]) -> list[list[str]]:
    """The outputs' names kind by kind, of graphs that do not name them otherwise."""
    names = list(outputs)
    if len(names) not in [kind * levels for kind in kinds]:
        expected = " or ".join(str(kind * levels) for kind in kinds)
        raise MisfitError(f"a head of {levels} strides has {expected} outputs, the network has {len(names)}")
    return [names[start : start + levels] for start in range(0, len(names), levels)]


def _pairs(outputs: Mapping[str, NDArray[Any]], name: str, count: int) -> NDArray[np.float32]:
    """Landmarks of all rows, [n, points, 2]."""
    return _as_pairs(name, rows(outputs, name, count=count))


def _as_pairs(name: str, values: NDArray[np.float32]) -> NDArray[np.float32]:
    if not values.shape[1] or values.shape[1] % 2:
        raise InputError(f"output '{name}' has {values.shape[1]} columns, the head expects x and y of each landmark")
    return values.reshape(len(values), -1, 2)


def _scored(points: Sequence[NDArray[np.float32]]) -> NDArray[np.float32] | None:
    """Landmarks with a score of 1: these networks give none. [n, points, 3]."""
    if not points:
        return None
    if len({each.shape[1] for each in points}) != 1:
        raise InputError("the strides have different numbers of landmarks")
    places = bounded(np.concatenate(points))
    return np.concatenate([places, np.ones((*places.shape[:2], 1), np.float32)], axis=2)
