"""What a bitstream holds and where its bytes go."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from midstream.codec import container, paper
from midstream.codec.codec import as_bytes, open_levels
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


def inspect(data: bytes | bytearray | memoryview, *, symbols: bool = False, limits: Limits | None = None) -> StreamInfo:
    """Say what a bitstream holds and where its bytes go.

    Args:
        data: the whole bitstream.
        symbols: also decode the symbols, for their number and entropy; else the header alone is read.
        limits: what may be spent (Limits() by default).

    Raises:
        TruncatedError, CorruptError, UnsupportedError, LimitError: as `decode`.
    """
    header = container.read_header(as_bytes(data), limits or Limits())
    parameters = paper.read_parameters(header.parameters)
    readers = open_levels(data, limits) if symbols else {}
    levels = [_level_info(level, parameters.coder, readers.get(level.name)) for level in header.levels]
    elements = sum(level.elements for level in levels)
    side = sum(level.side_bytes for level in levels)
    return StreamInfo(
        container.VERSION,
        header.codec,
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
