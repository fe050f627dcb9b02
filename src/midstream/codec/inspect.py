"""What a bitstream holds and where its bytes go."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from midstream.codec import container
from midstream.codec.calibrated.profile import Profile
from midstream.codec.calibrated.stream import (
    StreamHeader,
    profile_for,
    read_chunk,
    read_stream_header,
    stream_shape,
)
from midstream.codec.codec import as_bytes, open_levels
from midstream.codec.paper import coding as paper
from midstream.limits import Limits


@dataclass(frozen=True)
class SymbolInfo:
    """The symbols of one level.

    Attributes:
        symbols: how many are coded: those of the channels that are not constant.
        bits_per_symbol: of the payload; 0 without symbols.
        entropy: order-0 entropy of the level's symbols, in bits: what no coder without context gets below.
        raw_bits: ceil(log2 n), the width of a symbol without coding.
    """

    symbols: int
    bits_per_symbol: float
    entropy: float
    raw_bits: int


@dataclass(frozen=True)
class LevelInfo:
    """One level of a bitstream: bytes of side information, payload and checksum, and bits per element in all.

    Attributes:
        side_share: side information as a share of the chunk, 0 to 1.
        symbols: only when asked for.
    """

    name: str
    shape: tuple[int, int, int]
    dtype: str
    elements: int
    side_bytes: int
    payload_bytes: int
    checksum_bytes: int
    bits_per_element: float
    side_share: float
    coder: str
    symbols: SymbolInfo | None


@dataclass(frozen=True)
class StreamInfo:
    """What `inspect` found; every byte of the bitstream is in exactly one of header, side, payload and checksum bytes.

    Attributes:
        version: of the bitstream.
        codec: its name.
        options: as `encode` takes them.
        thresholds: in the normalised domain; none for `range`.
        levels: in the pyramid's order.
        bits_per_element: of the whole bitstream, header included.
        side_share: side information as a share of `total_bytes`, 0 to 1.
    """

    version: int
    codec: str
    options: dict[str, Any]
    thresholds: list[float]
    levels: list[LevelInfo]
    elements: int
    header_bytes: int
    side_bytes: int
    payload_bytes: int
    checksum_bytes: int
    total_bytes: int
    bits_per_element: float
    side_share: float

    def to_dict(self) -> dict[str, Any]:
        """As plain dictionaries and lists, for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class CalibratedInfo:
    """What `inspect` found in a bitstream of the codec `calibrated`.

    Attributes:
        version: of the bitstream.
        codec: its name.
        profile: hash of the profile that made it, in hexadecimal.
        embedded: whether the profile is in the stream.
        step: index of the finest step; eight are an octave.
        shapes: of the levels by name; None where only the profile knows them and none is at hand.
        dtypes: element types of the levels by name; None as `shapes`.
        group_bytes: of each group's stream.
        profile_bytes: of the embedded profile.
        bits_per_element: of the whole bitstream; None without shapes.
    """

    version: int
    codec: str
    profile: str
    embedded: bool
    step: int
    shapes: dict[str, tuple[int, int, int]] | None
    dtypes: dict[str, str] | None
    group_bytes: list[int]
    header_bytes: int
    profile_bytes: int
    payload_bytes: int
    checksum_bytes: int
    total_bytes: int
    bits_per_element: float | None

    def to_dict(self) -> dict[str, Any]:
        """As plain dictionaries and lists, for JSON."""
        return asdict(self)


def inspect(
    data: bytes | bytearray | memoryview,
    *,
    symbols: bool = False,
    limits: Limits | None = None,
    profile: Profile | str | Path | None = None,
) -> StreamInfo | CalibratedInfo:
    """Say what a bitstream holds and where its bytes go.

    Args:
        data: the whole bitstream.
        symbols: of `paper`, also decode the symbols, for their number and entropy; else the header alone is read.
        profile: of `calibrated`, to know the shapes of the levels where the stream does not hold its profile.
        limits: what may be spent (Limits() by default).

    Raises:
        TruncatedError, CorruptError, UnsupportedError, LimitError: as `decode`.
    """
    view, limits = as_bytes(data), limits or Limits()
    opened = container.open_stream(view)
    if opened.codec != container.PAPER:
        return _calibrated(view, opened, None if profile is None else Profile.of(profile), limits)
    header = container.read_header(opened, view, limits)
    parameters = paper.read_parameters(header.parameters)
    readers = open_levels(data, limits) if symbols else {}
    levels = [_level_info(level, parameters.coder, readers.get(level.name)) for level in header.levels]
    elements = sum(level.elements for level in levels)
    side = sum(level.side_bytes for level in levels)
    return StreamInfo(
        container.VERSION,
        container.PAPER,
        {key: value for key, value in parameters.describe().items() if key != "codec"},
        list(paper.thresholds_of(parameters)),
        levels,
        elements,
        header.size,
        side,
        sum(level.payload_bytes for level in levels),
        sum(level.checksum_bytes for level in levels),
        header.total,
        8 * header.total / elements,
        side / header.total,
    )


