"""A probe of the first-stage coefficients: what the network sees in a cell, from what lies there and around it.

A small network. Every element of a level gives features of its own, by the same numbers wherever it lies in a cell. A
cell has the largest and the mean of each; they are mixed, and a window of 3x3 cells gives the score (docs/method.md).
All products are the native kernel's, so that the same is seen on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from midstream import _native
from midstream.codec.calibrated.parts import PROBE_WINDOW, CellProbe, Floats, LevelPart
from midstream.codec.calibrated.transform import Size, product
from midstream.codec.threads import run

#: What is left of a number below zero.
LEAK = np.float32(0.125)
#: Magnitude that features are limited to: whatever the levels hold, no sum of what follows overflows (profile_file.py).
_MOST = np.float32(2.0**60)


def leaky(values: Floats) -> Floats:
    """Numbers below zero made small."""
    return np.asarray(np.maximum(values, LEAK * values))


def seen_alone(probe: CellProbe, levels: Sequence[LevelPart], numbers: Floats, size: Size) -> Floats:
    """What a probe makes of each cell of a block of (rows, columns), [M, cells].

    Args:
        probe: of the group.
        levels: of the group.
        numbers: the first-stage coefficients [cells, D].
        size: of the block.
    """
    stacked, at, row = np.empty((probe.mix.shape[1], len(numbers)), np.float32), 0, 0
    for level, sight in zip(levels, probe.levels, strict=True):
        ratio, count = level.about.ratio, len(sight.bias)
        low, high = _limits(count)
        out = np.empty((count, size[0] * ratio, size[1] * ratio), np.float32)
        sides = (0, size[0], 0, size[1])
        _native.last_stage(numbers, at, sight.rows, sight.bias, low, high, ratio, sides, out)
        features = pooled_size(count, ratio)
        _native.pool(out, ratio, float(LEAK), stacked[row : row + features])
        at, row = at + sight.rows.shape[1] * ratio**2, row + features
    return leaky(product(probe.mix, stacked, 1) + probe.mix_bias[:, None])


def pooled_size(count: int, ratio: int) -> int:
    """Numbers of a cell from `count` of each element: the largest and, of more than one element, the mean of each."""
    return count if ratio == 1 else 2 * count


@lru_cache(maxsize=64)
def _limits(count: int) -> tuple[Floats, Floats]:
    """Of so many features."""
    most = np.full(count, _MOST)
    return -most, most


def scores_of(probe: CellProbe, seen: Floats, threads: int = 1) -> Floats:
    """Scores [height, width] from what `seen_alone` makes of all cells, [M, height, width]."""
    height, width = seen.shape[1:]
    rows = -(-height // threads)

    def octaves(top: int) -> Floats:
        around = windows(seen, top, min(top + rows, height))
        numbers = leaky(product(probe.around, around, 1) + probe.around_bias[:, None])
        return np.asarray(product(probe.out[None, :-1], numbers, 1)[0] + probe.out[-1])

    found = np.concatenate(run(octaves, range(0, height, rows), threads))
    return np.asarray(np.exp2(np.clip(found, -20, 0)).reshape(height, width), np.float32)


def windows(seen: Floats, top: int, bottom: int) -> Floats:
    """The cells around each of some rows, [9 * M, cells] of [M, height, width]; there is nothing beyond the border."""
    count, height, width = seen.shape
    padded = np.zeros((count, bottom - top + 2, width + 2), np.float32)
    first, last = max(top - 1, 0), min(bottom + 1, height)
    padded[:, first - top + 1 : last - top + 1, 1:-1] = seen[:, first:last]
    size = bottom - top
    parts = [padded[:, y : y + size, x : x + width] for y in range(PROBE_WINDOW) for x in range(PROBE_WINDOW)]
    return np.stack(parts).reshape(PROBE_WINDOW**2 * count, size * width)
