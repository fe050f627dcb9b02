"""What every head ends with: a threshold, suppression class by class, the best few."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

#: Pixels. A damaged feature may ask for any size; the image's edge clips it.
LONGEST_SIDE = np.float32(1e6)


@dataclass(frozen=True)
class PastedMasks:
    """Masks as chances within each box, float32 [n, m, m]."""

    values: NDArray[np.float32]

    def taken(self, rows: NDArray[np.int64]) -> PastedMasks:
        """Some of them, by their indices."""
        return PastedMasks(self.values[rows])


@dataclass(frozen=True)
class PrototypeMasks:
    """Masks as sums of prototypes, logits over the whole input: weights [n, c], prototypes [c, h, w], float32."""

    weights: NDArray[np.float32]
    prototypes: NDArray[np.float32]

    def taken(self, rows: NDArray[np.int64]) -> PrototypeMasks:
        """Some of them, by their indices."""
        return PrototypeMasks(self.weights[rows], self.prototypes)


@dataclass(frozen=True)
class Boxes:
    """boxes float32 [n, 4] (left, top, right, bottom), scores float32 [n], labels int64 [n], best first.

    `masks` and `keypoints`, float32 [n, K, 3] (x, y, score), are None for a head without. All in pixels of the input.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    labels: NDArray[np.int64]
    masks: PastedMasks | PrototypeMasks | None = None
    keypoints: NDArray[np.float32] | None = None

    def taken(self, rows: NDArray[np.int64]) -> Boxes:
        """Some of them, by their indices."""
        masks = None if self.masks is None else self.masks.taken(rows)
        points = None if self.keypoints is None else self.keypoints[rows]
        return Boxes(self.boxes[rows], self.scores[rows], self.labels[rows], masks, points)


@dataclass(frozen=True)
class Candidates:
    """What a head proposes before suppression: boxes float32 [n, 4] in pixels of the input, scores [n, classes].

    `masks` and `keypoints` are as Boxes has them.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    masks: PrototypeMasks | None = None
    keypoints: NDArray[np.float32] | None = None

    def chosen(self, rows: NDArray[np.int64], labels: NDArray[np.int64]) -> Boxes:
        """The detections of some classes in some rows, int64 [n] each."""
        masks = None if self.masks is None else self.masks.taken(rows)
        points = None if self.keypoints is None else self.keypoints[rows]
        scores = self.scores[rows, labels].astype(np.float32)
        return Boxes(self.boxes[rows], scores, labels.astype(np.int64), masks, points)


def suppress(found: Candidates, threshold: float, iou: float | None, most: int) -> Boxes:
    """Greedy non-maximum suppression, every class on its own (OpenCV's NMSBoxes).

    Args:
        found: a box counts for every class whose score is above the threshold.
        threshold: scores above it count.
        iou: a box that overlaps a better one of its class by more than this is dropped; None drops none.
        most: how many are kept, best first.
    """
    scores = found.scores.reshape(-1)
    above = np.flatnonzero(scores > threshold)
    values = scores[above]
    cells, labels = np.divmod(above, max(found.scores.shape[1], 1))
    considered = most if iou is None else 10 * most
    while True:  # a candidate is only ever dropped for a better one, so the best of the first few are the best of all
        first = _best(values, considered)
        kept = first
        if iou is not None:
            kept = first[_kept(found.boxes[cells[first]], values[first], labels[first], iou)][:most]
        if len(kept) == most or considered >= len(values):
            return found.chosen(cells[kept], labels[kept])
        considered *= 4


def _best(values: NDArray[np.floating], most: int) -> NDArray[np.int64]:
    """Indices of the `most` largest, those first; of equal ones the first."""
    if len(values) <= most:
        return np.argsort(-values, kind="stable")
    least = np.partition(values, len(values) - most)[len(values) - most]
    enough = np.flatnonzero(values >= least)
    return enough[np.argsort(-values[enough], kind="stable")[:most]]


def ranked(found: Boxes, iou: float | None, most: int) -> Boxes:
    """Detections of one class each, in any order, as `suppress` returns them."""
    order = np.argsort(-found.scores, kind="stable")
    if iou is not None:
        order = order[_kept(found.boxes[order], found.scores[order], found.labels[order], iou)]
    return found.taken(order[:most])


def _kept(
    boxes: NDArray[np.float32], scores: NDArray[np.float32], labels: NDArray[np.int64], iou: float
) -> NDArray[np.int64]:
    """Indices of what survives among candidates that are sorted by score, in the same order."""
    corners_and_sizes = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1).astype(np.float64)
    kept = [np.zeros(0, np.int64)]
    by_label = np.argsort(labels, kind="stable")
    for members in np.split(by_label, np.flatnonzero(np.diff(labels[by_label])) + 1):
        if not len(members):  # there are none at all
            continue
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


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Chances [n, classes] of logits, without overflow."""
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)
