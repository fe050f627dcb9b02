"""Fitting what a coarser group's coefficients are expected to be: ridge regression on the decoded first group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from midstream.calibration import ordered
from midstream.calibration.coder import scales_of
from midstream.codec.calibrated.parts import PREDICTION_CELLS, Floats, GroupPart
from midstream.codec.calibrated.prediction import expected, surroundings

# Where the numbers come from: docs/method.md, "Constants".
#: Coefficients of the first group that are looked at.
_INPUTS = 96
#: Ridge beside the inputs' mean energy.
_RIDGE = 0.02


def with_prediction(group: GroupPart, values: Sequence[Floats], decoded: Sequence[Floats]) -> GroupPart:
    """The group with a prediction, and the scales of what it leaves; as it is where there is too little to fit one to.

    Args:
        group: as fitted so far.
        values: its coefficients [K, height, width] in every view.
        decoded: those of the first group, as a decoder has them.
    """
    inputs = min(_INPUTS, decoded[0].shape[0])
    gram = np.zeros((PREDICTION_CELLS * inputs + 1,) * 2)
    cross = np.zeros((len(values[0]), len(gram)))
    count = 0
    for own, first in zip(values, decoded, strict=True):
        around = surroundings(first, inputs, (own.shape[1], own.shape[2])).T.astype(np.float64)
        gram += ordered.gram(around)
        cross += ordered.product(own.reshape(len(own), -1).astype(np.float64), around.T)
        count += around.shape[1]
    if count < len(gram):  # as of class tokens: what is fitted to so few holds for no other image
        return group
    ridge = _RIDGE * np.trace(gram) / len(gram)
    fitted = ordered.solve(gram + ridge * np.eye(len(gram)), cross.T).T.astype(np.float16).astype(np.float32)
    group = replace(group, prediction=fitted)
    left = [
        own - expected(group, first, (own.shape[1], own.shape[2])) for own, first in zip(values, decoded, strict=True)
    ]
    energy = sum(np.square(each).sum(axis=(1, 2), dtype=np.float64) for each in left) / count
    return replace(group, scales=scales_of(np.sqrt(energy)))
