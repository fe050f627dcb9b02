"""A group's coefficients as an encoder makes them: of each cell as many as may become something.

The transform itself is in transform.py. What is made here has an error below 2^-12 of what a cell holds altogether, and
is the same on every machine and for any number of threads (native/forward.hpp).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from midstream import _native
from midstream.codec.calibrated.parts import PROBE_FEATURES, Floats, GroupPart, Probe
from midstream.codec.calibrated.transform import Block, Size, blocks
from midstream.codec.threads import run

#: Cells that a thread takes at least.
_LEAST_CELLS = 64


class Coefficients:
    """Of a pyramid. What nobody has asked for yet is 0.

    Attributes:
        grid: (height, width).
        largest: more than the magnitude of any of them, infinity where one has none.
        seen: what the group adds to the numbers that a CellProbe looks at, [cells, M]; None where it adds nothing.
        values: [cells, K], as far as they are made.
    """

    def __init__(self, group: GroupPart, maps: Mapping[str, Floats], grid: Size, threads: int) -> None:
        """The first stage, and of the second one what a linear probe looks at.

        Args:
            group: of the profile.
            maps: its levels by name, float32 [C, H, W].
            grid: (height, width) of its cells.
            threads: how many to use at most, here and later.
        """
        self.grid = grid
        self._stage, self._threads = group.second_stage, threads
        cells = grid[0] * grid[1]
        # Zeros are seen where nothing is made: cells behind one that is too large are not looked at.
        self._whole, self._units, self._made, self.values, self.seen = group.forward.room(cells)
        levels = [maps[level.about.name] for level in group.levels]

        def begin(block: Block) -> float:
            rows, columns = block
            first = rows.start * grid[1] + columns.start
            there = (rows.stop - rows.start) * (columns.stop - columns.start)
            part = slice(first, first + there)  # whole rows, or a part of one
            seen = None if self.seen is None else self.seen[part]
            sides = rows.start, rows.stop, columns.start, columns.stop
            return group.forward.begin(levels, sides, self._whole[part], self._units[part], seen)

        whole = [(slice(0, grid[0]), slice(0, grid[1]))]
        self.largest = max(run(begin, whole if threads == 1 else blocks(group, grid, threads), threads))
        if isinstance(group.probe, Probe):
            parts = -(-len(group.probe.mean) // PROBE_FEATURES // _native.PART_WIDTH)
            self._go_on(np.full(cells, np.inf, np.float32), np.full(cells, parts, np.uint8))

    def for_steps(
        self, steps: Floats, expected: Floats | None = None, there: NDArray[np.bool_] | None = None
    ) -> Floats:
        """[cells, K]: all that may become something in cells [height, width] with such steps, and no more.

        With what is `expected` of the first from other groups [cells, O], and with `there` [cells, K] each that is
        true, too. Not to be written to.
        """
        steps = np.ascontiguousarray(steps.reshape(-1))
        least = self._least(steps, expected)
        if there is not None:
            ends = there.shape[1] - np.argmax(there[:, ::-1], axis=1)
            parts = np.where(there.any(axis=1), -(-ends // _native.PART_WIDTH), 0)
            least = np.maximum(least, parts.astype(np.uint8))
        ends, more_made = self._go_on(steps, least)
        if not more_made:
            return self.values
        more = np.flatnonzero(self._made > ends)  # finer steps were asked for before: these need not be known here
        values = self.values.copy()
        beyond = np.arange(values.shape[1]) // _native.PART_WIDTH >= ends[more, None]
        values[more] = np.where(beyond, np.float32(0), values[more])
        return values

    def parts_for_steps(self, steps: Floats, expected: Floats | None) -> tuple[Floats, NDArray[np.uint8]]:
        """The same, and how many parts [cells] of a cell that is: what lies behind them counts for nothing."""
        steps = steps.reshape(-1)
        return self.values, self._go_on(steps, self._least(steps, expected))[0]

    def _least(self, steps: Floats, expected: Floats | None) -> NDArray[np.uint8]:
        """The parts of a cell that are made in any case: what is expected there is not small."""
        return np.zeros(len(steps), np.uint8) if expected is None else _native.parts_expected(expected, steps)

    def _go_on(self, steps: Floats, least: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], bool]:
        """The parts that these steps need of each cell, and whether there are more in one."""
        ends = np.empty_like(self._made)
        count = len(steps) if self._threads == 1 else max(_LEAST_CELLS, -(-len(steps) // (2 * self._threads)))

        def go_on(first: int) -> bool:
            part = slice(first, first + count)
            return self._stage.go_on(
                self._whole[part],
                self._units[part],
                steps[part],
                least[part],
                self._made[part],
                ends[part],
                self.values[part],
            )

        more = run(go_on, range(0, len(steps), count), self._threads)
        return ends, any(more)


class KnownCoefficients:
    """As `Coefficients`, of which all are there: what a device has made."""

    def __init__(self, values: Floats, grid: Size, seen: Floats | None) -> None:
        """Of coefficients [cells, K], and what is seen, as `Coefficients` has it."""
        self.values, self.seen, self.grid = values, seen, grid
        self.largest = float(np.maximum(values.max(), -values.min()))

    def for_steps(
        self, steps: Floats, expected: Floats | None = None, there: NDArray[np.bool_] | None = None
    ) -> Floats:
        """All."""
        del steps, expected, there
        return self.values
