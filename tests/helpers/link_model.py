"""A link, a server and a source on a clock of their own: what `midstream.serve.link_rate` makes of them.

The link is a fluid one: bytes leave it in order, at a rate that changes at given times. Behind it are a delay, jitter
that keeps the order, and losses as TCP shows them: what was lost, and all that is behind it, comes later. The encoder
is the real bucket (`LeakyBucket`) with made frames.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from tests.helpers.made_frames import MadeFrame

from midstream.codec.rate_control import BucketFullError, LeakyBucket
from midstream.serve.link_rate import BUCKET_S, LinkRate

PACKET = 1400


@dataclass(frozen=True)
class MadeLink:
    """A link by its laws.

    Attributes:
        rates: (from this second on, bits a second), in order.
        delay_s: there and back, besides what a rate takes.
        jitter_s: up to so much more, evenly.
        loss: share of packets that come `resent_s` later, with all behind them.
        server_s: what the server takes for a frame, one after another; a function of the time where it changes.
        overhead: bytes of each frame that nobody tells the controller of.
        busy_s: how long this machine is busy with something else, on average, twice a second: no answer is seen then.
    """

    rates: Sequence[tuple[float, float]]
    delay_s: float = 0.04
    jitter_s: float = 0.0
    loss: float = 0.0
    resent_s: float = 0.2
    server_s: float | Callable[[float], float] = 0.01
    overhead: int = 60
    busy_s: float = 0.0

    def leaves(self, start: float, size: int) -> float:
        """When the last of so many bytes has left it, from `start` on."""
        left, now = 8.0 * size, start
        for number, (begin, rate) in enumerate(self.rates):
            end = self.rates[number + 1][0] if number + 1 < len(self.rates) else np.inf
            if end <= now or not left:
                continue
            now = max(now, begin)
            if rate * (end - now) >= left:
                return now + left / rate
            left -= rate * (end - now)
            now = end
        return now

    def carries(self, begin: float, end: float) -> float:
        """Bits between two times."""
        edges = [*(at for at, _ in self.rates), np.inf]
        return sum(rate * max(min(edges[n + 1], end) - max(at, begin), 0.0) for n, (at, rate) in enumerate(self.rates))


@dataclass
class Seen:
    """What became of the frames: (when taken, seconds to the answer), when dropped, (when sent, bytes), rates."""

    answered: list[tuple[float, float]] = field(default_factory=list)
    dropped: list[float] = field(default_factory=list)
    sent: list[tuple[float, int]] = field(default_factory=list)
    rates: list[tuple[float, float]] = field(default_factory=list)

    def latency(self, begin: float, end: float, share: float = 99) -> float:
        """A percentile of the seconds of frames taken between two times."""
        return float(np.percentile([s for at, s in self.answered if begin <= at < end], share))

    def lost(self, begin: float, end: float) -> int:
        """Frames dropped of those taken between two times."""
        return sum(begin <= at < end for at in self.dropped)

    def use(self, link: MadeLink, begin: float, end: float) -> float:
        """Of what the link carries between two times, the share that was sent, the unseen overhead included."""
        sizes = [size + link.overhead for at, size in self.sent if begin <= at < end]
        return 8 * sum(sizes) / link.carries(begin, end)


class Simulation:
    """A source of `fps` frames a second, over a link, to a server; of more than two that wait, the oldest drops."""

    def __init__(
        self, link: MadeLink, control: LinkRate | float, fps: float = 25, lag: int = 2, places: int = 16, seed: int = 0
    ) -> None:
        """`control` is a rate where it does not follow the link; `places` are the frames in flight at most."""
        self.link, self.control, self.fps, self.lag, self.places = link, control, fps, lag, places
        self.rng = np.random.default_rng(seed)
        rate = control.bitrate(0.0) if isinstance(control, LinkRate) else control
        self.bucket = LeakyBucket(rate / 8, fps, BUCKET_S, 64, None)
        self.seen = Seen()
        self._busy = np.cumsum(self.rng.exponential(0.5, 2000)), self.rng.exponential(max(link.busy_s, 1e-9), 2000)
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._order = itertools.count()
        self._waiting: deque[float] = deque()
        self._flight: set[int] = set()
        self._left = self._arrived = self._free = 0.0
        self._coded = 0

    def run(self, seconds: float) -> Seen:
        """All frames of so many seconds, until the last is answered."""
        for number in range(int(seconds * self.fps)):
            self.at(number / self.fps, self._taken)
        for number in range(int(seconds / 0.02)):
            self.at(number * 0.02, self._code)
        while self._events:
            now, _, event = heapq.heappop(self._events)
            event(now)
        return self.seen

    def at(self, time_s: float, event: Callable[[float], None]) -> None:
        heapq.heappush(self._events, (time_s, next(self._order), event))

    def _taken(self, now: float) -> None:
        self._waiting.append(now)
        if len(self._waiting) > self.lag:
            self.seen.dropped.append(self._waiting.popleft())
        self._code(now)

    def _code(self, now: float) -> None:
        while self._waiting and len(self._flight) < self.places:
            if isinstance(self.control, LinkRate):
                if not self.control.ready(now):
                    return
                rate = self.control.bitrate(now)
                self.bucket.set_bitrate(rate)
                self.seen.rates.append((now, rate))
            taken = self._waiting.popleft()
            self.bucket.wait(now)
            key = self._coded % 64 == 0
            frame = MadeFrame(key, 400_000 * (4 if key else 1) * float(self.rng.uniform(0.7, 1.4)))
            try:
                fitted = self.bucket.unit(frame, 64 - self._coded % 64)
            except BucketFullError:
                self.seen.dropped.append(taken)
                continue
            self.bucket.sent(fitted, key, key)
            self._send(now, taken, len(fitted.unit))

    def _send(self, now: float, taken: float, size: int) -> None:
        number, self._coded = self._coded, self._coded + 1
        link, rng = self.link, self.rng
        self._flight.add(number)
        ticket = self.control.sent(size + 50, size, now) if isinstance(self.control, LinkRate) else 0
        self.seen.sent.append((now, size + 50))
        self._left = link.leaves(max(now, self._left), size + 50 + link.overhead)
        lost = rng.uniform(size=1 + size // PACKET) < link.loss
        late = rng.uniform(0, link.jitter_s) + link.resent_s * lost.any()
        self._arrived = max(self._arrived, self._left + link.delay_s / 2 + late)
        takes = link.server_s(self._arrived) if callable(link.server_s) else link.server_s
        self._free = max(self._free, self._arrived) + takes
        queue_s = self._free - self._arrived - takes
        self.at(
            self._noticed(self._free + link.delay_s / 2),
            lambda at: self._answered(at, number, ticket, taken, queue_s, takes),
        )

    def _noticed(self, time_s: float) -> float:
        begins, lasts = self._busy
        last = int(np.searchsorted(begins, time_s)) - 1
        return time_s if last < 0 else max(time_s, float(begins[last] + min(lasts[last], 0.4)))

    def _answered(self, now: float, number: int, ticket: int, taken: float, queue_s: float, work_s: float) -> None:
        self._flight.discard(number)
        self.seen.answered.append((taken, now - taken))
        if isinstance(self.control, LinkRate):
            self.control.answered(ticket, now, queue_s, work_s)
        self._code(now)
