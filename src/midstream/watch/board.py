"""What all tabs see: the newest frame, what was measured of those before it, and what the source is doing."""

from __future__ import annotations

import json
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from midstream.watch.chain import STAGES
from midstream.watch.feed import Phase

#: Frames whose figures are kept for tabs that come later, or were away: a minute at 50 a second.
MOST_POINTS = 3000
#: Latencies that percentiles are of, the newest.
_MOST_LATENCIES = 10_000
#: Of paces: what the last so many seconds were like.
_WINDOW_S = 5.0
_LENGTH = struct.Struct("<I")


@dataclass(frozen=True)
class Point:
    """The figures of a frame.

    Attributes:
        number: of the frame.
        time_s: its time.
        size, key: of its unit.
        jpeg, x264: bytes beside it; None where nobody counts them.
        waited_s: until it was taken up.
        seconds: of each of STAGES.
        quality: that the unit was coded with, where the stream chose it.
        agreement: 0 to 1 with what is found without coding, of the codec, JPEG and x264; None where nobody asks.
    """

    number: int
    time_s: float
    size: int
    key: bool
    jpeg: int | None
    x264: int | None
    waited_s: float
    seconds: dict[str, float]
    quality: int | None = None
    agreement: tuple[float | None, ...] = (None, None, None)

    @property
    def latency_s(self) -> float:
        """From reading the frame to knowing what is in it."""
        return self.waited_s + sum(self.seconds.values())

    def row(self) -> list[Any]:
        """For the page: number, time, bytes, key, JPEG, x264, quality, three agreements, milliseconds of the stages.

        Waiting counts as the first stage.
        """
        times = [self.waited_s, *(self.seconds.get(stage, 0.0) for stage in STAGES)]
        agreement = [None if each is None else round(each, 4) for each in self.agreement]
        figures = [self.number, round(self.time_s, 3), self.size, int(self.key), self.jpeg, self.x264, self.quality]
        return [*figures, *agreement, *(round(1e3 * seconds, 2) for seconds in times)]


@dataclass(frozen=True)
class Picture:
    """The newest frame as a tab shows it: a JPEG with what was found drawn in, its size, and that in words."""

    number: int
    data: bytes
    width: int
    height: int
    words: str


@dataclass
class WatchTally:
    """What was done, for the summary.

    Attributes:
        frames: shown, `keys` of them keys.
        unreadable: frames of the source that are no images.
        failed: frames that could not be coded, or decoded.
        dropped: frames that came faster than they could be coded, before they were.
        bytes, jpeg_bytes, x264_bytes: of all frames; None where nobody counts them.
        seconds: by the source's clock.
        latency_p50_ms, latency_p99_ms: over the newest 10,000.
    """

    frames: int = 0
    keys: int = 0
    unreadable: int = 0
    failed: int = 0
    dropped: int = 0
    bytes: int = 0
    jpeg_bytes: int | None = None
    x264_bytes: int | None = None
    seconds: float = 0.0
    latency_p50_ms: float | None = None
    latency_p99_ms: float | None = None


