"""Levels of int8 and uint8, which quantised networks have: 256 symbols that are the values, and no side information."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from midstream.codec.paper.groups import channel_groups
from midstream.codec.paper.header import LevelHeader
from midstream.codec.paper.parameters import Parameters, Rule
from midstream.codec.paper.quantize import MAX_SYMBOLS
from midstream.codec.paper.reading import LevelReader, cut_payload
from midstream.codec.paper.symbols import Symbols, encode_maps
from midstream.codec.wire import Buffer, Reader
from midstream.errors import CorruptError, OptionError
from midstream.features import INTEGERS, Level

#: The symbol of a zero of int8, so that symbols are in the order of the values.
_MIDDLE = 128


def is_whole(level: Level | LevelHeader) -> bool:
    """Whether its elements are whole numbers, coded without loss."""
    return level.dtype in INTEGERS


def whole_parameters(coder: str) -> Parameters:
    """Of a bitstream all of whose levels are whole numbers."""
    return Parameters(MAX_SYMBOLS, Rule.whole, coder)


def check_options(given: Sequence[str], symbols: int | None) -> None:
    """Refuse options of a quantiser where nothing is quantised. Raises OptionError."""
    wrong = [name for name in given if name != "coder" and not (name == "symbols" and symbols == MAX_SYMBOLS)]
    if wrong:
        raise OptionError(f"`{wrong[0]}` is for floats: int8 and uint8 are coded without loss, with `coder` alone")


def encode_whole(level: Level, coder: str) -> list[Buffer]:
    """A stream for each group of the level's channels."""
    shape, low = level.shape, _MIDDLE if level.dtype == "int8" else 0
    symbols = (level.values + np.float32(low)).astype(np.uint8).reshape(shape)
    return encode_maps(coder, [symbols[group] for group in channel_groups(shape)], MAX_SYMBOLS)


def check_rule(levels: Sequence[LevelHeader], parameters: Parameters) -> None:
    """Refuse a bitstream whose parameters say something else than its element types. Raises CorruptError."""
    if all(map(is_whole, levels)) != (parameters.rule is Rule.whole):
        raise CorruptError("header: the threshold rule does not fit the levels' element types")


@dataclass(frozen=True)
class WholeReader(LevelReader):
    """See LevelReader; there is no table, and no channel is taken for a constant one."""

    @classmethod
    def of(cls, header: LevelHeader, parameters: Parameters, side: memoryview, payload: memoryview) -> WholeReader:
        """See LevelReader."""
        groups = channel_groups(header.shape)
        streams = cut_payload(Reader(side, f"level '{header.name}'"), payload, len(groups))
        nothing = np.zeros((0, MAX_SYMBOLS), np.float32)
        active = np.ones(header.shape[0], np.bool_)
        return cls(header, parameters.coder, active, nothing[:, 0], nothing, streams, groups)

    def empty(self) -> NDArray[Any]:
        """See LevelReader."""
        channels, height, width = self.header.shape
        return np.empty((channels, height * width), INTEGERS[self.header.dtype])

    def fill(self, numbers: Sequence[int], out: NDArray[Any]) -> None:
        """See LevelReader."""
        symbols: Symbols = self.symbols(numbers)
        if self.header.dtype == "int8":
            symbols = symbols ^ np.uint8(_MIDDLE)  # less the middle, modulo 256
        channels = slice(self.groups[numbers[0]].start, self.groups[numbers[-1]].stop)
        out[channels] = symbols.view(out.dtype).reshape(len(symbols), -1)
