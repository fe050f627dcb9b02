"""Coarser groups from the first one, which is decoded before them: where the network looks, and what to expect."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from midstream.codec.calibrated.parts import PREDICTION_CELLS, PREDICTION_WINDOW, Floats, GroupPart
from midstream.codec.calibrated.transform import Block, Size, product

WHOLE: Block = (slice(None), slice(None))


def importance_from(first: NDArray[np.uint8], grid: Size) -> NDArray[np.uint8]:
    """Classes [grid] of a coarser grid: that of the most important cell of the first group's below each."""
    rows, columns = (_spans(count, there) for count, there in zip(grid, first.shape, strict=True))
    # Between two numbers `reduceat` takes what lies between them, behind the second of a pair what is not wanted.
    edged = np.pad(first, ((0, 1), (0, 1)), mode="edge")
    below = np.minimum.reduceat(edged, rows, axis=0)[::2]
    return np.ascontiguousarray(np.minimum.reduceat(below, columns, axis=1)[:, ::2])


def _spans(count: int, there: int) -> NDArray[np.intp]:
    """Where what lies below each of `count` cells begins and ends, in turn."""
    cells = np.arange(count, dtype=np.intp)
    begins = cells * there // count
    ends = np.maximum(-(-(cells + 1) * there // count), begins + 1)
    return np.stack([begins, ends], axis=1).reshape(-1)


def surroundings(first: Floats, count: int, grid: Size, block: Block = WHOLE) -> Floats:
    """The first group's first `count` coefficients around each place of a block of a grid, and a one.

    Args:
        first: [.., height, width].
        count: of the coefficients that are looked at.
        grid: (rows, columns) in which the block lies.
        block: the whole grid by default.

    Returns:
        [count * 9 + 1, cells].
    """
    cells = first[:count].transpose(1, 2, 0)
    height, width = cells.shape[:2]
    rows, columns = _centres(grid[0], height)[block[0]], _centres(grid[1], width)[block[1]]
    steps = range(-(PREDICTION_WINDOW // 2), PREDICTION_WINDOW // 2 + 1)
    parts = [
        cells[np.clip(rows + y, 0, height - 1)[:, None], np.clip(columns + x, 0, width - 1)]
        for y in steps
        for x in steps
    ]
    joined = np.concatenate([*parts, np.ones((len(rows), len(columns), 1), np.float32)], axis=2)
    return np.ascontiguousarray(joined.reshape(len(rows) * len(columns), -1).T)


def _centres(count: int, there: int) -> NDArray[np.intp]:
    return (2 * np.arange(count, dtype=np.intp) + 1) * there // (2 * count)


def expected(group: GroupPart, first: Floats, grid: Size, block: Block = WHOLE) -> Floats | float:
    """What a coarser group's coefficients in a block are expected to be, from the first group's, decoded."""
    return 0.0 if group.prediction is None else predicted(group.prediction, first, grid, block)


def predicted(prediction: Floats, first: Floats, grid: Size, block: Block = WHOLE) -> Floats:
    """Coefficients [K, rows, columns] to expect in a block: a prediction [K, count * 9 + 1] of the first group's."""
    count = (prediction.shape[1] - 1) // PREDICTION_CELLS
    rows, columns = (len(range(side)[part]) for side, part in zip(grid, block, strict=True))
    return product(prediction, surroundings(first, count, grid, block), 1).reshape(-1, rows, columns)
