"""Which levels a detector's candidates come from, seen by what moves when a level does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from midstream.halves.levels import completed, sent
from midstream.models import FloatPyramid, ProposingModel, SplitModel

if TYPE_CHECKING:
    from midstream.models.heads.nms import Candidates

#: Noise on a level, in standard deviations of each of its channels: as strong as that of sensitivity's first try.
_NOISE = 0.3
#: A candidate that moves by less of what it does with another level does not count as of a level.
_OWN = 0.25
#: The least score that is told from others, what a float32 holds: candidates that are alive in no image move as well.
_LEAST_SCORE = 2.0**-126
#: By pyramids' shapes, of each network: which level a candidate hangs on does not depend on the image.
_known: WeakKeyDictionary[ProposingModel, dict[tuple[tuple[int, ...], ...], dict[str, NDArray[np.float32]]]]
_known = WeakKeyDictionary()


def level_shares(model: ProposingModel, pyramid: FloatPyramid) -> Mapping[str, NDArray[np.float32]]:
    """By how much each candidate moves with a level that is sent, beside the one that it moves with most, [candidates].

    Its score in octaves, and its box beside its size. From 0 to 1: where each level has a head of its own, 1 of one and
    0 of the others. Candidates that nothing moves depend on all levels alike.
    """
    shapes = tuple(values.shape for values in pyramid.values())
    known = _known.setdefault(model, {})
    if shapes not in known:
        known[shapes] = _measured(model, pyramid)
    return known[shapes]


def _measured(model: ProposingModel, pyramid: FloatPyramid) -> dict[str, NDArray[np.float32]]:
    rng, levels = np.random.default_rng(0), sent(model, pyramid)
    before, moved = model.candidates(pyramid), {}
    for name, values in levels.items():
        noise = rng.standard_normal(values.shape, np.float32) * _deviations(values) * _NOISE
        after = model.candidates(completed(model, {**levels, name: values + noise}, list(pyramid)))
        same = len(after.boxes) == len(before.boxes)
        moved[name] = _octaves(before, after) + _shift(before, after) if same else np.ones(len(before.boxes))
    most = np.max(list(moved.values()), axis=0)
    return {
        name: np.where(most > 0, each / np.where(most > 0, most, 1), 1).astype(np.float32)
        for name, each in moved.items()
    }


def _deviations(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of each channel [C, 1, 1]; of one that is constant here, that of its level, its size, or 1."""
    own = values.std(axis=(1, 2), keepdims=True)
    instead = values.std() or np.abs(values).max(initial=0) or np.float32(1)
    return np.where(own > 0, own, instead)


def _octaves(before: Candidates, after: Candidates) -> NDArray[np.float64]:
    """By how much the best score of each candidate changes."""
    logs = [np.log2(np.clip(each.scores.max(axis=1).astype(np.float64), _LEAST_SCORE, 1)) for each in (before, after)]
    return np.asarray(np.abs(logs[1] - logs[0]))


def _shift(before: Candidates, after: Candidates) -> NDArray[np.float64]:
    """By how much the sides of each candidate's box move, beside its own on average; none for boxes that are none."""
    old, new = (each.boxes.astype(np.float64) for each in (before, after))
    size = np.abs(old[:, 2:] - old[:, :2]).mean(axis=1)
    shift = np.abs(new - old).mean(axis=1) / np.where(size > 0, size, 1)
    return np.where(np.isfinite(shift) & (size > 0), shift, 0)


def has_heads_of_levels(model: SplitModel, pyramid: FloatPyramid) -> bool:
    """Whether most candidates of a detector hardly move with one of the levels that are sent.

    Not where it has masks, which may be made of a level whatever their object hangs on.
    """
    if not (isinstance(model, ProposingModel) and model.proposes) or model.has_masks:
        return False
    shares = np.array(list(level_shares(model, pyramid).values()))
    moved = (shares != 1).any(axis=0)
    return bool(moved.any() and np.median(shares[:, moved].min(axis=0)) < _OWN)
