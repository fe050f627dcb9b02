"""What a bitstream of `paper` holds and where its bytes go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from midstream.codec.base import StreamInfo, Table
from midstream.codec.container import VERSION
from midstream.codec.paper.header import Header, LevelHeader
from midstream.codec.paper.parameters import Parameters
from midstream.codec.paper.reading import LevelReader

#: Of a list, in a table.
_SHOWN = 8


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


@dataclass(frozen=True, kw_only=True)
class PaperInfo(StreamInfo):
    """Of `paper`: every byte is in exactly one of header, side, payload and checksum bytes.

    Attributes:
        options: as `encode` takes them.
        thresholds: in the normalised domain; none for `range`.
        levels: in the pyramid's order.
        side_share: side information as a share of `total_bytes`, 0 to 1.
    """

    options: dict[str, Any]
    thresholds: list[float]
    levels: list[LevelInfo]
    elements: int
    side_bytes: int
    side_share: float
    bits_per_element: float

    @classmethod
    def of(cls, header: Header, parameters: Parameters, readers: Mapping[str, LevelReader]) -> PaperInfo:
        """From a header; `readers` of the levels whose symbols are to be decoded."""
        levels = [_level_info(level, parameters.coder, readers.get(level.name)) for level in header.levels]
        elements = sum(level.elements for level in levels)
        side = sum(level.side_bytes for level in levels)
        return cls(
            version=VERSION,
            codec="paper",
            shapes={level.name: level.shape for level in header.levels},
            options=parameters.describe(),
            thresholds=list(parameters.fixed_thresholds()),
            levels=levels,
            elements=elements,
            header_bytes=header.size,
            side_bytes=side,
            payload_bytes=sum(level.payload_bytes for level in levels),
            checksum_bytes=sum(level.checksum_bytes for level in levels),
            total_bytes=header.total,
            bits_per_element=8 * header.total / elements,
            side_share=side / header.total,
        )

    def table(self) -> Table:
        """See StreamInfo."""
        chosen = ", ".join(f"{key} {_short(value)}" for key, value in self.options.items())
        if self.thresholds:
            chosen += f"; thresholds {_short(self.thresholds)}"
        columns = [
            "part", "shape", "type", "coder", "elements", "side info", "payload", "checksum", "bits/element",
            "bits/symbol", "entropy", "raw",
        ]  # fmt: skip
        rows = [["header", "", "", "", "", "", "", f"{self.header_bytes:,} in all", "", "", "", ""]]
        rows += [_row(level) for level in self.levels]
        rows.append(
            [
                "total", f"{self.total_bytes:,} bytes", "", "", f"{self.elements:,}",
                f"{self.side_bytes:,} ({self.side_share:.1%})", f"{self.payload_bytes:,}", f"{self.checksum_bytes:,}",
                f"{self.bits_per_element:.3f}", "", "", "",
            ]
        )  # fmt: skip
        return Table(f"bitstream version {self.version}, codec {self.codec}: {chosen}", columns, rows, left=4)


def _level_info(level: LevelHeader, coder: str, reader: LevelReader | None) -> LevelInfo:
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


def _symbol_info(reader: LevelReader, payload_bytes: int) -> SymbolInfo:
    counts = reader.counts()
    total = int(counts.sum())
    return SymbolInfo(total, 8 * payload_bytes / max(total, 1), _entropy(counts), (len(counts) - 1).bit_length())


def _entropy(counts: NDArray[np.int64]) -> float:
    chances = counts[counts > 0] / max(int(counts.sum()), 1)
    return float(-(chances * np.log2(chances)).sum()) + 0.0  # no negative zero


def _row(level: LevelInfo) -> list[str]:
    found = level.symbols
    coded = ["", "", ""] if found is None else [
        f"{found.bits_per_symbol:.3f}", f"{found.entropy:.3f}", f"{found.raw_bits}",
    ]  # fmt: skip
    return [
        level.name, "x".join(map(str, level.shape)), level.dtype, level.coder, f"{level.elements:,}",
        f"{level.side_bytes:,} ({level.side_share:.1%})", f"{level.payload_bytes:,}", f"{level.checksum_bytes:,}",
        f"{level.bits_per_element:.3f}", *coded,
    ]  # fmt: skip


def _short(value: object) -> str:
    if isinstance(value, list):
        shown = [f"{v:.6g}" for v in value[:_SHOWN]]
        return "[" + ", ".join(shown) + (f", ... {len(value)} in all" if len(value) > _SHOWN else "") + "]"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
