"""The step for a cap on the bytes: a search that ends after a few passes of the coder."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from midstream import _native
from midstream.codec.calibrated.coding import Analysed
from midstream.codec.calibrated.document import STEP_INDICES, STEPS_PER_OCTAVE
from midstream.codec.calibrated.profile import Profile
from midstream.errors import OptionError

#: The largest whole number that a coefficient becomes: native/coefficients.hpp.
_MOST_STEPS = 1 << 20
#: Passes of the coder beyond the first that a cap may take; and those while what fits is below these percent of it.
_MORE_PASSES, _MOST_PASSES, _NEAR_PERCENT = 2, 9, 80
#: Percent of a cap that are enough, the share that is aimed at, and passes that may be spent on it.
_FULL_PERCENT, _AIM, _TRIMS = 95, 0.98, 5
#: Octaves of bytes that a bit takes off which is worth an octave more: of some networks, and five times as many of
#: others; and at least, for what is believed of it. Below the least worth, in octaves beside the usual one, hardly
#: anything comes back, and at the most nothing is left.
_WORTH_FALL, _LEAST_WORTH_FALL, _LEAST_WORTH, _MOST_WORTH = 1 / 8.7, 0.02, -2.0, 30.0
#: What is aimed at between a worth that is too small and one that is too large keeps this share of the way from both.
_INSIDE = 0.1
#: Octaves of bytes per step, usually, and at least: what a search begins with.
_USUAL_SLOPE, _LEAST_SLOPE = 1 / 6, 1e-3
#: Octaves of bytes per step that are believed where a worth is looked for.
_LEAST_FALL, _MOST_FALL = 0.05, 0.5
#: By how much of the way to what fits a search goes beyond it, and by how many octaves of bytes at least.
_MARGIN, _LEAST_MARGIN = 0.25, 0.02


def code_within(
    at: Callable[[int], bytes],
    most: int,
    profile: Profile,
    finest: int,
    beside: int = 0,
    trimmed: Callable[[int, float], bytes] | None = None,
) -> bytes:
    """The largest stream that fits of a few passes of the real coder; of more, while none fits or only a far smaller.

    Args:
        at: gives the stream at a step.
        most: bytes that it may have.
        profile: knows what a stream takes at a step, about.
        finest: the finest step that may be tried.
        beside: bytes of the stream that do not depend on the step.
        trimmed: gives the stream at a step where a bit is worth so much: it fills what steps leave of the cap.

    Raises:
        InputError: even the coarsest step takes more.
    """
    sizes: dict[int, int] = {}
    best: bytes | None = None
    room = most - beside
    step = _guess(profile, room, {}, finest)
    while step not in sizes and (
        best is None or len(sizes) <= (_MORE_PASSES if _uses(_NEAR_PERCENT, best, room, beside) else _MOST_PASSES)
    ):
        data = at(step)
        sizes[step] = len(data) - beside
        if len(data) <= most and (best is None or len(data) > len(best)):
            best = data
        step = _guess(profile, room, sizes, finest)
    if best is None:
        least = min(sizes.values()) + beside
        raise OptionError(f"`max_bytes` {most:,}: the least that this pyramid takes is {least:,} bytes")
    if trimmed is None or _uses(_FULL_PERCENT, best, room, beside) or sizes.get(finest, room + 1) <= room:
        return best
    return _trimmed(trimmed, sizes, finest, best, room, beside)


def _uses(percent: int, data: bytes, room: int, beside: int) -> bool:
    """Whether a stream takes at least so much of the bytes that depend on the step."""
    return 100 * (len(data) - beside) >= percent * room


def _trimmed(
    at: Callable[[int, float], bytes], sizes: Mapping[int, int], finest: int, best: bytes, room: int, beside: int
) -> bytes:
    """A finer step, with so many small coefficients left out that it fits; `best`, if nothing that is larger does."""
    search = _WorthSearch(sizes, len(best) - beside, math.log2(_AIM * room), finest)
    for _ in range(_TRIMS):
        if search.step < finest:
            break
        data = at(search.step, _native.BIT_WORTH * 2**search.worth)
        if len(best) < len(data) <= room + beside:
            best = data
        if _uses(_FULL_PERCENT, best, room, beside):
            break
        search.learn(math.log2(len(data) - beside))
    return best


class _WorthSearch:
    """For what a bit should be worth, at the step next to the last that fits, or at a finer one.

    Networks differ: an octave of worth takes off from a tenth to two thirds of an octave of bytes, and a step from a
    ninth to a third. So lines go through what is known: what steps have taken, and the worths that were tried.

    Attributes:
        step: to be tried next.
        worth: to be tried there: octaves above what a bit is usually worth.
    """

    def __init__(self, sizes: Mapping[int, int], best: int, aim: float, finest: int) -> None:
        """A search for `aim`, in octaves of bytes.

        Args:
            sizes: what steps have taken, in bytes.
            best: the size among these that fits best.
            aim: binary logarithm of the bytes that are wanted.
            finest: the finest step that may be tried.
        """
        logs = {step: math.log2(size) for step, size in sizes.items()}
        fits = next(step for step in sorted(sizes) if sizes[step] == best)
        others = sorted((step for step in sizes if step != fits), key=lambda step: abs(step - fits))
        self._step_fall = _USUAL_SLOPE
        if others:
            fall = (logs[others[0]] - logs[fits]) / (fits - others[0])
            self._step_fall = min(max(fall, _LEAST_FALL), _MOST_FALL)
        self._aim, self._fall = aim, _WORTH_FALL
        self._over: tuple[float, float] | None = None  # worth, and octaves of bytes: the nearest that is too large
        self._under: tuple[float, float] | None = None  # and the nearest that is not
        self.step = fits - 1
        whole = logs.get(self.step, logs[fits] + self._step_fall)
        while whole < aim and self.step > finest:
            self.step -= 1
            whole = logs.get(self.step, whole + self._step_fall)
        if self.step in logs and whole > aim:
            self._over = 0.0, whole
        self._begin(whole)

    def _begin(self, whole: float) -> None:
        """At a step that takes so many octaves of bytes with nothing left out, about."""
        self._whole, self.worth = whole, min(max((whole - self._aim) / self._fall, 0.0), _MOST_WORTH)

    def learn(self, size: float) -> None:
        """Go on from what the step and the worth that were tried have taken, in octaves of bytes."""
        tried, near = (self.worth, size), self._over if size <= self._aim else self._under
        if size > self._aim:
            before, self._over = self._over, tried
        else:
            before, self._under = self._under, tried
        other = near or before or (0.0, self._whole)
        if (other[0] - tried[0]) * (other[1] - size) < 0:
            self._fall = max((other[1] - size) / (tried[0] - other[0]), _LEAST_WORTH_FALL)
        self.worth = min(self.worth + (size - self._aim) / self._fall, _MOST_WORTH)
        if self._over is not None and self._under is not None:
            low, high = sorted((self._over[0], self._under[0]))
            inside = _INSIDE * (high - low)
            self.worth = min(max(self.worth, low + inside), high - inside)
        elif self.worth < _LEAST_WORTH:  # nothing is left to be put back: the next step
            self.step, self._under = self.step - 1, None
            self._begin(size + self._fall * tried[0] + self._step_fall)


def finest_step(analysed: Analysed) -> int:
    """The finest step at which a whole number says every coefficient, however wrong its prediction from neighbours is.

    At a finer one differences would be cut off, and the prediction of the next cells might go astray with them.
    """
    largest = 0.0
    for group, coefficients in zip(analysed.profile.groups, analysed.coefficients, strict=True):
        gain = float(np.abs(group.neighbours).sum(axis=(0, 1)).max(initial=0))
        largest = max(largest, (1 + gain) * coefficients.largest / _MOST_STEPS)
    index = STEP_INDICES / 2 + (STEPS_PER_OCTAVE * math.log2(largest) if largest else -math.inf)
    return math.ceil(min(max(index, 0), STEP_INDICES - 1))


def _guess(profile: Profile, most: int, sizes: Mapping[int, int], finest: int) -> int:
    """The step to try: on the curve, moved to the first known size; then on the line through the nearest two."""
    wanted, logs = math.log2(max(most, 1)), {step: math.log2(size) for step, size in sizes.items()}
    fitting = min((step for step, size in sizes.items() if size <= most), default=None)
    beyond = max((step for step, size in sizes.items() if size > most), default=None)
    near = sorted(logs, key=lambda step: abs(logs[step] - wanted))[:2]
    if len(sizes) == _MORE_PASSES:  # farther than it looks, so that the last pass fits
        wanted -= max(_MARGIN * abs(logs[near[0]] - wanted), _LEAST_MARGIN)
    if len(near) < 2:
        steps, curve = _curve(profile)
        away = logs[near[0]] - float(np.interp(near[0], steps, curve)) if near else 0.0
        guess = math.ceil(float(np.interp(away - wanted, -curve, steps)))
    else:
        fine, coarse = sorted(near)
        slope = max((logs[fine] - logs[coarse]) / (coarse - fine), _LEAST_SLOPE)
        guess = math.ceil(fine + (logs[fine] - wanted) / slope)
    low = finest if beyond is None else beyond + 1
    if fitting is None:  # whatever it takes: beyond the passes that were meant to do, twice as far each time
        low += (1 << max(len(sizes) - _MORE_PASSES, 0)) - 1
    high = STEP_INDICES - 1 if fitting is None else max(fitting - 1, low)
    if len(sizes) > _MORE_PASSES and fitting is not None:  # no line leads there: halfway
        guess = (low + high) // 2
    return min(max(guess, low), high)


def _curve(profile: Profile) -> tuple[list[int], NDArray[np.float64]]:
    """Steps, and the falling logarithms of what they take; beyond the measured ones as steep as at their ends."""
    curve = sorted(profile.about.curve, key=lambda point: point.step)
    steps, logs = [point.step for point in curve], [math.log2(point.bytes) for point in curve]
    for k in range(1, len(logs)):
        logs[k] = min(logs[k], logs[k - 1] - _LEAST_SLOPE * (steps[k] - steps[k - 1]))
    fine = (logs[0] - logs[1]) / (steps[1] - steps[0]) if len(steps) > 1 else _USUAL_SLOPE
    coarse = (logs[-2] - logs[-1]) / (steps[-1] - steps[-2]) if len(steps) > 1 else 0.0
    coarse = max(coarse, _USUAL_SLOPE)  # where headers are most of it, a curve is flat
    ends = logs[0] + fine * (steps[0] + 1), logs[-1] - coarse * (STEP_INDICES - steps[-1])
    return [-1, *steps, STEP_INDICES], np.array([ends[0], *logs, ends[1]])
