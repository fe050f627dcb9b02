"""Pyramid to components and back: each level's channel KLT, all levels' components of a cell stacked, their KLT.

The two-stage form of a Karhunen-Loève transform over every level of a cell, in the metric of the task (docs/method.md,
"Transform"). All
products are the native kernel's, whose sums come out the same on every machine and for any number of threads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from midstream import _native
from midstream.codec.calibrated.parts import Floats, GroupPart, LevelPart
from midstream.codec.groups import run

Size = tuple[int, int]
#: Rows of a product that a thread takes at least.
_LEAST_ROWS = 16


def product(a: Floats, b: Floats, threads: int) -> Floats:
    """a [N, D] times b [D, P], float32."""
    out = np.empty((len(a), b.shape[1]), np.float32)
    rows = max(_LEAST_ROWS, -(-len(a) // threads))

    def part(at: int) -> None:
        _native.multiply(a[at : at + rows], b, out[at : at + rows])

    run(part, range(0, len(a), rows), threads)
    return out


def grid_of(levels: Sequence[LevelPart], sizes: Mapping[str, Size]) -> Size:
    """(height, width) of the grid of cells that covers levels of these sizes."""
    rows = max(-(-sizes[level.about.name][0] // level.about.ratio) for level in levels)
    columns = max(-(-sizes[level.about.name][1] // level.about.ratio) for level in levels)
    return rows, columns


def forward(group: GroupPart, maps: Mapping[str, Floats], threads: int) -> Floats:
    """Components [K, height, width] of a group's levels, float32 [C, H, W] by name."""
    grid = grid_of(group.levels, {level.about.name: _size(maps[level.about.name]) for level in group.levels})
    stacked = np.concatenate([first_stage(level, maps[level.about.name], grid, threads) for level in group.levels])
    return product(group.basis, stacked, threads).reshape(-1, *grid)


def inverse(group: GroupPart, components: Floats, sizes: Mapping[str, Size], threads: int) -> dict[str, Floats]:
    """Levels [C, H, W] from components [K, height, width]; values that the network never gives are limited."""
    grid = (components.shape[1], components.shape[2])
    used = np.flatnonzero(components.any(axis=(1, 2)))
    flat = np.ascontiguousarray(components[used].reshape(len(used), grid[0] * grid[1]))
    columns = group.columns if len(used) == len(components) else np.take(group.columns, used, axis=1)
    stacked = product(columns, flat, threads)
    out, at = {}, 0
    for level in group.levels:
        count = len(level.basis) * level.about.ratio**2
        values = _unstacked(stacked[at : at + count], level, grid)
        out[level.about.name] = _last_stage(level, values, sizes[level.about.name], threads)
        at += count
    return out


def _size(maps: Floats) -> Size:
    return maps.shape[1], maps.shape[2]


def first_stage(level: LevelPart, maps: Floats, grid: Size, threads: int) -> Floats:
    """One level's components by cell, [k * ratio^2, cells]."""
    channels, height, width = maps.shape
    rows = np.ascontiguousarray(level.basis * level.weight)
    centre = product(rows, np.ascontiguousarray(level.mean[:, None]), 1)
    values = product(rows, np.ascontiguousarray(maps.reshape(channels, -1)), threads) - centre
    ratio, count = level.about.ratio, len(rows)
    beyond = ((0, 0), (0, grid[0] * ratio - height), (0, grid[1] * ratio - width))
    padded = np.pad(values.reshape(count, height, width), beyond, mode="edge")
    cells = padded.reshape(count, grid[0], ratio, grid[1], ratio).transpose(0, 2, 4, 1, 3)
    return np.ascontiguousarray(cells).reshape(-1, grid[0] * grid[1])


def _unstacked(stacked: Floats, level: LevelPart, grid: Size) -> Floats:
    ratio, count = level.about.ratio, len(level.basis)
    cells = stacked.reshape(count, ratio, ratio, *grid).transpose(0, 3, 1, 4, 2)
    return np.ascontiguousarray(cells).reshape(count, grid[0] * ratio, grid[1] * ratio)


def _last_stage(level: LevelPart, values: Floats, size: Size, threads: int) -> Floats:
    count = len(level.basis)
    inside = np.ascontiguousarray(values[:, : size[0], : size[1]]).reshape(count, -1)
    columns = np.ascontiguousarray(level.synthesis / level.weight[:, None])
    maps = product(columns, inside, threads) + level.mean[:, None]
    limited: NDArray[np.float32] = np.clip(maps, level.low[:, None], level.high[:, None], out=maps)
    return limited.reshape(-1, *size)
