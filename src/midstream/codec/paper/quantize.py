"""Equation 2 of the paper: n intervals in the normalised domain, and the value that stands for each.

A threshold t <= 0 belongs to the interval above it, a threshold t > 0 to the interval below it. That is what the
paper's equation says for n = 4 (v < -z | -z <= v < 0 | 0 <= v <= z | v > z) and what fits its n = 3
(v < -z | -z <= v <= z | v > z); the project applies it to every list of thresholds. The quantiser compares float32 with
float32: an element reaches a threshold when it lies above mean + std * threshold as computed in double, so that every
machine makes the same symbols (native/quantize.cpp).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from midstream import _native
from midstream.codec.paper.normalize import ChannelStatistics

MAX_SYMBOLS = 256
HISTOGRAM_BINS = 4096
#: Of the normalised elements; the bins at its ends take what lies outside (native/lloyd.hpp).
HISTOGRAM_LIMIT = 8.0


def z_thresholds(symbols: int, z: float) -> list[float]:
    """The paper's thresholds: -z, z for n = 3; -z, 0, z for n = 4."""
    return [-z, z] if symbols == 3 else [-z, 0.0, z]


def uniform_thresholds(symbols: int, step: float) -> list[float]:
    """n - 1 thresholds one step apart, symmetric about zero: (j - n / 2) * step for j = 1 .. n - 1."""
    return [(j - symbols / 2) * step for j in range(1, symbols)]


@dataclass(frozen=True)
class Histogram:
    """Normalised elements in bins: how many, int64 [bins], and their sum, float64 [bins]."""

    counts: NDArray[np.int64]
    sums: NDArray[np.float64]

    @classmethod
    def of(cls, values: NDArray[np.float32], statistics: ChannelStatistics) -> Histogram:
        """Of float32 [C, size], channels that are not constant."""
        return cls(*_native.normalized_histogram(values, statistics.mean, statistics.std, HISTOGRAM_BINS))


def lloyd_max_thresholds(histograms: Sequence[Histogram], symbols: int) -> list[float]:
    """Thresholds of least squared error over all normalised elements of an image (Lloyd 1982, Max 1960).

    Args:
        histograms: of all its channels, always in the same order.
        symbols: n.

    Returns:
        n - 1 float32 values, increasing: the midpoints of neighbouring interval means. The partition is the
        global optimum over a histogram of 4,096 bins (native/lloyd.cpp).
    """
    counts = np.zeros(HISTOGRAM_BINS, np.int64)
    sums = np.zeros(HISTOGRAM_BINS, np.float64)
    for part in histograms:
        counts += part.counts
        sums += part.sums
    centroids = _native.optimal_centroids(counts, sums, symbols) or [0.0]
    thresholds = np.array([(a + b) / 2 for a, b in pairwise(centroids)], np.float32)
    # Fewer distinct values than intervals: the rest lie beyond all and stay empty.
    beyond = np.float32(centroids[-1]) + np.arange(1, symbols - len(thresholds), dtype=np.float32)
    thresholds = np.concatenate([thresholds, beyond])
    for i in range(1, len(thresholds)):  # centroids that float32 cannot tell apart
        thresholds[i] = max(thresholds[i], np.nextafter(thresholds[i - 1], np.float32(np.inf)))
    return [float(t) for t in thresholds]


def range_values(low: NDArray[np.float32], high: NDArray[np.float32], symbols: int) -> NDArray[np.float64]:
    """What each symbol of a range stands for, [C, n]: low + s / (n - 1) * (high - low)."""
    start, end = low.astype(np.float64)[:, None], high.astype(np.float64)[:, None]
    return start + np.arange(symbols) / (symbols - 1) * (end - start)
