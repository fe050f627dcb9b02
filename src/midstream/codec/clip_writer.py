"""Writes files of clips, `.midv`: units one after another with their times, and an index of keys at the end.

A writer appends: a process that is killed loses the unit that it was writing, and the index, which a reader can make
again.
"""

from __future__ import annotations

from numbers import Real
from pathlib import Path
from typing import BinaryIO, NamedTuple

from midstream import _native
from midstream.codec.clip_layout import (
    CRC,
    END_MAGIC,
    FOOTER,
    INDEX,
    KEY,
    MOST_S,
    MOST_SIDE,
    SIZE,
    ClipHeader,
    ClipKey,
    clip_header,
    index_entry,
    opened,
    packed_size,
)
from midstream.codec.wire import varint
from midstream.errors import InputError
from midstream.wording import counted


class _Committed(NamedTuple):
    """What is in the file: set at once, so that whatever interrupts a frame leaves the one before.

    Attributes:
        frames, keys: how many.
        size_bytes: of the file.
        index_bytes: of the entries that belong to these frames.
        ticks, size: of the last frame.
        last: entry of the last key.
    """

    frames: int = 0
    keys: int = 0
    size_bytes: int = 0
    index_bytes: int = 0
    ticks: int = 0
    size: tuple[int, int] | None = None
    last: ClipKey = ClipKey(0, 0, 0, None)


class ClipWriter:
    """Writes a file of a clip, a frame at a time; each is in the file when `write` returns.

    >>> with ms.ClipWriter("clip.midv", ms.ClipHeader(network="picodet-s-416")) as clip:
    ...     clip.write(encoder.encode(pyramid), time_s=0.0, key=encoder.last.key)
    """

    def __init__(self, file: str | Path | BinaryIO, header: ClipHeader | None = None) -> None:
        """Begin the file; `-` is standard output. What one that is there holds stays until the first frame comes.

        Raises:
            InputError: it cannot be written, or the header cannot be.
        """
        self._name = str(file) if isinstance(file, str | Path) else "the clip"
        self._header = header or ClipHeader()
        self._start: bytes | None = clip_header(self._header)
        self._replaces = isinstance(file, str | Path) and Path(file).is_file()
        self._file, self._owned = opened(file, "wb")
        self._index = bytearray()
        self._there = _Committed()
        self._torn = False
        if self._replaces:
            return
        try:
            self._begin()
        except BaseException:
            self.abandon()
            raise

    @property
    def frames(self) -> int:
        """How many are written."""
        return self._there.frames

    @property
    def last_s(self) -> float:
        """The time of the last frame, as a reader of the file will have it; 0 where there is none."""
        return float(self._there.ticks * self._header.time_base)

    @property
    def written(self) -> int:
        """Bytes that are written, as far as they are whole."""
        return self._there.size_bytes

    def write(self, data: bytes, *, time_s: float, key: bool, size: tuple[int, int] | None = None) -> None:
        """Append a frame.

        Args:
            data: the unit.
            time_s: since the clip's begin; never before the frame before.
            key: whether a decoder can begin with it.
            size: (height, width) of the image; None where nobody knows.

        Raises:
            InputError: a time that goes back, or the file cannot be written. What is there stays whole.
        """
        there = self._there
        if self._file.closed:
            raise InputError(f"{self._name}: the clip was closed; nothing can be added to it")
        if not _is_time(time_s) or (ticks := round(time_s / self._header.time_base)) < there.ticks:
            raise InputError(
                f"frame {there.frames} of the clip is of the time {time_s}: times begin at 0 and do not go back"
            )
        if not data or (size is not None and not all(1 <= side <= MOST_SIDE for side in size)):
            raise InputError(f"frame {there.frames} of the clip has {len(data)} bytes and the size {size}")
        self._begin()
        there = self._there
        flags = bool(key) * KEY + (size != there.size) * SIZE
        head = bytes([flags]) + varint(len(data)) + varint(ticks - there.ticks)
        if flags & SIZE:
            head += packed_size(size)
        record = b"".join([head, data, CRC.pack(_native.crc32c(data, _native.crc32c(head)))])
        self._append(record)
        del self._index[there.index_bytes :]
        last = there.last
        if key:
            here = ClipKey(there.frames, ticks, there.size_bytes, size)
            self._index += index_entry(here, last)
            last = here
        size_bytes = there.size_bytes + len(record)
        self._there = _Committed(there.frames + 1, there.keys + key, size_bytes, len(self._index), ticks, size, last)
        self._torn = False

    def _begin(self) -> None:
        """Take the file for this clip, once."""
        if self._start is None:
            return
        if self._replaces:
            self._file.truncate(0)
        start, self._start = self._start, None
        self._append(start)
        self._there, self._torn = _Committed(size_bytes=len(start)), False

    def close(self) -> None:
        """Write the index and close the file. Raises InputError."""
        if self._file.closed:
            return
        try:
            self._begin()
        except BaseException:
            self.abandon()
            raise
        there = self._there
        entries = bytes(self._index[: there.index_bytes])
        body = varint(there.frames) + varint(there.ticks) + varint(there.keys) + entries
        record = bytes([INDEX]) + varint(len(body)) + body
        record += CRC.pack(_native.crc32c(record))
        try:
            if self._take_back():
                self._append(record + FOOTER.pack(len(record) + FOOTER.size, END_MAGIC))
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Close the file without an index, as a process that is killed leaves it."""
        if self._owned:
            self._file.close()

    def __enter__(self) -> ClipWriter:
        return self

    def __exit__(self, kind: object, *error: object) -> None:
        """What is written becomes a whole file, whatever ended the block; where nothing is, a failure leaves none."""
        if kind is not None and self._start is not None:
            self.abandon()
        else:
            self.close()

    def _append(self, data: bytes) -> None:
        left = memoryview(data)
        self._torn = True
        try:
            while left:
                left = left[self._file.write(left) or 0 :]
            self._file.flush()
        except BrokenPipeError:  # the reader has gone: no mistake of this program's user
            raise
        except OSError as error:
            self._take_back()
            whole = f"{counted(self.frames, 'frame')} in it {'is' if self.frames == 1 else 'are'} whole"
            raise InputError(f"{self._name}: cannot be written: {error.strerror}; {whole}") from error

    def _take_back(self) -> bool:
        """Remove what is not whole from the end of the file; whether all that is there is whole.

        Only of a file that was opened here: standard output may be the end of somebody's file.
        """
        whole = self._there.size_bytes
        if not (self._owned and self._file.seekable()):
            return not self._torn
        try:
            if self._file.tell() != whole:
                self._file.seek(whole)
                self._file.truncate()
        except OSError:
            return False
        self._torn = False
        return True


def _is_time(value: object) -> bool:
    return isinstance(value, Real) and 0 <= float(value) <= MOST_S
