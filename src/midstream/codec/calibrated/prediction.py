"""Groups from those that are decoded before them: where the network looks, and what to expect."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from midstream import _native
from midstream.codec.calibrated.parts import (
    LAYER_INPUTS,
    PREDICTION_CELLS,
    PREDICTION_WINDOW,
    Floats,
    GroupPart,
    LookedAt,
)
from midstream.codec.calibrated.transform import Size
from midstream.codec.threads import run
from midstream.errors import CorruptError

#: Cells that a thread predicts at least: fewer take less than it does to begin with another.
_LEAST_CELLS = 128
_MIDDLE = PREDICTION_WINDOW // 2


def importance_from(first: NDArray[np.uint8], grid: Size) -> NDArray[np.uint8]:
    """Classes [grid] of a coarser grid: that of the most important cell of the first group's below each."""
    return _native.least_below(first, grid)


def map_of(number: int, own: Sequence[NDArray[np.uint8]], grid: Size) -> NDArray[np.uint8]:
    """The classes [grid] of a group: of its own map, of those that the first groups have, or from the first one's."""
    return own[number] if number < len(own) else importance_from(own[0], grid)


def surroundings(before: Sequence[Floats], most: LookedAt, grid: Size) -> Floats:
    """What a group is predicted from around each place of a grid, and a one, for calibration.

    Args:
        before: coefficients [.., height, width] of each group that is looked at, all on one grid.
        most: of these.
        grid: (rows, columns).

    Returns:
        [cells, numbers].
    """
    shapes = zip(grid, before[0].shape[1:], strict=True)
    rows, columns = (_around(count, there) for count, there in shapes)
    parts = [
        each[: most[(y != _MIDDLE) + (x != _MIDDLE)], rows[:, y, None], columns[:, x]].reshape(-1, grid[0] * grid[1])
        for y in range(PREDICTION_WINDOW)
        for x in range(PREDICTION_WINDOW)
        for each in before
    ]
    return np.concatenate([*parts, np.ones((1, grid[0] * grid[1]), np.float32)]).T


def _around(count: int, there: int) -> NDArray[np.intp]:
    """The cells around each place, [count, PREDICTION_WINDOW]; of those beyond a border the nearest one within."""
    centres = (2 * np.arange(count, dtype=np.intp) + 1) * there // (2 * count)
    beside = centres[:, None] + np.arange(-_MIDDLE, _MIDDLE + 1)
    return np.asarray(np.minimum(np.maximum(beside, 0), there - 1))


class Decoded:
    """What has been decoded of an image, in the order of the profile's groups, as far as the others need it.

    Attributes:
        importance: classes [height, width] of the first group's cells, once it has been added.
    """

    importance: NDArray[np.uint8]

    def __init__(self, groups: Sequence[GroupPart]) -> None:
        """Of a profile's groups."""
        self._groups, self._before = groups, list[Floats]()
        self._layers = 1 + sum(group.layer for group in groups)
        coarser = max((group.input_sizes[1] // PREDICTION_CELLS for group in groups if not group.layer), default=0)
        self._counts = [LAYER_INPUTS] * (self._layers - 1) + [0]
        self._counts[0] = max(self._counts[0], coarser)

    def looked_at(self, number: int) -> int:
        """How many of a cell's coefficients of a group others are predicted from."""
        return min(self._counts[number], len(self._groups[number].scales)) if number < len(self._counts) else 0

    def add(self, number: int, importance: NDArray[np.uint8], values: Floats) -> None:
        """A group: its map [height, width] and coefficients [cells, ..], with what was expected of them."""
        if number == 0:
            self.importance = importance
        if self.looked_at(number):
            self._before.append(values)

    def known(self, number: int, grid: Size) -> NDArray[np.uint8] | None:
        """The importance map of a group, if it follows from what has been decoded."""
        return None if number < self._layers else importance_from(self.importance, grid)

    def expected(self, number: int, grid: Size, threads: int = 1) -> Floats | None:
        """What a group's first coefficients are expected to be, [cells, O], on its grid; None for nothing.

        By so many threads at most. Raises CorruptError where what it follows from is not finite.
        """
        group = self._groups[number]
        if group.prediction is None:
            return None
        before = self._before if group.layer else self._before[:1]
        return expected_cells(group, before, self.importance.shape, grid, threads)


def without_expected(values: Floats, expected: Floats | None) -> Floats:
    """Coefficients [cells, K] without what was expected of the first of them, [cells, O]."""
    if expected is None:
        return values
    left = values.copy()
    left[:, : expected.shape[1]] -= expected
    return left


def with_expected(left: Floats, expected: Floats | None) -> Floats:
    """The coefficients again."""
    if expected is None:
        return left
    values = left.copy()
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is not finite
        values[:, : expected.shape[1]] += expected
    return values


def expected_cells(
    group: GroupPart, before: Sequence[Floats], before_grid: Size, grid: Size, threads: int = 1
) -> Floats:
    """What a group's coefficients are expected to be, [cells, O], from cells [cells, ..] of others on their grid."""
    assert group.prediction is not None
    height, width = grid
    out = np.empty((height * width, len(group.prediction)), np.float32)
    rows = -(-max(height * width // threads, _LEAST_CELLS) // width)

    def predict(top: int) -> bool:
        bottom = min(top + rows, height)
        return group.coarser.predict(
            before, before_grid, grid, (top, bottom, 0, width), out[top * width : bottom * width]
        )

    if not all(run(predict, range(0, height, rows), threads)):
        raise CorruptError("what coefficients are predicted from is out of range")
    return out
