"""The units of a stream: a header, and one chunk. docs/format.md, "Codec 2", is normative."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from midstream.codec import container
from midstream.codec.calibrated.profile import HASH_BYTES, Profile
from midstream.codec.calibrated.stream import (
    SIZES,
    STREAM_NUMBER,
    TYPES,
    read_shapes,
    read_sizes,
    write_shapes,
    write_sizes,
)
from midstream.codec.calibrated.transform import Size
from midstream.codec.chain import read_number, read_reference, write_reference
from midstream.codec.wire import varint
from midstream.errors import UnsupportedError
from midstream.limits import Limits

CODEC = "temporal"
_KEY = 1


@dataclass(frozen=True)
class UnitHeader:
    """What a unit says before its chunk.

    Attributes:
        number: of the frame in its stream, from 0.
        step: index of the step of the finest importance class.
        profile: hash of the profile, [8], of a key; None of a unit that refers to another one.
        sizes, dtypes: of a key, as StreamHeader has them.
        distance: how many frames back the one lies that it refers to; 0 of a key.
        digest: of the unit of that one.
        streams: bytes of each group's stream.
        header_bytes: of the header with its checksum.
    """

    number: int
    step: int
    profile: bytes | None
    sizes: tuple[Size, ...] | None
    dtypes: tuple[str, ...] | None
    distance: int
    digest: int
    streams: tuple[int, ...]
    header_bytes: int

    @property
    def total(self) -> int:
        """Size of the whole unit."""
        return self.header_bytes + sum(self.streams) + container.CRC_BYTES


def write_key(
    profile: Profile,
    number: int,
    step: int,
    sizes: Mapping[str, Size],
    dtypes: Mapping[str, str],
    streams: Sequence[bytes],
) -> bytes:
    """The unit of a frame that stands alone; sizes and element types by level name."""
    flags, shapes = write_shapes(profile, sizes, dtypes)
    return _written(flags | _KEY, step, number, profile.key + shapes, streams)


def write_predicted(number: int, step: int, distance: int, digest: int, streams: Sequence[bytes]) -> bytes:
    """The unit of a frame that refers to the one `distance` before it."""
    return _written(0, step, number, write_reference(distance, digest), streams)


def _written(flags: int, step: int, number: int, own: bytes, streams: Sequence[bytes]) -> bytes:
    body = bytes([flags, step]) + varint(number) + own + write_sizes(streams)
    return b"".join([container.write_header(STREAM_NUMBER, body), *container.sealed(streams)])


def read_unit_header(opened: container.Opened, limits: Limits, present: int) -> UnitHeader:
    """The header of a unit of `present` bytes. Raises TruncatedError, CorruptError, UnsupportedError, LimitError."""
    header = read_unit_fields(opened, limits)
    container.check_total(header.total, limits, present)
    return header


def read_unit_fields(opened: container.Opened, limits: Limits) -> UnitHeader:
    """The header alone, whatever follows it. Raises CorruptError, UnsupportedError, LimitError."""
    reader = opened.reader
    flags, step = reader.u8(), reader.u8()
    key = bool(flags & _KEY)
    if flags & ~(_KEY | SIZES | TYPES) or (flags and not key):
        raise UnsupportedError(f"header: unknown flags {flags:#04x}; a newer release wrote this")
    number = read_number(reader)
    profile: bytes | None = None
    sizes: tuple[Size, ...] | None = None
    dtypes: tuple[str, ...] | None = None
    distance = digest = 0
    if key:
        profile = reader.take(HASH_BYTES)
        sizes, dtypes = read_shapes(reader, flags, limits)
    else:
        distance, digest = read_reference(reader, number)
    streams = read_sizes(reader)
    reader.end()
    return UnitHeader(number, step, profile, sizes, dtypes, distance, digest, streams, opened.size)


def read_unit_chunk(data: memoryview, header: UnitHeader) -> list[memoryview]:
    """The streams of the groups. Raises CorruptError."""
    return container.divided(container.unsealed(data[header.header_bytes :], "chunk"), header.streams)
