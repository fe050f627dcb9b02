"""Pyramid to coefficients and back: each level's channel KLT, all levels' coefficients of a cell stacked, their KLT.

The two-stage form of a Karhunen-Loève transform over every level of a cell, in the metric of the task (docs/method.md,
"Transform"). All
products are the native kernel's, whose sums come out the same on every machine and for any number of threads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any, TypeVar

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from midstream import _native
from midstream.codec.calibrated.parts import Floats, GroupPart, LevelPart
from midstream.codec.threads import run
from midstream.errors import CorruptError

_T = TypeVar("_T", bound=np.generic)
Size = tuple[int, int]
#: Rows and columns of a grid.
Block = tuple[slice, slice]
WHOLE: Block = (slice(None), slice(None))
#: Rows of a product that a thread takes at least.
_LEAST_ROWS = 16
#: Numbers of a block of cells, at most, in any of the arrays that a decoder makes of it: a MiB each, which stays in a
#: cache, and what a thread takes does not count beside what is decoded.
_BLOCK_NUMBERS = 1 << 18
#: Into how many blocks a thread's share of a grid is cut at least, so that none waits long for another.
_BLOCKS_A_THREAD = 4
#: By how much a group's grid may be larger beside the first one's than it is in the profile (docs/format.md).
_MOST_LARGER = 2


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
    grids = _grids(levels, sizes)
    return max(rows for rows, _ in grids), max(columns for _, columns in grids)


def _grids(levels: Sequence[LevelPart], sizes: Mapping[str, Size]) -> set[Size]:
    return {
        (-(-sizes[level.about.name][0] // level.about.ratio), -(-sizes[level.about.name][1] // level.about.ratio))
        for level in levels
    }


def grids_of(groups: Sequence[GroupPart], sizes: Mapping[str, Size]) -> list[Size]:
    """Each group's grid for levels of these sizes.

    Raises ValueError where the levels of a group, or layers, do not lie over one another, or a group's cells not over
    those of the first: a few bytes of a first group would say next to nothing of any number of cells.
    """
    grids, usual = [], []
    for group in groups:
        if len(_grids(group.levels, sizes)) > 1:
            raise ValueError(f"levels {' '.join(level.about.name for level in group.levels)}: grids of other sizes")
        grids.append(grid_of(group.levels, sizes))
        if group.layer and grids[-1] != grids[0]:
            raise ValueError(f"level {group.levels[0].about.name}: a layer's grid is not that of the first group")
        usual.append(grid_of(group.levels, {level.about.name: level.about.size for level in group.levels}))
        for side, first, usual_side, usual_first in zip(grids[-1], grids[0], usual[-1], usual[0], strict=True):
            if side > max(_MOST_LARGER * first * usual_side // usual_first + 1, usual_side):
                raise ValueError(f"level {group.levels[0].about.name}: {side} cells beside {first} of the first group")
    return grids


def blocks(group: GroupPart, grid: Size, threads: int = 1) -> list[Block]:
    """The grid in blocks of whole rows, or of parts of a row: a few for each of several threads, if there are rows."""
    cells = max(_BLOCK_NUMBERS // group.basis.shape[1], 1)
    columns = min(grid[1], cells)
    rows = cells // columns
    if threads > 1:
        rows = min(rows, max(grid[0] // (_BLOCKS_A_THREAD * threads), 1))
    return [
        (slice(y, min(y + rows, grid[0])), slice(x, min(x + columns, grid[1])))
        for y in range(0, grid[0], rows)
        for x in range(0, grid[1], columns)
    ]


def stacked(levels: Sequence[LevelPart], maps: Mapping[str, Floats], grid: Size, block: Block) -> Floats:
    """First-stage coefficients [cells, D] of a block of cells; NaN are among them if one is in the levels.

    Args:
        levels: of a group.
        maps: the levels by name, float32 [C, H, W].
        grid: (height, width) of the group.
        block: of it.
    """
    begins = list(accumulate((level.dimensions for level in levels), initial=0))
    rows, columns = (range(side)[part] for side, part in zip(grid, block, strict=True))
    sides = rows.start, rows.stop, columns.start, columns.stop
    out = _native.empty_floats(len(rows) * len(columns), begins[-1])
    for level, at in zip(levels, begins, strict=False):
        own = maps[level.about.name]
        if not _native.first_stage(own, level.rows, level.centre, level.about.ratio, sides, out, at):
            out[0] = np.nan
    return out


def forward(group: GroupPart, maps: Mapping[str, Floats], threads: int) -> Floats:
    """Coefficients [K, height, width] of a group's levels, float32 [C, H, W] by name, as exact as float32 is."""
    grid = grid_of(group.levels, {level.about.name: _size(maps[level.about.name]) for level in group.levels})
    cells = stacked(group.levels, maps, grid, WHOLE)
    return product(group.basis, np.ascontiguousarray(cells.T), threads).reshape(-1, *grid)


