"""Files of clips, `.midv`, for fuzz_decode.py: their checksums are made right again."""

from __future__ import annotations

import io
import random
from fractions import Fraction

import calibrated

import midstream as ms
from midstream import _native
from midstream.codec.clip_layout import CRC, FOOTER, INDEX, MAGIC, PRELUDE, SIZE, ClipUnit
from midstream.codec.wire import Reader


class Pipe(io.BytesIO):
    """A file that can only be read onward."""

    def seekable(self) -> bool:
        """It is not."""
        return False

    def seek(self, offset: int, whence: int = 0) -> int:
        """Refused."""
        raise OSError("a pipe")


def mended(data: bytes) -> bytes:
    """The file with right checksums, as far as it can be followed."""
    out = bytearray(data)
    if len(data) < PRELUDE.size:
        return data
    at = PRELUDE.unpack_from(data)[-1]
    _seal(out, 0, at)
    while at < len(out):
        try:
            reader = Reader(memoryview(bytes(out[at:])), "it")
            flags = reader.u8()
            body = reader.varint()
            if not flags & INDEX:
                reader.varint()
                if flags & SIZE:
                    reader.varint(), reader.varint()
            end = len(out) - reader.left + body + CRC.size
        except ms.BitstreamError:
            break
        if end > len(out):
            break
        _seal(out, at, end)
        if flags & INDEX:
            break
        at = end
    return bytes(out)


def _seal(out: bytearray, begin: int, end: int) -> None:
    if begin + CRC.size <= end <= len(out):
        out[end - CRC.size : end] = CRC.pack(_native.crc32c(bytes(out[begin : end - CRC.size])))


def check(data: bytes) -> None:
    """A file gives units and then an error with a name at most, and a pipe gives the same ones."""
    limits = ms.Limits(chunk_bytes=1 << 14)
    ends = []
    for file in (io.BytesIO(data), Pipe(data)):
        units: list[ClipUnit] = []
        why = ""
        try:
            with ms.ClipReader(file, limits=limits) as clip:
                for unit in clip.units():
                    units.append(unit)
        except ms.BitstreamError as error:
            why = type(error).__name__
        ends.append((units, why))
    assert ends[0] == ends[1], "a file and a pipe are read otherwise"
    assert [unit.number for unit in ends[0][0]] == list(range(len(ends[0][0]))), "frames are not counted"
    try:
        with ms.ClipReader(io.BytesIO(data), limits=limits) as clip:
            assert clip.index() == clip.index(), "the keys are others the second time"
            for begin in (0, 2, 5):
                told: list[ms.BitstreamError] = []
                for unit in clip.units(frame=begin, damaged=told.append):
                    assert 0 < len(unit.data) <= len(data), "a unit that is not in the file"
    except ms.BitstreamError:
        return


def mutated(data: bytes, most: int, rng: random.Random, mutate: calibrated.Mutate) -> bytes:
    """A part of the file changed, and the checksums."""
    begin = rng.randrange(len(data))
    part = data[begin : begin + rng.randrange(1, 40)]
    return mended(data[:begin] + mutate(part, len(part) + max(most - len(data), 0)) + data[begin + len(part) :])


def seeds() -> dict[str, bytes]:
    """Clips of none and of some frames, with and without their end."""
    out = {}
    for name, rows in (("none", 0), ("some", 6)):
        file = io.BytesIO()
        about = ms.ClipHeader("network", "profile", time_base=Fraction(1, 1000))
        with ms.ClipWriter(file, about) as clip:
            for number in range(rows):
                size = None if number < 2 else (8, 8 + number // 4)
                clip.write(bytes([number]) * 5, time_s=number / 3, key=number % 3 == 0, size=size)
        out[f"clip-{name}"] = file.getvalue()
    out["clip-cut"] = out["clip-some"][: -FOOTER.size - 9]
    assert all(data.startswith(MAGIC) for data in out.values())
    return out
