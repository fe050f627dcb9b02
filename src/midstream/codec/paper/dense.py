"""The coder `dense`: which symbols there are, likeliest first, which channel each channel may look at, and the payload.

The context mixing itself is native (native/dense.cpp); docs/method.md says what each context is worth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from midstream import _native
from midstream.codec.wire import Reader, varint

_FARTHEST_REFERENCE = 255


def encode_dense(symbols_map: NDArray[np.uint8], symbols: int, counts: NDArray[np.int64]) -> tuple[bytes, DenseTable]:
    """The stream of uint8 symbols [C, H, W] that occur `counts` [n] times, and its table."""
    table = DenseTable.of(symbols_map, symbols, counts)
    if len(table.order) == 1:
        return table.write(), table
    return table.write() + _native.dense_encode(symbols_map, symbols, table.order, table.references), table


@dataclass(frozen=True, repr=False)
class DenseTable:
    """What precedes the payload: symbols, likeliest first, and how far back each channel's reference is."""

    order: NDArray[np.uint8]
    references: NDArray[np.uint8]

    @classmethod
    def of(cls, symbols_map: NDArray[np.uint8], symbols: int, counts: NDArray[np.int64]) -> DenseTable:
        """For symbols [C, H, W]."""
        order = _likeliest_first(counts)
        if len(order) == 1:
            return cls(order, np.zeros(len(symbols_map), np.uint8))
        return cls(order, _native.dense_references(symbols_map, symbols))

    def write(self) -> bytes:
        """By itself."""
        listed = bytes([len(self.order) - 1]) + self.order.tobytes()
        width = _reference_bits(len(self.references))
        return listed + (_native.pack(self.references, width) if width and len(self.order) > 1 else b"")

    @classmethod
    def read(cls, reader: Reader, symbols: int, channels: int) -> DenseTable:
        """Raises CorruptError."""
        occurring = reader.u8() + 1
        order = np.frombuffer(reader.take(occurring), np.uint8)
        _check_order(reader, order, symbols)
        if occurring == 1:
            return cls(order, np.zeros(channels, np.uint8))
        references = reader.packed(channels, _reference_bits(channels))
        if (references > np.arange(channels)).any():
            raise reader.corrupt("a channel refers to none before it")
        return cls(order, references)


def decode_dense(reader: Reader, symbols: int, shape: tuple[int, int, int]) -> NDArray[np.uint8] | None:
    """Symbols [C, H, W] of what is left in `reader`; None where the payload does not decode. Raises CorruptError."""
    return decode_dense_after(reader, symbols, shape, DenseTable.read(reader, symbols, shape[0]), None)


def dense_costs(reader: Reader, symbols_map: NDArray[np.uint8], symbols: int) -> NDArray[np.float32]:
    """Bits that each of the symbols [C, H, W] takes in the stream in `reader`. Raises CorruptError."""
    table = DenseTable.read(reader, symbols, len(symbols_map))
    if len(table.order) == 1:
        return np.zeros(symbols_map.shape, np.float32)
    return _native.dense_costs(symbols_map, symbols, table.order, table.references)


@dataclass(frozen=True, repr=False)
class DenseBefore:
    """The same map in an earlier frame.

    Attributes:
        symbols: uint8 [C, H, W].
        past: uint8 [C, H, W], what happened until then (native/dense.hpp).
        table: of its stream; None where that had other channels.
    """

    symbols: NDArray[np.uint8]
    past: NDArray[np.uint8]
    table: DenseTable | None


def encode_dense_after(
    symbols_map: NDArray[np.uint8], symbols: int, counts: NDArray[np.int64], before: DenseBefore
) -> tuple[bytes, DenseTable]:
    """As `encode_dense`, with an earlier frame at hand, whose table goes on: what is new in it is written."""
    if before.table is None:
        table = DenseTable.of(symbols_map, symbols, counts)
        head = table.write()
    else:
        new = counts.copy()
        new[before.table.order] = 0
        added = _likeliest_first(new)
        table = DenseTable(np.concatenate([before.table.order, added]), before.table.references)
        head = varint(len(added)) + added.tobytes()
    if len(table.order) == 1:
        return head, table
    payload = _native.dense_encode(symbols_map, symbols, table.order, table.references, (before.symbols, before.past))
    return head + payload, table


def read_table_after(reader: Reader, symbols: int, channels: int, before: DenseBefore) -> DenseTable:
    """The table of a stream of `encode_dense_after`. Raises CorruptError."""
    if before.table is None:
        return DenseTable.read(reader, symbols, channels)
    added = np.frombuffer(reader.take(reader.varint()), np.uint8)
    order = np.concatenate([before.table.order, added])
    _check_order(reader, order, symbols)
    return DenseTable(order, before.table.references)


def decode_dense_after(
    reader: Reader, symbols: int, shape: tuple[int, int, int], table: DenseTable, before: DenseBefore | None
) -> NDArray[np.uint8] | None:
    """As `decode_dense`, behind the table; None for `before` of a stream that stands alone."""
    if len(table.order) == 1:
        if reader.left:
            raise reader.corrupt("symbols are written where only one occurs")
        return np.full(shape, table.order[0], np.uint8)
    known = None if before is None else (before.symbols, before.past)
    return _native.dense_decode(reader.rest(), *shape, symbols, table.order, table.references, known)


def _likeliest_first(counts: NDArray[np.int64]) -> NDArray[np.uint8]:
    return np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)].astype(np.uint8)


def _check_order(reader: Reader, order: NDArray[np.uint8], symbols: int) -> None:
    if len(set(order.tolist())) != len(order) or int(order.max()) >= symbols:
        raise reader.corrupt("the dense table does not list symbols")


def _reference_bits(channels: int) -> int:
    return min(channels - 1, _FARTHEST_REFERENCE).bit_length()
