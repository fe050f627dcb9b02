"""Symbols to bytes: the coders `fast`, `dense`, `raw` and `prefix`. A stream of any of them holds all that it needs."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from midstream import _native
from midstream.codec.paper.dense import decode_dense, dense_costs, encode_dense
from midstream.codec.wire import Buffer, Reader
from midstream.errors import CorruptError

#: Names in the order of their codes in the bitstream.
CODERS = ("fast", "dense", "raw", "prefix")
_COUNTED_AT_ONCE = 1 << 20
#: A weight and the symbols in it, with repetition.
_Package = tuple[int, tuple[int, ...]]
Symbols = NDArray[np.uint8]


def encode_maps(coder: str, maps: Sequence[Symbols], symbols: int) -> list[Buffer]:
    """A stream for each map of uint8 symbols [C, H, W] below `symbols`, all of the same H and W.

    `fast` codes two maps at a time faster than one after the other.
    """
    if coder == "fast":
        return [stream.data for stream in _native.fast_encode(list(maps), symbols)]
    return [_encode_map(coder, symbols_map, symbols) for symbols_map in maps]


def _encode_map(coder: str, symbols_map: Symbols, symbols: int) -> bytes:
    flat = symbols_map.reshape(-1)
    if coder == "raw":
        width = (symbols - 1).bit_length()
        return _native.pack(flat, width) if width else b""
    counts = count_symbols(flat, symbols)
    if coder == "dense":
        return encode_dense(symbols_map, symbols, counts)[0]
    lengths = code_lengths(counts)
    alone = np.count_nonzero(counts) == 1
    return _native.pack(lengths, 4) + (b"" if alone else _native.prefix_encode(flat, lengths))


def count_symbols(flat: Symbols, symbols: int) -> NDArray[np.int64]:
    """Occurrences of each symbol, in pieces, since bincount makes eight bytes of each."""
    pieces = (flat[at : at + _COUNTED_AT_ONCE] for at in range(0, flat.size, _COUNTED_AT_ONCE))
    return np.asarray(sum(np.bincount(piece, minlength=symbols) for piece in pieces), np.int64)


def decode_maps(
    coder: str, symbols: int, streams: Sequence[Buffer], channels: Sequence[int], size: tuple[int, int], what: str
) -> Symbols:
    """Symbols [sum of channels, H, W] of one stream for each map [channels, H, W], with size = (H, W).

    Raises:
        CorruptError: about `what`, where a stream does not decode.
    """
    if coder == "fast":
        decoded = _native.fast_decode(list(streams), list(channels), *size, symbols)
        if decoded is None:
            raise CorruptError(f"{what}: the fast symbols do not decode")
        return decoded
    maps = [
        _decode_map(coder, symbols, Reader(stream, what), (count, *size))
        for stream, count in zip(streams, channels, strict=True)
    ]
    return maps[0] if len(maps) == 1 else np.concatenate(maps)


def _decode_map(coder: str, symbols: int, reader: Reader, shape: tuple[int, int, int]) -> Symbols:
    count = shape[0] * shape[1] * shape[2]
    if coder == "raw":
        raw = reader.packed(count, (symbols - 1).bit_length())
        reader.end()
        if int(raw.max()) >= symbols:
            raise reader.corrupt("a symbol outside the alphabet")
        return raw.reshape(shape)
    decoded = decode_dense(reader, symbols, shape) if coder == "dense" else _decode_prefix(reader, symbols, count)
    if decoded is None:
        raise reader.corrupt(f"the {coder} symbols do not decode")
    return decoded.reshape(shape)


def _decode_prefix(reader: Reader, symbols: int, count: int) -> Symbols | None:
    lengths = reader.packed(symbols, 4)
    used = np.flatnonzero(lengths)
    if used.size == 0:
        raise reader.corrupt("no symbol in the prefix table")
    if used.size > 1:
        return _native.prefix_decode(reader.rest(), lengths, count)
    if reader.left or lengths[used[0]] != 1:
        raise reader.corrupt("symbols are written where only one occurs")
    return np.full(count, used[0], np.uint8)


def symbol_costs(coder: str, symbols: int, stream: Buffer, symbols_map: Symbols, what: str) -> NDArray[np.float32]:
    """Bits that each of the symbols [C, H, W], decoded from the stream, takes in it, as the coder itself reckons.

    Tables and what rounds the stream up to whole bytes are not in it. Raises CorruptError about `what`.
    """
    reader = Reader(stream, what)
    if coder == "dense":
        return dense_costs(reader, symbols_map, symbols)
    if coder == "fast":
        costs = _native.fast_costs(stream, symbols_map, symbols)
        if costs is None:
            raise reader.corrupt("the fast tables are malformed")
        return costs
    if coder == "raw":
        return np.full(symbols_map.shape, (symbols - 1).bit_length(), np.float32)
    lengths = reader.packed(symbols, 4)
    return (lengths * (np.count_nonzero(lengths) > 1)).astype(np.float32)[symbols_map]


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
