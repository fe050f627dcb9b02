"""DETR (Carion et al. 2020, arXiv:2005.12872) and its like before their own post-processing: logits and boxes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from midstream.models.detector_heads import DetrHead
from midstream.models.heads.nms import Boxes, Candidates, ranked, sigmoid, softmax, suppress
from midstream.models.heads.reading import class_columns, corners, rows


def decode(
    head: DetrHead,
    outputs: Mapping[str, NDArray[Any]],
    size: tuple[int, int],
    classes: int,
    ids: Sequence[int] | None,
) -> Boxes:
    """See heads.decode_head: the best class of a query, or (sigmoid) the best of all queries and classes."""
    found = candidates(head, outputs, size, classes, ids)
    if head.activation == "sigmoid":
        return suppress(found, head.score_threshold, None, head.max_detections)
    best = found.scores.argmax(axis=1)
    kept = np.flatnonzero(found.scores[np.arange(len(best)), best] > head.score_threshold)
    return ranked(found.chosen(kept, best[kept]), None, head.max_detections)


def candidates(
    head: DetrHead,
    outputs: Mapping[str, NDArray[Any]],
    size: tuple[int, int],
    classes: int,
    ids: Sequence[int] | None,
) -> Candidates:
    """See heads.candidates."""
    logits = rows(outputs, head.logits)
    table = rows(outputs, head.boxes, columns=4, count=len(logits))
    chances = sigmoid(logits) if head.activation == "sigmoid" else softmax(logits)[:, :-1]
    boxes = corners(table[:, :2], table[:, 2:]) * np.array(size[::-1] * 2, np.float32)
    return Candidates(boxes, class_columns(head.logits, chances, classes, ids))
