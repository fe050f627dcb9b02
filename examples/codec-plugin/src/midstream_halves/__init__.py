"""The codec `halves`: each level as 16-bit floats, compressed by zlib. A small but whole codec for midstream.

Once the package is installed, `halves` stands beside the codecs of midstream itself: in `midstream encode --help` with
its options, in `midstream codecs`, in `compare --test halves:level=9`, in `push`, and on a server that has it, too.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from midstream import Codec, CorruptError, InputError, LimitError, TruncatedError
from midstream.codec.base import (
    NO_HINTS,
    Capabilities,
    Declaration,
    Decoder,
    DecodeRequest,
    Hints,
    Shown,
    StreamInfo,
    Table,
)
from midstream.codec.container import CRC_BYTES, VERSION, Opened, sealed, unsealed, write_header
from midstream.codec.wire import varint
from midstream.features import DTYPES, Level

_TYPES = tuple(DTYPES)
_LARGEST = float(np.finfo(np.float16).max)


@dataclass(frozen=True)
class _Level:
    name: str
    dtype: str
    shape: tuple[int, int, int]
    size: int


@dataclass(frozen=True, kw_only=True)
class HalvesInfo(StreamInfo):
    """What `midstream inspect` shows: the bytes of each level."""

    levels: dict[str, int]

    def table(self) -> Table:
        """For people."""
        rows = [["header", f"{self.header_bytes:,}"], *([name, f"{size:,}"] for name, size in self.levels.items())]
        return Table(f"codec {self.codec}", ["part", "bytes"], [*rows, ["total", f"{self.total_bytes:,}"]])


class HalvesDecoder(Decoder):
    """Knows no options: all that it needs is in the bitstream."""

    def declare(self, opened: Opened, data: memoryview, request: DecodeRequest) -> Declaration:
        """The header alone."""
        return Declaration(Halves.name, False, {level.name: level.shape for level in _read(opened, data, request)})

    def decode(self, opened: Opened, data: memoryview, request: DecodeRequest) -> dict[str, NDArray[Any]]:
        """The levels that are asked for."""
        levels = _read(opened, data, request)
        missing = set(request.levels or ()) - {level.name for level in levels}
        if missing:
            raise InputError(f"the bitstream has no level {', '.join(sorted(missing))}")
        content, at, out = unsealed(data[opened.size :], "levels"), 0, {}
        for level in levels:
            piece, at = content[at : at + level.size], at + level.size
            if request.levels is None or level.name in request.levels:
                out[level.name] = _values(level, piece)
        return out

    def inspect(self, opened: Opened, data: memoryview, request: DecodeRequest, symbols: bool) -> HalvesInfo:
        """Where the bytes go."""
        levels = _read(opened, data, request)
        elements = sum(int(np.prod(level.shape)) for level in levels)
        return HalvesInfo(
            version=VERSION,
            codec=Halves.name,
            shapes={level.name: level.shape for level in levels},
            header_bytes=opened.size,
            payload_bytes=sum(level.size for level in levels),
            checksum_bytes=CRC_BYTES,
            total_bytes=len(data),
            bits_per_element=8 * len(data) / elements,
            levels={level.name: level.size for level in levels},
        )


class Halves(Codec):
    """16-bit floats and zlib."""

    name: ClassVar[str] = "halves"
    number: ClassVar[int] = 200
    capabilities: ClassVar[Capabilities] = Capabilities()
    decoder: ClassVar[Decoder] = HalvesDecoder()

    level: Annotated[int, Field(ge=0, le=9, description="Effort of zlib, 0 to 9."), Shown(metavar="N")] = 6

    def encode(self, levels: Sequence[Level], hints: Hints = NO_HINTS, threads: int | None = None) -> bytes:
        """The bitstream; hints and threads are of no use to it."""
        body, pieces = varint(len(levels)), []
        for each in levels:
            halves = np.clip(each.values, -_LARGEST, _LARGEST).astype("<f2")
            pieces.append(zlib.compress(halves.tobytes(), self.level))
            name = each.name.encode()
            body += bytes([len(name)]) + name + bytes([_TYPES.index(each.dtype)])
            body += b"".join(varint(number) for number in (*each.shape, len(pieces[-1])))
        return b"".join([write_header(self.number, body), *sealed(pieces)])


def _read(opened: Opened, data: memoryview, request: DecodeRequest) -> list[_Level]:
    """The header, and whether all that it declares is there and within the limits."""
    reader, levels = opened.reader, []
    count = reader.varint()
    if count > request.limits.levels:
        raise LimitError(f"{count} levels; the limit is {request.limits.levels}")
    for _ in range(count):
        name = bytes(reader.take(reader.u8())).decode("utf-8", "replace")
        kind = reader.u8()
        shape = (reader.varint(), reader.varint(), reader.varint())
        if kind >= len(_TYPES) or not name or 0 in shape:
            raise reader.corrupt(f"level '{name}' of type {kind} and shape {shape}")
        levels.append(_Level(name, _TYPES[kind], shape, reader.varint()))
    reader.end()
    if not levels or len({level.name for level in levels}) != len(levels):
        raise reader.corrupt("no levels, or two of one name")
    elements = sum(level.shape[0] * level.shape[1] * level.shape[2] for level in levels)
    if elements > request.limits.elements:
        raise LimitError(f"{elements} elements; the limit is {request.limits.elements}")
    total = opened.size + sum(level.size for level in levels) + CRC_BYTES
    if len(data) < total:
        raise TruncatedError(f"the bitstream ends after {len(data)} of {total} bytes")
    if len(data) > total:
        raise CorruptError(f"data follows the end of the bitstream: {len(data)} bytes where it has {total}")
    return levels


def _values(level: _Level, piece: memoryview) -> NDArray[Any]:
    """Never more than the header has declared, whatever the compressed bytes would make."""
    size = 2 * level.shape[0] * level.shape[1] * level.shape[2]
    unpacking = zlib.decompressobj()
    try:
        raw = unpacking.decompress(piece, size)
    except zlib.error as error:
        raise CorruptError(f"level '{level.name}': {error}") from error
    if len(raw) != size or unpacking.unconsumed_tail:
        raise CorruptError(f"level '{level.name}': not the {size} bytes that its shape takes")
    values = np.frombuffer(raw, "<f2").astype(DTYPES[level.dtype]).reshape(level.shape)
    if not np.isfinite(values.astype(np.float32)).all():
        raise CorruptError(f"level '{level.name}': a value that is not finite")
    return values
