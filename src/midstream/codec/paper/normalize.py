"""Equation 1 of the paper: every channel's mean and standard deviation, and how they travel.

The statistics are coded as integers, relative to what matters for the reconstruction error, which is the channel's own
standard deviation: the deviation as a float32 cut to `precision` mantissa bits, the mean as a whole number of
2^-precision deviations. Both are Golomb-Rice coded. docs/method.md has the measurement behind it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from midstream.codec.wire import Reader, rice, varint
from midstream.errors import InputError
from midstream.features import Level

_MANTISSA_BITS = 23
_LARGEST_FLOAT32_BITS = 0x7F7FFFFF
MAX_PRECISION = 16


@dataclass(frozen=True)
class ChannelStatistics:
    """Statistics of the channels of one level: mean, population std (float64 [C]), min, max (float32 [C])."""

    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    min: NDArray[np.float32]
    max: NDArray[np.float32]

    @property
    def constant(self) -> NDArray[np.bool_]:
        """[C]: the channels that hold one value only."""
        return np.equal(self.min, self.max)

    def check(self, level: Level, first: int) -> None:
        """Refuse a NaN or an infinity in the channels of a level from `first` on, of which these are.

        Raises:
            InputError: naming level and channel.
        """
        broken = np.flatnonzero(np.isnan(self.mean))
        if broken.size:
            channel = first + int(broken[0])
            kind = "a NaN" if np.isnan(level.values[channel]).any() else "an infinity"
            raise InputError(f"level '{level.name}', channel {channel} holds {kind}; only finite features can be coded")

    def active(self) -> ChannelStatistics:
        """Of the channels that are not constant."""
        keep = ~self.constant
        return (
            self if keep.all() else ChannelStatistics(self.mean[keep], self.std[keep], self.min[keep], self.max[keep])
        )

    @classmethod
    def joined(cls, parts: Sequence[ChannelStatistics]) -> ChannelStatistics:
        """Of several groups of channels, one after the other."""
        return cls(
            np.concatenate([part.mean for part in parts]),
            np.concatenate([part.std for part in parts]),
            np.concatenate([part.min for part in parts]),
            np.concatenate([part.max for part in parts]),
        )


@dataclass(frozen=True)
class CodedStatistics:
    """Means and deviations as integers: std is the float32 of bits `scale << (23 - precision)`, mean `offset` steps."""

    scale: NDArray[np.int64]
    offset: NDArray[np.int64]
    precision: int

    @classmethod
    def of(cls, mean: NDArray[np.float64], std: NDArray[np.float64], precision: int) -> CodedStatistics:
        """Round statistics of non-constant channels (float64 [C])."""
        drop = _MANTISSA_BITS - precision
        bits = std.astype(np.float32).view(np.uint32).astype(np.int64)
        scale = np.clip((bits + (1 << (drop - 1))) >> drop, 1, _LARGEST_FLOAT32_BITS >> drop)
        coded = cls(scale, np.zeros_like(scale), precision)
        # The spacing of float32 bounds |mean| / std by 2^24 * sqrt(size): no overflow here.
        return cls(scale, np.rint(mean / coded.step).astype(np.int64), precision)

    @property
    def std(self) -> NDArray[np.float64]:
        """float64 [C]."""
        bits = (self.scale << (_MANTISSA_BITS - self.precision)).astype(np.uint32)
        return bits.view(np.float32).astype(np.float64)

    @property
    def step(self) -> NDArray[np.float64]:
        """Unit of the mean: 2^-precision deviations, float64 [C]."""
        return np.ldexp(self.std, -self.precision)

    @property
    def mean(self) -> NDArray[np.float64]:
        """float64 [C]."""
        return self.offset * self.step

    def write(self) -> bytes:
        """precision, median scale, then scales relative to it and offsets in Golomb-Rice code."""
        base = int(np.sort(self.scale)[len(self.scale) // 2])
        return bytes([self.precision]) + varint(base) + rice(self.scale - base) + rice(self.offset)

    @classmethod
    def read(cls, reader: Reader, channels: int) -> CodedStatistics:
        """Read what `write` wrote for so many channels. Raises CorruptError."""
        precision = reader.u8()
        if not 1 <= precision <= MAX_PRECISION:
            raise reader.corrupt(f"statistics of precision {precision}")
        base = reader.varint()
        if not 1 <= base <= _largest_scale(precision):
            raise reader.corrupt("a standard deviation out of range")
        scale = _checked_scale(reader, reader.rice(channels) + base, precision)
        return cls(scale, reader.rice(channels), precision)

    def write_after(self, before: CodedStatistics) -> bytes:
        """What scales and offsets have become more or less since `before`, of the same precision and channels."""
        return rice(self.scale - before.scale) + rice(self.offset - before.offset)

    @classmethod
    def read_after(cls, reader: Reader, before: CodedStatistics) -> CodedStatistics:
        """Read what `write_after` wrote. Raises CorruptError."""
        channels, precision = len(before.scale), before.precision
        scale = _checked_scale(reader, before.scale + reader.rice(channels), precision)
        offset = before.offset + reader.rice(channels)
        check_block(reader, offset)
        return cls(scale, offset, precision)


def _largest_scale(precision: int) -> int:
    return _LARGEST_FLOAT32_BITS >> (_MANTISSA_BITS - precision)


def _checked_scale(reader: Reader, scale: NDArray[np.int64], precision: int) -> NDArray[np.int64]:
    if int(scale.min()) < 1 or int(scale.max()) > _largest_scale(precision):
        raise reader.corrupt("a standard deviation out of range")
    return scale


def check_block(reader: Reader, values: NDArray[np.int64]) -> None:
    """Refuse sums of differences that no block could hold. Raises CorruptError."""
    if int(values.min()) < -(1 << 61) or int(values.max()) >= 1 << 61:
        raise reader.corrupt("a block of numbers is malformed")
