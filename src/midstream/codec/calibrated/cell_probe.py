"""A probe of the first-stage coefficients: what the network sees in a cell, from what lies there and around it.

A small network. Every element of a level gives features of its own, by the same numbers wherever it lies in a cell. A
cell has the largest and the mean of each; they are mixed, and a window of 3x3 cells gives the score (docs/method.md).
An encoder's is native (native/first_whole.hpp, native/cell_scores.hpp), so that the same is seen on every machine; here
is what calibration shares with it.
"""

from __future__ import annotations

import numpy as np

from midstream import _native
from midstream.codec.calibrated.parts import PROBE_WINDOW, Floats
from midstream.codec.calibrated.transform import Size
from midstream.codec.threads import run

#: What is left of a number below zero.
LEAK = np.float32(0.125)


def leaky(values: Floats) -> Floats:
    """Numbers below zero made small."""
    return np.asarray(np.maximum(values, LEAK * values))


def octaves_of(scores: _native.CellScores, seen: Floats, grid: Size, threads: int = 1) -> Floats:
    """log2 of the scores [maps, height, width] from what is seen of each cell alone, [cells, M]."""
    rows = -(-grid[0] // threads)
    tops = range(0, grid[0], rows)
    parts = run(lambda top: scores.octaves(seen, grid[1], top, min(rows, grid[0] - top)), tops, threads)
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


def windows(seen: Floats, top: int, bottom: int) -> Floats:
    """The cells around each of some rows, [9 * M, cells] of [M, height, width]; there is nothing beyond the border."""
    count, height, width = seen.shape
    padded = np.zeros((count, bottom - top + 2, width + 2), np.float32)
    first, last = max(top - 1, 0), min(bottom + 1, height)
    padded[:, first - top + 1 : last - top + 1, 1:-1] = seen[:, first:last]
    size = bottom - top
    parts = [padded[:, y : y + size, x : x + width] for y in range(PROBE_WINDOW) for x in range(PROBE_WINDOW)]
    return np.stack(parts).reshape(PROBE_WINDOW**2 * count, size * width)
