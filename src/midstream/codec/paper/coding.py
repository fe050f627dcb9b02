"""The codec `paper`: normalise, quantise, reconstruct, and the side information of each level."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from midstream import _native
from midstream.codec.container import LevelHeader
from midstream.codec.paper import quantize
from midstream.codec.paper.groups import channel_groups, in_tasks
from midstream.codec.paper.intervals import IntervalMeans
from midstream.codec.paper.normalize import ChannelStatistics
from midstream.codec.paper.options import BEST_Z, PaperOptions, Rule
from midstream.codec.paper.symbols import CODERS, Symbols, count_symbols, decode_maps, encode_maps, symbol_costs
from midstream.codec.threads import run, thread_count
from midstream.codec.wire import Buffer, Reader, varint, write_elements
from midstream.errors import UnsupportedError
from midstream.features import DTYPES, Level


@dataclass(frozen=True)
class _Task:
    """Consecutive groups of channels of one level, which are coded together."""

    level: Level
    groups: Sequence[slice]

    @property
    def channels(self) -> slice:
        """All of them."""
        return slice(self.groups[0].start, self.groups[-1].stop)


@dataclass(frozen=True)
class _Coded:
    """What a task gives: statistics of all its channels, counts and sums [C', n] of the others, streams that are."""

    statistics: ChannelStatistics
    counts: NDArray[np.int64]
    sums: NDArray[np.float64]
    streams: list[Buffer]


def encode_levels(
    levels: Sequence[Level], options: PaperOptions, threads: int | None
) -> tuple[bytes, dict[str, tuple[bytes, list[Buffer]]]]:
    """Codec parameters for the header, and side information and streams of every level by name.

    Raises:
        InputError: a NaN or an infinity, or an unusable number of threads.
    """
    count = thread_count(threads, sum(level.values.size for level in levels))
    tasks = [
        _Task(level, groups) for level in levels for groups in in_tasks(channel_groups(level.shape), level.shape, count)
    ]
    thresholds = thresholds_of(options)
    if options.rule is Rule.lloyd_max:
        thresholds = quantize.lloyd_max_thresholds(run(_histogram, tasks, count), options.symbols)
    coded = run(lambda task: _encode_task(task, options, thresholds), tasks, count)
    chunks = {}
    for level in levels:
        parts = [part for task, part in zip(tasks, coded, strict=True) if task.level is level]
        streams = [stream for part in parts for stream in part.streams]
        sizes = b"".join(varint(len(stream)) for stream in streams[:-1])
        chunks[level.name] = (_write_side(level, parts, options) + sizes, streams)
    return _write_parameters(options, thresholds), chunks


def _histogram(task: _Task) -> quantize.Histogram:
    values = task.level.values[task.channels]
    statistics = ChannelStatistics(*_native.channel_statistics(values))
    statistics.check(task.level.name, values, task.channels.start)
    return quantize.Histogram.of(values[~statistics.constant], statistics.active())


def _encode_task(task: _Task, options: PaperOptions, thresholds: Sequence[float]) -> _Coded:
    values = task.level.values[task.channels]
    mean, std, low, high, symbols, counts, sums = _native.quantize(values, list(thresholds), options.symbols)
    statistics = ChannelStatistics(mean, std, low, high)
    statistics.check(task.level.name, values, task.channels.start)
    before = np.concatenate([[0], np.cumsum(~statistics.constant)])
    maps = [
        symbols[before[group.start - task.channels.start] : before[group.stop - task.channels.start]]
        for group in task.groups
    ]
    shaped = [symbols_map.reshape(-1, *task.level.shape[1:]) for symbols_map in maps if len(symbols_map)]
    return _Coded(statistics, counts, sums, encode_maps(options.coder, shaped, options.symbols))


def _write_side(level: Level, parts: Sequence[_Coded], options: PaperOptions) -> bytes:
    """Constant channels, and what the symbols of the others stand for."""
    statistics, dtype = ChannelStatistics.joined([part.statistics for part in parts]), DTYPES[level.dtype]
    constants = _write_constants(level, statistics.constant)
    if statistics.constant.all():
        return constants
    active = statistics.active()
    if options.rule is Rule.range:
        return constants + write_elements(active.min, dtype) + write_elements(active.max, dtype)
    counts, sums = np.concatenate([part.counts for part in parts]), np.concatenate([part.sums for part in parts])
    return constants + IntervalMeans.of(counts, sums, active, level.values.shape[1]).write()


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
    def of(cls, header: LevelHeader, parameters: PaperOptions, side: memoryview, payload: memoryview) -> LevelReader:
        """Read the side information. Raises CorruptError where it contradicts docs/format.md."""
        reader = Reader(side, _what(header))
        dtype = DTYPES[header.dtype]
        constant, held = _read_constants(reader, header.shape[0], dtype)
        table = np.zeros((0, parameters.symbols))
        if len(held) < header.shape[0]:
            table = _read_table(reader, parameters, header.shape[0] - len(held), dtype)
        largest = float(ml_dtypes.finfo(dtype).max)  # type: ignore[no-untyped-call]
        groups = [group for group in channel_groups(header.shape) if not constant[group].all()]
        streams = _cut(reader, payload, len(groups))
        limited = np.clip(table, -largest, largest).astype(np.float32)
        return cls(header, parameters.coder, ~constant, held, limited, streams, groups)

    def tasks(self, threads: int) -> list[Sequence[int]]:
        """Numbers of streams that are decoded together."""
        return in_tasks(range(len(self.streams)), self.header.shape, threads)

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
        parts = [count_symbols(self.symbols(numbers).reshape(-1), n) for numbers in self.tasks(1)]
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
        costs = symbol_costs(self.coder, self.table.shape[1], self.streams[number], symbols, _what(self.header))
        place = int(np.flatnonzero(self.channels([number]) == channel)[0])
        return symbols[place], costs[place]

    def fill(self, numbers: Sequence[int], out: NDArray[np.float32]) -> None:
        """Decode these streams into their channels of `out` [C, H * W]. Raises CorruptError."""
        channels = self.channels(numbers)
        before = int(self.active[: channels[0]].sum())
        table = self.table[before : before + len(channels)]
        _native.reconstruct(self.symbols(numbers).reshape(len(channels), -1), table, out, channels)


def decode_levels(readers: Sequence[LevelReader], threads: int | None) -> list[NDArray[np.float32]]:
    """Each level as float32 [C, H, W], not beyond the finite range of the level's own element type.

    Raises:
        CorruptError: a chunk contradicts docs/format.md.
        InputError: an unusable number of threads.
    """
    count = thread_count(threads, sum(reader.header.elements for reader in readers))
    out = []
    for reader in readers:
        channels, height, width = reader.header.shape
        values = _native.empty_floats(channels, height * width)
        values[~reader.active] = reader.held[:, None]
        out.append(values)
    tasks = [(reader, numbers, o) for reader, o in zip(readers, out, strict=True) for numbers in reader.tasks(count)]
    run(lambda task: task[0].fill(task[1], task[2]), tasks, count)
    return [values.reshape(reader.header.shape) for reader, values in zip(readers, out, strict=True)]


def _what(header: LevelHeader) -> str:
    return f"level '{header.name}'"


def _cut(reader: Reader, payload: memoryview, count: int) -> list[memoryview]:
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


def thresholds_of(options: PaperOptions) -> Sequence[float]:
    """Thresholds in the normalised domain; none for Rule.range, and for Rule.lloyd_max none before they are fitted."""
    match options.rule:
        case Rule.z:
            return quantize.z_thresholds(options.symbols, options.parameter or 0.0)
        case Rule.uniform:
            return quantize.uniform_thresholds(options.symbols, options.parameter or 0.0)
        case _:
            return options.thresholds


def _read_table(reader: Reader, parameters: PaperOptions, channels: int, dtype: np.dtype[Any]) -> NDArray[np.float64]:
    """What each symbol stands for in each channel, [C, n]."""
    if parameters.rule is not Rule.range:
        return IntervalMeans.read(reader, channels, parameters.symbols).table()
    low, high = reader.elements(dtype, channels), reader.elements(dtype, channels)
    if not (low < high).all():
        raise reader.corrupt("an empty range")
    return quantize.range_values(low, high, parameters.symbols)


def _write_constants(level: Level, constant: NDArray[np.bool_]) -> bytes:
    """How many channels are constant, which (unless all or none are), and their values in the level's own type."""
    count = int(constant.sum())
    which: bytes = np.packbits(constant, bitorder="little").tobytes() if 0 < count < len(constant) else b""
    return varint(count) + which + write_elements(level.values[constant, 0], DTYPES[level.dtype])


def _read_constants(
    reader: Reader, channels: int, dtype: np.dtype[Any]
) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    count = reader.varint()
    if count > channels:
        raise reader.corrupt(f"{count} constant channels of {channels}")
    constant = np.full(channels, count == channels)
    if 0 < count < channels:
        packed = np.frombuffer(reader.take((channels + 7) // 8), np.uint8)
        bits = np.unpackbits(packed, bitorder="little")
        constant = bits[:channels].astype(np.bool_)
        if int(constant.sum()) != count or bits[channels:].any():
            raise reader.corrupt("the constant channels are not as many as declared")
    return constant, reader.elements(dtype, count)


def _write_parameters(options: PaperOptions, thresholds: Sequence[float]) -> bytes:
    head = bytes([options.symbols - 1, CODERS.index(options.coder), options.rule])
    if options.rule in (Rule.z, Rule.uniform):
        return head + struct.pack("<f", options.parameter)
    return head + write_elements(np.asarray(thresholds, np.float32), DTYPES["float32"])


def read_parameters(data: bytes) -> PaperOptions:
    """The codec's parameters from the header; of Rule.lloyd_max the thresholds, too.

    Raises:
        CorruptError, UnsupportedError.
    """
    reader = Reader(data, "header")
    symbols, coder, rule = reader.u8() + 1, reader.u8(), reader.u8()
    if coder >= len(CODERS):
        raise UnsupportedError(f"coder number {coder}; this release knows {', '.join(CODERS)}")
    if rule not in set(Rule):
        raise UnsupportedError(f"threshold rule number {rule}")
    options = PaperOptions(symbols, Rule(rule), CODERS[coder])
    if options.rule in (Rule.z, Rule.uniform):
        options = replace(options, parameter=reader.f32())
    elif options.rule is not Rule.range:
        options = replace(options, thresholds=tuple(float(t) for t in reader.elements(DTYPES["float32"], symbols - 1)))
    reader.end()
    _check_parameters(options, reader)
    return options


def _check_parameters(options: PaperOptions, reader: Reader) -> None:
    if options.rule is Rule.z and options.symbols not in BEST_Z:
        raise reader.corrupt(f"thresholds by z for {options.symbols} symbols")
    if options.rule is Rule.range and options.symbols < 2:
        raise reader.corrupt("a range for one symbol")
    if options.parameter is not None and options.parameter <= 0:
        raise reader.corrupt("a threshold parameter that is not positive")
    if any(b <= a for a, b in pairwise(options.thresholds)):
        raise reader.corrupt("thresholds that do not increase")
