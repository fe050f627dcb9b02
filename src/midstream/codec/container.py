"""The container of version 1: how all headers begin, and CRC-32C. docs/format.md is normative."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from midstream import _native
from midstream.codec.wire import Buffer, Reader
from midstream.errors import CorruptError, InputError, LimitError, TruncatedError, UnsupportedError
from midstream.layout import Layout
from midstream.limits import Limits

MAGIC = b"MIDS"
VERSION = 1
#: Stands where a codec's number does, before layouts of arrays and the codec's own number.
LAID_OUT = 4
#: Magic, version, reserved byte, size of the whole header.
_PRELUDE = struct.Struct("<4sBBH")
_CRC = struct.Struct("<I")
CRC_BYTES = _CRC.size


def write_header(codec: int, body: bytes) -> bytes:
    """A header: what all begin with, the codec's own fields, the checksum. Raises InputError if it is too large."""
    size = _PRELUDE.size + 1 + len(body) + _CRC.size
    if size > 0xFFFF:
        raise InputError(f"a header of {size} bytes is too large (65,535): fewer levels or shorter names")
    return b"".join(sealed([_PRELUDE.pack(MAGIC, VERSION, 0, size), bytes([codec]), body]))


def sealed(pieces: Sequence[Buffer]) -> list[Buffer]:
    """The pieces and their checksum."""
    checksum = 0
    for piece in pieces:
        checksum = _native.crc32c(piece, checksum)
    return [*pieces, _CRC.pack(checksum)]


def unsealed(data: memoryview, what: str) -> memoryview:
    """What lies before a checksum. Raises CorruptError about `what` where they disagree."""
    content = data[: -_CRC.size]
    if _CRC.unpack(data[-_CRC.size :])[0] != _native.crc32c(content):
        raise CorruptError(f"{what}: wrong checksum")
    return content


def change_body(data: bytes | memoryview, put: bytes, take: int = 0) -> bytes:
    """A bitstream with other bytes before the codec's number than the first `take`. Raises InputError: too large."""
    size = header_size(data)
    body = put + bytes(data[_PRELUDE.size + take : size - CRC_BYTES])
    return write_header(body[0], body[1:]) + bytes(data[size:])


@dataclass(frozen=True)
class Opened:
    """A bitstream of which the fields that all codecs share are read and checked.

    Attributes:
        codec: its number.
        reader: over the codec's own fields of the header.
        size: of the whole header.
        layouts: of the arrays that are no maps.
    """

    codec: int
    reader: Reader
    size: int
    layouts: tuple[Layout, ...] = ()


def open_stream(data: memoryview) -> Opened:
    """Read what every header begins with. Raises TruncatedError, CorruptError, UnsupportedError."""
    if bytes(data[: len(MAGIC)]) != MAGIC[: len(data)]:
        raise CorruptError("not a midstream bitstream: it does not begin with 'MIDS'")
    if len(data) > 4 and data[4] != VERSION:
        raise UnsupportedError(f"bitstream version {data[4]}; this release reads version {VERSION}")
    if len(data) < _PRELUDE.size:
        raise TruncatedError(f"the bitstream ends within its first {_PRELUDE.size} bytes")
    _, _, reserved, size = _PRELUDE.unpack_from(data)
    if len(data) < size:
        raise TruncatedError(f"the bitstream ends within its header: {len(data)} of {size} bytes")
    if size < _PRELUDE.size + _CRC.size:
        raise CorruptError(f"header: a size of {size} bytes")
    reader = Reader(unsealed(data[:size], "header")[_PRELUDE.size :], "header")
    if reserved:
        raise UnsupportedError(f"header: reserved bits are set ({reserved:#04x}); a newer release wrote this")
    return Opened(reader.u8(), reader, size)


def header_size(data: Buffer) -> int:
    """Bytes of the header of a bitstream that begins with one."""
    return int(_PRELUDE.unpack_from(data)[3])


def check_total(total: int, limits: Limits, present: int) -> None:
    """Refuse a stream that is not as long as it says. Raises TruncatedError, CorruptError, LimitError."""
    if total > limits.chunk_bytes:
        raise LimitError(f"a chunk of {total} bytes; the limit is {limits.chunk_bytes}")
    if present < total:
        raise TruncatedError(f"the bitstream ends after {present} of {total} bytes")
    if present > total:
        raise CorruptError(f"data follows the end of the bitstream: {present} bytes where it has {total}")


def divided(content: memoryview, sizes: Sequence[int]) -> list[memoryview]:
    """Consecutive parts of these sizes."""
    at, parts = 0, []
    for size in sizes:
        parts.append(content[at : at + size])
        at += size
    return parts


def as_bytes(data: object) -> memoryview:
    """A view of the bytes of a bitstream. Raises InputError for anything else."""
    if not isinstance(data, bytes | bytearray | memoryview):
        raise InputError(f"a bitstream is bytes, not {type(data).__name__}")
    view = memoryview(data)
    return view.cast("B") if view.contiguous else memoryview(bytes(view))
