"""Encode the codec `paper`: normalise, quantise, and the side information of each level."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from midstream import _native
from midstream.codec.paper import header, quantize
from midstream.codec.paper.groups import channel_groups, in_tasks
from midstream.codec.paper.integers import encode_whole, is_whole
from midstream.codec.paper.normalize import ChannelStatistics
from midstream.codec.paper.parameters import Parameters, Rule
from midstream.codec.paper.side import Side
from midstream.codec.paper.symbols import Symbols, encode_maps
from midstream.codec.threads import run, thread_count
from midstream.codec.wire import Buffer, varint
from midstream.errors import InputError, LimitError
from midstream.features import DeviceLevel, Level
from midstream.limits import Limits

_T = TypeVar("_T")


class Quantised(NamedTuple):
    """What `_native.quantize` gives."""

    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    low: NDArray[np.float32]
    high: NDArray[np.float32]
    symbols: NDArray[np.uint8]
    counts: NDArray[np.int64]
    sums: NDArray[np.float64]


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


def _check_decodes(levels: Sequence[Level], parameters: Parameters) -> None:
    """Refuse what a decoder would by its default limits. Raises InputError."""
    try:
        Limits().check(values=parameters.symbols * sum(level.shape[0] for level in levels))
    except LimitError as error:
        raise InputError(f"{error}, with which bitstreams are decoded: take fewer symbols") from error


def begin_levels(levels: Sequence[Level], parameters: Parameters, threads: int | None) -> Callable[[], bytes]:
    """Quantise levels that are on a device; what is returned gives the bitstream of a pyramid.

    Raises:
        InputError: more values than a decoder takes by default; a NaN or an infinity, or an unusable number of
            threads, which what is returned raises, too.
    """
    _check_decodes(levels, parameters)
    ready = _on_device([level for level in levels if not is_whole(level)], parameters)
    return partial(_encode, levels, parameters, threads, ready)


def _encode(levels: Sequence[Level], parameters: Parameters, threads: int | None, ready: _Ready | None) -> bytes:
    def coded(part: _Part) -> tuple[_Part, list[Buffer]]:
        return replace(part, maps=[]), encode_maps(parameters.coder, part.maps, parameters.symbols)

    floats = [level for level in levels if not is_whole(level)]
    tasks, thresholds, results = _quantised(floats, parameters, threads, ready, coded)
    others = [level for level in levels if is_whole(level)]
    count = thread_count(threads, sum(level.elements for level in others))
    made_whole = run(lambda level: encode_whole(level, parameters.coder), others, count)
    whole = {level.name: streams for level, streams in zip(others, made_whole, strict=True)}
    headers, chunks = [], {}
    for level in levels:
        parts = [result for task, result in zip(tasks, results, strict=True) if task.level is level]
        if is_whole(level):
            streams, side = whole[level.name], b""
        else:
            streams = [stream for _, made in parts for stream in made]
            side = _side(level, [part for part, _ in parts], parameters).write()
        side += stream_sizes(streams)
        payload = sum(len(stream) for stream in streams)
        headers.append(header.LevelHeader(level.name, level.dtype, level.shape, len(side), payload))
        chunks[level.name] = [side, *streams]
    return header.write(tuple(headers), parameters.write(thresholds), chunks)


def quantise_levels(
    levels: Sequence[Level], parameters: Parameters, threads: int | None
) -> tuple[list[QuantisedLevel], Sequence[float]]:
    """The symbols of a pyramid, and the thresholds that made them. Raises as `begin_levels` does."""
    _check_decodes(levels, parameters)
    ready = _on_device(levels, parameters)
    tasks, thresholds, parts = _quantised(levels, parameters, threads, ready, lambda part: part)
    out = []
    for level in levels:
        own = [part for task, part in zip(tasks, parts, strict=True) if task.level is level]
        out.append(QuantisedLevel(level, _side(level, own, parameters), [each for part in own for each in part.maps]))
    return out, thresholds


def stream_sizes(streams: Sequence[Buffer]) -> bytes:
    """Of each but the last, which has what is left of the payload."""
    return b"".join(varint(len(stream)) for stream in streams[:-1])


@dataclass(frozen=True)
class _Ready:
    """What was quantised on a device, by name of the level, and with which thresholds."""

    thresholds: Sequence[float]
    levels: Mapping[str, Quantised]

    def of(self, task: _Task) -> Quantised:
        """Of the task's channels."""
        own = self.levels[task.level.name]
        active = np.concatenate([[0], np.cumsum(np.not_equal(own.low, own.high))])
        rows = slice(int(active[task.channels.start]), int(active[task.channels.stop]))
        channels = task.channels
        mean, std, low, high = own.mean[channels], own.std[channels], own.low[channels], own.high[channels]
        return Quantised(mean, std, low, high, own.symbols[rows], own.counts[rows], own.sums[rows])


