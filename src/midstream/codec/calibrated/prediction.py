"""Coarser groups from the first one, which is decoded before them: where the network looks, and what to expect."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from midstream.codec.calibrated.parts import PREDICTION_CELLS, PREDICTION_WINDOW, Floats
from midstream.codec.calibrated.transform import Size, product


def places_from(first: NDArray[np.uint8], grid: Size) -> NDArray[np.uint8]:
    """Classes [grid] of a coarser grid: that of the most important cell of the first group's below each."""
    rows, columns = (_spans(count, there) for count, there in zip(grid, first.shape, strict=True))
    out = np.array([[first[a:b, c:d].min() for c, d in columns] for a, b in rows], np.uint8)
    return np.ascontiguousarray(out)


def _spans(count: int, there: int) -> list[tuple[int, int]]:
    return [(i * there // count, max(-(-(i + 1) * there // count), i * there // count + 1)) for i in range(count)]


def surroundings(first: Floats, count: int, grid: Size) -> Floats:
    """The first group's first `count` components around each place of a grid, and a one: [count * 9 + 1, cells]."""
    height, width = first.shape[1:]
    reach = PREDICTION_WINDOW // 2
    padded = np.pad(first[:count], ((0, 0), (reach, reach), (reach, reach)), mode="edge")
    rows, columns = _centres(grid[0], height), _centres(grid[1], width)
    parts = [
        padded[:, (rows + y)[:, None], (columns + x)[None, :]].reshape(count, -1)
        for y in range(PREDICTION_WINDOW)
        for x in range(PREDICTION_WINDOW)
    ]
    return np.ascontiguousarray(np.concatenate([*parts, np.ones((1, grid[0] * grid[1]), np.float32)]))


def _centres(count: int, there: int) -> NDArray[np.intp]:
    return np.array([(2 * i + 1) * there // (2 * count) for i in range(count)], np.intp)


def predicted(prediction: Floats, first: Floats, grid: Size) -> Floats:
    """Components [K, height, width] to expect: a prediction [K, count * 9 + 1] of the first group's [.., h, w]."""
    count = (prediction.shape[1] - 1) // PREDICTION_CELLS
    return product(prediction, surroundings(first, count, grid), 1).reshape(-1, *grid)
