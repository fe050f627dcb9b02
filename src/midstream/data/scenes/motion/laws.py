"""How vehicles and people move, frame by frame, in 256ths of a centimetre.

A driver keeps a speed, slows down so as to stop behind whoever is in front or at a line, and starts again. Walkers
follow a list of legs: along, across, standing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from midstream.data.scenes.motion import RATE

#: Units a centimetre.
FINE = 256
#: Of 180 and 300 cm/s^2, in units a frame and frame.
_PULL, _BRAKE = 180 * FINE // RATE**2, 300 * FINE // RATE**2
#: Between two vehicles that stand, and from a line, cm.
_GAP, _BEFORE_LINE = 220, 80
Track = NDArray[np.int64]


def per_frame(cm_s: int) -> int:
    """A speed in units a frame."""
    return cm_s * FINE // RATE


def swing(frame: int, period: int, phase: int, cosines: Sequence[int]) -> int:
    """4096 times the sine of a turn in `period` frames that begins at `phase` 256ths, by linear interpolation."""
    turn = len(cosines)
    at = (frame * 256 // period + phase) * turn
    step, rest = at // 256 % turn, at % 256
    first, second = cosines[(step - turn // 4) % turn], cosines[(step + 1 - turn // 4) % turn]
    return first + (second - first) * rest // 256


@dataclass(frozen=True)
class Line:
    """Where traffic stops while it is closed; `closed` are [from, until) in frames, and `at` is in the lane's way."""

    at: int
    closed: tuple[tuple[int, int], ...]

    def is_closed(self, frame: int) -> bool:
        """Whether nobody may pass."""
        return any(first <= frame < end for first, end in self.closed)


@dataclass
class Driver:
    """A vehicle in a lane: its middle, half its length, and speeds."""

    at: int
    half: int
    wish: int
    speed: int

    @classmethod
    def of(cls, at_cm: int, half_cm: int, cm_s: int) -> Driver:
        """At its speed already."""
        return cls(at_cm * FINE, half_cm * FINE, per_frame(cm_s), per_frame(cm_s))

    def step(self, ahead: Driver | None, lines: Sequence[Line], frame: int) -> None:
        """One frame further."""
        limit = self.wish
        if ahead is not None:
            limit = min(limit, _stopping(ahead.at - ahead.half - self.at - self.half - _GAP * FINE))
        for line in lines:
            left = (line.at - _BEFORE_LINE) * FINE - self.at - self.half
            # Who cannot stop any more goes on.
            if left >= 0 and line.is_closed(frame) and self.speed * self.speed <= 3 * _BRAKE * (left + FINE):
                limit = min(limit, _stopping(left))
        self.speed = max(min(self.speed + _PULL, limit), 0)
        self.at += self.speed


def _stopping(left: int) -> int:
    """The speed, slowed down by `_BRAKE` a frame, with which one stops within `left`."""
    return min((math.isqrt(_BRAKE * (_BRAKE + 8 * left)) - _BRAKE) // 2, left) if left > 0 else 0


def drive(drivers: Sequence[Driver], lines: Sequence[Line], frames: int, before: int = 0) -> Track:
    """Places in the lane's way, cm, int64 [drivers, frames].

    Args:
        drivers: in order, the foremost first.
        lines: where they stop.
        frames: from 0 on.
        before: how many frames before 0 they begin.
    """
    out = np.zeros((len(drivers), frames), np.int64)
    for frame in range(-before, frames):
        if frame >= 0:
            out[:, frame] = [driver.at // FINE for driver in drivers]
        ahead = None
        for driver in drivers:
            driver.step(ahead, lines, frame)
            ahead = driver
    return out


@dataclass(frozen=True)
class Leg:
    """For how many frames somebody goes, and how far a frame, in units."""

    frames: int
    across: int
    along: int


def walk(x: int, z: int, legs: Sequence[Leg], frames: int) -> tuple[Track, Track, Track]:
    """x and z in cm, and the way so far in cm, [frames]; after the last leg the walker stands."""
    steps = np.zeros((frames, 2), np.int64)
    begin = 0
    for leg in legs:
        steps[begin : begin + leg.frames] = (leg.across, leg.along)
        begin += leg.frames
    at = np.cumsum(np.concatenate((np.zeros((1, 2), np.int64), steps[:-1])), axis=0)
    way = np.cumsum(np.concatenate((np.zeros(1, np.int64), np.abs(steps[:-1]).max(axis=1))))
    return x + at[:, 0] // FINE, z + at[:, 1] // FINE, way // FINE
