"""Writes files of clips, `.midv`: units one after another with their times, and an index of keys at the end.

A writer appends: a process that is killed loses the unit that it was writing, and the index, which a reader can make
again.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

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


class ClipWriter:
    """Writes a file of a clip, a frame at a time; each is in the file when `write` returns.

    >>> with ms.ClipWriter("clip.midv", ms.ClipHeader(network="picodet-s-416")) as clip:
    ...     clip.write(encoder.encode(pyramid), time_s=0.0, key=encoder.last.key)
    """

    def __init__(self, file: str | Path | BinaryIO, header: ClipHeader | None = None) -> None:
        """Begin the file; `-` is standard output. Raises InputError where it cannot be written."""
        self._name = str(file) if isinstance(file, str | Path) else "the clip"
        self._file, self._owned = opened(file, "wb")
        self._header = header or ClipHeader()
        self._index = bytearray()
        self._torn = False
        self._keys = self.frames = self.written = self._ticks = 0
        self._size: tuple[int, int] | None = None
        self._last = ClipKey(0, 0, 0, None)
        try:
            self._append(clip_header(self._header))
        except BaseException:
            self.abandon()
            raise

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
        if not 0 <= time_s <= MOST_S or (ticks := round(time_s / self._header.time_base)) < self._ticks:
            raise InputError(
                f"frame {self.frames} of the clip is of the time {time_s}: times begin at 0 and do not go back"
            )
        if not data or (size is not None and not all(1 <= side <= MOST_SIDE for side in size)):
            raise InputError(f"frame {self.frames} of the clip has {len(data)} bytes and the size {size}")
        flags = key * KEY + (size != self._size) * SIZE
        head = bytes([flags]) + varint(len(data)) + varint(ticks - self._ticks)
        if flags & SIZE:
            head += packed_size(size)
        offset = self.written
        self._append(b"".join([head, data, CRC.pack(_native.crc32c(data, _native.crc32c(head)))]))
        if key:
            here = ClipKey(self.frames, ticks, offset, size)
            self._index += index_entry(here, self._last)
            self._last, self._keys = here, self._keys + 1
        self.frames, self._ticks, self._size = self.frames + 1, ticks, size

    def close(self) -> None:
        """Write the index and close the file. Raises InputError."""
        body = varint(self.frames) + varint(self._ticks) + varint(self._keys) + bytes(self._index)
        record = bytes([INDEX]) + varint(len(body)) + body
        record += CRC.pack(_native.crc32c(record))
        try:
            if not self._torn:
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
        """The frames that are written make a whole file, whatever ended the block."""
        self.close()

    def _append(self, data: bytes) -> None:
        """Write it all; of what is interrupted nothing stays, where the file is none of those that only go onward."""
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
        except KeyboardInterrupt:
            self._take_back()
            raise
        self._torn = False
        self.written += len(data)

    def _take_back(self) -> None:
        with suppress(OSError):
            self._file.seek(self.written)
            self._file.truncate()
            self._torn = False
