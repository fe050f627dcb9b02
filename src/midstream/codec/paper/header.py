"""The header of `paper`: a chunk a level, coarse to fine, so that a prefix is a coarse pyramid (docs/format.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from midstream.cached import cached_property
from midstream.codec.container import CRC_BYTES, Opened, sealed, unsealed, write_header
from midstream.codec.wire import Buffer, Reader, varint
from midstream.errors import CorruptError, LimitError, TruncatedError, UnsupportedError, unknown
from midstream.features import DTYPES, ELEMENT_TYPES
from midstream.limits import Limits

#: Of the codec, in the bitstream.
NUMBER = 0
_DTYPE_NAMES = tuple(ELEMENT_TYPES)


@dataclass(frozen=True)
class LevelHeader:
    """What the header says of one level: its chunk holds `side_bytes`, then `payload_bytes`, then a CRC-32C."""

    name: str
    dtype: str
    shape: tuple[int, int, int]
    side_bytes: int
    payload_bytes: int

    @property
    def elements(self) -> int:
        """C * H * W."""
        channels, height, width = self.shape
        return channels * height * width

    @property
    def chunk_bytes(self) -> int:
        """Size of the chunk with its checksum."""
        return self.side_bytes + self.payload_bytes + CRC_BYTES


@dataclass(frozen=True)
class Header:
    """The header of `paper`: levels in the pyramid's own order and the codec's parameters."""

    levels: tuple[LevelHeader, ...]
    parameters: bytes
    size: int

    @cached_property
    def offsets(self) -> dict[str, int]:
        """Where each level's chunk begins. Chunks lie coarse to fine, so that a prefix is a coarse pyramid."""
        at, places = self.size, {}
        for level in wire_order(self.levels):
            places[level.name] = at
            at += level.chunk_bytes
        return places

    @property
    def total(self) -> int:
        """Size of the whole bitstream."""
        return self.size + sum(level.chunk_bytes for level in self.levels)


def wire_order(levels: tuple[LevelHeader, ...]) -> list[LevelHeader]:
    """By increasing H * W; among equals, the later one in the header first."""
    places = sorted(range(len(levels)), key=lambda i: (levels[i].shape[1] * levels[i].shape[2], -i))
    return [levels[i] for i in places]


def write(levels: tuple[LevelHeader, ...], parameters: bytes, chunks: Mapping[str, Sequence[Buffer]]) -> bytes:
    """The bitstream of these levels; `chunks` holds side information and payload in pieces, by level name."""
    pieces: list[Buffer] = [write_header(NUMBER, write_levels(levels) + parameters)]
    for level in wire_order(levels):
        pieces += sealed(chunks[level.name])
    return b"".join(pieces)


def write_levels(levels: Sequence[LevelHeader]) -> bytes:
    """What the header says of them, for `read_levels`."""
    body = varint(len(levels))
    for level in levels:
        name = level.name.encode()
        body += bytes([len(name)]) + name + bytes([_DTYPE_NAMES.index(level.dtype)])
        body += b"".join(varint(number) for number in (*level.shape, level.side_bytes, level.payload_bytes))
    return body


def read_header(opened: Opened, data: memoryview, limits: Limits, *, partial: bool = False) -> Header:
    """Read and check the rest of a `paper` header, and that the bitstream has exactly the size that it declares.

    Args:
        opened: see `open_stream`.
        data: the bitstream.
        limits: what may be spent.
        partial: the end of the bitstream may be missing.

    Raises:
        TruncatedError, CorruptError, UnsupportedError, LimitError.
    """
    levels = read_levels(opened.reader, limits, len(ELEMENT_TYPES))
    header = Header(levels, opened.reader.take(opened.reader.left), opened.size)
    if len(data) < header.total and not partial:
        raise TruncatedError(f"the bitstream ends after {len(data)} of {header.total} bytes")
    if len(data) > header.total:
        raise CorruptError(f"data follows the end of the bitstream: {len(data)} bytes where it has {header.total}")
    return header


def read_levels(reader: Reader, limits: Limits, types: int = len(DTYPES)) -> tuple[LevelHeader, ...]:
    """What `write_levels` wrote, of the first element types. Raises CorruptError, UnsupportedError, LimitError."""
    count = reader.varint()
    if count < 1:
        raise reader.corrupt("no levels")
    limits.check(levels=count)
    names: set[str] = set()
    return tuple(_read_level(reader, limits, types, names) for _ in range(count))


def _read_level(reader: Reader, limits: Limits, types: int, names: set[str]) -> LevelHeader:
    """A level of a name that is not among `names`, which takes it."""
    try:
        name = reader.take(reader.u8()).decode()
    except UnicodeDecodeError as error:
        raise reader.corrupt("a level name is not UTF-8") from error
    if not name:
        raise reader.corrupt("a level without a name")
    if name in names:
        raise reader.corrupt("two levels have the same name")
    names.add(name)
    dtype = reader.u8()
    if dtype >= types:
        raise UnsupportedError(f"level '{name}': element type number {dtype}")
    shape = (reader.varint(), reader.varint(), reader.varint())
    if 0 in shape:
        raise reader.corrupt(f"level '{name}' is empty")
    level = LevelHeader(name, _DTYPE_NAMES[dtype], shape, reader.varint(), reader.varint())
    limits.check(channels={name: shape[0]})
    if level.chunk_bytes > limits.chunk_bytes:
        raise LimitError(f"level '{name}' has a chunk of {level.chunk_bytes} bytes; the limit is {limits.chunk_bytes}")
    return level


def whole_levels(data: memoryview, header: Header, names: Sequence[str] | None) -> list[str]:
    """Those of the named levels (of all for None) whose chunks are there. Raises TruncatedError if none is."""
    wanted = [level for level in wire_order(header.levels) if names is None or level.name in names]
    ends = {level.name: header.offsets[level.name] + level.chunk_bytes for level in wanted}
    whole = [name for name, end in ends.items() if end <= len(data)]
    if wanted and not whole:
        name, end = next(iter(ends.items()))
        raise TruncatedError(f"no level is whole: of {len(data)} bytes level '{name}' needs {end}")
    return [*whole, *(name for name in names or [] if name not in ends)]


def read_chunk(data: memoryview, header: Header, level: LevelHeader) -> tuple[memoryview, memoryview]:
    """Side information and payload of one level. Raises CorruptError for a wrong checksum."""
    at = header.offsets[level.name]
    content = unsealed(data[at : at + level.chunk_bytes], f"level '{level.name}'")
    return content[: level.side_bytes], content[level.side_bytes :]


def select(levels: Sequence[LevelHeader], names: list[str] | None, symbols: int, limits: Limits) -> list[LevelHeader]:
    """The named levels (all for None) in the pyramid's order, if they are within the limits together."""
    known = [level.name for level in levels]
    for name in names or []:
        if name not in known:
            raise unknown("level", str(name), known)
    wanted = [level for level in levels if names is None or level.name in names]
    values = symbols * sum(level.shape[0] for level in wanted)
    limits.check(elements=sum(level.elements for level in wanted), values=values)
    return wanted
