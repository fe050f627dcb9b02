"""Levels of int8 and uint8, which quantised networks have: 256 symbols that are the values, and no side information.

`dense` takes symbols one by one in the order of their likelihood, which is right for few and hopeless for 256: it codes
two maps of 16 for each channel, of the upper and the lower half of the bits (docs/method.md, "Whole numbers").
"""

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
from midstream.codec.paper.symbols import Symbols, decode_maps, encode_maps, symbol_costs
from midstream.codec.wire import Buffer, Reader
from midstream.errors import CorruptError, OptionError
from midstream.features import INTEGERS, Level

#: The symbol of a zero of int8, so that symbols are in the order of the values.
_MIDDLE = 128
#: The coder that has halves, and their symbols.
_HALVED, _HALF = "dense", 16


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
    maps = [symbols[group] for group in channel_groups(shape)]
    if coder == _HALVED:
        return encode_maps(coder, [_halves(each) for each in maps], _HALF)
    return encode_maps(coder, maps, MAX_SYMBOLS)


def _halves(symbols: Symbols) -> Symbols:
    """Of symbols [C, H, W] the upper four bits of each channel, then the lower ones, [2 C, H, W]."""
    halves = np.stack([symbols >> 4, symbols & 15], axis=1).reshape(-1, *symbols.shape[1:])
    return np.asarray(halves, np.uint8)


def _whole(halves: Symbols) -> Symbols:
    """What `_halves` had."""
    return np.asarray(halves[0::2] << 4 | halves[1::2], np.uint8)


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

    def symbols(self, numbers: Sequence[int]) -> Symbols:
        """See LevelReader."""
        if self.coder != _HALVED:
            return super().symbols(numbers)
        streams = [self.streams[i] for i in numbers]
        counts = [2 * (self.groups[i].stop - self.groups[i].start) for i in numbers]
        what = f"level '{self.header.name}'"
        return _whole(decode_maps(self.coder, _HALF, streams, counts, self.header.shape[1:], what))

    def costs(self, number: int, symbols: Symbols) -> NDArray[np.float32]:
        """See LevelReader."""
        if self.coder != _HALVED:
            return super().costs(number, symbols)
        what = f"level '{self.header.name}'"
        found = symbol_costs(self.coder, _HALF, self.streams[number], _halves(symbols), what)
        return np.asarray(found[0::2] + found[1::2])

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
