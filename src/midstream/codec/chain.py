"""Frames that refer to earlier ones, of any codec: how units name them, and what both sides keep (docs/format.md)."""

from __future__ import annotations

import struct
from abc import abstractmethod
from collections import OrderedDict
from typing import Generic, Protocol, TypeVar

from midstream import _native
from midstream.codec.container import CRC_BYTES, header_size
from midstream.codec.sequence import SequenceDecoder, SequenceEncoder
from midstream.codec.wire import Reader, varint
from midstream.errors import BitstreamError, InputError, MissingReferenceError

#: Of a stream of 60 frames a second that lasts two years.
MOST_FRAMES = 1 << 32
#: A unit refers to none that is farther back, and a decoder keeps so many.
KEPT_FRAMES = 8
_DIGEST = struct.Struct("<I")


class KeptFrame(Protocol):
    """What is kept of one frame, at the encoder and at the decoder."""

    @property
    def number(self) -> int:
        """Of the frame."""

    @property
    def digest(self) -> int:
        """Of its unit."""

    @property
    def size(self) -> int:
        """Bytes of memory that it takes, about."""

    def pack(self) -> bytes:
        """As bytes, for a state."""


F = TypeVar("F", bound=KeptFrame)


def digest_of(unit: bytes | memoryview) -> int:
    """CRC-32C of a unit and so, as it holds that of the one it refers to, of all units up to it since its key.

    Its own checksums are left out: behind one, a CRC is the same whatever came before.
    """
    size = header_size(unit)
    return _native.crc32c(unit[size:-CRC_BYTES], _native.crc32c(unit[: size - CRC_BYTES]))


def read_number(reader: Reader) -> int:
    """Of a frame. Raises CorruptError."""
    number = reader.varint()
    if number >= MOST_FRAMES:
        raise reader.corrupt(f"frame number {number}")
    return number


def write_reference(distance: int, digest: int) -> bytes:
    """To the frame `distance` before, with the digest of its unit."""
    return varint(distance) + _DIGEST.pack(digest)


def read_reference(reader: Reader, number: int) -> tuple[int, int]:
    """Distance and digest, in the unit of frame `number`. Raises CorruptError."""
    distance = reader.varint()
    if not 1 <= distance <= min(number, KEPT_FRAMES):
        raise reader.corrupt(f"frame {number} refers to the one {distance} before it")
    (digest,) = _DIGEST.unpack(reader.take(_DIGEST.size))
    return distance, digest


class ReferringFrames(SequenceEncoder, Generic[F]):
    """See SequenceEncoder.

    A receiver that says what it has decoded (`acknowledge`) makes the encoder keep the frames that it may name, as far
    back as a unit may refer; after a loss the next unit refers to the newest that it has named, or is a key.
    """

    def __init__(self) -> None:
        self._next = 0
        self._kept: OrderedDict[int, F] = OrderedDict()
        self._acknowledged: set[int] | None = None
        self._begun = 0  # the newest key, or the first frame after a loss: it refers to nothing that may be lost

    def acknowledge(self, number: int) -> None:
        """See SequenceEncoder."""
        if self._acknowledged is None:
            self._acknowledged = set()
        self._acknowledged.add(number)

    def lost(self, number: int) -> None:
        """See SequenceEncoder."""
        arrived = self._acknowledged or set()
        if number < self._begun and number not in arrived:
            return
        arrived.discard(number)
        for unsure in [each for each in self._kept if each not in arrived]:
            del self._kept[unsure]
        self._begun = self._next

    def check_next(self) -> None:
        """Refuse a frame of more than a stream has. Raises InputError."""
        if self._next >= MOST_FRAMES:
            raise InputError(f"a stream has {MOST_FRAMES:,} frames at most: begin another one")

    def newest(self) -> F | None:
        """The newest frame that the one to come may refer to."""
        for number in reversed(self._kept):
            return self._kept[number] if self._next - number <= KEPT_FRAMES else None
        return None

    def keep(self, memory: F, key: bool) -> None:
        """Take a frame for the one that is sent."""
        if self._acknowledged is None:
            self._kept.clear()
        self._kept[memory.number] = memory
        if key:
            self._begun = memory.number
        while memory.number - next(iter(self._kept)) >= KEPT_FRAMES:
            self._kept.popitem(last=False)
        if self._acknowledged is not None:
            self._acknowledged = {each for each in self._acknowledged if each in self._kept}
        self._next = memory.number + 1

    @property
    def next_number(self) -> int:
        """Of the frame to come."""
        return self._next


class ReferringUnits(SequenceDecoder, Generic[F]):
    """See SequenceDecoder: keeps the newest frames, KEPT_FRAMES of them or fewer."""

    def __init__(self) -> None:
        self._kept: dict[int, F] = {}

    @staticmethod
    @abstractmethod
    def unpacked(data: bytes) -> F:
        """What `KeptFrame.pack` gave. Raises InputError for anything else."""

    def keep(self, memory: F, key: bool) -> None:
        """Take a frame that is decoded."""
        there = self._kept.get(memory.number)
        if key and (there is None or there.digest != memory.digest):  # else the same unit came twice
            self._kept = {number: each for number, each in self._kept.items() if number < memory.number}
        self._kept[memory.number] = memory
        if len(self._kept) > (self.kept_frames or KEPT_FRAMES):
            del self._kept[min(self._kept)]

    def reference(self, number: int, distance: int, digest: int) -> F:
        """The frame that frame `number` refers to. Raises MissingReferenceError."""
        wanted = number - distance
        found = self._kept.get(wanted)
        if found is None or found.digest != digest:
            why = "was not decoded here" if found is None else "is another one here"
            raise MissingReferenceError(
                f"frame {number} refers to frame {wanted}, which {why}: a unit was lost or is out of order; go on with "
                "the next key, or ask the encoder for one"
            )
        return found

    @property
    def size(self) -> int:
        """See SequenceDecoder."""
        return sum(memory.size for memory in self._kept.values())

    def state(self) -> bytes:
        """See SequenceDecoder."""
        packed = [memory.pack() for memory in self._kept.values()]
        return b"".join(varint(len(each)) + each for each in packed)

    def restore(self, state: bytes) -> None:
        """See SequenceDecoder."""
        reader, kept = Reader(memoryview(state), "state"), dict[int, F]()
        try:
            while reader.left:
                memory = self.unpacked(reader.take(reader.varint()))
                kept[memory.number] = memory
        except BitstreamError as error:
            raise InputError(f"this is no state of a StreamDecoder: {error}") from error
        if len(kept) > KEPT_FRAMES:
            raise InputError(f"this is no state of a StreamDecoder: {len(kept)} frames, it keeps {KEPT_FRAMES}")
        self._kept = kept
