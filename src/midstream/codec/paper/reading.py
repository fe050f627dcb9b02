"""Decode the codec `paper`: the side information of each level, then its symbols when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from midstream import _native
from midstream.codec.paper.groups import channel_groups, in_pairs
from midstream.codec.paper.header import LevelHeader
from midstream.codec.paper.parameters import Parameters
from midstream.codec.paper.side import Side
from midstream.codec.paper.symbols import Symbols, count_symbols, decode_maps, symbol_costs
from midstream.codec.threads import run, thread_count
from midstream.codec.wire import Reader


@dataclass(frozen=True)
class LevelReader:
    """One level of a bitstream, its side information read; the symbols are decoded when asked for.

    Attributes:
        header: of the level.
        coder: of the symbols.
        active: bool [C], the channels that are not constant.
        held: float32 [K], the values of those that are.
        table: float32 [C', n], what each symbol stands for in each channel that is not constant.
        streams: one for each of `groups`.
        groups: of channels with at least one that is not constant.
    """

    header: LevelHeader
    coder: str
    active: NDArray[np.bool_] = field(repr=False)
    held: NDArray[np.float32] = field(repr=False)
    table: NDArray[np.float32] = field(repr=False)
    streams: list[memoryview] = field(repr=False)
    groups: list[slice] = field(repr=False)

    @classmethod
    def of(cls, header: LevelHeader, parameters: Parameters, side: memoryview, payload: memoryview) -> LevelReader:
        """Read the side information. Raises CorruptError where it contradicts docs/format.md."""
        reader = Reader(side, _what(header))
        found = Side.read(reader, header.dtype, header.shape[0], parameters)
        groups = groups_with_symbols(header.shape, found)
        streams = cut_payload(reader, payload, len(groups))
        table = found.table(parameters.symbols)
        return cls(header, parameters.coder, found.active, found.held, table, streams, groups)

    def tasks(self) -> list[Sequence[int]]:
        """Numbers of streams that are decoded together: two, which `fast` decodes faster than one."""
        return in_pairs(range(len(self.streams)))

    def channels(self, numbers: Sequence[int]) -> NDArray[np.int64]:
        """The channels in these streams."""
        first, last = self.groups[numbers[0]].start, self.groups[numbers[-1]].stop
        return np.flatnonzero(self.active[first:last]) + np.int64(first)

    def symbols(self, numbers: Sequence[int]) -> Symbols:
        """Symbols [C'', H, W] of these streams. Raises CorruptError."""
        counts = [int(self.active[self.groups[i]].sum()) for i in numbers]
        streams = [self.streams[i] for i in numbers]
        size = self.header.shape[1:]
        return decode_maps(self.coder, self.table.shape[1], streams, counts, size, _what(self.header))

    def counts(self) -> NDArray[np.int64]:
        """Occurrences [n] of each symbol in the whole level. Raises CorruptError."""
        n = self.table.shape[1]
        parts = [count_symbols(self.symbols(numbers).reshape(-1), n) for numbers in self.tasks()]
        return np.asarray(sum(parts, np.zeros(n, np.int64)), np.int64)

    def channel_costs(self, channel: int) -> tuple[Symbols, NDArray[np.float32]] | None:
        """Symbols [H, W] of one channel and the bits that each takes; None for a constant channel.

        Raises:
            CorruptError: the stream does not decode.
        """
        if not self.active[channel]:
            return None
        number = next(i for i, group in enumerate(self.groups) if group.start <= channel < group.stop)
        symbols = self.symbols([number])
        costs = self.costs(number, symbols)
        place = int(np.flatnonzero(self.channels([number]) == channel)[0])
        return symbols[place], costs[place]

    def costs(self, number: int, symbols: Symbols) -> NDArray[np.float32]:
        """Bits that each of the symbols [C'', H, W] of a stream takes in it. Raises CorruptError."""
        return symbol_costs(self.coder, self.table.shape[1], self.streams[number], symbols, _what(self.header))

    def empty(self) -> NDArray[Any]:
        """[C, H * W], of which the constant channels are filled."""
        channels, height, width = self.header.shape
        values: NDArray[Any] = _native.empty_floats(channels, height * width)
        values[~self.active] = self.held[:, None]
        return values

    def fill(self, numbers: Sequence[int], out: NDArray[Any]) -> None:
        """Decode these streams into their channels of `out` [C, H * W]. Raises CorruptError."""
        channels = self.channels(numbers)
        before = int(self.active[: channels[0]].sum())
        table = self.table[before : before + len(channels)]
        _native.reconstruct(self.symbols(numbers).reshape(len(channels), -1), table, out, channels)


def decode_levels(readers: Sequence[LevelReader], threads: int | None) -> list[NDArray[Any]]:
    """Each level [C, H, W]: float32, not beyond the finite range of the level's own element type, or whole numbers.

    Raises:
        CorruptError: a chunk contradicts docs/format.md.
        InputError: an unusable number of threads.
    """
    count = thread_count(threads, sum(reader.header.elements for reader in readers))
    out = [reader.empty() for reader in readers]
    tasks = [(reader, numbers, o) for reader, o in zip(readers, out, strict=True) for numbers in reader.tasks()]
    run(lambda task: task[0].fill(task[1], task[2]), tasks, count)
    return [values.reshape(reader.header.shape) for reader, values in zip(readers, out, strict=True)]


def begin_on(device: Any, readers: Sequence[LevelReader], threads: int | None) -> Callable[[], list[Any]]:
    """Decode the symbols of each level; what is returned makes of them tensors [C, H, W] on a device of torch's.

    Raises:
        CorruptError: a chunk contradicts docs/format.md.
        InputError: an unusable number of threads.
    """
    from midstream.codec.paper.device_values import level_on  # imports torch

    count = thread_count(threads, sum(reader.header.elements for reader in readers))
    tasks = [(reader, numbers) for reader in readers for numbers in reader.tasks()]
    decoded = run(lambda task: task[0].symbols(task[1]), tasks, count)
    maps = [[found for (owner, _), found in zip(tasks, decoded, strict=True) if owner is reader] for reader in readers]
    return lambda: [level_on(device, reader, own) for reader, own in zip(readers, maps, strict=True)]


def _what(header: LevelHeader) -> str:
    return f"level '{header.name}'"


def groups_with_symbols(shape: tuple[int, int, int], side: Side) -> list[slice]:
    """The groups of channels of a level with at least one that is not constant."""
    return [group for group in channel_groups(shape) if not side.constant[group].all()]


def cut_payload(reader: Reader, payload: memoryview, count: int) -> list[memoryview]:
    """The payload's streams, by the sizes that end the side information: of each but the last, which has the rest."""
    if count == 0 and len(payload):
        raise reader.corrupt("a payload where every channel is constant")
    sizes = [reader.varint() for _ in range(count - 1)]
    reader.end()
    last = len(payload) - sum(sizes)
    if last < 0:
        raise reader.corrupt("streams of more bytes than the payload has")
    edges = np.cumsum([0, *sizes, last]).tolist()
    return [payload[a:b] for a, b in pairwise(edges)] if count else []
