"""Encode the codec `paper`: normalise, quantise, and the side information of each level."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from midstream import _native
from midstream.codec.paper import header, quantize
from midstream.codec.paper.groups import channel_groups, in_tasks
from midstream.codec.paper.intervals import IntervalMeans
from midstream.codec.paper.normalize import ChannelStatistics
from midstream.codec.paper.parameters import Parameters, Rule
from midstream.codec.paper.symbols import encode_maps
from midstream.codec.threads import run, thread_count
from midstream.codec.wire import Buffer, varint, write_elements
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


def encode_levels(levels: Sequence[Level], parameters: Parameters, threads: int | None) -> bytes:
    """The bitstream of a pyramid.

    Raises:
        InputError: a NaN or an infinity, or an unusable number of threads.
    """
    count = thread_count(threads, sum(level.values.size for level in levels))
    tasks = [
        _Task(level, groups) for level in levels for groups in in_tasks(channel_groups(level.shape), level.shape, count)
    ]
    thresholds = parameters.fixed_thresholds()
    if parameters.rule is Rule.lloyd_max:
        thresholds = quantize.lloyd_max_thresholds(run(_histogram, tasks, count), parameters.symbols)
    coded = run(lambda task: _encode_task(task, parameters, thresholds), tasks, count)
    headers, chunks = [], {}
    for level in levels:
        parts = [part for task, part in zip(tasks, coded, strict=True) if task.level is level]
        streams = [stream for part in parts for stream in part.streams]
        sizes = b"".join(varint(len(stream)) for stream in streams[:-1])
        side, payload = _write_side(level, parts, parameters) + sizes, sum(len(stream) for stream in streams)
        headers.append(header.LevelHeader(level.name, level.dtype, level.shape, len(side), payload))
        chunks[level.name] = [side, *streams]
    return header.write(tuple(headers), parameters.write(thresholds), chunks)


def _histogram(task: _Task) -> quantize.Histogram:
    values = task.level.values[task.channels]
    statistics = ChannelStatistics(*_native.channel_statistics(values))
    statistics.check(task.level.name, values, task.channels.start)
    return quantize.Histogram.of(values[~statistics.constant], statistics.active())


def _encode_task(task: _Task, parameters: Parameters, thresholds: Sequence[float]) -> _Coded:
    values = task.level.values[task.channels]
    mean, std, low, high, symbols, counts, sums = _native.quantize(values, list(thresholds), parameters.symbols)
    statistics = ChannelStatistics(mean, std, low, high)
    statistics.check(task.level.name, values, task.channels.start)
    before = np.concatenate([[0], np.cumsum(~statistics.constant)])
    maps = [
        symbols[before[group.start - task.channels.start] : before[group.stop - task.channels.start]]
        for group in task.groups
    ]
    shaped = [symbols_map.reshape(-1, *task.level.shape[1:]) for symbols_map in maps if len(symbols_map)]
    return _Coded(statistics, counts, sums, encode_maps(parameters.coder, shaped, parameters.symbols))


def _write_side(level: Level, parts: Sequence[_Coded], parameters: Parameters) -> bytes:
    """Constant channels, and what the symbols of the others stand for."""
    statistics, dtype = ChannelStatistics.joined([part.statistics for part in parts]), DTYPES[level.dtype]
    constants = _write_constants(level, statistics.constant)
    if statistics.constant.all():
        return constants
    active = statistics.active()
    if parameters.rule is Rule.range:
        return constants + write_elements(active.min, dtype) + write_elements(active.max, dtype)
    counts, sums = np.concatenate([part.counts for part in parts]), np.concatenate([part.sums for part in parts])
    return constants + IntervalMeans.of(counts, sums, active, level.values.shape[1]).write()


def _write_constants(level: Level, constant: NDArray[np.bool_]) -> bytes:
    """How many channels are constant, which (unless all or none are), and their values in the level's own type."""
    count = int(constant.sum())
    which: bytes = np.packbits(constant, bitorder="little").tobytes() if 0 < count < len(constant) else b""
    return varint(count) + which + write_elements(level.values[constant, 0], DTYPES[level.dtype])
