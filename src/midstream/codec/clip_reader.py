"""Reads files of clips, `.midv`: one after another also from a pipe, from any key on in a file."""

from __future__ import annotations

import io
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

from midstream import _native
from midstream.codec.clip_layout import (
    CRC,
    END_MAGIC,
    FOOTER,
    INDEX,
    KEY,
    MAGIC,
    MOST_S,
    MOST_SIDE,
    PRELUDE,
    SIZE,
    VERSION,
    ClipHeader,
    ClipKey,
    ClipUnit,
    RecordHead,
    opened,
    read_index,
)
from midstream.codec.wire import MAX_VARINT_BYTES, Reader
from midstream.errors import BitstreamError, CorruptError, InputError, LimitError, TruncatedError, UnsupportedError
from midstream.limits import Limits

#: What is read of a file at once: a length that is wrong asks for no more memory than the file has bytes.
_AT_ONCE = 1 << 20


class ClipReader:
    """Reads a file of a clip.

    >>> with ms.ClipReader("clip.midv") as clip:
    ...     for unit in clip.units():
    ...         pyramid = decoder.decode(unit.data)

    Attributes:
        header: what the file says of all its frames.
    """

    def __init__(self, file: str | Path | BinaryIO, *, limits: Limits | None = None) -> None:
        """Read the header; `-` is standard input. `limits.chunk_bytes` is of a unit, too.

        Raises:
            InputError: it cannot be read.
            TruncatedError, CorruptError, UnsupportedError: it is no file of a clip.
        """
        self._name = str(file) if isinstance(file, str | Path) else "the clip"
        self._most = (limits or Limits()).chunk_bytes
        self._file, self._owned = opened(file, "rb")
        self._at = 0
        try:
            self._seekable = self._file.seekable()
            self.header = self._header()
        except BaseException:
            self.close()
            raise
        self._first = ClipKey(0, 0, self._at, None)

    def __enter__(self) -> ClipReader:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def position(self) -> int:
        """Bytes of the file that `units` has read."""
        return self._at

    def close(self) -> None:
        """Close the file."""
        if self._owned:
            self._file.close()

    def units(
        self, *, frame: int = 0, time_s: float = 0.0, damaged: Callable[[BitstreamError], None] | None = None
    ) -> Iterator[ClipUnit]:
        """The units, from the last key on that is neither behind the frame nor behind the time; all by default.

        Of a file whose end is missing, the whole units come first. A pipe is read once, from its begin. Where `damaged`
        is given it is told of a record that is corrupt, and the units go on with the next key of the index.

        Raises:
            TruncatedError: the end is missing; how much, as far as anybody can know.
            CorruptError, UnsupportedError, LimitError: a record that contradicts its checksum or the format.
            InputError: another begin than the first frame, in a pipe.
        """
        start = self._first
        if frame > 0 or time_s > 0:
            if not self._seekable:
                raise InputError(f"{self._name}: a pipe is read from its first frame on: store it in a file")
            ticks = time_s / self.header.time_base
            for key in self.index():
                if (frame > 0 and key.number > frame) or (time_s > 0 and key.ticks > ticks):
                    break
                start = key
        keys: list[ClipKey] | None = None
        while True:
            number = start.number
            try:
                self._seek(start.offset)
                for unit in self._records(start):
                    number = unit.number + 1
                    yield unit
                return
            except CorruptError as error:
                if damaged is None or not self._seekable:
                    raise
                keys = self.index() if keys is None else keys  # once, however many records are damaged
                later = bisect_right(keys, number, key=lambda key: key.number)
                if later == len(keys):
                    raise
                damaged(error)
                start = keys[later]

    def index(self) -> list[ClipKey]:
        """The keys, from the index, or from the records where it is missing or damaged. Raises InputError in a pipe."""
        if not self._seekable:
            raise InputError(f"{self._name}: a pipe has no index to look at: store it in a file")
        at = self._at
        try:
            with suppress(BitstreamError):
                return self._indexed()
            return self._scanned()
        finally:  # `units` may be under way
            self._seek(at)

    @property
    def whole(self) -> bool:
        """Whether the index is there. Raises InputError in a pipe."""
        if not self._seekable:
            raise InputError(f"{self._name}: a pipe has no index to look at: store it in a file")
        at = self._at
        try:
            self._indexed()
        except BitstreamError:
            return False
        finally:
            self._seek(at)
        return True

    def _header(self) -> ClipHeader:
        prelude = self._read(PRELUDE.size)
        if prelude[: len(MAGIC)] != MAGIC[: len(prelude)]:
            raise CorruptError(f"{self._name}: not the file of a clip: it does not begin with 'MIDV'")
        if len(prelude) > len(MAGIC) and prelude[len(MAGIC)] != VERSION:
            raise UnsupportedError(f"{self._name}: version {prelude[len(MAGIC)]}; this release reads {VERSION}")
        if len(prelude) < PRELUDE.size:
            raise TruncatedError(f"{self._name}: ends within its header")
        _, _, reserved, size = PRELUDE.unpack(prelude)
        if size < PRELUDE.size + CRC.size:
            raise CorruptError(f"{self._name}: header: a size of {size} bytes")
        rest = self._read(size - PRELUDE.size)
        if len(rest) < size - PRELUDE.size:
            raise TruncatedError(f"{self._name}: ends within its header")
        if CRC.pack(_native.crc32c(rest[: -CRC.size], _native.crc32c(prelude))) != rest[-CRC.size :]:
            raise CorruptError(f"{self._name}: header: wrong checksum")
        if reserved:
            raise UnsupportedError(f"{self._name}: header: reserved bits are set; a newer release wrote this")
        reader = Reader(rest[: -CRC.size], f"{self._name}: header")
        numerator, denominator = reader.varint(), reader.varint()
        if not numerator or not denominator:
            raise reader.corrupt("a time base of 0")
        try:
            network, profile = (bytes(reader.take(reader.u8())).decode() for _ in range(2))
        except UnicodeDecodeError as error:
            raise reader.corrupt("a name that is not UTF-8") from error
        reader.end()
        return ClipHeader(network, profile, Fraction(numerator, denominator))

    def _records(self, start: ClipKey) -> Iterator[ClipUnit]:
        number, ticks, size = start.number, start.ticks, start.size
        first = True
        while True:
            offset = self._at
            head = self._head(number)
            if head.flags & INDEX:
                self._end(head, number, ticks)
                return
            if not first or start is self._first:
                ticks += head.delta
            size = head.size if head.flags & SIZE else size
            data = self._read(head.length)
            checksum = self._read(CRC.size)
            if len(checksum) < CRC.size:
                there, wanted = self._at - offset, len(head.data) + head.length + CRC.size
                raise TruncatedError(
                    f"{self._name}: ends within frame {number}: {wanted - there:,} of {wanted:,} bytes are missing"
                )
            if checksum != CRC.pack(_native.crc32c(data, _native.crc32c(head.data))):
                raise CorruptError(f"{self._name}: frame {number}: wrong checksum")
            if ticks * self.header.time_base > MOST_S:
                raise CorruptError(f"{self._name}: frame {number}: a time of {ticks} ticks")
            if first and start is not self._first and not head.flags & KEY:
                raise CorruptError(f"{self._name}: the index names frame {number}, which is no key")
            key, time_s = bool(head.flags & KEY), float(ticks * self.header.time_base)
            yield ClipUnit(number, ticks, time_s, key, size, data, self._at - offset)
            number, first = number + 1, False

    def _end(self, head: RecordHead, frames: int, ticks: int) -> None:
        """The index, which nobody needs who has come here, and the end of the file."""
        counted, last, _ = read_index(self._index_body(head), self._name)
        if (counted, last) != (frames, ticks if frames else 0):
            raise CorruptError(f"{self._name}: the index counts {counted} frames; there are {frames}")
        footer = self._read(FOOTER.size + 1)
        if len(footer) < FOOTER.size:
            raise TruncatedError(f"{self._name}: ends within its last {FOOTER.size} bytes; all frames are whole")
        size = len(head.data) + head.length + CRC.size + FOOTER.size
        if footer != FOOTER.pack(size, END_MAGIC):
            raise CorruptError(f"{self._name}: what follows the index is not the end of a file")

    def _index_body(self, head: RecordHead) -> bytes:
        body, checksum = self._read(head.length), self._read(CRC.size)
        if len(checksum) < CRC.size:
            raise TruncatedError(f"{self._name}: ends within its index; all frames are whole")
        if checksum != CRC.pack(_native.crc32c(body, _native.crc32c(head.data))):
            raise CorruptError(f"{self._name}: index: wrong checksum")
        return body

    def _indexed(self) -> list[ClipKey]:
        """By the footer. Raises CorruptError, TruncatedError."""
        length = self._file.seek(0, io.SEEK_END)
        if length < self._first.offset + FOOTER.size:
            raise TruncatedError(f"{self._name}: has no index")
        self._seek(length - FOOTER.size)
        size, magic = FOOTER.unpack(self._read(FOOTER.size))
        begin = length - size
        if magic != END_MAGIC or begin < self._first.offset:
            raise TruncatedError(f"{self._name}: has no index")
        self._seek(begin)
        head = self._head(0)
        if not head.flags & INDEX or len(head.data) + head.length + CRC.size + FOOTER.size != size:
            raise CorruptError(f"{self._name}: the end points to no index")
        keys = read_index(self._index_body(head), self._name)[2]
        if any(not self._first.offset <= key.offset < begin for key in keys):
            raise CorruptError(f"{self._name}: the index points beyond the frames")
        return keys

    def _scanned(self) -> list[ClipKey]:
        """By the heads of all whole records."""
        length = self._file.seek(0, io.SEEK_END)
        self._seek(self._first.offset)
        keys: list[ClipKey] = []
        number, ticks, size = 0, 0, None
        with suppress(BitstreamError):
            while not (head := self._head(number)).flags & INDEX:
                offset = self._at - len(head.data)
                ticks, size = ticks + head.delta, head.size if head.flags & SIZE else size
                self._seek(self._at + head.length + CRC.size)
                if self._at > length:
                    break
                if head.flags & KEY:
                    keys.append(ClipKey(number, ticks, offset, size))
                number += 1
        return keys

    def _head(self, number: int) -> RecordHead:
        """What a record begins with. Raises TruncatedError, CorruptError, UnsupportedError, LimitError."""
        data = self._read(1)
        if not data:
            raise TruncatedError(
                f"{self._name}: ends after {number:,} whole frames, without an index: whoever wrote it was stopped"
            )
        flags, rest = data[0], bytearray(data)
        if flags != INDEX and flags & ~(KEY | SIZE):
            raise UnsupportedError(
                f"{self._name}: frame {number}: unknown flags {flags:#04x}; a newer release wrote this"
            )
        length = self._varint(rest, number)
        if flags == INDEX:
            return RecordHead(flags, length, 0, None, bytes(rest))
        if not length:
            raise CorruptError(f"{self._name}: frame {number}: a unit of no bytes")
        if length > self._most:
            raise LimitError(f"{self._name}: frame {number}: a unit of {length:,} bytes; the limit is {self._most:,}")
        delta = self._varint(rest, number)
        size = None
        if flags & SIZE:
            height, width = self._varint(rest, number), self._varint(rest, number)
            if max(height, width) > MOST_SIDE or (height == 0) != (width == 0):
                raise CorruptError(f"{self._name}: frame {number}: an image of {width} x {height}")
            size = (height, width) if height else None
        return RecordHead(flags, length, delta, size, bytes(rest))

    def _varint(self, rest: bytearray, number: int) -> int:
        start = len(rest)
        while len(rest) == start or (rest[-1] & 0x80 and len(rest) < start + MAX_VARINT_BYTES):
            byte = self._read(1)
            if not byte:
                raise TruncatedError(f"{self._name}: ends within the first bytes of frame {number}")
            rest += byte
        return Reader(bytes(rest[start:]), f"{self._name}: frame {number}").varint()

    def _seek(self, offset: int) -> None:
        if self._seekable:
            self._file.seek(offset)
            self._at = offset

    def _read(self, count: int) -> bytes:
        """So many bytes, fewer only at the end of the file."""
        pieces = []
        try:
            while count and (piece := self._file.read(min(count, _AT_ONCE))):
                pieces.append(piece)
                count -= len(piece)
        except OSError as error:
            raise InputError(f"{self._name}: cannot be read: {error.strerror}") from error
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self._at += len(data)
        return data
