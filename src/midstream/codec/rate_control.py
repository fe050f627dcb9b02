"""Which step a frame of a stream is coded with, where bytes are given and not a quality: a bucket, or a cap a frame.

The bucket leaks at the bit rate, and every unit is poured into it. It never holds more than it is large: a receiver
that gets the stream at this rate waits for no unit longer than `bucket_s`, and the bytes of any span of time are beyond
what the rate allows by a bucket at most. Far less, usually: each unit is to leave the bucket filled to between a lower
and an upper mark, and bytes of two spans of equal length then differ by no more than what lies between the marks. The
controller steers to near the lower one before each key, which costs several times as much as other frames. What a frame
takes at a step is learnt from the frames before: logarithms of bytes are about linear in a step's index. Where nothing
moves they are not: a predicted frame takes next to nothing at the step of the one before or a coarser one, and all at
once a lot at a finer one. What falls outside the marks is therefore coded again.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from midstream.codec.base import in_words
from midstream.codec.sequence import PendingFrame
from midstream.codec.step_search import AIM, FittedUnit, StepSearch
from midstream.errors import InputError, OptionError
from midstream.quantities import bits_per_second

if TYPE_CHECKING:
    from midstream.codec.base import Codec

#: How large a bucket is, unless somebody says so: in seconds, and in frames where that is more.
USUAL_BUCKET_S, _USUAL_FRAMES = 1.0, 10

#: Seconds of the rate between the least and the most that units leave in the bucket, where they can be coded so: a
#: little less than a twentieth of ten seconds. And the same in frames, where that is more.
_SWING_S, _SWING_FRAMES = 0.44, 2.0
#: The least, in shares of the bucket and in frames; and where it is steered to before a key, in shares of the swing.
_LOW, _LOW_FRAMES, _MOST_LOW, _IDLE = 0.1, 1.3, 0.3, 0.2
#: The controller looks so many buckets ahead: to the first key beyond `_NEAR`, or to `_FAR` where none is near.
_NEAR, _FAR = 1.0, 2.5
#: Of what the rate has for the frames ahead, the least that is spent on them, however full the bucket is.
_LEAST_SHARE = 0.25
#: Steps from one predicted frame to the next, at most, a second: a finer frame than its reference pays for both.
_MOST_CHANGE_S = 75
#: How fast it is learnt that frames are keys which nobody has asked for, and how much time lies between two frames.
_LEARN_KEYS, _LEARN_TIME = 0.2, 0.1
#: Between two frames, whatever their time stamps say.
_LEAST_S = 1e-3
#: Of bits and frames a second, and of seconds: whatever anybody means lies between.
_LEAST_NUMBER, _MOST_NUMBER = 1e-6, 1e15
#: Halvings of the range of steps until one is found.
_HALVINGS = 12
#: Passes after which what takes too little is taken: with a cap alone, then of its keys, which have no step to go on
#: from and which others are predicted from, and with a bucket.
_CAP_TRIES, _KEY_TRIES, _BUCKET_TRIES = 2, 10, 6
#: With a cap alone: the share of it below which a second try is made.
_ENOUGH = 0.85


class RateControl(ABC):
    """Makes a unit of each frame of a stream.

    Attributes:
        bitrate: bits a second that it holds; None where there is no such rate.
    """

    @property
    def bitrate(self) -> float | None:  # noqa: D102
        return None

    def wait(self, time_s: float | None) -> None:
        """The next frame is of this time; None where it follows at the usual rate."""
        del time_s

    @abstractmethod
    def unit(self, frame: PendingFrame, until_key: int | None) -> FittedUnit:
        """The unit of a frame; nothing is sent yet. Raises InputError where none is small enough.

        Args:
            frame: the frame.
            until_key: frames to the next one that is due as a key, this one included; None for never.
        """

    def sent(self, fitted: FittedUnit, key: bool, asked: bool) -> None:
        """The unit is sent; `asked` says whether a key was asked for."""
        del fitted, key, asked

    def set_bitrate(self, bitrate: float | str) -> None:
        """Go on at another rate. Raises InputError where there is none."""
        del bitrate
        raise InputError("this stream has no bit rate to change: begin it with `bitrate`")


class NoControl(RateControl):
    """Units as the codec's options have them."""

    def unit(self, frame: PendingFrame, until_key: int | None) -> FittedUnit:
        """See RateControl."""
        del until_key
        return FittedUnit(frame.write(), None, 1)


