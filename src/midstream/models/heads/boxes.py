"""Outputs of their own for boxes, scores and labels, as most exports of SSD, R-CNN and the DETR family have them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from midstream.errors import InputError
from midstream.models.detector_heads import BoxesHead
from midstream.models.heads.nms import Boxes, Candidates, ranked, sigmoid, suppress
from midstream.models.heads.reading import (
    bounded,
    class_columns,
    column,
    corners,
    indices,
    misfit,
    output,
    rows,
)


def decode(
    head: BoxesHead,
    outputs: Mapping[str, NDArray[Any]],
    size: tuple[int, int],
    classes: int,
    ids: Sequence[int] | None,
) -> Boxes:
    """See heads.decode_head."""
    if head.labels is None:
        found = candidates(head, outputs, size, classes, ids)
        return suppress(found, head.score_threshold, head.nms_iou, head.max_detections)
    table = _table(head, outputs)
    scores = _scores(head, outputs, table)
    if scores.shape[1] != 1:
        raise misfit(head.boxes, outputs[head.boxes].shape, "[1, boxes, 5], a box and a score")
    labels = column(outputs, head.labels, len(table))
    kept = np.flatnonzero(scores[: _count(head, outputs, len(table)), 0] > head.score_threshold)
    known = indices(head.labels, labels[kept], classes, head.first_label, ids)
    kept, known = kept[known >= 0], known[known >= 0]
    found_boxes = Boxes(_boxes(head, table[kept], size), scores[kept, 0], known)
    return ranked(found_boxes, head.nms_iou, head.max_detections)


def candidates(
    head: BoxesHead,
    outputs: Mapping[str, NDArray[Any]],
    size: tuple[int, int],
    classes: int,
    ids: Sequence[int] | None,
) -> Candidates:
    """See heads.candidates: for a head with scores of all classes."""
    table = _table(head, outputs)
    count = _count(head, outputs, len(table))
    scores = _scores(head, outputs, table)[:count]
    if head.background:
        scores = scores[:, 1:]
        ids = None if ids is None else [each - 1 for each in ids]
    chances = class_columns(head.scores or head.boxes, scores, classes, ids)
    return Candidates(_boxes(head, table[:count], size), chances)


def _table(head: BoxesHead, outputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
    """The output of the boxes, [n, 4], or [n, 4 + scores] if those have none of their own."""
    if head.scores is not None:
        return rows(outputs, head.boxes, columns=4)
    table = rows(outputs, head.boxes)
    if table.shape[1] < 5:
        raise misfit(head.boxes, outputs[head.boxes].shape, "[1, boxes, 4 + scores]; or name `scores`")
    return table


def _scores(head: BoxesHead, outputs: Mapping[str, NDArray[Any]], table: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scores [n, columns], from an output of their own or after the boxes."""
    if head.scores is None:
        scores = table[:, 4:]
    else:
        name, values = output(outputs, head.scores)
        of_all = head.labels is None and values.ndim > 1 and len(table) in values.shape[:-1]
        scores = rows(outputs, name, count=len(table)) if of_all else column(outputs, name, len(table))[:, None]
    return sigmoid(scores) if head.sigmoid else scores


def _count(head: BoxesHead, outputs: Mapping[str, NDArray[Any]], rows_there: int) -> int:
    """How many rows are meant."""
    if head.count is None:
        return rows_there
    count = float(column(outputs, head.count, 1)[0])
    if not 0 <= count <= rows_there or count != int(count):
        raise InputError(f"output '{head.count}' counts {count:g} boxes, of {rows_there} rows")
    return int(count)


def _boxes(head: BoxesHead, table: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Left, top, right, bottom in pixels of the input, [n, 4]."""
    first, second = table[:, :2], table[:, 2:4]
    if head.format == "yxyx":
        first, second = first[:, ::-1], second[:, ::-1]
    if head.format == "cxcywh":
        boxes = corners(first, second)
    elif head.format == "xywh":
        boxes = bounded(np.concatenate([first, first + second], axis=1))
    else:
        boxes = bounded(np.concatenate([first, second], axis=1))
    return boxes * np.array(size[::-1] * 2, np.float32) if head.normalised else boxes
