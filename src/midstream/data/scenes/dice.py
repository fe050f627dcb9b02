"""Random whole numbers that are the same on every machine and with every numpy.

numpy promises the raw stream of a bit generator for ever, but not what `Generator.integers` makes of it (NEP 19), so
the few draws that the scenes need are made from the raw stream here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

_T = TypeVar("_T")
_BLOCK = 512


class Dice:
    """Draws from the PCG64 stream of a seed."""

    def __init__(self, seed: int, stream: int) -> None:
        self._source = np.random.PCG64([seed, stream])
        self._block: list[int] = []

    def below(self, limit: int) -> int:
        """A number from 0 to `limit` - 1."""
        if not self._block:
            self._block = (self._source.random_raw(_BLOCK) >> np.uint64(32)).tolist()
        return self._block.pop() * limit >> 32

    def between(self, low: int, high: int) -> int:
        """A number from `low` to `high`, both included."""
        return low + self.below(high - low + 1)

    def near(self, low: int, high: int) -> int:
        """A number from `low` to `high`, the middle three times as likely as in `between`: the sum of three draws."""
        third = (high - low) // 3
        return self.between(low, high - 2 * third) + self.between(0, third) + self.between(0, third)

    def chance(self, percent: int) -> bool:
        """True that often."""
        return self.below(100) < percent

    def pick(self, choices: Sequence[_T]) -> _T:
        """One of them."""
        return choices[self.below(len(choices))]

    def sign(self) -> int:
        """-1 or 1."""
        return 2 * self.below(2) - 1

    def noise(self, *shape: int) -> NDArray[np.uint8]:
        """Bytes, uint8 of the given shape."""
        count = int(np.prod(shape))
        # Little-endian bytes whatever the machine's own order is.
        raw = self._source.random_raw(-(-count // 8)).astype("<u8").view(np.uint8)
        return raw[:count].reshape(shape)