class ByteCap(RateControl):
    """A cap on the bytes of each unit, which is filled, or kept to where the codec's options would have more."""

    def __init__(self, most: int, fill: bool) -> None:
        self._most, self._fill = most, fill
        self._search = StepSearch()

    def unit(self, frame: PendingFrame, until_key: int | None) -> FittedUnit:
        """See RateControl."""
        del until_key
        if not self._fill and len(unit := frame.write()) <= self._most:
            return FittedUnit(unit, None, 1)
        aim = self._most * AIM
        known = self._search.known
        start = self._search.step_for(frame.key, aim) if known else _middle(frame)
        tries = _KEY_TRIES if frame.key or not known else _CAP_TRIES
        fitted = within(self._search.fit(frame, start, self._most * _ENOUGH, self._most, tries), self._most)
        return replace(fitted, passes=fitted.passes + (not self._fill))


def within(fitted: FittedUnit, most: int) -> FittedUnit:
    """Refuse what is larger than a cap. Raises InputError."""
    if len(fitted.unit) > most:
        raise OptionError(f"`max_bytes` {most:,}: the least that this frame takes is {len(fitted.unit):,} bytes")
    return fitted


class BucketFullError(InputError):
    """However coarse a frame is, the bucket has no room for it: leave it out, and later ones find room again."""


class LeakyBucket(RateControl):
    """Holds a bit rate (see above).

    Attributes:
        size: bytes that the bucket holds.
        filled: bytes that are in it.
    """

    def __init__(
        self, bytes_per_s: float, fps: float, bucket_s: float | None, interval: int | None, max_bytes: int | None
    ) -> None:
        """An almost empty bucket.

        Args:
            bytes_per_s: the rate.
            fps: frames a second, usually.
            bucket_s: how much of it the bucket holds, in seconds; None for the usual.
            interval: frames from one key to the next, at most.
            max_bytes: of each unit, besides.
        """
        self._swing_s = max(_SWING_S, _SWING_FRAMES / fps) if bucket_s is None else _SWING_S * bucket_s
        self._bucket_s = max(USUAL_BUCKET_S, _USUAL_FRAMES / fps) if bucket_s is None else bucket_s
        self._low_s = min(max(_LOW * self._bucket_s, _LOW_FRAMES / fps), _MOST_LOW * self._bucket_s)
        self._frame_s, self._interval, self._max_bytes = 1 / fps, interval, max_bytes
        self._mark(bytes_per_s)
        self.filled = self._idle
        self._time_s = 0.0
        self._search = StepSearch()
        self._step: int | None = None
        self._unasked = 0.0

    @property
    def bitrate(self) -> float:
        """See RateControl."""
        return 8 * self._rate

    def _mark(self, bytes_per_s: float) -> None:
        """The size and the marks of the bucket at a rate."""
        self._rate, self.size = bytes_per_s, bytes_per_s * self._bucket_s
        self._low = self._low_s * bytes_per_s
        self._high = self._low + self._swing_s * bytes_per_s
        self._idle = self._low + _IDLE * self._swing_s * bytes_per_s

    def set_bitrate(self, bitrate: float | str) -> None:
        """See RateControl; the bucket stays as full in seconds, so that no frame is refused for the change alone."""
        changed = _bytes_per_s(bitrate) / self._rate
        self._mark(self._rate * changed)
        self.filled *= changed
        if changed < 1 and self._step is not None and self._search.known:  # a coarser frame pays for nothing twice
            self._step = round(self._search.moved(self._step, changed))

    def wait(self, time_s: float | None) -> None:
        """See RateControl; the bucket leaks, whatever becomes of the frame. Raises InputError for an earlier time."""
        if time_s is not None and not self._time_s <= time_s <= _MOST_NUMBER:
            raise InputError(f"a frame of the time {time_s} after one of {self._time_s:.3f} s: times do not go back")
        now = self._time_s + self._frame_s if time_s is None else time_s
        passed_s = max(now - self._time_s, 0.0)
        self.filled = max(self.filled - self._rate * passed_s, 0.0)
        self._frame_s += _LEARN_TIME * (min(max(passed_s, _LEAST_S), self._bucket_s) - self._frame_s)
        self._time_s += passed_s

    def unit(self, frame: PendingFrame, until_key: int | None) -> FittedUnit:
        """See RateControl; refuses what is larger than the room in the bucket, too."""
        room, cap = self.size - self.filled, math.inf if self._max_bytes is None else self._max_bytes
        most = min(max(self._high - self.filled, _LEAST_SHARE * self._rate * self._frame_s), room, cap)
        least = min(max(self._low - self.filled, 0.0), AIM * most)
        passes = 0
        if not self._search.known:
            self._search.fit(frame, _middle(frame), 0, math.inf, 1)
            passes = 1
        step = self._chosen(frame, until_key)
        planned = 2 ** self._search.octaves(frame.key, step)
        if not least <= planned <= most:
            step = self._search.step_for(frame.key, min(max(planned, least / AIM), AIM * most))
        fitted = self._search.fit(frame, step, least, most, _BUCKET_TRIES, min(room, cap))
        if self._max_bytes is not None:
            within(fitted, self._max_bytes)
        if len(fitted.unit) > room:
            raise BucketFullError(
                f"the least that this frame takes is {len(fitted.unit):,} bytes, and the bucket has room for "
                f"{int(room):,}: leave the frame out, or give a higher bitrate or a larger bucket_s"
            )
        return replace(fitted, passes=fitted.passes + passes)

    def sent(self, fitted: FittedUnit, key: bool, asked: bool) -> None:
        """See RateControl."""
        self.filled += len(fitted.unit)
        self._step = fitted.step
        if not asked:
            self._unasked += _LEARN_KEYS * (key - self._unasked)

    def _chosen(self, frame: PendingFrame, until_key: int | None) -> float:
        """The step that, for all frames ahead, leaves the bucket almost empty."""
        keys, others = self._ahead(frame.key, until_key)
        allowed = (keys + others) * self._rate * self._frame_s
        allowed = max(allowed + self._idle - self.filled, _LEAST_SHARE * allowed)
        low, high = float(frame.steps[0]), float(frame.steps[-1])
        for _ in range(_HALVINGS):
            step = (low + high) / 2
            takes = keys * 2 ** self._search.octaves(True, step) + others * 2 ** self._search.octaves(False, step)
            low, high = (step, high) if takes > allowed else (low, step)
        if frame.key or self._step is None:
            return round(high)
        change = max(round(_MOST_CHANGE_S * self._frame_s), 1)
        return min(max(round(high), self._step - change), self._step + change)

    def _ahead(self, key: bool, until_key: int | None) -> tuple[float, float]:
        """How many keys and other frames the controller looks ahead at, this one included."""
        held = self._bucket_s / self._frame_s
        near, far = math.ceil(_NEAR * held), math.ceil(_FAR * held)
        count, keys = min(until_key or far, far), float(key)
        if self._interval is not None and count < near:
            more = math.ceil((near - count) / self._interval)
            count, keys = count + more * min(self._interval, far), keys + more
        keys += self._unasked * (count - keys)
        return keys, count - keys


