"""Coarser groups from the first one, which is decoded before them: where the network looks, and what to expect."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from midstream import _native
from midstream.codec.calibrated.parts import PREDICTION_CELLS, PREDICTION_WINDOW, Floats, GroupPart
from midstream.codec.calibrated.transform import WHOLE, Block, Size
from midstream.errors import CorruptError

#: Cells along a side for which it is remembered where they are.
_MOST_REMEMBERED = 512


def importance_from(first: NDArray[np.uint8], grid: Size) -> NDArray[np.uint8]:
    """Classes [grid] of a coarser grid: that of the most important cell of the first group's below each."""
    rows, columns = (_kept(_spans, count, there) for count, there in zip(grid, first.shape, strict=True))
    # Between two numbers `reduceat` takes what lies between them, behind the second of a pair what is not wanted.
    below = np.minimum.reduceat(np.concatenate([first, first[-1:]]), rows, axis=0)[::2]
    edged = np.concatenate([below, below[:, -1:]], axis=1)
    return np.ascontiguousarray(np.minimum.reduceat(edged, columns, axis=1)[:, ::2])


def _spans(count: int, there: int) -> NDArray[np.intp]:
    """Where what lies below each of `count` cells begins and ends, in turn."""
    cells = np.arange(count, dtype=np.intp)
    begins = cells * there // count
    ends = np.maximum(-(-(cells + 1) * there // count), begins + 1)
    return np.stack([begins, ends], axis=1).reshape(-1)


def _kept(find: Callable[[int, int], NDArray[np.intp]], count: int, there: int) -> NDArray[np.intp]:
    """What `find` says of a side: of usual ones it is remembered, not to be written to."""
    return _found(find, count, there) if count <= _MOST_REMEMBERED else find(count, there)


@lru_cache(maxsize=256)
def _found(find: Callable[[int, int], NDArray[np.intp]], count: int, there: int) -> NDArray[np.intp]:
    found = find(count, there)
    found.flags.writeable = False
    return found


def surroundings(first: Floats, count: int, grid: Size, block: Block = WHOLE) -> Floats:
    """The first group's first `count` coefficients around each place of a block of a grid, and a one.

    Args:
        first: [.., height, width].
        count: of the coefficients that are looked at.
        grid: (rows, columns) in which the block lies.
        block: the whole grid by default.

    Returns:
        [cells, count * 9 + 1].
    """
    cells = first[:count].transpose(1, 2, 0)
    height, width = cells.shape[:2]
    rows, columns = _kept(_around, grid[0], height)[block[0]], _kept(_around, grid[1], width)[block[1]]
    out = np.empty((len(rows), len(columns), count * PREDICTION_CELLS + 1), np.float32)
    around = out[..., :-1].reshape(len(rows), len(columns), PREDICTION_WINDOW, PREDICTION_WINDOW, count)
    around[...] = cells[rows[:, None, :, None], columns[:, None, :]]
    out[..., -1] = 1
    return out.reshape(-1, out.shape[2])


def _around(count: int, there: int) -> NDArray[np.intp]:
    """The cells around each place, [count, PREDICTION_WINDOW]; of those beyond a border the nearest one within."""
    centres = (2 * np.arange(count, dtype=np.intp) + 1) * there // (2 * count)
    beside = centres[:, None] + np.arange(-(PREDICTION_WINDOW // 2), PREDICTION_WINDOW // 2 + 1)
    return np.asarray(np.minimum(np.maximum(beside, 0), there - 1))


def expected(group: GroupPart, first: Floats, grid: Size, block: Block = WHOLE) -> Floats | float:
    """What a coarser group's coefficients in a block are expected to be, from the first group's, decoded.

    Returns:
        [K, rows, columns]. Raises CorruptError where the first group's are not finite.
    """
    if group.prediction is None:
        return 0.0
    around = surroundings(first, (group.prediction.shape[1] - 1) // PREDICTION_CELLS, grid, block)
    out = np.empty((len(around), len(group.prediction)), np.float32)
    if not _native.multiply_sparse(around, group.prediction_panels, out):
        raise CorruptError("what coefficients are predicted from is out of range")
    rows, columns = (len(range(side)[part]) for side, part in zip(grid, block, strict=True))
    return out.reshape(rows, columns, -1).transpose(2, 0, 1)
