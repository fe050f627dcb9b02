"""Signed coefficients with few distinct values around zero, through the coders of symbols.

Zigzag order (0, -1, 1, -2, 2, ...) makes symbols of them, small magnitudes first. The last symbol of the alphabet
stands for all that is larger, and what is above it follows in Golomb-Rice code (docs/format.md, "Coefficients").
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from midstream.codec.symbols import CODERS, decode_maps, encode_maps
from midstream.codec.wire import Buffer, Reader, rice, varint
from midstream.errors import InputError, unknown

#: Alphabets that `fast` codes in one, two, three and four digits.
_ALPHABETS = (4, 16, 64, 256)
#: The alphabet grows while more than this share would be written as an escape.
_MOST_ESCAPED = 1 / 64
_LARGEST = (1 << 31) - 1


def encode_coefficients(coder: str, values: NDArray[np.integer[Any]]) -> bytes:
    """Whole numbers [C, H, W], at most 2^31 - 1 in magnitude, as bytes. Raises InputError."""
    if coder not in CODERS:
        raise unknown("coder", coder, CODERS)
    fits = values.ndim == 3 and values.size > 0 and values.dtype.kind in "iu"
    if not fits or int(values.min()) < -_LARGEST or int(values.max()) > _LARGEST:
        raise InputError("coefficients are [C, H, W] whole numbers of at most 2^31 - 1 in magnitude, not none")
    wide = values.astype(np.int64)
    zigzag = np.where(wide < 0, -2 * wide - 1, 2 * wide)
    n = next((n for n in _ALPHABETS if np.mean(zigzag >= n - 1) <= _MOST_ESCAPED), _ALPHABETS[-1])
    stream = encode_maps(coder, [np.minimum(zigzag, n - 1).astype(np.uint8)], n)[0]
    above = zigzag[zigzag >= n - 1] - (n - 1)
    return bytes([n - 1]) + varint(len(stream)) + bytes(stream) + (rice(above) if above.size else b"")


def decode_coefficients(coder: str, data: Buffer, shape: tuple[int, int, int], what: str) -> NDArray[np.int64]:
    """Whole numbers [C, H, W] from bytes. Raises CorruptError about `what`."""
    reader = Reader(data, what)
    n = reader.u8() + 1
    symbols = decode_maps(coder, n, [reader.view(reader.varint())], [shape[0]], shape[1:], what)
    zigzag = symbols.astype(np.int64)
    escaped = zigzag == n - 1
    count = int(escaped.sum())
    if count:
        above = reader.rice(count)
        if int(above.min()) < 0 or int(above.max()) > 2 * _LARGEST:
            raise reader.corrupt("a coefficient out of range")
        zigzag[escaped] += above
    reader.end()
    return np.where(zigzag & 1, -(zigzag >> 1) - 1, zigzag >> 1)