def _middle(frame: PendingFrame) -> int:
    return frame.steps[len(frame.steps) // 2]


def rate_control(
    codec: Codec,
    bitrate: float | str | None,
    fps: float | None,
    max_bytes: int | None,
    bucket_s: float | None,
    interval: int | None,
) -> RateControl:
    """What a StreamEncoder's arguments ask for. Raises OptionError."""
    if bitrate is None and max_bytes is None:
        return NoControl()
    if not codec.targets:
        asked = "bitrate" if bitrate is not None else "max_bytes"
        raise OptionError(f"`{asked}`: the codec {codec.name} has no steps to choose from")
    if max_bytes is not None and (isinstance(max_bytes, bool) or not isinstance(max_bytes, int) or max_bytes < 1):
        raise OptionError(f"`max_bytes` is a whole number, 1 or more, not {max_bytes!r}")
    given = [target for target in codec.targets if codec.given().get(target) is not None]
    if bitrate is None:
        assert max_bytes is not None
        if "max_bytes" in given:
            raise OptionError("`max_bytes` is given to the stream and to its codec: give it once")
        return ByteCap(max_bytes, fill=not given)
    if given:
        raise OptionError(f"give one of `bitrate` and `{given[0]}`")
    if fps is None:
        raise OptionError("`bitrate` needs `fps`, the frames a second")
    _check_positive("fps", fps)
    if bucket_s is not None:
        _check_positive("bucket_s", bucket_s)
    return LeakyBucket(_bytes_per_s(bitrate), fps, bucket_s, interval, max_bytes)


def _bytes_per_s(bitrate: float | str) -> float:
    """Of bits a second. Raises InputError."""
    if not isinstance(bitrate, str):
        _check_positive("bitrate", bitrate)
    return (bits_per_second(bitrate) if isinstance(bitrate, str) else bitrate) / 8


def _check_positive(name: str, value: Any) -> None:
    known = isinstance(value, int | float | np.floating) and not isinstance(value, bool)
    if not known or not value > 0 or value == math.inf:
        raise OptionError(f"`{name}` is a number above 0, not {in_words(value)}")
    if not _LEAST_NUMBER <= value <= _MOST_NUMBER:
        raise OptionError(f"`{name}` is a number from {_LEAST_NUMBER:g} to {_MOST_NUMBER:g}, not {in_words(value)}")
