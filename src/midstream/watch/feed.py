"""A source as it is watched: at its own speed, stopped and played again, opened again when it is lost."""

from __future__ import annotations

import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from enum import Enum
from fractions import Fraction
from urllib.parse import urlsplit

from midstream.data.frames import Frame, Source
from midstream.errors import InputError
from midstream.files import STANDARD, expanded
from midstream.watch.controls import Controls

#: Schemes of addresses at which a file lies, which comes as fast as it is read.
_FILE_SCHEMES = {"file", "http", "https", "ftp", "sftp"}
#: Of the pace, and of bit rates: whatever a source says of itself.
LEAST_RATE, MOST_RATE = 0.1, 1000.0
#: A source that is later than this has had to wait for something: the time is not made up for.
_MOST_LATE_S = 1.0
#: Until a lost camera is tried again: first, and at most.
_FIRST_RETRY_S, _MOST_RETRY_S = 1.0, 15.0


class Kind(Enum):
    """What a source can do: a FILE begins again and waits, a PIPE waits, a LIVE one goes on by itself."""

    FILE = "file"
    PIPE = "pipe"
    LIVE = "live"

    @classmethod
    def of(cls, spec: str) -> Kind:
        """Of a source by its name, as `open_source` takes it."""
        if spec == STANDARD:
            return cls.PIPE
        if "://" in spec:
            return cls.FILE if urlsplit(spec).scheme.lower() in _FILE_SCHEMES else cls.LIVE
        path = expanded(spec)
        mode = path.stat().st_mode if path.exists() else 0
        if stat.S_ISCHR(mode):
            return cls.LIVE
        return cls.PIPE if stat.S_ISFIFO(mode) else cls.FILE


class Phase(Enum):
    """Where a source stands."""

    PLAYING = "playing"
    ENDED = "ended"
    FAILED = "failed"
    LOST = "lost"


class Feed:
    """The frames of a source, numbered from 0 and with times that never go back, however often it is opened.

    A `Source` for `Intake`. Its thread may wait here: for a frame's time, while the source is stopped, for somebody to
    play it again.
    """

    def __init__(
        self,
        opened: Source,
        reopen: Callable[[], Source],
        kind: Kind,
        controls: Controls,
        *,
        loop: bool = False,
        once: bool = False,
        every: bool = False,
        told: Callable[[Phase, str], None] = lambda phase, problem: None,
    ) -> None:
        """From a source that has been opened.

        Args:
            opened: the source.
            reopen: opens it once more.
            kind: of it.
            controls: what people ask for.
            loop: a file begins again at its end.
            once: the frames end with the source, and a source that fails raises.
            every: frames of files come as fast as they are taken, and not at their own speed.
            told: of each phase, and of the reason where something failed.
        """
        self.rate = min(max(opened.rate, LEAST_RATE), MOST_RATE)
        self.tick_s: Fraction | None = None
        self._opened, self._reopen, self._kind, self._controls = opened, reopen, kind, controls
        self._loop, self._once, self._every, self._told = loop and kind is Kind.FILE, once, every, told
        self._count = 0
        self._next_s = 0.0
        self._began: float | None = None

    def frames(self) -> Iterator[Frame]:
        """See Source; `time_s` is since the begin, of live sources by the clock. Raises InputError with `once`."""
        source: Source | None = self._opened
        while source is not None:
            self._told(Phase.PLAYING, "")
            problem = ""
            try:
                yield from self._played(source)
            except InputError as error:
                if self._once:
                    raise
                problem = str(error)
            if self._once or self._controls.closed:
                return
            source = self._again(problem)

    def _again(self, problem: str) -> Source | None:
        """The source, opened once more, when it is time for that; None at the end of all."""
        live, retry_s = self._kind is Kind.LIVE, _FIRST_RETRY_S
        waits = problem or not self._loop
        while True:
            if waits:
                phase = Phase.LOST if live else Phase.FAILED if problem else Phase.ENDED
                self._told(phase, problem or ("the source has ended" if live else ""))
                self._controls.wait_for_again(retry_s if live else None)
            if self._controls.closed:
                return None
            retry_s, waits = min(2 * retry_s, _MOST_RETRY_S), True
            if self._kind is Kind.PIPE:
                problem = "standard input and pipes can be read once only"
                continue
            try:
                return self._reopen()
            except InputError as error:
                problem = str(error)

    def _played(self, source: Source) -> Iterator[Frame]:
        rate = min(max(source.rate, LEAST_RATE), MOST_RATE)
        offset: float | None = None
        last_s = self._next_s
        now = time.monotonic()
        zero = now - last_s
        self._began = self._began or now
        for number, frame in enumerate(source.frames()):
            if self._kind is Kind.LIVE:
                if self._controls.paused and not self._controls.closed:
                    continue  # a camera's buffers would fill with frames that are old when they are seen
                at_s = time.monotonic() - self._began
            else:
                own_s = number / rate if frame.time_s is None else frame.time_s
                offset = self._next_s - own_s if offset is None else offset
                at_s = own_s + offset
                zero = self._waited(zero, max(at_s, last_s))
            if self._controls.closed:
                return
            last_s = max(at_s, last_s)  # some sources have a time twice, or go back
            self._next_s = last_s + 1 / rate
            yield replace(frame, number=self._count, time_s=last_s, taken=time.monotonic())
            self._count += 1

    def _waited(self, zero: float, at_s: float) -> float:
        """Wait for a frame's time, by a clock that began at `zero` and stands still meanwhile where people say so."""
        controls = self._controls
        while not controls.closed:
            if controls.paused:
                stopped = time.monotonic()
                controls.wait(lambda: not controls.paused)
                zero += time.monotonic() - stopped
                continue
            left = zero + at_s - time.monotonic()
            if self._every or left <= 0:
                return zero - left if left < -_MOST_LATE_S else zero
            controls.wait(lambda: controls.paused, left)
        return zero
