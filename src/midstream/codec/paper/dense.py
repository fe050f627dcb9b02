"""The coder `dense`: which symbols there are, likeliest first, which channel each channel may look at, and the payload.

The context mixing itself is native (native/dense.cpp); docs/method.md says what each context is worth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from midstream import _native
from midstream.codec.wire import Reader

_FARTHEST_REFERENCE = 255


def encode_dense(symbols_map: NDArray[np.uint8], symbols: int, counts: NDArray[np.int64]) -> bytes:
    """The stream of uint8 symbols [C, H, W] that occur `counts` [n] times."""
    occurring = np.count_nonzero(counts)
    order = np.argsort(-counts, kind="stable")[:occurring].astype(np.uint8)
    table = bytes([occurring - 1]) + order.tobytes()
    if occurring == 1:
        return table
    references = _native.dense_references(symbols_map, symbols)
    width = _reference_bits(len(symbols_map))
    packed = _native.pack(references, width) if width else b""
    return table + packed + _native.dense_encode(symbols_map, symbols, order, references)


@dataclass(frozen=True)
class _Table:
    """What precedes the payload: symbols, likeliest first, and how far back each channel's reference is."""

    order: NDArray[np.uint8]
    references: NDArray[np.uint8]

    @classmethod
    def read(cls, reader: Reader, symbols: int, channels: int) -> _Table:
        """Raises CorruptError."""
        occurring = reader.u8() + 1
        order = np.frombuffer(reader.take(occurring), np.uint8)
        if len(set(order.tolist())) != occurring or int(order.max()) >= symbols:
            raise reader.corrupt("the dense table does not list symbols")
        if occurring == 1:
            if reader.left:
                raise reader.corrupt("symbols are written where only one occurs")
            return cls(order, np.zeros(channels, np.uint8))
        references = reader.packed(channels, _reference_bits(channels))
        if (references > np.arange(channels)).any():
            raise reader.corrupt("a channel refers to none before it")
        return cls(order, references)


def decode_dense(reader: Reader, symbols: int, shape: tuple[int, int, int]) -> NDArray[np.uint8] | None:
    """Symbols [C, H, W] of what is left in `reader`; None where the payload does not decode. Raises CorruptError."""
    table = _Table.read(reader, symbols, shape[0])
    if len(table.order) == 1:
        return np.full(shape, table.order[0], np.uint8)
    return _native.dense_decode(reader.rest(), *shape, symbols, table.order, table.references)


def dense_costs(reader: Reader, symbols_map: NDArray[np.uint8], symbols: int) -> NDArray[np.float32]:
    """Bits that each of the symbols [C, H, W] takes in the stream in `reader`. Raises CorruptError."""
    table = _Table.read(reader, symbols, len(symbols_map))
    if len(table.order) == 1:
        return np.zeros(symbols_map.shape, np.float32)
    return _native.dense_costs(symbols_map, symbols, table.order, table.references)


def _reference_bits(channels: int) -> int:
    return min(channels - 1, _FARTHEST_REFERENCE).bit_length()
