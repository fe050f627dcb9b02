"""A probe that guesses from the components alone what the network sees in a cell: ridge regression, closed form."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from midstream.codec.calibrated.places import probe_features, probe_layer
from midstream.codec.calibrated.profile import Floats, Probe

#: Components that the probe looks at, and random features that it makes of them (Huang et al. 2006, "Extreme learning
#: machine: theory and applications").
_INPUTS = 192
_HIDDEN = 512
#: Ridge, per sample.
_RIDGE = 3e-3
_FLOOR = 2.0**-10


def fit_probe(
    components: Sequence[Floats], scores: Sequence[NDArray[np.float32]], scales: NDArray[np.int16], seed: int
) -> Probe:
    """From components [K, height, width] and the scores [height, width] to be guessed, of every view."""
    count = min(_INPUTS, len(scales))
    features = np.concatenate([probe_features(each[:count], scales) for each in components], axis=1)
    wanted = np.log2(np.maximum(np.concatenate([each.ravel() for each in scores]), _FLOOR)).astype(np.float64)
    mean, scale = features.mean(axis=1), np.maximum(features.std(axis=1), 1e-6)
    rng = np.random.default_rng(seed)
    hidden = rng.standard_normal((_HIDDEN, count + 1)) / np.sqrt(count)
    hidden[:, -1] *= np.sqrt(count) / 2
    hidden16 = hidden.astype(np.float16).astype(np.float32)
    layer = probe_layer(hidden16, np.ascontiguousarray((features - mean[:, None]) / scale[:, None])).astype(np.float64)
    gram = layer @ layer.T + _RIDGE * layer.shape[1] * np.eye(len(layer))
    out = np.linalg.solve(gram, layer @ wanted)
    return Probe(mean.astype(np.float32), scale.astype(np.float32), hidden16, out.astype(np.float32))
