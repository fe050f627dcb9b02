"""Which levels a detector's candidates come from, seen by what moves when a level does."""

from __future__ import annotations

from collections.abc import Mapping
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from midstream.halves.levels import completed, sent
from midstream.models import FloatPyramid, ProposingModel, SplitModel

#: Noise on a level, in standard deviations of each of its channels: as strong as that of sensitivity's first try.
_NOISE = 0.3
#: A candidate that moves by less of what it does with another level does not count as of a level.
_OWN = 0.25
#: log2 of scores below which nothing is told apart.
_LEAST_OCTAVES = -20
#: By pyramids' shapes, of each network: what a candidate depends on does not depend on the image.
_known: WeakKeyDictionary[ProposingModel, dict[tuple[tuple[int, ...], ...], dict[str, NDArray[np.float32]]]]
_known = WeakKeyDictionary()


def level_shares(model: ProposingModel, pyramid: FloatPyramid) -> Mapping[str, NDArray[np.float32]]:
    """By how much each candidate moves with a level that is sent, beside the one that it moves with most, [candidates].

    From 0 to 1. Where each level has a head of its own, this is 1 of one level and 0 of the others. Candidates that
    nothing moves depend on all levels alike.
    """
    shapes = tuple(values.shape for values in pyramid.values())
    known = _known.setdefault(model, {})
    if shapes not in known:
        known[shapes] = _measured(model, pyramid)
    return known[shapes]


def _measured(model: ProposingModel, pyramid: FloatPyramid) -> dict[str, NDArray[np.float32]]:
    rng, levels = np.random.default_rng(0), sent(model, pyramid)
    before, moved = _octaves(model, pyramid), {}
    for name, values in levels.items():
        noise = rng.standard_normal(values.shape, np.float32) * values.std(axis=(1, 2), keepdims=True) * _NOISE
        after = _octaves(model, completed(model, {**levels, name: values + noise}, list(pyramid)))
        moved[name] = np.abs(after - before) if len(after) == len(before) else np.ones_like(before)
    most = np.max(list(moved.values()), axis=0)
    return {
        name: np.where(most > 0, each / np.where(most > 0, most, 1), 1).astype(np.float32)
        for name, each in moved.items()
    }


def _octaves(model: ProposingModel, pyramid: FloatPyramid) -> NDArray[np.float32]:
    """log2 of the best score of each candidate."""
    scores = model.candidates(pyramid).scores.max(axis=1)
    return np.asarray(np.log2(np.clip(scores, 2.0**_LEAST_OCTAVES, 1)), np.float32)


def has_heads_of_levels(model: SplitModel, pyramid: FloatPyramid) -> bool:
    """Whether most candidates of a detector hardly move with one of the levels that are sent."""
    if not (isinstance(model, ProposingModel) and model.proposes):
        return False
    shares = np.array(list(level_shares(model, pyramid).values()))
    moved = (shares != 1).any(axis=0)
    return bool(moved.any() and np.median(shares[:, moved].min(axis=0)) < _OWN)
