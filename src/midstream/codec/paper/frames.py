"""The encoder of a stream of `paper`: each frame alone, or with the symbols of the one before as contexts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from midstream.codec.base import Codec, Hints
from midstream.codec.chain import ReferringFrames, digest_of
from midstream.codec.paper.coding import QuantisedLevel, quantise_levels, stream_sizes
from midstream.codec.paper.dense import DenseTable, encode_dense, encode_dense_after
from midstream.codec.paper.header import LevelHeader
from midstream.codec.paper.integers import is_whole
from midstream.codec.paper.memory import LevelMemory, PaperFrame
from midstream.codec.paper.parameters import Parameters, Rule
from midstream.codec.paper.reading import groups_with_symbols
from midstream.codec.paper.symbols import count_symbols
from midstream.codec.paper.units import write_paper_unit
from midstream.codec.sequence import IndependentFrames, PendingFrame
from midstream.codec.threads import run, thread_count
from midstream.codec.wire import Buffer
from midstream.features import Level

#: A frame whose symbols are those of the one before less often than so, where 0 is chance, is of another scene.
LEAST_AGREEMENT = 0.2


class PaperFrames(ReferringFrames[PaperFrame]):
    """See SequenceEncoder."""

    def __init__(self, codec: Codec, parameters: Parameters) -> None:
        super().__init__()
        self._parameters = parameters
        self._alone = IndependentFrames(codec)

    def frame(self, levels: Sequence[Level], hints: Hints, key: bool, threads: int | None) -> PendingFrame:
        """See SequenceEncoder; takes no hints. A frame that has whole numbers is coded alone."""
        self.check_next()
        if any(map(is_whole, levels)):
            return self._alone.frame(levels, hints, key, threads)
        found, thresholds = quantise_levels(levels, self._parameters, threads)
        parameters = self._parameters
        if parameters.rule is Rule.lloyd_max:
            parameters = replace(parameters, thresholds=tuple(thresholds))
        before = None if key else self._reference(found)
        count = thread_count(threads, sum(level.elements for level in levels))
        return _PaperFrame(self, found, parameters, before, count)

    def _reference(self, found: Sequence[QuantisedLevel]) -> PaperFrame | None:
        """The newest frame that this one may refer to, if it has the same levels, and much the same symbols."""
        before = self.newest()
        if before is None:
            return None
        now = [(each.level.name, each.level.dtype, each.level.shape) for each in found]
        if now != [(each.name, each.dtype, each.shape) for each in before.headers]:
            return None
        return before if agreement(found, before, self._parameters.symbols) >= LEAST_AGREEMENT else None


class _PaperFrame(PendingFrame):
    steps = range(0)

    def __init__(
        self,
        stream: PaperFrames,
        found: Sequence[QuantisedLevel],
        parameters: Parameters,
        before: PaperFrame | None,
        threads: int,
    ) -> None:
        self.key = before is None
        self._stream, self._found, self._parameters = stream, found, parameters
        self._before, self._threads = before, threads
        self._made: dict[bytes, PaperFrame] = {}

    def write(self) -> bytes:
        number, before, symbols = self._stream.next_number, self._before, self._parameters.symbols
        chunk: list[Buffer] = []
        headers, levels = [], []
        coded = self._coded()
        for at, found in enumerate(self._found):
            earlier = None if before is None else before.levels[at]
            streams = [stream for level, _, stream, _ in coded if level == at]
            side = found.side.write() if earlier is None else found.side.write_after(earlier.side)
            side += stream_sizes(streams)
            level = found.level
            headers.append(LevelHeader(level.name, level.dtype, level.shape, len(side), sum(map(len, streams))))
            tables = {start: table for level, start, _, table in coded if level == at}
            levels.append(LevelMemory.of(level.shape, found.side, found.maps, tables, symbols, earlier))
            chunk += [side, *streams]
        reference = None if before is None else (number - before.number, before.digest)
        unit = write_paper_unit(number, reference, headers, self._parameters, chunk)
        self._made[unit] = PaperFrame(number, digest_of(unit), tuple(headers), self._parameters, tuple(levels))
        return unit

    def keep(self, unit: bytes) -> None:
        self._stream.keep(self._made[unit], self.key)

    def _coded(self) -> list[tuple[int, int, bytes, DenseTable]]:
        """Number of the level, first channel, stream and table of each group of channels that has symbols."""
        tasks = [
            (at, group, number)
            for at, found in enumerate(self._found)
            for number, group in enumerate(groups_with_symbols(found.level.shape, found.side))
        ]
        return run(lambda task: self._coded_group(*task), tasks, self._threads)

    def _coded_group(self, at: int, group: slice, number: int) -> tuple[int, int, bytes, DenseTable]:
        found, symbols = self._found[at], self._parameters.symbols
        own = found.maps[number]
        counts = count_symbols(own.reshape(-1), symbols)
        if self._before is None:
            return at, group.start, *encode_dense(own, symbols, counts)
        before = self._before.levels[at].of_group(group, found.side.active[group])
        return at, group.start, *encode_dense_after(own, symbols, counts, before)


def agreement(found: Sequence[QuantisedLevel], before: PaperFrame, symbols: int) -> float:
    """How much oftener than by chance symbols are those of a frame before (Cohen's kappa): 1 always, 0 by chance."""
    same = chance = total = 0.0
    for now, then in zip(found, before.levels, strict=True):
        if not now.maps:
            continue
        own, other = np.concatenate(now.maps), then.symbols[now.side.active]
        counts, counts_before = (count_symbols(each.reshape(-1), symbols) for each in (own, other))
        same += np.count_nonzero(own == other)
        chance += float(counts @ counts_before) / own.size
        total += own.size
    return (same - chance) / (total - chance) if total > chance else 1.0