def inverse(group: GroupPart, coefficients: Floats, sizes: Mapping[str, Size], threads: int) -> dict[str, Floats]:
    """Levels [C, H, W] from coefficients [K, height, width]; values that the network never gives are limited."""
    out = {
        level.about.name: np.empty((level.about.channels, *sizes[level.about.name]), np.float32)
        for level in group.levels
    }
    run(
        lambda block: inverse_block(group, by_cell(coefficients[:, *block]), block, out),
        blocks(group, _size(coefficients), threads),
        threads,
    )
    return out


def by_cell(coefficients: NDArray[_T]) -> NDArray[_T]:
    """[cells, K] from [K, height, width]: a view, where they lie so."""
    return np.ascontiguousarray(coefficients.transpose(1, 2, 0)).reshape(-1, len(coefficients))


def laid_out(cells: NDArray[_T], grid: Size) -> NDArray[_T]:
    """[K, height, width] from [cells, K]: a view."""
    return cells.reshape(*grid, -1).transpose(2, 0, 1)


def inverse_block(
    group: GroupPart,
    cells: Floats,
    block: Block,
    out: Mapping[str, NDArray[Any]],
    what: str = "transform",
) -> None:
    """Put what the coefficients [cells, K] of a block of cells stand for into levels [C, H, W] of a group.

    Only into those that `out` has, in their own element types. Raises CorruptError, which names `what`, for a
    coefficient or a value that is not finite.
    """
    rows, columns = block
    sides = rows.start, rows.stop, columns.start, columns.stop
    own = 0, rows.stop - rows.start, 0, columns.stop - columns.start
    places: list[tuple[Floats, Floats, tuple[int, int, int, int], Floats] | None] = []
    wide: list[tuple[NDArray[Any], Floats]] = []
    for level in group.levels:
        values = out.get(level.about.name)
        if values is None:
            places.append(None)
        elif values.dtype == np.float32:
            places.append((level.low, level.high, sides, values))
        else:
            part = values[:, *(slice(side.start * level.about.ratio, side.stop * level.about.ratio) for side in block)]
            wide.append((part, np.empty(part.shape, np.float32)))
            places.append((*_limits(level, values.dtype), own, wide[-1][1]))
    bad = group.inverse.restore(cells, places)
    if bad == _native.OF_COEFFICIENTS:
        raise CorruptError(f"{what}: coefficients out of range")
    if bad != _native.ALL_FINITE:
        raise CorruptError(f"level '{group.levels[bad].about.name}': values out of range")
    for part, numbers in wide:
        part[...] = numbers


def _limits(level: LevelPart, dtype: np.dtype[Any]) -> tuple[Floats, Floats]:
    """Within which a level's values are, and of this element type."""
    largest = np.float32(ml_dtypes.finfo(dtype).max)  # type: ignore[no-untyped-call]
    return np.clip(level.low, -largest, largest), np.clip(level.high, -largest, largest)


def _size(maps: Floats) -> Size:
    return maps.shape[1], maps.shape[2]
