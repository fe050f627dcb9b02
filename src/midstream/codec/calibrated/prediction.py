"""Coarser groups from the first one, which is decoded before them: where the network looks, and what to expect."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from midstream import _native
from midstream.codec.calibrated.parts import PREDICTION_CELLS, PREDICTION_WINDOW, Floats, GroupPart
from midstream.codec.calibrated.transform import WHOLE, Block, Size, by_cell, laid_out
from midstream.errors import CorruptError


def importance_from(first: NDArray[np.uint8], grid: Size) -> NDArray[np.uint8]:
    """Classes [grid] of a coarser grid: that of the most important cell of the first group's below each."""
    return _native.least_below(first, grid)


def surroundings(first: Floats, count: int, grid: Size) -> Floats:
    """The first group's first `count` coefficients around each place of a grid, and a one, for calibration.

    Args:
        first: [.., height, width].
        count: of the coefficients that are looked at.
        grid: (rows, columns).

    Returns:
        [cells, count * 9 + 1].
    """
    cells = first[:count].transpose(1, 2, 0)
    rows, columns = (_around(count, there) for count, there in zip(grid, cells.shape, strict=False))
    out = np.empty((*grid, count * PREDICTION_CELLS + 1), np.float32)
    around = out[..., :-1].reshape(*grid, PREDICTION_WINDOW, PREDICTION_WINDOW, count)
    around[...] = cells[rows[:, None, :, None], columns[:, None, :]]
    out[..., -1] = 1
    return out.reshape(-1, out.shape[2])


def _around(count: int, there: int) -> NDArray[np.intp]:
    """The cells around each place, [count, PREDICTION_WINDOW]; of those beyond a border the nearest one within."""
    centres = (2 * np.arange(count, dtype=np.intp) + 1) * there // (2 * count)
    beside = centres[:, None] + np.arange(-(PREDICTION_WINDOW // 2), PREDICTION_WINDOW // 2 + 1)
    return np.asarray(np.minimum(np.maximum(beside, 0), there - 1))


def expected(group: GroupPart, first: Floats, grid: Size) -> Floats | float:
    """What a coarser group's coefficients are expected to be, from the first group's [.., height, width], decoded.

    Returns:
        [K, rows, columns]. Raises CorruptError where the first group's are not finite.
    """
    found = expected_cells(group, by_cell(first), (first.shape[1], first.shape[2]), grid)
    return found if isinstance(found, float) else laid_out(found, grid)


def expected_cells(
    group: GroupPart, first: Floats, first_grid: Size, grid: Size, block: Block = WHOLE
) -> Floats | float:
    """The same of the cells of a block, [cells, K], from the first group's [cells, ..] on its grid."""
    if group.prediction is None:
        return 0.0
    rows, columns = (range(side)[part] for side, part in zip(grid, block, strict=True))
    sides = rows.start, rows.stop, columns.start, columns.stop
    out = np.empty((len(rows) * len(columns), len(group.prediction)), np.float32)
    if not group.coarser.predict(first, first_grid, grid, sides, out):
        raise CorruptError("what coefficients are predicted from is out of range")
    return out
