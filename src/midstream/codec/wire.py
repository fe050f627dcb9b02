"""Reading and writing the fields of the format: little-endian integers, LEB128 varints, floats, Golomb-Rice blocks."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from midstream import _native
from midstream.errors import CorruptError

MAX_VARINT_BYTES = 9  # 63 bits
#: What a field is read from, and what a stream is made as.
Buffer = bytes | memoryview


def varint(value: int) -> bytes:
    """Unsigned LEB128, 7 bits a byte, lowest first."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def rice(values: NDArray[np.int64]) -> bytes:
    """Whole numbers, below 2^61 in magnitude, in Golomb-Rice code: parameter k, size, bits of the zigzag numbers."""
    zigzag = np.where(values < 0, -2 * values - 1, 2 * values).astype(np.uint64).reshape(-1)
    sensible = min(int(zigzag.max(initial=0)).bit_length(), _native.MAX_RICE)
    k = min(range(sensible + 1), key=lambda k: _native.rice_bits(zigzag, k))
    data = _native.rice_encode(zigzag, k)
    return bytes([k]) + varint(len(data)) + data


def write_elements(values: NDArray[np.floating[Any]], dtype: np.dtype[Any]) -> bytes:
    """Values as little-endian elements of a level's own type (a key of features.DTYPES)."""
    bits = values.astype(dtype).view(f"u{dtype.itemsize}")  # numpy knows no byte order of bfloat16
    return bits.astype(f"<u{dtype.itemsize}").tobytes()


class Reader:
    """Reads fields from the front of `data`; whatever does not fit is a CorruptError about `what`."""

    def __init__(self, data: Buffer, what: str) -> None:
        self._data = memoryview(data)
        self._what = what
        self._at = 0

    @property
    def left(self) -> int:
        """Bytes not yet read."""
        return len(self._data) - self._at

    def corrupt(self, why: str) -> CorruptError:
        """An error about what is being read."""
        return CorruptError(f"{self._what}: {why}")

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        return bytes(self.view(count))

    def view(self, count: int) -> memoryview:
        """The next `count` bytes, not copied."""
        if count > self.left:
            raise self.corrupt(f"a field of {count} bytes where {self.left} are left")
        self._at += count
        return self._data[self._at - count : self._at]

    def rest(self) -> memoryview:
        """All bytes that are left."""
        return self.view(self.left)

    def u8(self) -> int:
        """One byte."""
        return self.view(1)[0]

    def f32(self) -> float:
        """A finite float32."""
        value = float(struct.unpack("<f", self.take(4))[0])
        if not np.isfinite(value):
            raise self.corrupt("a number that is not finite")
        return value

    def packed(self, count: int, width: int) -> NDArray[np.uint8]:
        """`count` symbols of `width` bits (0 to 8), as the native `pack` writes them."""
        if width == 0:
            return np.zeros(count, np.uint8)
        data = self.view((count * width + 7) // 8)
        used = count * width % 8
        if used and data[-1] >> used:
            raise self.corrupt("bits behind the last one are not zero")
        return _native.unpack(data, count, width)

    def elements(self, dtype: np.dtype[Any], count: int) -> NDArray[np.float32]:
        """`count` finite elements as `write_elements` wrote them."""
        bits = np.frombuffer(self.take(count * dtype.itemsize), f"<u{dtype.itemsize}").astype(f"u{dtype.itemsize}")
        values = bits.view(dtype).astype(np.float32)
        if not np.isfinite(values).all():
            raise self.corrupt("a number that is not finite")
        return values

    def varint(self) -> int:
        """An unsigned varint in its shortest form, at most 63 bits."""
        value = 0
        for i in range(MAX_VARINT_BYTES):
            byte = self.u8()
            value |= (byte & 0x7F) << (7 * i)
            if byte < 0x80:
                if byte == 0 and i > 0:
                    raise self.corrupt("a varint longer than it needs to be")
                return value
        raise self.corrupt("a varint of more than 63 bits")

    def rice(self, count: int) -> NDArray[np.int64]:
        """`count` signed whole numbers, as `rice` wrote them."""
        k = self.u8()
        data = self.view(self.varint())
        if k > _native.MAX_RICE or 8 * len(data) < count:  # every number takes a bit at least
            raise self.corrupt("a block of numbers is malformed")
        zigzag = _native.rice_decode(data, k, count)
        if zigzag is None or int(zigzag.max(initial=0)) >= 1 << 62:
            raise self.corrupt("a block of numbers is malformed")
        half = (zigzag >> np.uint64(1)).astype(np.int64)
        return np.where(zigzag & np.uint64(1), -half - 1, half)

    def end(self) -> None:
        """Nothing may be left."""
        if self.left:
            raise self.corrupt(f"{self.left} bytes too many")