@dataclass(frozen=True)
class Declaration:
    """What a bitstream says of itself before any of it is decoded.

    Attributes:
        codec: its name.
        embedded: whether it holds its own profile.
        shapes: [C, H, W] of the levels by name, in the pyramid's order; None where only a profile that was not given,
            or the embedded one, knows them.
    """

    codec: str
    embedded: bool
    shapes: dict[str, tuple[int, int, int]] | None


def declaration(
    data: bytes | bytearray | memoryview, *, limits: Limits | None = None, profile: Profile | None = None
) -> Declaration:
    """Read the header alone: costs microseconds, whatever the bitstream holds.

    An embedded profile and the checksums behind the header are not looked at: `decode` does that.

    Args:
        data: the whole bitstream.
        limits: what may be spent (Limits() by default).
        profile: of `calibrated`, what knows the channels, and the sizes where they are the usual ones.

    Raises:
        TruncatedError, CorruptError, UnsupportedError, LimitError: as `decode`.
        InputError: the bitstream needs another profile.
    """
    view, limits = as_bytes(data), limits or Limits()
    opened = container.open_stream(view)
    if opened.codec == container.PAPER:
        header = container.read_header(opened, view, limits)
        symbols = paper.read_parameters(header.parameters).symbols
        chosen = container.select(header, None, symbols, limits)
        return Declaration(opened.codec, False, {level.name: level.shape for level in chosen})
    fields = read_stream_header(opened, limits, len(view))
    if fields.profile_bytes or profile is None:
        return Declaration(opened.codec, bool(fields.profile_bytes), None)
    return Declaration(opened.codec, False, _shapes(fields, profile_for(fields, b"", profile), limits)[0])


def _shapes(
    header: StreamHeader, profile: Profile, limits: Limits
) -> tuple[dict[str, tuple[int, int, int]], dict[str, str]]:
    sizes, dtypes = stream_shape(header, profile, limits)
    channels = {level.name: level.channels for group in profile.about.groups for level in group.levels}
    return {name: (channels[name], *size) for name, size in sizes.items()}, dtypes


def _calibrated(view: memoryview, opened: container.Opened, profile: Profile | None, limits: Limits) -> CalibratedInfo:
    header = read_stream_header(opened, limits, len(view))
    embedded, streams = read_chunk(view, header)
    known = profile_for(header, embedded, profile) if embedded or profile is not None else None
    shapes = dtypes = None
    if known is not None:
        shapes, dtypes = _shapes(header, known, limits)
    elements = sum(c * h * w for c, h, w in shapes.values()) if shapes else None
    return CalibratedInfo(
        version=container.VERSION,
        codec=opened.codec,
        profile=header.key.hex(),
        embedded=bool(embedded),
        step=header.step,
        shapes=shapes,
        dtypes=dtypes,
        group_bytes=[len(stream) for stream in streams],
        header_bytes=header.header_bytes,
        profile_bytes=header.profile_bytes,
        payload_bytes=sum(header.streams),
        checksum_bytes=container.CRC_BYTES,
        total_bytes=header.total,
        bits_per_element=8 * header.total / elements if elements else None,
    )


def _level_info(level: container.LevelHeader, coder: str, reader: paper.LevelReader | None) -> LevelInfo:
    return LevelInfo(
        level.name,
        level.shape,
        level.dtype,
        level.elements,
        level.side_bytes,
        level.payload_bytes,
        level.chunk_bytes - level.side_bytes - level.payload_bytes,
        8 * level.chunk_bytes / level.elements,
        level.side_bytes / level.chunk_bytes,
        coder,
        None if reader is None else _symbol_info(reader, level.payload_bytes),
    )


def _symbol_info(reader: paper.LevelReader, payload_bytes: int) -> SymbolInfo:
    counts = reader.counts()
    total = int(counts.sum())
    return SymbolInfo(total, 8 * payload_bytes / max(total, 1), _entropy(counts), (len(counts) - 1).bit_length())


def _entropy(counts: NDArray[np.int64]) -> float:
    chances = counts[counts > 0] / max(int(counts.sum()), 1)
    return float(-(chances * np.log2(chances)).sum()) + 0.0  # no negative zero
