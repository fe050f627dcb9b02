"""Fitting what a cell is expected to be from those before it: ridge regression on what a decoder has of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from midstream.calibration import ordered
from midstream.calibration.coder import Sample, scales_of
from midstream.codec.calibrated.coding import quantised
from midstream.codec.calibrated.parts import Floats, GroupPart

# Where the numbers come from: docs/method.md, "Constants".
#: Coefficients of each neighbour that are looked at, and coefficients of a cell that are predicted, at most: of a group
#: that has all levels of its cells, and of one of several layers.
_INPUTS, OUTPUTS, OUTPUTS_OF_LAYERS = 128, 256, 128
#: Ridge beside the inputs' mean energy.
_RIDGE = 0.02
#: Once from what is decoded without prediction, then from what is decoded with the first one.
_ROUNDS = 2


def with_neighbours(
    group: GroupPart, samples: Sequence[Sample], steps: Sequence[NDArray[np.int16]], most: int = OUTPUTS
) -> GroupPart:
    """The group with a prediction from neighbours, and the scales of what it leaves.

    Args:
        group: as fitted so far.
        samples: coefficients and importance map of views.
        steps: each view is decoded at one of these, in turn.
        most: coefficients of a cell that are predicted.
    """
    if all(coefficients[0].size == 1 for coefficients, _ in samples):
        return group  # one cell an image, as of class tokens: it has no neighbours
    for _ in range(_ROUNDS):
        decoded = [
            quantised(group, steps[number % len(steps)], coefficients, importance)[2]
            for number, (coefficients, importance) in enumerate(samples)
        ]
        group = replace(group, neighbours=_fitted(samples, decoded, most))
    energy = np.zeros(len(group.scales))
    for (coefficients, _), around in zip(samples, decoded, strict=True):
        left = coefficients.reshape(len(coefficients), -1).astype(np.float64)
        inputs, outputs = group.neighbours.shape[1:]
        rows = group.neighbours.reshape(-1, outputs)
        left[:outputs] -= ordered.product(rows.T, _around(around, inputs))
        energy += np.square(left).mean(axis=1) / len(samples)
    return replace(group, scales=scales_of(np.sqrt(energy)))


def _fitted(samples: Sequence[Sample], decoded: Sequence[Floats], most: int) -> Floats:
    count = len(decoded[0])
    inputs, outputs = min(_INPUTS, count), min(most, count)
    gram, cross = np.zeros((3 * inputs, 3 * inputs)), np.zeros((3 * inputs, outputs))
    for (coefficients, _), values in zip(samples, decoded, strict=True):
        around = _around(values, inputs)
        gram += ordered.gram(around)
        cross += ordered.product(around, coefficients[:outputs].reshape(outputs, -1).T)
    ridge = _RIDGE * np.trace(gram) / len(gram)
    fitted = ordered.solve(gram + ridge * np.eye(len(gram)), cross)
    return fitted.reshape(3, inputs, outputs).astype(np.float16).astype(np.float32)


def _around(decoded: Floats, inputs: int) -> NDArray[np.float32]:
    """The first coefficients of the cells to the west, north and north-east, [3 * inputs, cells]; 0 beyond a border."""
    padded = np.pad(decoded[:inputs], ((0, 0), (1, 0), (1, 1)))
    sides = [padded[:, 1:, :-2], padded[:, :-1, 1:-1], padded[:, :-1, 2:]]
    return np.concatenate([side.reshape(inputs, -1) for side in sides])
