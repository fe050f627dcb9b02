"""At which step of its quantiser a frame takes so many bytes: a model of sizes, and a search that learns it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from midstream.codec.sequence import PendingFrame

#: Octaves of bytes that a step saves, at first, and the least and the most that are believed.
_USUAL_SLOPE, _LEAST_SLOPE, _MOST_SLOPE = 1 / 8, 1 / 40, 1.0
#: How much of a new frame's size, and of the slope between two, is learnt at once.
_LEARN_SIZE, _LEARN_SLOPE = 0.5, 0.5
#: Steps between two frames whose sizes tell as much of the slope as what is known already.
_TELLING_STEPS = 4
#: What a predicted frame takes of a key's bytes, in octaves, before one was seen.
_USUAL_GAIN = math.log2(3)
#: Steps from one try to the next, at first, where there is nothing between which to look; then twice as many.
_FIRST_STEPS = 4
#: The share of a cap that is aimed at.
AIM = 0.96


@dataclass(frozen=True)
class FittedUnit:
    """A unit, the step's index if one was chosen, and how often the frame was coded for it."""

    unit: bytes
    step: int | None
    passes: int


class SizeModel:
    """Bytes of frames of one kind by step: the logarithm falls by `slope` octaves a step from the last one seen."""

    def __init__(self) -> None:
        self.slope = _USUAL_SLOPE
        self._at: tuple[int, float] | None = None

    @property
    def known(self) -> bool:
        """Whether a frame of this kind was seen."""
        return self._at is not None

    def octaves(self, step: float) -> float:
        """log2 of the bytes at a step."""
        assert self._at is not None
        return self._at[1] - self.slope * (step - self._at[0])

    def step_for(self, size: float) -> float:
        """The step that takes so many bytes."""
        assert self._at is not None
        return self._at[0] + (self._at[1] - math.log2(max(size, 1.0))) / self.slope

    def learn(self, step: int, size: int, same_frame: bool) -> None:
        """See a frame; two sizes of one frame tell the slope, those of two frames something of it."""
        seen = math.log2(max(size, 1))
        if self._at is None:
            self._at = step, seen
            return
        away = step - self._at[0]
        if away:
            slope = min(max((self._at[1] - seen) / away, _LEAST_SLOPE), _MOST_SLOPE)
            trust = 1.0 if same_frame else away**2 / (away**2 + _TELLING_STEPS**2)
            self.slope += _LEARN_SLOPE * trust * (slope - self.slope)
        expected = self.octaves(step)
        self._at = step, seen if same_frame else expected + _LEARN_SIZE * (seen - expected)


class StepSearch:
    """Codes frames to a size: what both ways of control have in common, and what they learn."""

    def __init__(self) -> None:
        self._keys, self._others = SizeModel(), SizeModel()

    def octaves(self, key: bool, step: float) -> float:
        """log2 of the bytes at a step of a key or another frame; guessed where none of its kind was seen."""
        if self._of(key).known:
            return self._of(key).octaves(step)
        return self._of(not key).octaves(step) + (_USUAL_GAIN if key else -_USUAL_GAIN)

    def step_for(self, key: bool, size: float) -> float:
        """The step at which a key or another frame takes so many bytes."""
        if self._of(key).known:
            return self._of(key).step_for(size)
        return self._of(not key).step_for(size * 2 ** (-_USUAL_GAIN if key else _USUAL_GAIN))

    def moved(self, step: float, share: float) -> float:
        """From a step to the one at which predicted frames take so much of what they take there."""
        return step - math.log2(share) / self._of(not self._others.known).slope

    @property
    def known(self) -> bool:
        """Whether any frame was seen."""
        return self._keys.known or self._others.known

    def _of(self, key: bool) -> SizeModel:
        return self._keys if key else self._others

    def fit(
        self, frame: PendingFrame, step: float, least: float, most: float, tries: int, room: float | None = None
    ) -> FittedUnit:
        """Code a frame, first at `step`; more often only where it takes more than `most` bytes, or less than `least`.

        Of the steps that are tried, the finest within `most` is taken; the coarsest of all where even that one takes
        more. After so many `tries` what takes too little is taken, too; or, where two steps that follow one another
        take too little and too much, what is the less wrong of them, if there is `room` for it.
        """
        model, finest, coarsest = self._of(frame.key), frame.steps[0], frame.steps[-1]
        trying, units = min(max(math.ceil(step), finest), coarsest), dict[int, bytes]()
        while True:
            unit = units[trying] = frame.code(trying)
            model.learn(trying, len(unit), same_frame=len(units) > 1)
            if len(unit) > most:
                finest = trying + 1
            else:
                coarsest = trying - 1
            fits = units.get(coarsest + 1)
            if finest > coarsest or (fits is not None and (len(fits) >= least or len(units) >= tries)):
                break
            sizes = {each: len(unit) for each, unit in units.items()}
            trying = min(max(_next_step(model, sizes, finest, coarsest, least, most), finest), coarsest)
        chosen = min(coarsest + 1, frame.steps[-1])
        below, above = units[chosen], units.get(chosen - 1, b"")
        if room is not None and most < len(above) <= room and len(above) - most < least - len(below):
            chosen -= 1
        model.learn(chosen, len(units[chosen]), same_frame=True)
        return FittedUnit(units[chosen], chosen, len(units))


def _next_step(
    model: SizeModel, sizes: Mapping[int, int], finest: int, coarsest: int, least: float, most: float
) -> int:
    """The step to try after `sizes`: on the line through those around it, or else where the model has it."""
    farther = _FIRST_STEPS << len(sizes)
    if coarsest + 1 not in sizes:
        return max(math.ceil(model.step_for(AIM * most)), finest + farther // 2)
    aim = math.sqrt(max(least, 1.0) * most)
    if finest - 1 not in sizes:
        return max(math.ceil(model.step_for(aim)), coarsest + 1 - farther)
    fine, coarse = (math.log2(max(sizes[step], 1)) for step in (finest - 1, coarsest + 1))
    share = (fine - math.log2(aim)) / max(fine - coarse, 1e-9)
    return round(finest - 1 + min(max(share, 0.0), 1.0) * (coarsest + 2 - finest))
