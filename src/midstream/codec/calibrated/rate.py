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
#: A bit that is worth so many octaves more takes off an octave of bytes, about: 7 times as much, a fifth. Below the
#: least worth, in octaves beside the usual one, hardly anything comes back; so many steps are an octave of bytes.
_WORTH_SLOPE, _LEAST_WORTH, _STEPS_OCTAVE = 8.7, -2.0, 9
#: Octaves of bytes per step, usually, and at least: what a search begins with.
_USUAL_SLOPE, _LEAST_SLOPE = 1 / 6, 1e-3
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
    best_step = 0
    step = _guess(profile, most - beside, {}, finest)
    while step not in sizes and (best is None or len(sizes) <= (_MORE_PASSES if _near(best, most) else _MOST_PASSES)):
        data = at(step)
        sizes[step] = len(data) - beside
        if len(data) <= most and (best is None or len(data) > len(best)):
            best, best_step = data, step
        step = _guess(profile, most - beside, sizes, finest)
    if best is None:
        least = min(sizes.values()) + beside
        raise OptionError(f"`max_bytes` {most:,}: the least that this pyramid takes is {least:,} bytes")
    if trimmed is None or _full(best, most) or best_step <= finest:
        return best
    return _trimmed(trimmed, best_step - 1, finest, best, most)


def _near(data: bytes, most: int) -> bool:
    return 100 * len(data) >= _NEAR_PERCENT * most


def _full(data: bytes, most: int) -> bool:
    return 100 * len(data) >= _FULL_PERCENT * most


def _trimmed(at: Callable[[int, float], bytes], step: int, finest: int, best: bytes, most: int) -> bytes:
    """A finer step, with so many small coefficients left out that it fits; `best`, if nothing that is larger does."""
    aim = math.log2(_AIM * most)
    worth = 1.0  # octaves above what a bit is usually worth
    slope = -1 / _WORTH_SLOPE  # octaves of bytes for an octave of worth
    before: tuple[float, float] | None = None
    for _ in range(_TRIMS):
        data = at(step, _native.BIT_WORTH * 2**worth)
        if len(best) < len(data) <= most:
            best = data
        if _full(best, most):
            break
        size = math.log2(len(data))
        if before is not None and (size - before[1]) * (worth - before[0]) < 0:
            slope = (size - before[1]) / (worth - before[0])
        before = worth, size
        worth += (aim - size) / slope
        if worth < _LEAST_WORTH and step > finest:  # nothing is left to be put back: the next step
            step, worth, before = step - 1, worth + _WORTH_SLOPE / _STEPS_OCTAVE, None
    return best


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
