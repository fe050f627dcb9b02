"""What every head ends with: a threshold, suppression class by class, the best few."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

#: Pixels. A damaged feature may ask for any size; the image's edge clips it.
LONGEST_SIDE = np.float32(1e6)


@dataclass(frozen=True)
class Boxes:
    """boxes float32 [n, 4] (left, top, right, bottom), scores float32 [n], labels int64 [n].

    `masks` float32 [n, m, m] are chances within each box, None for a head without.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    labels: NDArray[np.int64]
    masks: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Candidates:
    """What a head proposes before suppression: boxes float32 [n, 4] in pixels of the input, scores [n, classes]."""

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]


def suppress(boxes: NDArray[np.float32], scores: NDArray[np.float32], threshold: float, iou: float, most: int) -> Boxes:
    """Greedy non-maximum suppression, every class on its own (OpenCV's NMSBoxes).

    Args:
        boxes: [n, 4], left, top, right, bottom.
        scores: [n, classes]; a box counts for every class whose score is above the threshold.
        threshold: scores above it count.
        iou: a box that overlaps a better one of its class by more than this is dropped.
        most: how many are kept, best first.
    """
    cells, labels = np.nonzero(scores > threshold)
    values = scores[cells, labels]
    order = np.argsort(-values, kind="stable")
    considered = 10 * most
    while True:  # a candidate is only ever dropped for a better one, so the best of the first few are the best of all
        first = order[:considered]
        kept = first[_kept(boxes[cells[first]], values[first], labels[first], iou)][:most]
        if len(kept) == most or considered >= len(order):
            break
        considered *= 4
    return Boxes(boxes[cells[kept]], values[kept].astype(np.float32), labels[kept].astype(np.int64))


def _kept(
    boxes: NDArray[np.float32], scores: NDArray[np.float32], labels: NDArray[np.int64], iou: float
) -> NDArray[np.int64]:
    """Indices of what survives among candidates that are sorted by score, in the same order."""
    corners_and_sizes = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1).astype(np.float64)
    kept = [np.zeros(0, np.int64)]
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        chosen = cv2.dnn.NMSBoxes(corners_and_sizes[members], scores[members], 0.0, iou)  # type: ignore[arg-type]
        kept.append(members[np.asarray(chosen, np.int64).reshape(-1)])
    return np.sort(np.concatenate(kept))


def cell_count(size: tuple[int, int], stride: int) -> int:
    """How many cells a level has; outputs are held to it before a grid is made."""
    rows, columns = _cells(size, stride)
    return rows * columns


def _cells(size: tuple[int, int], stride: int) -> tuple[int, int]:
    return -(-size[0] // stride), -(-size[1] // stride)


def cell_grid(size: tuple[int, int], stride: int, offset: float) -> NDArray[np.float32]:
    """Reference points (x, y) in pixels of one level's cells, row by row: (i + offset) * stride, float32 [n, 2]."""
    rows, columns = _cells(size, stride)
    y, x = np.indices((rows, columns), np.float32)
    points: NDArray[np.float32] = (np.stack([x.reshape(-1), y.reshape(-1)], axis=1) + np.float32(offset)) * stride
    return points


def sigmoid(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """1 / (1 + exp(-x)), without overflow."""
    half = np.float32(0.5)
    return np.asarray(half + half * np.tanh(half * x), np.float32)
