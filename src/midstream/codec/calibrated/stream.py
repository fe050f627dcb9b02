"""The bitstream of the codec `calibrated`: its header, and one chunk. docs/format.md, "Codec 1", is normative."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from midstream.codec import container
from midstream.codec.calibrated.document import MOST_GROUPS
from midstream.codec.calibrated.profile import HASH_BYTES, Profile
from midstream.codec.calibrated.transform import Size
from midstream.codec.wire import Reader, varint
from midstream.errors import CorruptError, InputError, LimitError, UnsupportedError
from midstream.features import DTYPES
from midstream.limits import Limits

CODEC, NUMBER = "calibrated", 1
#: Of the units of its streams: midstream.codec.temporal.
STREAM_NUMBER = 2
_EMBEDDED = 1
#: Flags of what is listed of the levels, here and in units of streams: sizes and element types that are not the usual.
SIZES, TYPES = 2, 4
_FLAGS = _EMBEDDED | SIZES | TYPES
_DTYPE_NAMES = tuple(DTYPES)
_DEFAULT_TYPE = _DTYPE_NAMES[0]


@dataclass(frozen=True)
class StreamHeader:
    """What a stream says before its chunk.

    Attributes:
        key: of the profile that made it, [8].
        step: index of the step of the finest importance class.
        sizes: (H, W) of each level in the pyramid's order; None where they are the profile's.
        dtypes: of each level in that order; None where all are float32.
        streams: bytes of each group's stream.
        profile_bytes: of the embedded profile, 0 for none.
        header_bytes: of the header with its checksum.
    """

    key: bytes
    step: int
    sizes: tuple[Size, ...] | None
    dtypes: tuple[str, ...] | None
    streams: tuple[int, ...]
    profile_bytes: int
    header_bytes: int

    @property
    def total(self) -> int:
        """Size of the whole bitstream."""
        return self.header_bytes + self.profile_bytes + sum(self.streams) + container.CRC_BYTES


def write_stream(
    profile: Profile,
    step: int,
    sizes: Mapping[str, Size],
    dtypes: Mapping[str, str],
    streams: Sequence[bytes],
    embed: bool,
) -> bytes:
    """The bitstream of coded groups; sizes and element types by level name."""
    listed, shapes = write_shapes(profile, sizes, dtypes)
    flags = listed | embed * _EMBEDDED
    body = profile.key + bytes([flags, step]) + shapes + write_sizes(streams)
    if embed:
        body += varint(len(profile.data))
    header = container.write_header(NUMBER, body)
    return b"".join([header, *container.sealed([*([profile.data] if embed else []), *streams])])


def write_shapes(profile: Profile, sizes: Mapping[str, Size], dtypes: Mapping[str, str]) -> tuple[int, bytes]:
    """Flags, and what they announce, of sizes and element types by level name where they are not the usual ones."""
    order = profile.about.order
    usual = profile.sizes
    flags = 0
    extra = bytearray()
    if any(sizes[name] != usual[name] for name in order):
        flags |= SIZES
        for name in order:
            extra += varint(sizes[name][0]) + varint(sizes[name][1])
    if any(dtypes[name] != _DEFAULT_TYPE for name in order):
        flags |= TYPES
        extra += bytes(_DTYPE_NAMES.index(dtypes[name]) for name in order)
    return flags, varint(len(order)) + bytes(extra) if extra else b""


def write_sizes(streams: Sequence[bytes]) -> bytes:
    """How many groups there are, and the bytes of each."""
    return varint(len(streams)) + b"".join(varint(len(stream)) for stream in streams)


def read_stream_header(opened: container.Opened, limits: Limits, present: int) -> StreamHeader:
    """The header of a stream of `present` bytes. Raises TruncatedError, CorruptError, UnsupportedError, LimitError."""
    header = read_fields(opened, limits)
    container.check_total(header.total, limits, present)
    return header


def read_fields(opened: container.Opened, limits: Limits) -> StreamHeader:
    """The header alone, whatever follows it. Raises CorruptError, UnsupportedError, LimitError."""
    reader = opened.reader
    key, flags, step = reader.take(HASH_BYTES), reader.u8(), reader.u8()
    if flags & ~_FLAGS:
        raise UnsupportedError(f"header: unknown flags {flags:#04x}; a newer release wrote this")
    sizes, dtypes = read_shapes(reader, flags, limits)
    streams = read_sizes(reader)
    embedded = reader.varint() if flags & _EMBEDDED else 0
    if flags & _EMBEDDED and not embedded:
        raise reader.corrupt("an embedded profile of no bytes")
    reader.end()
    return StreamHeader(key, step, sizes, dtypes, streams, embedded, opened.size)


def read_shapes(reader: Reader, flags: int, limits: Limits) -> tuple[tuple[Size, ...] | None, tuple[str, ...] | None]:
    """What `write_shapes` announced: sizes and element types of each level, None for the usual ones."""
    sizes: tuple[Size, ...] | None = None
    dtypes: tuple[str, ...] | None = None
    if flags & (SIZES | TYPES):
        count = reader.varint()
        limits.check(levels=count)
        if flags & SIZES:
            sizes = tuple((_side(reader), _side(reader)) for _ in range(count))
        if flags & TYPES:
            dtypes = tuple(_type(reader.u8()) for _ in range(count))
    return sizes, dtypes


def read_sizes(reader: Reader) -> tuple[int, ...]:
    """The bytes of each group."""
    groups = reader.varint()
    if not 1 <= groups <= MOST_GROUPS:
        raise reader.corrupt(f"{groups} groups of levels")
    return tuple(reader.varint() for _ in range(groups))


def _side(reader: Reader) -> int:
    side = reader.varint()
    if side < 1:
        raise reader.corrupt("a level without elements")
    return side


def _type(number: int) -> str:
    if number >= len(_DTYPE_NAMES):
        raise UnsupportedError(f"header: element type number {number}")
    return _DTYPE_NAMES[number]


def read_chunk(data: memoryview, header: StreamHeader) -> tuple[bytes, list[memoryview]]:
    """The embedded profile (empty without one) and the streams of the groups. Raises CorruptError."""
    content = container.unsealed(data[header.header_bytes :], "chunk")
    embedded = bytes(content[: header.profile_bytes])
    return embedded, container.divided(content[header.profile_bytes :], header.streams)


def profile_for(key: bytes, embedded: bytes, given: Profile | None) -> Profile:
    """The profile that a stream needs: its own, or the one given.

    Raises:
        InputError: none is there, or another one was given.
        CorruptError: the embedded one is not the stream's.
    """
    if embedded:
        try:
            own = Profile.parse(embedded, "the embedded profile")
        except InputError as error:
            raise CorruptError(str(error)) from error
        if own.key != key:
            raise CorruptError(f"the embedded profile is {own.name}, the stream was made with {key.hex()}")
        return own
    if given is None:
        raise InputError(
            f"this bitstream was made with the profile {key.hex()}, which decoding needs: give it (--profile, "
            "or profile= in Python); images that were encoded with --embed hold theirs"
        )
    if given.key != key:
        raise InputError(f"this bitstream was made with the profile {key.hex()}, the one given is {given.name}")
    return given


def _check_limits(profile: Profile, sizes: Mapping[str, Size], limits: Limits) -> None:
    """Of what a profile, which may come with the stream, makes of the header. Raises LimitError."""
    channels = profile.channels
    elements = sum(channels[name] * height * width for name, (height, width) in sizes.items())
    limits.check(levels=len(channels), channels=channels, elements=elements)
    values = profile.transform_size
    if values > limits.values:
        raise LimitError(f"{values} values in the profile's transforms; the limit is {limits.values}")


class Shapes(Protocol):
    """What a header says of levels: see StreamHeader."""

    @property
    def sizes(self) -> tuple[Size, ...] | None: ...  # noqa: D102
    @property
    def dtypes(self) -> tuple[str, ...] | None: ...  # noqa: D102
    @property
    def streams(self) -> tuple[int, ...]: ...  # noqa: D102


def stream_shape(header: Shapes, profile: Profile, limits: Limits) -> tuple[Mapping[str, Size], dict[str, str]]:
    """Sizes and element types of the levels by name. Raises CorruptError, LimitError."""
    order = profile.about.order
    for listed in (header.sizes, header.dtypes):
        if listed is not None and len(listed) != len(order):
            raise CorruptError(f"header: {len(listed)} levels, the profile has {len(order)}")
    if len(header.streams) != len(profile.groups):
        raise CorruptError(f"header: {len(header.streams)} groups, the profile has {len(profile.groups)}")
    sizes: Mapping[str, Size] = profile.sizes if header.sizes is None else dict(zip(order, header.sizes, strict=True))
    _check_limits(profile, sizes, limits)
    dtypes = (
        dict.fromkeys(order, _DEFAULT_TYPE) if header.dtypes is None else dict(zip(order, header.dtypes, strict=True))
    )
    return sizes, dtypes