def _on_device(levels: Sequence[Level], parameters: Parameters) -> _Ready | None:
    """Of levels on a device, which they all are or none; None of those on the host."""
    there = [level for level in levels if isinstance(level, DeviceLevel)]
    if not there:
        return None
    from midstream.codec.paper import device_quantizer as device  # imports torch

    thresholds = parameters.fixed_thresholds()
    if parameters.rule is Rule.lloyd_max:
        statistics = device.channel_statistics(there)
        for level, own in zip(there, statistics, strict=True):
            own.check(level, 0)
        histograms = [device.histogram(level, own) for level, own in zip(there, statistics, strict=True)]
        thresholds = quantize.lloyd_max_thresholds(histograms, parameters.symbols)
    found = device.quantise(there, thresholds, parameters.symbols)
    return _Ready(thresholds, {level.name: own for level, own in zip(there, found, strict=True)})


def _quantised(
    levels: Sequence[Level],
    parameters: Parameters,
    threads: int | None,
    ready: _Ready | None,
    then: Callable[[_Part], _T],
) -> tuple[list[_Task], Sequence[float], list[_T]]:
    """Tasks, thresholds, and what `then` makes of each task's part."""
    count = thread_count(threads, sum(level.elements for level in levels))
    tasks = [
        _Task(level, groups) for level in levels for groups in in_tasks(channel_groups(level.shape), level.shape, count)
    ]
    if ready is not None:
        return tasks, ready.thresholds, run(lambda task: then(_part(task, ready.of(task))), tasks, count)
    thresholds = parameters.fixed_thresholds()
    if parameters.rule is Rule.lloyd_max:
        thresholds = quantize.lloyd_max_thresholds(run(_histogram, tasks, count), parameters.symbols)

    def quantised(task: _Task) -> _T:
        values = task.level.values[task.channels]
        return then(_part(task, Quantised(*_native.quantize(values, list(thresholds), parameters.symbols))))

    return tasks, thresholds, run(quantised, tasks, count)


def _histogram(task: _Task) -> quantize.Histogram:
    values = task.level.values[task.channels]
    statistics = ChannelStatistics(*_native.channel_statistics(values))
    statistics.check(task.level, task.channels.start)
    return quantize.Histogram.of(values[~statistics.constant], statistics.active())


def _part(task: _Task, found: Quantised) -> _Part:
    """Of what was found in the task's channels. Raises InputError for a NaN or an infinity."""
    statistics = ChannelStatistics(*found[:4])
    statistics.check(task.level, task.channels.start)
    before = np.concatenate([[0], np.cumsum(~statistics.constant)])
    maps = [
        found.symbols[before[group.start - task.channels.start] : before[group.stop - task.channels.start]]
        for group in task.groups
    ]
    shaped = [symbols_map.reshape(-1, *task.level.shape[1:]) for symbols_map in maps if len(symbols_map)]
    return _Part(statistics, found.counts, found.sums, shaped)


def _side(level: Level, parts: Sequence[_Part], parameters: Parameters) -> Side:
    statistics = ChannelStatistics.joined([part.statistics for part in parts])
    counts, sums = np.concatenate([part.counts for part in parts]), np.concatenate([part.sums for part in parts])
    return Side.of(level, statistics, counts, sums, parameters.rule)
