"""The encoder of a stream: each frame alone, or predicted from the one before."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from midstream.codec.base import Hints
from midstream.codec.calibrated.coding import Analysed, check_size
from midstream.codec.calibrated.document import STEP_INDICES, STEPS_PER_OCTAVE
from midstream.codec.calibrated.prediction import with_expected, without_expected
from midstream.codec.calibrated.rate import code_within, finest_step
from midstream.codec.calibrated.transform import by_cell, laid_out
from midstream.codec.chain import ReferringFrames, digest_of
from midstream.codec.sequence import PendingFrame
from midstream.codec.temporal.coding import CodedGroup, FrameSteps, code_alone, code_predicted
from midstream.codec.temporal.reference import FrameMemory, handed_on
from midstream.codec.temporal.units import write_key, write_predicted
from midstream.features import Level

#: A frame whose coefficients go less than so with those of the one before is of another scene (docs/method.md).
LEAST_LIKENESS = 0.45


class TemporalFrames(ReferringFrames[FrameMemory]):
    """See SequenceEncoder."""

    def __init__(
        self,
        analysed: Callable[[Sequence[Level], Hints, int | None], Analysed],
        step: int,
        most: int | None,
    ) -> None:
        """From what the codec's options make of a pyramid, and the step that they ask for, or a cap on the bytes."""
        super().__init__()
        self._analysed, self._step, self._most = analysed, step, most

    def frame(self, levels: Sequence[Level], hints: Hints, key: bool, threads: int | None) -> PendingFrame:
        """See SequenceEncoder."""
        self.check_next()
        analysed = self._analysed(levels, hints, threads)
        before = None if key else self._reference(analysed)
        if before is not None and likeness(analysed, before) < LEAST_LIKENESS:
            before = None
        return _TemporalFrame(self, analysed, before, hints.beside)

    def _reference(self, analysed: Analysed) -> FrameMemory | None:
        """The newest frame that this one may refer to, if it is of the same sizes and types."""
        before = self.newest()
        same = before is not None and before.sizes == analysed.sizes and before.dtypes == analysed.dtypes
        return before if same else None

    def refreshed(self, grid: tuple[int, ...]) -> NDArray[np.uint8] | None:
        """The cells of the frame to come whose turn it is to stand alone."""
        if self.refresh_interval is None:
            return None
        cells = np.arange(math.prod(grid)).reshape(grid)
        return np.asarray(cells % self.refresh_interval == self._next % self.refresh_interval, np.uint8)

    def write(self, frame: _TemporalFrame) -> bytes:
        """A frame as the codec's options have it."""
        if self._most is None:
            return frame.code(max(self._step, frame.steps.start))
        return code_within(frame.code, self._most - frame.beside, frame.analysed.profile, frame.steps.start)


class _TemporalFrame(PendingFrame):
    def __init__(self, stream: TemporalFrames, analysed: Analysed, before: FrameMemory | None, beside: int) -> None:
        self.key = before is None
        self.analysed, self.beside = analysed, beside
        finest = finest_step(analysed)
        if before is not None:
            finest += STEPS_PER_OCTAVE  # what is left of a prediction may be twice as large as what is predicted
        self.steps = range(min(finest, STEP_INDICES - 1), STEP_INDICES)
        self._stream, self._before = stream, before
        self._made: dict[bytes, FrameMemory] = {}

    def write(self) -> bytes:
        return self._stream.write(self)

    def code(self, step: int) -> bytes:
        analysed, before, number = self.analysed, self._before, self._stream.next_number
        profile = analysed.profile
        steps = FrameSteps.of(profile.about.importance, step, None if before is None else before.octave)
        coded = self._groups(steps)
        streams = [group.stream for group in coded]
        if before is None:
            unit = write_key(profile, number, step, analysed.sizes, analysed.dtypes, streams)
        else:
            unit = write_predicted(number, step, number - before.number, before.digest, streams)
        kept, contexts = tuple(group.kept for group in coded), handed_on(profile, [group.contexts for group in coded])
        self._made[unit] = FrameMemory(
            number, digest_of(unit), profile.key, steps.octave, analysed.sizes, analysed.dtypes, kept, contexts
        )
        return unit

    def keep(self, unit: bytes) -> None:
        self._stream.keep(self._made[unit], self.key)

    def _groups(self, steps: FrameSteps) -> list[CodedGroup]:
        analysed, before = self.analysed, self._before
        profile, out = analysed.profile, list[CodedGroup]()
        decoded = profile.nothing_decoded()
        for number, group in enumerate(profile.groups):
            there = None if before is None else before.groups[number].values != 0
            importance, known = analysed.importance[number], number >= profile.layers
            expected = decoded.expected(number, importance.shape)
            left = laid_out(
                without_expected(analysed.values(number, steps.indices, expected, there), expected), importance.shape
            )
            if before is None:
                coded = code_alone(group, steps, left, importance, known)
            else:
                coded = code_predicted(
                    group,
                    steps,
                    left,
                    importance,
                    known,
                    before.groups[number],
                    before.contexts_of(number),
                    refreshed=self._stream.refreshed(importance.shape),
                )
            made = with_expected(by_cell(coded.decoded), expected)
            check_size(made)
            decoded.add(number, importance, made)
            out.append(coded)
        return out


def likeness(analysed: Analysed, before: FrameMemory) -> float:
    """The cosine, -1 to 1, of coefficients and those of a frame before, where that has something.

    Of the first group, or of all layers.
    """
    both = now_energy = then_energy = 0.0
    for number in range(analysed.profile.layers):
        then = before.groups[number].decoded(before.octave)
        there = then != 0
        steps = np.full(analysed.importance[number].shape, np.inf, np.float32)
        now = analysed.coefficients[number].for_steps(steps, there=there)
        both += float(np.vdot(now, then))
        now_energy += float(np.square(now[there]).sum())
        then_energy += float(np.vdot(then, then))
    energy = now_energy * then_energy
    return both / math.sqrt(energy) if energy > 0 else 1.0
