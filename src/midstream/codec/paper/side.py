"""The side information of a level: its constant channels, and what the symbols of the others stand for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from midstream.codec.paper import quantize
from midstream.codec.paper.intervals import IntervalMeans
from midstream.codec.paper.normalize import ChannelStatistics
from midstream.codec.paper.parameters import Parameters, Rule
from midstream.codec.wire import Reader, varint, write_elements
from midstream.features import DTYPES, Level


@dataclass(frozen=True, repr=False)
class Side:
    """Side information of one level.

    Attributes:
        dtype: the level's element type, a key of DTYPES.
        constant: bool [C], the channels that hold one value only.
        held: float32 [K], the values of those that do.
        means: what symbols stand for in the other channels; None where there are none, and for Rule.range.
        bounds: float32 [2, C'], for Rule.range: the least and the largest value of each of the other channels.
    """

    dtype: str
    constant: NDArray[np.bool_]
    held: NDArray[np.float32]
    means: IntervalMeans | None = None
    bounds: NDArray[np.float32] | None = None

    @classmethod
    def of(
        cls,
        level: Level,
        statistics: ChannelStatistics,
        counts: NDArray[np.int64],
        sums: NDArray[np.float64],
        rule: Rule,
    ) -> Side:
        """From the statistics of all channels, and of the others how many elements each interval has and their sums."""
        constant = statistics.constant
        held = level.first_values(constant)
        if constant.all():
            return cls(level.dtype, constant, held)
        active = statistics.active()
        if rule is Rule.range:
            return cls(level.dtype, constant, held, bounds=np.stack([active.min, active.max]))
        return cls(
            level.dtype, constant, held, IntervalMeans.of(counts, sums, active, level.elements // level.shape[0])
        )

    @property
    def active(self) -> NDArray[np.bool_]:
        """[C]: the channels that have symbols."""
        return ~self.constant

    @property
    def size(self) -> int:
        """Bytes of memory, about."""
        means = 0 if self.means is None else self.means.refinement.nbytes
        return self.constant.nbytes + self.held.nbytes + means + (0 if self.bounds is None else self.bounds.nbytes)

    def table(self, symbols: int) -> NDArray[np.float32]:
        """What each symbol stands for in each channel that has some, [C', n], within the element type's range."""
        exact = np.zeros((0, symbols))
        if self.means is not None:
            exact = self.means.table()
        elif self.bounds is not None:
            exact = quantize.range_values(self.bounds[0], self.bounds[1], symbols)
        largest = float(ml_dtypes.finfo(DTYPES[self.dtype]).max)  # type: ignore[no-untyped-call]
        return np.clip(exact, -largest, largest).astype(np.float32)

    def write(self) -> bytes:
        """By itself."""
        return self._constants() + self._values()

    def write_after(self, before: Side) -> bytes:
        """With that of an earlier frame at hand."""
        if self.means is None:
            return self.write()
        if not self._follows(before) or before.means is None or not self.means.comparable(before.means):
            return self._constants() + b"\0" + self._values()
        return self._constants() + b"\1" + self.means.write_after(before.means)

    def _follows(self, before: Side) -> bool:
        return before.means is not None and np.array_equal(self.constant, before.constant)

    def _values(self) -> bytes:
        if self.means is not None:
            return self.means.write()
        return b"" if self.bounds is None else write_elements(self.bounds, DTYPES[self.dtype])

    def _constants(self) -> bytes:
        """How many channels are constant, which (unless all or none are), and their values in the element type."""
        count = int(self.constant.sum())
        some = 0 < count < len(self.constant)
        which: bytes = np.packbits(self.constant, bitorder="little").tobytes() if some else b""
        return varint(count) + which + write_elements(self.held, DTYPES[self.dtype])

    @classmethod
    def read(
        cls, reader: Reader, dtype: str, channels: int, parameters: Parameters, before: Side | None = None
    ) -> Side:
        """Read what `write` wrote, or `write_after` with `before`. Raises CorruptError."""
        constant, held = _read_constants(reader, channels, DTYPES[dtype])
        side = cls(dtype, constant, held)
        left = channels - len(held)
        if not left:
            return side
        if parameters.rule is Rule.range:
            bounds = reader.elements(DTYPES[dtype], 2 * left).reshape(2, left)
            if not (bounds[0] < bounds[1]).all():
                raise reader.corrupt("an empty range")
            return cls(dtype, constant, held, bounds=bounds)
        differs = 0 if before is None else reader.u8()
        if differs == 0:
            return cls(dtype, constant, held, IntervalMeans.read(reader, left, parameters.symbols))
        if differs != 1 or before is None or before.means is None or not side._follows(before):
            raise reader.corrupt("differences to what is not there")
        return cls(dtype, constant, held, IntervalMeans.read_after(reader, before.means))


def _read_constants(
    reader: Reader, channels: int, dtype: np.dtype[Any]
) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    count = reader.varint()
    if count > channels:
        raise reader.corrupt(f"{count} constant channels of {channels}")
    constant = np.full(channels, count == channels)
    if 0 < count < channels:
        packed = np.frombuffer(reader.take((channels + 7) // 8), np.uint8)
        bits = np.unpackbits(packed, bitorder="little")
        constant = bits[:channels].astype(np.bool_)
        if int(constant.sum()) != count or bits[channels:].any():
            raise reader.corrupt("the constant channels are not as many as declared")
    return constant, reader.elements(dtype, count)
