"""A probe that guesses from the coefficients alone what the network sees in a cell: ridge regression, closed form."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from midstream.calibrate import ordered
from midstream.codec.calibrated.importance import probe_features
from midstream.codec.calibrated.parts import Floats, Probe

# Where the numbers come from: docs/method.md, "Constants".
#: Coefficients that the probe looks at.
_INPUTS = 96
#: Ridge, per sample.
_RIDGE = 3e-3
#: The least score that is told from none.
_FLOOR = 2.0**-10


def fit_probe(
    coefficients: Sequence[Floats], scores: Sequence[NDArray[np.float32]], scales: NDArray[np.int16]
) -> Probe:
    """From coefficients [K, height, width] and the scores [height, width] to be guessed, of every view."""
    count = min(_INPUTS, len(scales))
    features = np.concatenate([probe_features(each, scales, count) for each in coefficients], axis=1)
    wanted = np.log2(np.maximum(np.concatenate([each.ravel() for each in scores]), _FLOOR)).astype(np.float64)
    mean, scale = features.mean(axis=1), np.maximum(features.std(axis=1), 1e-6)
    normal = (features - mean[:, None]) / scale[:, None]
    gram = ordered.gram(normal) + _RIDGE * normal.shape[1] * np.eye(len(normal))
    out = ordered.solve(gram, ordered.product(normal.astype(np.float64), (wanted - wanted.mean())[:, None]))[:, 0]
    return Probe(mean, scale, np.append(out, wanted.mean()).astype(np.float32))
