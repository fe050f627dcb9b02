"""Encode the codec `paper`: normalise, quantise, and the side information of each level."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from midstream import _native
from midstream.codec.paper import header, quantize
from midstream.codec.paper.groups import channel_groups, in_tasks
from midstream.codec.paper.normalize import ChannelStatistics
from midstream.codec.paper.parameters import Parameters, Rule
from midstream.codec.paper.side import Side
from midstream.codec.paper.symbols import Symbols, encode_maps
from midstream.codec.threads import run, thread_count
from midstream.codec.wire import Buffer, varint
from midstream.features import Level

_T = TypeVar("_T")


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
class _Part:
    """What a task gives: statistics of all its channels, counts and sums [C', n] of the others, maps of its groups."""

    statistics: ChannelStatistics
    counts: NDArray[np.int64]
    sums: NDArray[np.float64]
    maps: list[Symbols]


@dataclass(frozen=True)
class QuantisedLevel:
    """One level, not yet coded.

    Attributes:
        level: as it came in.
        side: what its symbols stand for.
        maps: uint8 [C'', H, W], the symbols of each group of channels that has some.
    """

    level: Level
    side: Side
    maps: list[Symbols]


def encode_levels(levels: Sequence[Level], parameters: Parameters, threads: int | None) -> bytes:
    """The bitstream of a pyramid.

    Raises:
        InputError: a NaN or an infinity, or an unusable number of threads.
    """

    def coded(part: _Part) -> tuple[_Part, list[Buffer]]:
        return replace(part, maps=[]), encode_maps(parameters.coder, part.maps, parameters.symbols)

    tasks, thresholds, results = _quantised(levels, parameters, threads, coded)
    headers, chunks = [], {}
    for level in levels:
        parts = [result for task, result in zip(tasks, results, strict=True) if task.level is level]
        streams = [stream for _, made in parts for stream in made]
        side = _side(level, [part for part, _ in parts], parameters).write() + stream_sizes(streams)
        payload = sum(len(stream) for stream in streams)
        headers.append(header.LevelHeader(level.name, level.dtype, level.shape, len(side), payload))
        chunks[level.name] = [side, *streams]
    return header.write(tuple(headers), parameters.write(thresholds), chunks)


def quantise_levels(
    levels: Sequence[Level], parameters: Parameters, threads: int | None
) -> tuple[list[QuantisedLevel], Sequence[float]]:
    """The symbols of a pyramid, and the thresholds that made them. Raises as `encode_levels` does."""
    tasks, thresholds, parts = _quantised(levels, parameters, threads, lambda part: part)
    out = []
    for level in levels:
        own = [part for task, part in zip(tasks, parts, strict=True) if task.level is level]
        out.append(QuantisedLevel(level, _side(level, own, parameters), [each for part in own for each in part.maps]))
    return out, thresholds


def stream_sizes(streams: Sequence[Buffer]) -> bytes:
    """Of each but the last, which has what is left of the payload."""
    return b"".join(varint(len(stream)) for stream in streams[:-1])


def _quantised(
    levels: Sequence[Level], parameters: Parameters, threads: int | None, then: Callable[[_Part], _T]
) -> tuple[list[_Task], Sequence[float], list[_T]]:
    """Tasks, thresholds, and what `then` makes of each task's part."""
    count = thread_count(threads, sum(level.values.size for level in levels))
    tasks = [
        _Task(level, groups) for level in levels for groups in in_tasks(channel_groups(level.shape), level.shape, count)
    ]
    thresholds = parameters.fixed_thresholds()
    if parameters.rule is Rule.lloyd_max:
        thresholds = quantize.lloyd_max_thresholds(run(_histogram, tasks, count), parameters.symbols)
    return tasks, thresholds, run(lambda task: then(_quantise(task, parameters, thresholds)), tasks, count)


def _histogram(task: _Task) -> quantize.Histogram:
    values = task.level.values[task.channels]
    statistics = ChannelStatistics(*_native.channel_statistics(values))
    statistics.check(task.level.name, values, task.channels.start)
    return quantize.Histogram.of(values[~statistics.constant], statistics.active())


def _quantise(task: _Task, parameters: Parameters, thresholds: Sequence[float]) -> _Part:
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
    return _Part(statistics, counts, sums, shaped)


def _side(level: Level, parts: Sequence[_Part], parameters: Parameters) -> Side:
    statistics = ChannelStatistics.joined([part.statistics for part in parts])
    counts, sums = np.concatenate([part.counts for part in parts]), np.concatenate([part.sums for part in parts])
    return Side.of(level, statistics, counts, sums, parameters.rule)
