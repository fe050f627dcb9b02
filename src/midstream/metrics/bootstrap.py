"""The bootstrap over images: which are drawn, and intervals of what was computed on them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Share of resamples on which a figure must be defined for its interval to be one.
_MOST_UNDEFINED = 0.1
_TAILS = (2.5, 97.5)


@dataclass(frozen=True)
class Interval:
    """Of 95 % confidence."""

    low: float
    high: float


def resamples(count: int, images: int, seed: int = 0) -> NDArray[np.int64]:
    """Multiplicities [1 + count, images]: the whole set once, then `count` draws with replacement of as many."""
    drawn = np.random.default_rng(seed).integers(0, images, (count, images))
    rows = np.stack([np.bincount(row, minlength=images) for row in drawn]) if count else np.zeros((0, images))
    return np.concatenate([np.ones((1, images), np.int64), rows.astype(np.int64)])


def interval(value: float, resampled: NDArray[np.float64]) -> Interval | None:
    """The basic bootstrap interval, from the values on resamples (NaN where undefined); None where too many are.

    Basic, not percentile: AP on a resample is higher on average than on the set it is drawn from (a class with few
    objects has its AP raised more by images that come twice than lowered by those that do not come), and by as much,
    one estimates, on the set than on all images there are. The basic interval corrects for this bias, the percentile
    interval doubles it (Davison and Hinkley, Bootstrap Methods and their Application, section 5.2).
    """
    there = resampled[~np.isnan(resampled)]
    if not len(resampled) or len(there) < (1 - _MOST_UNDEFINED) * len(resampled):
        return None
    low, high = np.percentile(there, _TAILS)
    return Interval(float(2 * value - high), float(2 * value - low))


def log_interval(value: float, resampled: NDArray[np.float64]) -> Interval | None:
    """The same for a rate or a ratio of rates, which is positive: of its logarithm."""
    with np.errstate(invalid="ignore", divide="ignore"):
        found = interval(float(np.log(value)), np.log(resampled))
    return None if found is None else Interval(float(np.exp(found.low)), float(np.exp(found.high)))
