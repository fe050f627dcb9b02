"""Fitting how frames are predicted from the one before: gains, scales of what is left, and what coders begin with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from midstream.calibration.coder import COUNT_LIMIT, Sample, scales_of
from midstream.codec.calibrated.document import About, ImportanceClasses
from midstream.codec.calibrated.importance import importance_in
from midstream.codec.calibrated.parts import Floats, FramePart, GroupPart, usual_frames
from midstream.codec.calibrated.prediction import Decoded, map_of, with_expected, without_expected
from midstream.codec.calibrated.profile_file import PREDICTED
from midstream.codec.calibrated.transform import by_cell, forward, laid_out
from midstream.codec.temporal.coding import CodedGroup, FrameSteps, code_alone, code_predicted
from midstream.models import FloatPyramid

# Where the numbers come from: docs/method.md, "Constants".
#: Steps that ways are fitted at, and those that contexts are pre-trained at: eighths of an octave below the strongest
#: coefficient.
_FITTED_BELOW, _PRETRAINED_BELOW = (24, 12), (24, 17, 12, 8)
#: Fits, each to what the one before has chosen.
ROUNDS = 3
#: Observations that a coefficient's own gain is believed by half.
_LEAST_SEEN = 10
#: Below the strongest coefficient: the step that coarser groups are seen beside the first one at.
MIDDLE_BELOW = 20
#: Frames that a clip needs, to show how one follows another.
LEAST_FRAMES = 2
#: Cells that a way has to be chosen for, to be fitted again.
_LEAST_CELLS = 100

#: The frames of a clip: coefficients and importance map of a group each.
ClipSamples = Sequence[Sample]


def clip_samples(
    groups: Sequence[GroupPart], about: About, pyramids: Iterable[FloatPyramid], step: int
) -> list[list[Sample]]:
    """The samples of each group from the pyramids of a clip, beside those before it as they are at a step."""
    out: list[list[Sample]] = [[] for _ in groups]
    steps = FrameSteps.of(about.importance, step)
    for pyramid in pyramids:
        maps = importance_in(groups, about.importance, pyramid)
        decoded = Decoded(groups)
        for number, (samples, group) in enumerate(zip(out, groups, strict=True)):
            values = forward(group, pyramid, 1)
            grid = values.shape[1], values.shape[2]
            expected = decoded.expected(number, grid)
            left = laid_out(without_expected(by_cell(values), expected), grid)
            classes = map_of(number, maps, grid)
            samples.append((left, classes))
            if decoded.looked_at(number):
                made = code_alone(group, steps, left, classes, number >= len(maps)).decoded
                decoded.add(number, classes, with_expected(by_cell(made), expected))
    return out


@dataclass
class _Sums:
    """Of each way and coefficient [M, K]: squares of what was to be coded and of what was there before, products."""

    now: NDArray[np.float64]
    before: NDArray[np.float64]
    both: NDArray[np.float64]
    seen: NDArray[np.int64]
    cells: NDArray[np.int64]

    @classmethod
    def empty(cls, ways: int, count: int) -> _Sums:
        now, before, both = np.zeros((3, ways, count))
        return cls(now, before, both, np.zeros((ways, count), np.int64), np.zeros(ways, np.int64))

    def add(self, coefficients: Floats, before: Floats, modes: NDArray[np.uint8]) -> None:
        """Of a frame: coefficients [K, height, width], those before [cells, K], and the way of each cell."""
        now = coefficients.reshape(len(coefficients), -1).T
        for way in range(len(self.cells)):
            chosen = modes.reshape(-1) == way + 1
            x, r = now[chosen].astype(np.float64), before[chosen].astype(np.float64)
            self.now[way] += np.square(x).sum(axis=0)
            self.before[way] += np.square(r).sum(axis=0)
            self.both[way] += (x * r).sum(axis=0)
            self.seen[way] += (r != 0).sum(axis=0)
            self.cells[way] += len(x)


def with_frames(
    group: GroupPart,
    importance: ImportanceClasses,
    clips: Sequence[ClipSamples],
    known: bool,
    strongest: int,
    advance: Callable[[], None],
) -> GroupPart:
    """The group with how its frames are predicted.

    Args:
        group: as fitted to images; whatever it knew of frames before is left aside.
        importance: classes of cells.
        clips: samples of the group.
        known: whether the importance map is known from another group.
        strongest: the scale of the strongest coefficient of the first group, or of all layers, which
            steps are counted from.
        advance: told of each clip that was coded.
    """
    steps = [_frame_steps(importance, strongest - below) for below in _FITTED_BELOW]
    group = replace(group, frames=usual_frames(group.scales, group.state))
    for _ in range(ROUNDS):
        sums = _Sums.empty(len(group.predicted_frames.gains), len(group.scales))
        for clip in clips:
            for each in steps:
                _sum_up(group, each, clip, known, sums)
            advance()
        group = replace(group, frames=_fitted(group.predicted_frames, sums))
    state = group.predicted_frames.state.copy()
    for number, clip in enumerate(clips):
        for offset in range(len(_PRETRAINED_BELOW)):
            below = _PRETRAINED_BELOW[(number + offset) % len(_PRETRAINED_BELOW)]
            _learn(group, _frame_steps(importance, strongest - below), clip, known, state)
        advance()
    slots = state[: PREDICTED.slots]
    slots[...] = (slots & ~np.uint32(1023)) | np.minimum(slots & 1023, COUNT_LIMIT)
    return replace(group, frames=replace(group.predicted_frames, state=state))


def _frame_steps(importance: ImportanceClasses, step: int) -> FrameSteps:
    return FrameSteps.of(importance, max(step, 0))


def _coded(
    group: GroupPart, steps: FrameSteps, clip: ClipSamples, known: bool
) -> Iterable[tuple[Sample, CodedGroup, CodedGroup]]:
    """Each frame but the first, with the one before and itself as they were coded."""
    before = code_alone(group, steps, *clip[0], known)
    for coefficients, classes in clip[1:]:
        now = code_predicted(group, steps, coefficients, classes, known, before.kept, before.contexts)
        yield (coefficients, classes), before, now
        before = now


def _sum_up(group: GroupPart, steps: FrameSteps, clip: ClipSamples, known: bool, sums: _Sums) -> None:
    for (coefficients, _), before, now in _coded(group, steps, clip, known):
        sums.add(coefficients, before.kept.decoded(steps.octave), now.kept.modes)


def _fitted(frames: FramePart, sums: _Sums) -> FramePart:
    """Gains by least squares, those of rare coefficients drawn to the way's own; the first way stays a copy."""
    gains, scales = frames.gains.astype(np.float64), frames.scales.copy()
    for way, cells in enumerate(sums.cells):
        if cells < _LEAST_CELLS:
            continue
        if way:
            own = sums.both[way] / np.maximum(sums.before[way], np.finfo(np.float64).tiny)
            whole = sums.both[way].sum() / max(sums.before[way].sum(), np.finfo(np.float64).tiny)
            trust = sums.seen[way] / (sums.seen[way] + _LEAST_SEEN)
            gains[way] = np.clip(trust * np.clip(own, 0, 1) + (1 - trust) * whole, 0, 1)
        left = sums.now[way] - 2 * gains[way] * sums.both[way] + np.square(gains[way]) * sums.before[way]
        scales[way] = scales_of(np.sqrt(np.maximum(left, 0) / cells))
    rounded = gains.astype(np.float16).astype(np.float32)
    return replace(frames, gains=rounded, scales=np.clip(scales, -256, 512).astype(np.int16))


def _learn(group: GroupPart, steps: FrameSteps, clip: ClipSamples, known: bool, state: NDArray[np.uint32]) -> None:
    """Let the coder's state see a clip, frame after frame, without beginning anew."""
    before = code_alone(group, steps, *clip[0], known).kept
    for coefficients, classes in clip[1:]:
        before = code_predicted(group, steps, coefficients, classes, known, before, None, state).kept
