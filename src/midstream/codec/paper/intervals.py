"""What stands for each interval: its mean, per level and refined per channel, with the channels' statistics.

A symbol is reconstructed as mean + std * (interval mean of the level + refinement of the channel), all in the coded
statistics, so that a refinement makes good what their rounding lost. docs/method.md has the measurement behind it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from midstream.codec.paper.normalize import ChannelStatistics, CodedStatistics, check_block
from midstream.codec.wire import Reader, rice, write_elements
from midstream.features import DTYPES

_MAX_REFINEMENT = 16
#: A channel's own interval means are worth their bytes from so many elements an interval on.
_ELEMENTS_PER_INTERVAL = 16


@dataclass(frozen=True)
class IntervalMeans:
    """Reconstruction values of one level's non-constant channels.

    Attributes:
        statistics: of the channels.
        level: mean of the normalised elements of each interval, float16 [n]; 0 where there are none.
        bits: precision of the refinement, 2^-bits deviations; 0 for none.
        refinement: int64 [C, n], what each channel's own means are above the level's, in units of 2^-bits; [1, 1] of
            zero for none.
    """

    statistics: CodedStatistics
    level: NDArray[np.float16]
    bits: int
    refinement: NDArray[np.int64]

    @classmethod
    def of(
        cls, counts: NDArray[np.int64], sums: NDArray[np.float64], statistics: ChannelStatistics, size: int
    ) -> IntervalMeans:
        """From how many elements each interval has and their sums, [C, n], in channels of `size` elements.

        float16 cannot overflow here: a normalised element is at most sqrt(size - 1), and no level has 65504^2
        elements.
        """
        symbols = counts.shape[1]
        refined = size >= _ELEMENTS_PER_INTERVAL * symbols
        width = max((symbols - 1).bit_length(), 2)
        coded = CodedStatistics.of(statistics.mean, statistics.std, width if refined else width + 3)
        normalised = (sums - counts * coded.mean[:, None]) / coded.std[:, None]
        level = (normalised.sum(axis=0) / np.maximum(counts.sum(axis=0), 1)).astype(np.float16)
        if not refined:
            return cls(coded, level, 0, np.zeros((1, 1), np.int64))
        own = np.where(counts > 0, normalised / np.maximum(counts, 1) - level, 0)
        return cls(coded, level, width + 1, np.rint(np.ldexp(own, width + 1)).astype(np.int64))

    def table(self) -> NDArray[np.float64]:
        """What each symbol stands for in each channel, [C, n]: equation 1 backwards."""
        means = self.level.astype(np.float64) + np.ldexp(self.refinement.astype(np.float64), -self.bits)
        return self.statistics.mean[:, None] + self.statistics.std[:, None] * means

    def write(self) -> bytes:
        """Level means, statistics, bits, refinement channel by channel."""
        refinement = rice(self.refinement) if self.bits else b""
        return write_elements(self.level, DTYPES["float16"]) + self.statistics.write() + bytes([self.bits]) + refinement

    @classmethod
    def read(cls, reader: Reader, channels: int, symbols: int) -> IntervalMeans:
        """Read what `write` wrote. Raises CorruptError."""
        level = reader.elements(DTYPES["float16"], symbols).astype(np.float16)
        statistics = CodedStatistics.read(reader, channels)
        bits = reader.u8()
        if bits > _MAX_REFINEMENT:
            raise reader.corrupt(f"a refinement of {bits} bits")
        if bits == 0:
            return cls(statistics, level, 0, np.zeros((1, 1), np.int64))
        return cls(statistics, level, bits, reader.rice(channels * symbols).reshape(channels, symbols))

    def comparable(self, before: IntervalMeans) -> bool:
        """Whether `write_after` can write it: of the same precision, for the same channels."""
        return (self.statistics.precision, self.bits) == (before.statistics.precision, before.bits)

    def write_after(self, before: IntervalMeans) -> bytes:
        """Level means, then what else has become more or less since `before`, which is comparable."""
        refinement = rice(self.refinement - before.refinement) if self.bits else b""
        return (
            write_elements(self.level, DTYPES["float16"]) + self.statistics.write_after(before.statistics) + refinement
        )

    @classmethod
    def read_after(cls, reader: Reader, before: IntervalMeans) -> IntervalMeans:
        """Read what `write_after` wrote. Raises CorruptError."""
        level = reader.elements(DTYPES["float16"], len(before.level)).astype(np.float16)
        statistics = CodedStatistics.read_after(reader, before.statistics)
        refinement = before.refinement
        if before.bits:
            refinement = refinement + reader.rice(refinement.size).reshape(refinement.shape)
        check_block(reader, refinement)
        return cls(statistics, level, before.bits, refinement)
