"""How far the network's outputs move: what sensitivity is measured with.

For a network whose head can be asked before suppression the outputs are its scores, and its boxes as far as they are
believed: each side over the box's size, times the square root of the best score. For any other network they are its
detections, matched with those of the undisturbed pyramid.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from midstream.models import Detections, FloatPyramid, ProposingModel, SplitModel
from midstream.models.heads import Candidates

Vector = NDArray[np.float32]
#: How much a box that moves by its own size counts beside a score that moves by one, squared.
_BOX_WEIGHT = 0.1
_LEAST_SIZE = 8.0


def responder(model: SplitModel, pyramid: FloatPyramid, size: tuple[int, int]) -> Callable[[FloatPyramid], Vector]:
    """A function of disturbed pyramids: how the outputs differ from those of `pyramid`, as a vector.

    Its squared length is the distance. `size` is the image's (height, width).
    """
    if isinstance(model, ProposingModel):
        reference = model.candidates(pyramid)
        weights = _box_weights(reference)
        return lambda disturbed: _moved(reference, model.candidates(disturbed), weights)
    found = model.back(pyramid, size)
    return lambda disturbed: _unmatched(found, model.back(disturbed, size))


def _box_weights(reference: Candidates) -> NDArray[np.float32]:
    sides = np.maximum(reference.boxes[:, 2:] - reference.boxes[:, :2], _LEAST_SIZE)
    confidence = np.sqrt(_BOX_WEIGHT * np.maximum(reference.scores.max(axis=1), 0))
    return np.asarray(confidence[:, None] / np.concatenate([sides, sides], axis=1), np.float32)


def _moved(reference: Candidates, now: Candidates, weights: NDArray[np.float32]) -> Vector:
    scores = (now.scores - reference.scores).ravel()
    boxes = ((now.boxes - reference.boxes) * weights).ravel()
    return np.concatenate([scores, np.clip(boxes, -1, 1)])


def _unmatched(reference: Detections, now: Detections) -> Vector:
    """For each detection of the reference what is lost of its score by the best match; for others their score."""
    same = reference.labels[:, None] == now.labels[None, :]
    overlap = _overlaps(reference.boxes, now.boxes) * same
    agreed = np.minimum(overlap * 2, 1) * np.minimum(reference.scores[:, None], now.scores[None, :])
    lost = reference.scores - agreed.max(axis=1, initial=0)
    extra = now.scores - agreed.max(axis=0, initial=0)
    # Numbers of detections differ; what is compared is the length of the vector only.
    return np.array([np.sqrt((lost**2).sum() + (extra**2).sum())], np.float32)


def _overlaps(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """Intersection over union, [len(a), len(b)]."""
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=2)
    areas = [np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), axis=1) for boxes in (a, b)]
    return np.asarray(shared / np.maximum(areas[0][:, None] + areas[1][None, :] - shared, 1e-6), np.float32)