class Board:
    """Written by the thread that computes, read by the loop that serves the tabs."""

    def __init__(self) -> None:
        """Nothing is there yet."""
        self.changed: Callable[[], None] = lambda: None
        self.watched: Callable[[], bool] = lambda: False
        self.version = 0
        self._lock = threading.Lock()
        self._points: deque[Point] = deque(maxlen=MOST_POINTS)
        self._latencies: deque[float] = deque(maxlen=_MOST_LATENCIES)
        self._shown: deque[float] = deque(maxlen=_MOST_LATENCIES)
        self._picture: Picture | None = None
        self._draw: Callable[[], Picture | None] | None = None
        self._tally, self._problem = WatchTally(), ""
        self._phase, self._reason = Phase.PLAYING, ""
        self._moved = time.monotonic()

    def add(self, point: Point, draw: Callable[[], Picture | None]) -> None:
        """A frame has gone through; it is drawn now where somebody looks on, or else by the next who does."""
        picture = draw() if self.watched() else None
        with self._lock:
            tally = self._tally
            self._points.append(point)
            self._latencies.append(point.latency_s)
            self._shown.append(time.monotonic())
            while self._shown[0] < self._shown[-1] - _WINDOW_S:
                self._shown.popleft()
            self._picture, self._draw = picture or self._picture, None if picture else draw
            self._problem, self._moved = "", time.monotonic()
            tally.frames += 1
            tally.keys += point.key
            tally.bytes += point.size
            tally.jpeg_bytes = _sum(tally.jpeg_bytes, point.jpeg)
            tally.x264_bytes = _sum(tally.x264_bytes, point.x264)
            tally.seconds = point.time_s
        self._tell()

    def left_out(self, problem: str, unreadable: bool) -> None:
        """A frame could not be read, or not be coded."""
        with self._lock:
            self._problem = problem
            self._tally.unreadable += unreadable
            self._tally.failed += not unreadable
        self._tell()

    def dropped(self, count: int) -> None:
        """So many frames were dropped up to now."""
        self._tally.dropped = count

    def source(self, phase: Phase, problem: str) -> None:
        """The source is doing this."""
        with self._lock:
            self._phase, self._reason = phase, problem
            self._moved = time.monotonic()
        self._tell()

    def touch(self) -> None:
        """Something else that tabs show has changed."""
        self._tell()

    def _tell(self) -> None:
        self.version += 1
        self.changed()

    @property
    def tally(self) -> WatchTally:
        """What was done up to now."""
        with self._lock:
            if self._latencies:
                low, high = np.percentile(np.array(self._latencies) * 1e3, [50, 99])
                self._tally.latency_p50_ms, self._tally.latency_p99_ms = round(float(low), 3), round(float(high), 3)
            return WatchTally(**asdict(self._tally))

    def pace(self) -> tuple[float, float]:
        """Over the last seconds, frames a second by this machine's clock, and kilobits a second by the source's."""
        with self._lock:
            points, shown = list(self._points), list(self._shown)
        recent = [point for point in points if point.time_s > points[-1].time_s - _WINDOW_S]
        span = _span([point.time_s for point in recent])
        return _rate(shown), 8e-3 * sum(point.size for point in recent) / span if span > 0 else 0.0

    def message(self, points_from: int, picture_from: int, more: dict[str, Any]) -> tuple[bytes, int, int]:
        """For a tab: all that it has not seen, of frames no more than are kept, and of pictures only the newest.

        Args:
            points_from: the first frame whose figures it lacks.
            picture_from: the first frame whose picture it would take.
            more: what the message says besides.

        Returns:
            The length of a JSON object in four bytes, the object, and the JPEG if there is a new one; and what
            `points_from` and `picture_from` are from now on.
        """
        with self._lock:
            new = []
            for point in reversed(self._points):
                if point.number < points_from:
                    break
                new.append(point.row())
            if self._draw is not None:
                self._picture, self._draw = self._draw() or self._picture, None
            picture = self._picture
            fresh = picture is not None and picture.number >= picture_from
            said: dict[str, Any] = {
                "phase": self._phase.value, "reason": self._reason, "problem": self._problem,
                "idle_s": round(time.monotonic() - self._moved, 1),
                "frames": self._tally.frames, "keys": self._tally.keys, "unreadable": self._tally.unreadable,
                "failed": self._tally.failed, "dropped": self._tally.dropped, "points": new[::-1],
                "frames_per_s": round(_rate(self._shown), 3), **more,
            }  # fmt: skip
            points_from = self._points[-1].number + 1 if self._points else points_from
        image = b""
        if picture is not None and fresh:
            said["picture"] = [picture.number, picture.width, picture.height, picture.words]
            image, picture_from = picture.data, picture.number + 1
        head = json.dumps(said, allow_nan=False).encode()
        return _LENGTH.pack(len(head)) + head + image, points_from, picture_from


def _span(times: Sequence[float]) -> float:
    """Seconds that these times stand for: from the first to the last, and one more; 0 for less than two."""
    return (times[-1] - times[0]) * len(times) / (len(times) - 1) if len(times) > 1 else 0.0


def _rate(times: Sequence[float]) -> float:
    span = _span(times)
    return len(times) / span if span > 0 else 0.0


def _sum(total: int | None, more: int | None) -> int | None:
    return total if more is None else (total or 0) + more
