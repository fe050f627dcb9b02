"""A reader of `.midv`, written after docs/format.md alone. A ValueError begins with the document's kind of error."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from tests.helpers.format_decoder import check_crc, need


class Bytes:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, count: int) -> bytes:
        need(self.at + count <= len(self.data), "the file ends", "truncated")
        self.at += count
        return self.data[self.at - count : self.at]

    def varint(self) -> int:
        value = 0
        for place in range(9):
            (byte,) = self.take(1)
            value |= (byte & 127) << 7 * place
            if byte < 128:
                need(byte > 0 or place == 0, "a longer form than needed")
                return value
        raise ValueError("corrupt: a varint of more than nine bytes")

    def size(self) -> tuple[int, int] | None:
        height, width = self.varint(), self.varint()
        need(max(height, width) <= 1 << 24 and (height > 0) == (width > 0), "a size")
        return (height, width) if height else None

    def check(self, begin: int) -> None:
        end = self.at
        check_crc(self.data[begin:end], self.take(4), "a part")


def read_clip(data: bytes) -> dict[str, Any]:
    """Header, frames (offset, ticks, key, size, unit) and entries of the index (number, ticks, offset, size)."""
    file = Bytes(data)
    need(file.take(4) == b"MIDV", "magic")
    need(file.take(1) == b"\x01", "version", "unsupported")
    reserved, header_size = file.take(1)[0], int.from_bytes(file.take(2), "little")
    base = Fraction(file.varint(), file.varint())
    network, profile = (file.take(file.take(1)[0]).decode() for _ in range(2))
    file.check(0)
    need(file.at == header_size, "the header's size")
    need(reserved == 0, "reserved", "unsupported")
    frames: list[tuple[int, int, bool, tuple[int, int] | None, bytes]] = []
    ticks, size = 0, None
    while True:
        begin = file.at
        (flags,) = file.take(1)
        if flags == 0x80:
            break
        need(flags < 4, "flags", "unsupported")
        length = file.varint()
        need(length > 0, "no bytes")
        ticks += file.varint()
        need(ticks * base <= 3 * 10**10, "time")
        size = file.size() if flags & 2 else size
        frames.append((begin, ticks, bool(flags & 1), size, file.take(length)))
        file.check(begin)
    body_end = file.varint() + file.at
    count, last, keys = file.varint(), file.varint(), file.varint()
    need((count, last) == (len(frames), ticks if frames else 0), "the index counts otherwise")
    entries, entry = [], (0, 0, 0, None)
    for _ in range(keys):
        number, time, offset = file.varint(), file.varint(), file.varint()
        known = file.size() if number & 1 else entry[3]
        entry = (entry[0] + number // 2, entry[1] + time, entry[2] + offset, known)
        entries.append(entry)
    need(file.at == body_end, "the index's size")
    file.check(begin)
    footer = file.at + 8 - begin
    need(int.from_bytes(file.take(4), "little") == footer and file.take(4) == b"VDIM", "footer")
    need(file.at == len(data), "bytes behind the end")
    return {"network": network, "profile": profile, "time base": base, "frames": frames, "index": entries}
