"""Symbols to bytes: `raw`, `prefix`, `rans` and `dense`. Each writes a table (side information) and a payload.

A level in which only one symbol occurs has an empty payload, with `raw` for n = 1 only.
"""

from __future__ import annotations

import heapq

import numpy as np
from numpy.typing import NDArray

from midstream import _native
from midstream.codec.dense import decode_dense, encode_dense
from midstream.codec.wire import Reader, varint

#: Names in the order of their codes in the bitstream.
CODERS = ("raw", "prefix", "rans", "dense")
_COUNTED_AT_ONCE = 1 << 20
#: A weight and the symbols in it, with repetition.
_Package = tuple[int, tuple[int, ...]]
_RANS_TOTAL: int = 1 << _native.RANS_SCALE_BITS


def encode_symbols(coder: str, symbols_map: NDArray[np.uint8], symbols: int) -> tuple[bytes, bytes]:
    """Table and payload of uint8 symbols [C, H, W] below `symbols`."""
    flat = symbols_map.reshape(-1)
    if coder == "raw":
        width = (symbols - 1).bit_length()
        return b"", _native.pack(flat, width) if width else b""
    counts = _count(flat, symbols)
    if coder == "dense":
        return encode_dense(symbols_map, symbols, counts)
    alone = np.count_nonzero(counts) == 1
    if coder == "prefix":
        lengths = code_lengths(counts)
        return _native.pack(lengths, 4), b"" if alone else _native.prefix_encode(flat, lengths)
    frequencies = rans_frequencies(counts)
    table = b"".join(varint(int(f)) for f in frequencies)
    return table, b"" if alone else _native.rans_encode(flat, frequencies)


def _count(flat: NDArray[np.uint8], symbols: int) -> NDArray[np.int64]:
    """Occurrences of each symbol, in pieces, since bincount makes eight bytes of each."""
    pieces = (flat[at : at + _COUNTED_AT_ONCE] for at in range(0, flat.size, _COUNTED_AT_ONCE))
    return np.asarray(sum(np.bincount(piece, minlength=symbols) for piece in pieces), np.int64)


def decode_symbols(
    coder: str, symbols: int, reader: Reader, payload: bytes, shape: tuple[int, int, int]
) -> NDArray[np.uint8]:
    """Read the table from `reader`, then uint8 symbols [C, H, W] from the payload. Raises CorruptError."""
    count = shape[0] * shape[1] * shape[2]
    decoded: NDArray[np.uint8] | None
    if coder == "raw":
        raw = Reader(payload, "raw symbols")
        decoded = raw.packed(count, (symbols - 1).bit_length())
        raw.end()
    elif coder == "dense":
        decoded = decode_dense(reader, symbols, payload, shape)
    else:
        decoded = _decode_order_0(coder, reader, symbols, payload, count)
    if decoded is None:
        raise reader.corrupt(f"the {coder} symbols do not decode")
    return decoded.reshape(shape)


def _decode_order_0(coder: str, reader: Reader, symbols: int, payload: bytes, count: int) -> NDArray[np.uint8] | None:
    table = reader.packed(symbols, 4) if coder == "prefix" else _read_frequencies(reader, symbols)
    used = np.flatnonzero(table)
    if used.size == 0:
        raise reader.corrupt(f"no symbol in the {coder} table")
    if used.size == 1:
        if payload or (coder == "prefix" and table[used[0]] != 1):
            raise reader.corrupt("symbols are written where only one occurs")
        return np.full(count, used[0], np.uint8)
    if coder == "prefix":
        return _native.prefix_decode(payload, table.astype(np.uint8), count)
    return _native.rans_decode(payload, table.astype(np.uint32), count)


def code_lengths(counts: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Lengths [n] of an optimal prefix code of at most 15 bits (package-merge: Larmore and Hirschberg 1990).

    0 for a symbol that does not occur; 1 for one that occurs alone.
    """
    leaves: list[_Package] = sorted((int(count), (symbol,)) for symbol, count in enumerate(counts) if count)
    lengths = np.zeros(len(counts), np.uint8)
    if len(leaves) == 1:
        lengths[leaves[0][1][0]] = 1
        return lengths
    packages = leaves
    for _ in range(_native.MAX_CODE_LENGTH - 1):
        pairs = zip(packages[::2], packages[1::2], strict=False)
        packages = list(heapq.merge(leaves, ((a[0] + b[0], a[1] + b[1]) for a, b in pairs)))
    for _, members in packages[: 2 * len(leaves) - 2]:
        np.add.at(lengths, np.asarray(members), 1)
    return lengths


def rans_frequencies(counts: NDArray[np.int64]) -> NDArray[np.uint32]:
    """Counts [n] scaled to sum to 2^14, at least 1 for every symbol that occurs; integers only."""
    wanted = [int(count) for count in counts]
    total = sum(wanted)
    scaled = [max(count * _RANS_TOTAL // total, 1) if count else 0 for count in wanted]
    missing = _RANS_TOTAL - sum(scaled)
    if missing > 0:
        scaled[scaled.index(max(scaled))] += missing
    while missing < 0:  # raised ones were too many: take from the largest, where it costs least
        scaled[scaled.index(max(scaled))] -= 1
        missing += 1
    return np.asarray(scaled, np.uint32)


def _read_frequencies(reader: Reader, symbols: int) -> NDArray[np.uint32]:
    frequencies = [reader.varint() for _ in range(symbols)]
    if sum(frequencies) != _RANS_TOTAL:
        raise reader.corrupt("the frequencies have the wrong sum")
    return np.asarray(frequencies, np.uint32)
