"""The units of a stream of `paper`: a header, and one chunk. docs/format.md, "Codec 3", is normative."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from midstream.codec import container
from midstream.codec.chain import read_number, read_reference, write_reference
from midstream.codec.paper.header import LevelHeader, read_levels, write_levels
from midstream.codec.paper.parameters import Parameters, Rule, read_parameters
from midstream.codec.wire import Buffer, Reader, varint, write_elements
from midstream.errors import UnsupportedError
from midstream.features import DTYPES
from midstream.limits import Limits

#: Of the codec, in the bitstream.
STREAM_NUMBER = 3
#: What writes the symbols.
CODER = "dense"
_KEY = 1


@dataclass(frozen=True)
class PaperUnit:
    """What a unit says before its chunk.

    Attributes:
        number: of the frame in its stream, from 0.
        distance: how many frames back the one lies that it refers to; 0 of a key.
        digest: of the unit of that one.
        levels: of a key; of another unit none.
        sizes: bytes of side information and of payload, by level.
        parameters: of a key, what the header says of the quantiser; of another unit what differs from its key.
        header_bytes: of the header with its checksum.
    """

    number: int
    distance: int
    digest: int
    levels: tuple[LevelHeader, ...]
    sizes: tuple[tuple[int, int], ...]
    parameters: bytes
    header_bytes: int

    @property
    def key(self) -> bool:
        """Whether it stands alone."""
        return self.distance == 0

    @property
    def total(self) -> int:
        """Size of the whole unit."""
        return self.header_bytes + sum(map(sum, self.sizes)) + container.CRC_BYTES

    def levels_after(self, before: Sequence[LevelHeader]) -> tuple[LevelHeader, ...]:
        """The levels of a unit that refers to a frame with these. Raises CorruptError."""
        if len(before) != len(self.sizes):
            raise Reader(b"", "header").corrupt(
                f"{len(self.sizes)} levels where the frame referred to has {len(before)}"
            )
        return tuple(
            replace(level, side_bytes=side, payload_bytes=payload)
            for level, (side, payload) in zip(before, self.sizes, strict=True)
        )


def write_paper_unit(
    number: int,
    reference: tuple[int, int] | None,
    levels: Sequence[LevelHeader],
    parameters: Parameters,
    chunk: Sequence[Buffer],
) -> bytes:
    """The unit of a frame.

    Args:
        number: of the frame.
        reference: distance and digest of the frame that it refers to; None for a key.
        levels: with the sizes of their parts of the chunk.
        parameters: with the thresholds that were used.
        chunk: side information and payload of each level, in pieces.
    """
    if reference is None:
        body = bytes([_KEY]) + varint(number) + write_levels(levels) + parameters.write(parameters.thresholds)
    else:
        body = b"\0" + varint(number) + write_reference(*reference) + varint(len(levels))
        body += b"".join(varint(level.side_bytes) + varint(level.payload_bytes) for level in levels)
        if parameters.rule is Rule.lloyd_max:
            body += write_elements(np.asarray(parameters.thresholds, np.float32), DTYPES["float32"])
    return b"".join([container.write_header(STREAM_NUMBER, body), *container.sealed(chunk)])


def read_paper_unit(opened: container.Opened, limits: Limits, present: int) -> PaperUnit:
    """The header of a unit of `present` bytes. Raises TruncatedError, CorruptError, UnsupportedError, LimitError."""
    unit = read_paper_fields(opened, limits)
    container.check_total(unit.total, limits, present)
    return unit


def read_paper_fields(opened: container.Opened, limits: Limits) -> PaperUnit:
    """The header alone, whatever follows it. Raises CorruptError, UnsupportedError, LimitError."""
    reader = opened.reader
    flags = reader.u8()
    if flags & ~_KEY:
        raise UnsupportedError(f"header: unknown flags {flags:#04x}; a newer release wrote this")
    number = read_number(reader)
    distance = digest = 0
    levels: tuple[LevelHeader, ...] = ()
    if flags & _KEY:
        levels = read_levels(reader, limits)
        sizes = [(level.side_bytes, level.payload_bytes) for level in levels]
    else:
        distance, digest = read_reference(reader, number)
        sizes = _read_sizes(reader, limits)
    return PaperUnit(number, distance, digest, levels, tuple(sizes), reader.take(reader.left), opened.size)


def _read_sizes(reader: Reader, limits: Limits) -> list[tuple[int, int]]:
    count = reader.varint()
    if count < 1:
        raise reader.corrupt("no levels")
    limits.check(levels=count)
    return [(reader.varint(), reader.varint()) for _ in range(count)]


def parameters_of(unit: PaperUnit, before: Parameters | None) -> Parameters:
    """The parameters of a unit, with those of the frame it refers to. Raises CorruptError, UnsupportedError."""
    if before is None:
        found = read_parameters(unit.parameters)
        if found.coder != CODER:
            raise UnsupportedError(f"the coder {found.coder} in a stream; this release knows {CODER}")
        return found
    reader = Reader(unit.parameters, "header")
    if before.rule is not Rule.lloyd_max:
        reader.end()
        return before
    thresholds = reader.elements(DTYPES["float32"], before.symbols - 1)
    reader.end()
    if (thresholds[1:] <= thresholds[:-1]).any():
        raise reader.corrupt("thresholds that do not increase")
    return replace(before, thresholds=tuple(map(float, thresholds)))


def read_paper_chunk(
    data: memoryview, unit: PaperUnit, levels: Sequence[LevelHeader]
) -> list[tuple[memoryview, memoryview]]:
    """Side information and payload of each level. Raises CorruptError."""
    content = container.unsealed(data[unit.header_bytes :], "chunk")
    parts = container.divided(content, [size for level in levels for size in (level.side_bytes, level.payload_bytes)])
    return list(zip(parts[::2], parts[1::2], strict=True))
