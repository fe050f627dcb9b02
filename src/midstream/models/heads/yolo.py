"""The heads of YOLOv5 and of YOLOv8, 9, 11 and 12 as Ultralytics exports them (github.com/ultralytics, YOLOv5 7.0)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from midstream.models.detector_heads import YoloV5Head, YoloV8Head
from midstream.models.heads import more
from midstream.models.heads.nms import Candidates, cell_count, cell_grid, sigmoid, softmax
from midstream.models.heads.reading import corners, misfit, output, rows


def anchor_free(head: YoloV8Head, outputs: Mapping[str, NDArray[Any]], classes: int) -> Candidates:
    """YOLOv8's, of [1, 4 + classes + more, n]; see heads.candidates."""
    name, values = output(outputs, head.output)
    own, counts = 4 + classes, more.counts(head, outputs)
    if values.ndim < 2 or values.shape[-2] - own not in counts or any(side != 1 for side in values.shape[:-2]):
        wanted = " or ".join(f"[1, {own + count}, boxes]" for count in counts)
        if counts == [0] and values.ndim > 1 and values.shape[-2] == own + 1:
            wanted += "; a row more is another class or the angle of oriented boxes, which are not supported"
        raise misfit(name, values.shape, wanted)
    columns = values.reshape(values.shape[-2:])
    masks, points = more.parts(head, outputs, np.ascontiguousarray(columns[own:].T))
    boxes = corners(columns[:2].T, columns[2:4].T)
    return Candidates(boxes, np.ascontiguousarray(columns[4:own].T), masks, points)


def anchored(head: YoloV5Head, outputs: Mapping[str, NDArray[Any]], size: tuple[int, int], classes: int) -> Candidates:
    """YOLOv5's, of [1, n, 5 + classes] or of maps; see heads.candidates."""
    width = 5 + classes
    if maps := _maps(head, outputs):
        table = np.concatenate([_of_map(head, outputs, i, name, size, width) for i, name in enumerate(maps)])
    else:
        counts = [cell_count(size, stride) * len(each) for stride, each in zip(head.strides, head.anchors, strict=True)]
        table = rows(outputs, head.output, columns=width, count=sum(counts))
    table = _chances(head, table)
    centres, sides = (table[:, :2], table[:, 2:4]) if head.decoded else _of_anchors(head, table, size)
    return Candidates(corners(centres, sides), table[:, 4:5] * table[:, 5:])


def _chances(head: YoloV5Head, table: NDArray[np.float32]) -> NDArray[np.float32]:
    """The rows with chances in the place of logits; `exponential` sides stay as they are."""
    out = sigmoid(table) if head.sigmoid else np.array(table)
    if head.exponential:
        out[:, 2:4] = table[:, 2:4]
    if head.softmax:
        out[:, 5:] = softmax(table[:, 5:])
    return out


def _maps(head: YoloV5Head, outputs: Mapping[str, NDArray[Any]]) -> list[str]:
    """The outputs, one a level, of a graph that ends before its rows are put together."""
    if head.maps or head.output or head.decoded or len(outputs) != len(head.strides):
        return list(head.maps)
    return list(outputs) if all(values.ndim >= 4 for values in outputs.values()) else []


def _of_map(
    head: YoloV5Head, outputs: Mapping[str, NDArray[Any]], level: int, name: str, size: tuple[int, int], width: int
) -> NDArray[np.float32]:
    """The rows of one level, anchor by anchor, float32 [anchors * cells, width]."""
    name, values = output(outputs, name)
    anchors = len(head.anchors[level])
    h, w = (-(-side // head.strides[level]) for side in size)
    if values.shape == (1, anchors, h, w, width):
        return values.reshape(-1, width)
    if values.shape == (1, anchors * width, h, w):
        return values.reshape(anchors, width, h * w).transpose(0, 2, 1).reshape(-1, width)
    raise misfit(name, values.shape, f"[1, {anchors * width}, {h}, {w}] or [1, {anchors}, {h}, {w}, {width}]")


def _of_anchors(
    head: YoloV5Head, table: NDArray[np.float32], size: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Centres and sides in pixels, [n, 2] each.

    (2 v - 0.5 + cell) * stride and (2 v)^2 anchors (YOLOv5's `Detect`); of `exponential` heads (v + cell) * stride and
    exp(v) anchors (YOLOv3, "Bounding Box Prediction").
    """
    points, strides, anchors = [], [], []
    for stride, shapes in zip(head.strides, head.anchors, strict=True):
        cells = cell_grid(size, stride, 0.0 if head.exponential else -0.5)
        for shape in shapes:  # all cells of an anchor, then those of the next
            points.append(cells)
            strides.append(np.full((len(cells), 1), stride, np.float32))
            anchors.append(np.tile(np.asarray(shape, np.float32), (len(cells), 1)))
    inside, sides = (table[:, :2], table[:, 2:4]) if head.exponential else (2 * table[:, :2], (2 * table[:, 2:4]) ** 2)
    if head.exponential:
        with np.errstate(over="ignore"):  # `corners` bounds sides
            sides = np.exp(sides)
    return inside * np.concatenate(strides) + np.concatenate(points), sides * np.concatenate(anchors)
