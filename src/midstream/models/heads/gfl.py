"""Generalised focal loss heads (Li et al. 2020, arXiv:2006.04388): a distribution over bins for each side of a box."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from midstream.models.detector_heads import GflHead
from midstream.models.heads.nms import Candidates, cell_count, cell_grid, sigmoid
from midstream.models.heads.reading import MisfitError, rows


def candidates(head: GflHead, outputs: Mapping[str, NDArray[Any]], size: tuple[int, int], classes: int) -> Candidates:
    """See heads.candidates."""
    levels = len(head.strides)
    names = [*head.scores, *head.boxes] or list(outputs)
    if len(names) != 2 * levels:
        raise MisfitError(f"a gfl head of {levels} levels has {2 * levels} outputs, the network has {len(names)}")
    boxes, scores = [], []
    for i, stride in enumerate(head.strides):
        cells = cell_count(size, stride)
        scores.append(rows(outputs, names[i], columns=classes, count=cells))
        sides = rows(outputs, names[levels + i], columns=4 * head.bins, count=cells)
        points = cell_grid(size, stride, head.cell_offset)
        boxes.append(_boxes(points, sides.reshape(cells, 4, head.bins), stride))
    all_scores = np.concatenate(scores)
    if head.sigmoid:
        all_scores = sigmoid(all_scores)
    return Candidates(np.concatenate(boxes), all_scores)


def _boxes(points: NDArray[np.float32], sides: NDArray[np.float32], stride: int) -> NDArray[np.float32]:
    """Expectation of each side's distribution, times the stride, is its distance from the cell's point."""
    # NumPy takes several times as long along an axis as short as this one.
    largest = functools.reduce(np.maximum, np.moveaxis(sides, 2, 0))
    weights = np.exp(sides - largest[:, :, None])
    # No product of matrices: a BLAS rounds by the machine and by its threads, and calibrations are to be repeatable.
    moment = np.zeros(weights.shape[:2], np.float32)
    for distance in range(1, weights.shape[2]):
        moment += np.float32(distance) * weights[:, :, distance]
    expectation = moment / weights.sum(axis=2)
    distances = expectation * np.float32(stride)
    return np.concatenate([points - distances[:, :2], points + distances[:, 2:]], axis=1)
