"""Equation 2 of the paper: n intervals in the normalised domain, and the value that stands for each.

A threshold t <= 0 belongs to the interval above it, a threshold t > 0 to the interval below it. That is what the
paper's equation says for n = 4 (v < -z | -z <= v < 0 | 0 <= v <= z | v > z) and what fits its n = 3
(v < -z | -z <= v <= z | v > z); the project applies it to every list of thresholds.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from midstream import _native
from midstream.codec.normalize import ChannelStatistics

MAX_SYMBOLS = 256
_HISTOGRAM_BINS = 4096


def z_thresholds(symbols: int, z: float) -> list[float]:
    """The paper's thresholds: -z, z for n = 3; -z, 0, z for n = 4."""
    return [-z, z] if symbols == 3 else [-z, 0.0, z]


def uniform_thresholds(symbols: int, step: float) -> list[float]:
    """n - 1 thresholds one step apart, symmetric about zero: (j - n / 2) * step for j = 1 .. n - 1."""
    return [(j - symbols / 2) * step for j in range(1, symbols)]


def lloyd_max_thresholds(levels: Sequence[tuple[NDArray[np.float32], ChannelStatistics]], symbols: int) -> list[float]:
    """Thresholds of least squared error over all normalised elements of a picture (Lloyd 1982, Max 1960).

    Args:
        levels: values float32 [C, size] with their statistics, non-constant channels only.
        symbols: n.

    Returns:
        n - 1 float32 values, increasing: the midpoints of neighbouring interval means. The partition is the
        global optimum over a histogram of 4,096 bins (native/lloyd.cpp).
    """
    counts = np.zeros(_HISTOGRAM_BINS, np.int64)
    sums = np.zeros(_HISTOGRAM_BINS, np.float64)
    for values, statistics in levels:
        level_counts, level_sums = _native.normalized_histogram(
            values, statistics.mean, statistics.std, _HISTOGRAM_BINS
        )
        counts += level_counts
        sums += level_sums
    centroids = _native.optimal_centroids(counts, sums, symbols) or [0.0]
    thresholds = np.array([(a + b) / 2 for a, b in pairwise(centroids)], np.float32)
    # Fewer distinct values than intervals: the rest lie beyond all and stay empty.
    beyond = np.float32(centroids[-1]) + np.arange(1, symbols - len(thresholds), dtype=np.float32)
    thresholds = np.concatenate([thresholds, beyond])
    for i in range(1, len(thresholds)):  # centroids that float32 cannot tell apart
        thresholds[i] = max(thresholds[i], np.nextafter(thresholds[i - 1], np.float32(np.inf)))
    return [float(t) for t in thresholds]


def _float32_at_or_above(bound: NDArray[np.float64], strictly: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The smallest float32 that is >= the bound (> where `strictly`)."""
    with np.errstate(over="ignore"):  # beyond float32: an infinity, which no element reaches or every element does
        near = bound.astype(np.float32)
        short = (near < bound) | (strictly & (near == bound))
        return np.where(short, np.nextafter(near, np.float32(np.inf)), near)


def channel_boundaries(statistics: ChannelStatistics, thresholds: Sequence[float]) -> NDArray[np.float32]:
    """Thresholds of the normalised domain as float32 boundaries [C, n - 1] of each channel's own values.

    x reaches boundary j when x lies above mean + std * threshold j (in double), with the side that is closed as stated
    at the top; so the quantiser compares float32 with float32, and every machine makes the same symbols.
    """
    t = np.asarray(thresholds, np.float64)
    bound = statistics.mean[:, None] + t * statistics.std[:, None]
    return _float32_at_or_above(bound, np.broadcast_to(t > 0, bound.shape))


def range_boundaries(low: NDArray[np.float32], high: NDArray[np.float32], symbols: int) -> NDArray[np.float32]:
    """Boundaries [C, n - 1] of round((x - low) / (high - low) * (n - 1)) for the range [low, high] of each channel."""
    places = (np.arange(1, symbols) - 0.5) / (symbols - 1)
    bound = _within(low, high, places)
    return _float32_at_or_above(bound, np.zeros(bound.shape, np.bool_))


def range_values(low: NDArray[np.float32], high: NDArray[np.float32], symbols: int) -> NDArray[np.float64]:
    """What each symbol of a range stands for, [C, n]: low + s / (n - 1) * (high - low)."""
    return _within(low, high, np.arange(symbols) / (symbols - 1))


def _within(low: NDArray[np.float32], high: NDArray[np.float32], places: NDArray[np.float64]) -> NDArray[np.float64]:
    start, end = low.astype(np.float64)[:, None], high.astype(np.float64)[:, None]
    return start + places * (end - start)
