"""The layout of the file of a clip, `.midv`: docs/format.md, "The file of a clip", is normative."""

from __future__ import annotations

import struct
import sys
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

from midstream import _native
from midstream.codec.wire import Reader, varint
from midstream.errors import InputError
from midstream.files import STANDARD

MAGIC, END_MAGIC = b"MIDV", b"VDIM"
VERSION = 1
#: Seconds of a tick, where a source has no unit of its own: what MPEG counts in.
USUAL_TIME_BASE = Fraction(1, 90_000)
KEY, SIZE, INDEX = 0x01, 0x02, 0x80
PRELUDE = struct.Struct("<4sBBH")
CRC = struct.Struct("<I")
#: Bytes of the index with its frame, what the file ends with.
FOOTER = struct.Struct("<I4s")
#: Of numerator and denominator of a time base.
_MOST_TICKS = 1 << 63
#: Of a name in the header, in UTF-8.
_MOST_NAME = 255
#: Of a side of an image, and of a time in seconds: a thousand years.
MOST_SIDE, MOST_S = 1 << 24, 3 * 10**10


@dataclass(frozen=True)
class ClipHeader:
    """What a file of a clip says of all its frames.

    Attributes:
        network: whose features they are; empty where nobody said.
        profile: name of the profile that decoding needs; empty for none.
        time_base: seconds of a tick.
    """

    network: str = ""
    profile: str = ""
    time_base: Fraction = USUAL_TIME_BASE


@dataclass(frozen=True)
class ClipUnit:
    """A frame of a clip.

    Attributes:
        number: from 0.
        ticks: since the clip's begin, of the file's time base.
        time_s: the same in seconds.
        key: whether a decoder can begin with it.
        size: (height, width) of the image that the features are of; None where nobody said.
        data: the unit.
        record_bytes: what it takes in the file.
    """

    number: int
    ticks: int
    time_s: float
    key: bool
    size: tuple[int, int] | None
    data: bytes
    record_bytes: int


@dataclass(frozen=True)
class ClipKey:
    """An entry of the index: where a key's record begins, and what is known when it is reached."""

    number: int
    ticks: int
    offset: int
    size: tuple[int, int] | None


@dataclass(frozen=True)
class RecordHead:
    """What a record begins with, and its bytes."""

    flags: int
    length: int
    delta: int
    size: tuple[int, int] | None
    data: bytes


def opened(file: str | Path | BinaryIO, mode: str) -> tuple[BinaryIO, bool]:
    """A binary file, and whether it is to be closed. Raises InputError."""
    if not isinstance(file, str | Path):
        return file, False
    if str(file) == STANDARD:
        return (sys.stdin.buffer if mode == "rb" else sys.stdout.buffer), False
    try:
        if mode == "rb":
            return Path(file).open("rb"), True
        # What is written is in the file at once; a file that is there stays until there is something to write.
        return Path(file).open("r+b" if Path(file).is_file() else "wb", buffering=0), True
    except OSError as error:
        what = "read" if mode == "rb" else "written"
        raise InputError(f"{file}: cannot be {what}: {error.strerror}") from error
    except ValueError as error:  # a NUL
        raise InputError(f"{str(file)!r}: no file has such a name") from error


def clip_header(about: ClipHeader) -> bytes:
    """What a file begins with. Raises InputError for names that are too long, or a time base that is none."""
    base: object = about.time_base
    if not (isinstance(base, Fraction) and base > 0 and max(base.numerator, base.denominator) < _MOST_TICKS):
        raise InputError(f"the time base of a clip is a Fraction of a second above 0, not {base!r}")
    names = [name.encode("utf-8", "replace") for name in (about.network, about.profile)]
    if max(map(len, names)) > _MOST_NAME:
        raise InputError(f"names in the header of a clip have at most {_MOST_NAME} bytes")
    body = varint(about.time_base.numerator) + varint(about.time_base.denominator)
    body += b"".join(bytes([len(name)]) + name for name in names)
    data = PRELUDE.pack(MAGIC, VERSION, 0, PRELUDE.size + len(body) + CRC.size) + body
    return data + CRC.pack(_native.crc32c(data))


def packed_size(size: tuple[int, int] | None) -> bytes:
    """(height, width) as a record has it; two zeros where nobody knows it."""
    return b"".join(map(varint, size or (0, 0)))


def index_entry(key: ClipKey, before: ClipKey) -> bytes:
    """Of the index: the differences to the key before, and the size where it is another."""
    changed = key.size != before.size
    first = 2 * (key.number - before.number) + changed
    fields = varint(first) + varint(key.ticks - before.ticks) + varint(key.offset - before.offset)
    return fields + (packed_size(key.size) if changed else b"")


def read_index(body: bytes, name: str) -> tuple[int, int, list[ClipKey]]:
    """Frames, the ticks of the last one, keys. Raises CorruptError."""
    reader = Reader(body, f"{name}: index")
    frames, last, count = reader.varint(), reader.varint(), reader.varint()
    keys: list[ClipKey] = []
    key = ClipKey(0, 0, 0, None)
    for _ in range(count):
        first, ticks, offset = reader.varint(), reader.varint(), reader.varint()
        size = key.size
        if first % 2:
            height, width = reader.varint(), reader.varint()
            size = (height, width) if height and width else None
        if keys and not (offset and first // 2):
            raise reader.corrupt("two keys in one place")
        if size is not None and max(size) > MOST_SIDE:
            raise reader.corrupt(f"an image of {size[1]} x {size[0]}")
        key = ClipKey(key.number + first // 2, key.ticks + ticks, key.offset + offset, size)
        keys.append(key)
    reader.end()
    return frames, last, keys
