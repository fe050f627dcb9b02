"""What an image's bytes say before they are decoded.

A decoder sets memory aside for the size that a file claims, and libpng prints on standard error what it finds wrong, so
both are looked at first. Other formats are left to OpenCV, for which `midstream` sets the same limit; a program that
loads OpenCV before `midstream` has OpenCV's own for them.
"""

from __future__ import annotations

import os
import re
import struct
import zlib
from collections.abc import Iterable, Iterator

from midstream.limits import MOST_PIXELS, PIXELS_VARIABLE

_PNG_START, _JPEG_START = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"
#: The decoders' own (PNG_USER_WIDTH_MAX of libpng, JPEG_MAX_DIMENSION of libjpeg).
_PNG_SIDE, _JPEG_SIDE = 1_000_000, 65_500
#: Bytes out of a byte of zlib's, at most (https://zlib.net/zlib_tech.html).
_INFLATION = 1032
#: Width, height, bits of a sample, colour type, three methods; samples of a pixel by colour type.
_PNG_HEADER = struct.Struct(">IIBBBBB")
_PNG_GREY, _PNG_PALETTE = 0, 3
_PNG_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
#: Chunks that OpenCV uses beside the critical ones: transparency, orientation, animation.
_PNG_USED = {b"tRNS", b"eXIf", b"acTL", b"fcTL", b"fdAT"}
#: What a JPEG segment with EXIF data begins with.
_EXIF_START = b"Exif\0\0"
#: Start-of-frame markers of JPEG, which the size stands behind.
_JPEG_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
#: A marker after any number of fill bytes (ITU-T T.81, B.1.1.2); libjpeg also passes over what is none.
_JPEG_MARKER = re.compile(rb"\xff([^\x00\xff])", re.DOTALL)
#: Markers without a segment: TEM and RST0 to RST7.
_JPEG_ALONE = {0x01, *range(0xD0, 0xD8)}


def fault(data: bytes) -> str | None:
    """Why a PNG or JPEG file should not be decoded: it is too large or, for PNG, damaged; None where it may be."""
    if data.startswith(_PNG_START):
        return _png_fault(data)
    if data.startswith(_JPEG_START):
        size = _jpeg_size(data)
        return None if size is None else _too_large(*size, _JPEG_SIDE)
    return None


def without_extras(data: bytes) -> bytes:
    """A PNG file that has no `fault`, with only what its pixels depend on; others as they are.

    libpng prints what it finds wrong in a colour profile or a compressed comment, of which OpenCV uses neither.
    """
    if not data.startswith(_PNG_START):
        return data
    kept = [chunk for chunk in _png_chunks(data) if not _is_extra(chunk[0]) or chunk[0] in _PNG_USED]
    return _png_of(kept)


def stored_size(data: bytes) -> tuple[int, int] | None:
    """(width, height) of a PNG or JPEG file as it is stored, before EXIF turns it; None where only a decoder knows."""
    if data.startswith(_PNG_START):
        kind, content = next(_png_chunks(data), (b"", memoryview(b"")))
        return _PNG_HEADER.unpack(content)[:2] if kind == b"IHDR" and len(content) == _PNG_HEADER.size else None
    return _jpeg_size(data) if data.startswith(_JPEG_START) else None


def exif_turns(data: bytes) -> bytes | None:
    """The segment or chunk of a JPEG or PNG file that says how it is turned; None where there is none."""
    if data.startswith(_PNG_START):
        return next((bytes(content) for kind, content in _png_chunks(data) if kind == b"eXIf"), None)
    place = data.find(_EXIF_START) - 4
    if not data.startswith(_JPEG_START) or place < 2 or data[place : place + 2] != b"\xff\xe1":
        return None
    return data[place : place + 2 + int.from_bytes(data[place + 2 : place + 4], "big")]


def as_grey(data: bytes) -> tuple[bytes, int]:
    """A PNG file that has no `fault`, whose samples are its indices into a palette or its grey values, and their bits.

    OpenCV has no way to read indices; a palette's are stored as grey samples are.
    """
    if not data.startswith(_PNG_START):
        return data, 8
    chunks = [(kind, bytes(content)) for kind, content in _png_chunks(data) if kind in (b"IHDR", b"IDAT", b"IEND")]
    width, height, depth, colour, *methods = _PNG_HEADER.unpack(chunks[0][1])
    if colour not in (_PNG_GREY, _PNG_PALETTE):
        return data, depth
    chunks[0] = (b"IHDR", _PNG_HEADER.pack(width, height, depth, _PNG_GREY, *methods))
    return _png_of(chunks), depth


def _png_of(chunks: Iterable[tuple[bytes, bytes | memoryview]]) -> bytes:
    return _PNG_START + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(content, zlib.crc32(kind)))
        for kind, content in chunks
    )


def _too_large(width: int, height: int, side: int) -> str | None:
    most = _most_pixels()
    if max(width, height) <= side and width * height <= most:
        return None
    return (
        f"it is too large: {width}x{height} pixels, more than {side:,} a side or {most:,} in all "
        f"(the variable {PIXELS_VARIABLE} changes the latter)"
    )


def _most_pixels() -> int:
    text = os.environ.get(PIXELS_VARIABLE, "")
    return int(text) if text.isdecimal() else MOST_PIXELS


def _png_fault(data: bytes) -> str | None:
    chunks = list(_png_chunks(data))
    if not chunks or chunks[0][0] != b"IHDR" or len(chunks[0][1]) != _PNG_HEADER.size:
        return "the PNG file is damaged: it has no header"
    width, height, depth, colour, *_ = _PNG_HEADER.unpack(chunks[0][1])
    if (large := _too_large(width, height, _PNG_SIDE)) is not None:
        return large
    if chunks[-1][0] != b"IEND" or not width * height:
        return "the PNG file is cut or damaged"
    packed = sum(len(content) for kind, content in chunks if kind == b"IDAT")
    if packed * _INFLATION < height * (1 + width * depth * _PNG_SAMPLES.get(colour, 1) // 8):
        return f"the PNG file is damaged: its data is too little for {width}x{height} pixels"
    return None


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Kind and content of the undamaged chunks, up to a damaged one that libpng cannot do without or the end mark."""
    view, place = memoryview(data), len(_PNG_START)
    while place + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        end = place + 12 + length
        whole = end <= len(data) and zlib.crc32(view[place + 4 : end - 4]) == _number(data, end - 4)
        if end > len(data) or not (whole or _is_extra(kind)):
            return
        if whole:
            yield kind, view[place + 8 : end - 4]
        if kind == b"IEND":
            return
        place = end


def _is_extra(kind: bytes) -> bool:
    return kind.isalpha() and kind[:1].islower()


def _number(data: bytes, place: int) -> int:
    return int.from_bytes(data[place : place + 4], "big")


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """(width, height); None where no frame begins, which OpenCV finds out."""
    place = len(_JPEG_START)
    while (found := _JPEG_MARKER.search(data, place)) and found.end() + 7 <= len(data):
        place, marker = found.end(), found[1][0]
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", data, place + 3)
            return width, height
        if marker not in _JPEG_ALONE:
            place += max(2, int.from_bytes(data[place : place + 2], "big"))
    return None
