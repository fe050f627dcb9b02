"""How far the network's outputs move: what sensitivity is measured with.

For a network whose head can be asked before suppression the outputs are its scores, and its boxes as far as they are
believed: each side over the box's size, times the square root of the best score. For any other network the task says
how its outputs differ.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from midstream.models import FloatPyramid, ProposingModel, SplitModel
from midstream.models.heads import Candidates

Vector = NDArray[np.float32]
#: How much a box that moves by its own size counts beside a score that moves by one, squared.
_BOX_WEIGHT = 0.1
_LEAST_SIZE = 8.0


def responder(model: SplitModel, pyramid: FloatPyramid, size: tuple[int, int]) -> Callable[[FloatPyramid], Vector]:
    """A function of disturbed pyramids: how the outputs differ from those of `pyramid`, as a vector.

    Its squared length is the distance. `size` is the image's (height, width).
    """
    if isinstance(model, ProposingModel) and model.proposes:
        reference = model.candidates(pyramid)
        weights = _box_weights(reference)
        return lambda disturbed: _moved(reference, model.candidates(disturbed), weights)
    task, found = model.task, model.back(pyramid, size)
    return lambda disturbed: task.moved(found, model.back(disturbed, size))


def _box_weights(reference: Candidates) -> NDArray[np.float32]:
    sides = np.maximum(reference.boxes[:, 2:] - reference.boxes[:, :2], _LEAST_SIZE)
    confidence = np.sqrt(_BOX_WEIGHT * np.maximum(reference.scores.max(axis=1), 0))
    return np.asarray(confidence[:, None] / np.concatenate([sides, sides], axis=1), np.float32)


def _moved(reference: Candidates, now: Candidates, weights: NDArray[np.float32]) -> Vector:
    scores = (now.scores - reference.scores).ravel()
    boxes = ((now.boxes - reference.boxes) * weights).ravel()
    return np.concatenate([scores, np.clip(boxes, -1, 1)])
