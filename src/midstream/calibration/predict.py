"""Fitting what a group's coefficients are expected to be: ridge regression on those decoded before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from midstream.calibration import ordered
from midstream.calibration.coder import scales_of
from midstream.codec.calibrated.parts import SEEN_BY_LAYERS, Floats, GroupPart
from midstream.codec.calibrated.prediction import expected_cells, surroundings, without_expected
from midstream.codec.calibrated.transform import Size, by_cell

# Where the numbers come from: docs/method.md, "Constants".
#: Coefficients of the first group that are looked at.
INPUTS = 96
#: Coefficients of a layer that are predicted.
LAYER_OUTPUTS = 256
#: Ridge beside the inputs' mean energy.
_RIDGE = 0.02


def with_prediction(group: GroupPart, values: Sequence[Floats], before: Sequence[Sequence[Floats]]) -> GroupPart:
    """The group with a prediction, and the scales of what it leaves; as it is where there is too little to fit one to.

    Args:
        group: as fitted so far.
        values: its coefficients [K, height, width] in every view.
        before: in every view those of the first group, or of each layer before it, [.., height, width], as a decoder
            has them.
    """
    outputs = min(LAYER_OUTPUTS, len(values[0])) if group.layer else len(values[0])
    first = min(INPUTS, len(before[0][0]))
    most = SEEN_BY_LAYERS if group.layer else (first, first, first)
    gram, cross, count = np.zeros(()), np.zeros(()), 0
    for own, there in zip(values, before, strict=True):
        around = surroundings(there, most, (own.shape[1], own.shape[2])).T.astype(np.float64)
        gram = gram + ordered.gram(around)
        cross = cross + ordered.product(own[:outputs].reshape(outputs, -1).astype(np.float64), around.T)
        count += around.shape[1]
    numbers = len(gram)
    if count < numbers:  # as of class tokens: what is fitted to so few holds for no other image
        return group
    ridge = _RIDGE * np.trace(gram) / numbers
    fitted = ordered.solve(gram + ridge * np.eye(numbers), cross.T).T.astype(np.float16).astype(np.float32)
    group = replace(group, prediction=fitted)
    energy = np.zeros(len(values[0]))
    for own, there in zip(values, before, strict=True):
        left = without_expected(by_cell(own), expected_from(group, there, (own.shape[1], own.shape[2])))
        energy += np.square(left).sum(axis=0, dtype=np.float64)
    return replace(group, scales=scales_of(np.sqrt(energy / count)))


def expected_from(group: GroupPart, before: Sequence[Floats], grid: Size) -> Floats | None:
    """What a group's coefficients are expected to be on a grid, [cells, O]; None for nothing."""
    if group.prediction is None:
        return None
    shape = before[0].shape[1:]
    return expected_cells(group, [by_cell(each) for each in before], (shape[0], shape[1]), grid)
