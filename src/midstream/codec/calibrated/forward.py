"""A group's coefficients as an encoder makes them: of each cell as many as may become something.

The transform itself is in transform.py. What is made here has an error below 2^-12 of what a cell holds altogether, and
is the same on every machine and for any number of threads (native/second_stage.hpp).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from midstream import _native
from midstream.codec.calibrated.cell_probe import seen_alone
from midstream.codec.calibrated.parts import PROBE_FEATURES, CellProbe, Floats, GroupPart, Probe
from midstream.codec.calibrated.transform import Size, blocks, grid_of, stacked
from midstream.codec.threads import run

#: Cells that a thread takes at least.
_LEAST_CELLS = 64


class Coefficients:
    """Of a pyramid. What nobody has asked for yet is 0.

    Attributes:
        grid: (height, width).
        largest: more than the magnitude of any of them, infinity where one has none.
        seen: what a CellProbe makes of each cell alone, [M, height, width]; None where the group has none.
    """

    def __init__(self, group: GroupPart, maps: Mapping[str, Floats], threads: int) -> None:
        """The first stage, and of the second one what the group's probe looks at.

        Args:
            group: of the profile.
            maps: its levels by name, float32 [C, H, W].
            threads: how many to use at most, here and later.
        """
        self.grid = grid_of(group.levels, {name: (m.shape[1], m.shape[2]) for name, m in maps.items()})
        self._stage, self._threads = group.second_stage, threads
        cells = self.grid[0] * self.grid[1]
        self._whole = np.empty((cells, self._stage.whole_size), np.int16)
        self._units = np.empty(cells, np.float32)
        self._made = np.zeros(cells, np.uint8)
        self._values = np.zeros((cells, len(group.scales)), np.float32)

        probe = group.probe if isinstance(group.probe, CellProbe) else None
        self.seen = None if probe is None else np.empty((len(probe.mix), *self.grid), np.float32)

        def begin(block: tuple[slice, slice]) -> float:
            numbers = stacked(group.levels, maps, self.grid, block)
            if probe is not None and self.seen is not None:
                place = self.seen[:, *block]
                place[...] = seen_alone(probe, group.levels, numbers, place.shape[1:]).reshape(place.shape)
            first = block[0].start * self.grid[1] + block[1].start
            part = slice(first, first + len(numbers))  # blocks are whole rows, or lie in one
            return self._stage.round(numbers, self._whole[part], self._units[part])

        self.largest = max(run(begin, blocks(group, self.grid, threads), threads))
        # What a coarser group's coefficients are expected to be is not known to be small.
        first = self._stage.parts
        if group.prediction is None:
            count = len(group.probe.mean) // PROBE_FEATURES if isinstance(group.probe, Probe) else 1
            first = -(-count // _native.PART_WIDTH)
        self._go_on(np.full(cells, np.inf, np.float32), np.full(cells, first, np.uint8))

    @property
    def values(self) -> Floats:
        """[K, height, width], as far as they are made."""
        return self._values.reshape(*self.grid, -1).transpose(2, 0, 1)

    def for_steps(self, steps: Floats, there: NDArray[np.bool_] | None = None) -> Floats:
        """[K, height, width]: all that may become something in cells [height, width] with such steps, and no more.

        With `there` [cells, K], each that is true, too.
        """
        least = np.zeros(len(self._made), np.uint8)
        if there is not None:
            ends = there.shape[1] - np.argmax(there[:, ::-1], axis=1)
            least = np.where(there.any(axis=1), -(-ends // _native.PART_WIDTH), 0).astype(np.uint8)
        ends = self._go_on(np.ascontiguousarray(steps.reshape(-1)), least)
        more = np.flatnonzero(self._made > ends)  # finer steps were asked for before: these need not be known here
        if not len(more):
            return self.values
        values = self._values.copy()
        beyond = np.arange(values.shape[1]) // _native.PART_WIDTH >= ends[more, None]
        values[more] = np.where(beyond, np.float32(0), values[more])
        return values.reshape(*self.grid, -1).transpose(2, 0, 1)

    def _go_on(self, steps: Floats, least: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The parts that these steps need of each cell."""
        ends = np.empty_like(self._made)
        count = max(_LEAST_CELLS, -(-len(steps) // (2 * self._threads)))

        def go_on(first: int) -> None:
            part = slice(first, first + count)
            self._stage.go_on(
                self._whole[part],
                self._units[part],
                steps[part],
                least[part],
                self._made[part],
                ends[part],
                self._values[part],
            )

        if self._threads == 1:
            count = len(steps)
        run(go_on, range(0, len(steps), count), self._threads)
        return ends


class KnownCoefficients:
    """As `Coefficients`, of which all are there: what a device has made."""

    def __init__(self, values: Floats, seen: Floats | None) -> None:
        """Of coefficients [K, height, width], and what is seen, as `Coefficients` has it."""
        self.values, self.seen = values, seen
        self.grid: Size = values.shape[1], values.shape[2]
        self.largest = float(np.maximum(values.max(), -values.min()))

    def for_steps(self, steps: Floats, there: NDArray[np.bool_] | None = None) -> Floats:
        """All."""
        del steps, there
        return self.values
