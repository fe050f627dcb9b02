"""How fast to code for a link: `LinkRate` follows what the link takes, from bytes sent and the answers to them.

It is a congestion controller as video calls have them, at the pace of frames, since answers are all that a client sees
of a link behind TCP and gRPC. From each is taken:

* A bound on what is unanswered, as in SCReAM (RFC 8298, self-clocking): no frame is coded while the bytes before it
  would keep the link busy for longer than `_MOST_WAIT_S`. What is not coded leaves no gap. Kernel and router may buffer
  as much as they like: what lies there is unanswered, too.
* Capacity from the spacing of answers while the link is busy, as packet trains and BBR have it (Cardwell et al.,
  "BBR: Congestion-Based Congestion Control", 2016): frames that waited for one another left at the link's own rate.
* A falling rate where a queue *stands*, which is the least that frames waited over some time, not the most (CoDel, RFC
  8289): a key may take its time. A rise otherwise, slow near the rate at which a queue stood last and fast elsewhere
  (the two phases of Google's congestion control, draft-ietf-rmcat-gcc-02; CUBIC, RFC 9438).

The aims are those of RFC 8836 (congestion control for interactive media). A server that takes long is no slow link: it
says what it took, which is subtracted. All here is arithmetic on times that are given; no clock is read.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

#: Seconds of the rate in the encoder's bucket (`StreamEncoder(bucket_s=...)`): less leaves keys too little.
BUCKET_S = 0.5
#: Bits a second at first, and the bounds unless somebody says so.
USUAL_START, USUAL_LEAST, USUAL_MOST = 200e3, 50e3, 8e6

#: A frame is coded while those before it keep the link busy no longer than this.
_MOST_WAIT_S = 0.45
#: A queue stands where frames waited for more than the first, and does not where for less than the second.
_STANDS_S, _GONE_S = 0.06, 0.03
#: Of the last so many seconds, and of so many answers at least, is the least wait that says so.
_STANDING_S, _FEWEST = 0.3, 3
#: Of a busy link: samples of the last so many seconds, which have to make up for as much time at least.
_SAMPLES_S, _LEAST_BUSY_S = 1.5, 0.1
#: Of the capacity, what is used beside a queue that stands, and how fast that queue is to be gone.
_SHARE, _LEAST_SHARE, _DRAIN_S = 0.93, 0.3, 1.0
#: What the rate grows by in a second, near the capacity that was seen last and at most; where near it is; and how much
#: more for each time of the capacity that it is beyond.
_SLOWLY, _FAST, _NEAR, _STEEPER = 1.06, 2.5, (0.9, 1.1), 1.5
#: A rate is not proved by frames that use less of it: so many times what was answered of late, at most.
_UNPROVED, _PROVED_S = 1.5, 0.6
#: The shortest way to the server is the best of so many seconds; where a frame finds a queue that has stood for the
#: second, the best of the third.
_BASE_S, _LONG_S, _RECENT_S = 10.0, 2.0, 1.0
#: An answer is late when it comes later than it should by the first and so many times what is usual; at most by the
#: last.
_LATE_S, _LATE_TIMES, _MOST_LATE_S = 0.015, 3.0, 0.06
#: What is late may have been lost, or this machine is busy: no smaller share of what the link took is believed.
_DOUBT = 0.25
#: A frame that waited for this long says at once that the rate is too high, if another one of so many bears it out.
_ALARM_S, _LATELY = 0.3, 3
#: What the server may take is the most of so many seconds, but for a tenth. Frames are to wait for it no longer than
#: the second; where others keep it busy, two may always be on their way.
_SERVER_S, _MOST_SERVER_S = 2.0, 0.35
_ALWAYS = 2
#: Of a frame that waited for none: a shorter time on the link is too little beside jitter to tell a rate.
_TELLING_S = 0.03
#: What is not answered by then is not waited for: a link that stands, or a server that forgets, gets a frame now and
#: then.
_LOST_S = 10.0
#: Of an update, at most: answers that come late are no reason to grow by leaps.
_MOST_STEP_S = 0.25


@dataclass(frozen=True)
class _Sent:
    at: float
    size: int


class _Window:
    """Of the last seconds: (when, value, size of the frame)."""

    def __init__(self, seconds: float, fewest: int = 1) -> None:
        """At least so many are kept, however old."""
        self._seconds, self._fewest = seconds, fewest
        self.entries: deque[tuple[float, float, int]] = deque()

    def add(self, now: float, value: float, size: int = 0) -> None:
        self.entries.append((now, value, size))
        self.forget(now, self._seconds)

    def forget(self, now: float, seconds: float) -> None:
        """All that is older, but some of the newest."""
        while len(self.entries) > self._fewest and self.entries[0][0] < now - seconds:
            self.entries.popleft()

    def least(self) -> tuple[float, int]:
        """The least value, with its frame's size."""
        return min((value, size) for _, value, size in self.entries)

    def usual_most(self) -> float:
        """What all but a tenth of the values do not exceed."""
        return sorted(value for _, value, _ in self.entries)[(9 * len(self.entries) - 1) // 10]

    @property
    def span(self) -> float:
        return self.entries[-1][0] - self.entries[0][0]

    def newest(self) -> float:
        return self.entries[-1][1]

    def mean(self) -> float:
        return sum(value for _, value, _ in self.entries) / len(self.entries)

    def per_s(self) -> float:
        """The sum of values a second; 0 where too little is there."""
        if len(self.entries) < 2:
            return 0.0
        span = self.entries[-1][0] - self.entries[0][0]
        return sum(value for _, value, _ in self.entries) * (1 - 1 / len(self.entries)) / max(span, self._seconds / 2)


class _Least(_Window):
    """Of the last seconds, what may yet be the least of the last so many: `least` at once, however many come."""

    def add(self, now: float, value: float, size: int = 0) -> None:
        while self.entries and self.entries[-1][1] >= value:
            self.entries.pop()
        super().add(now, value, size)

    def least(self) -> tuple[float, int]:
        _, value, size = self.entries[0]
        return value, size


class LinkRate:
    """The rate for an encoder whose frames go over a link.

    >>> link = LinkRate(least=50e3, most=2e6)
    >>> if link.ready(now):                                  # else: wait for an answer, or drop the frame, uncoded
    ...     encoder.set_bitrate(link.bitrate(now))
    ...     ticket = link.sent(len(request), len(unit), now)
    >>> link.answered(ticket, later, queue_s, work_s)

    Attributes:
        least, most: bounds of the rate, bits a second.
        capacity: bits a second that the link took when a queue stood last; None before, and when more was taken since.
    """

    def __init__(self, least: float = USUAL_LEAST, most: float = USUAL_MOST, start: float = USUAL_START) -> None:
        """Nothing is known of the link yet."""
        self.least, self.most = least, most
        self.capacity: float | None = None
        self._rate = min(max(start, least), most)
        self._tickets = 0
        self._extra, self._proved = _Window(_PROVED_S, 4), _Window(_PROVED_S, 4)
        self.reconnected()

    def reconnected(self) -> None:
        """Nothing is on its way any more, and the way may be another one."""
        self._flight: dict[int, _Sent] = {}
        self._newest = 0
        self._free_at = -math.inf  # when the link was done with the newest frame that is answered
        self._ways, self._server, self._work = _Least(_BASE_S), _Window(_SERVER_S), _Window(_SERVER_S)
        self._waits, self._busy = _Window(_STANDING_S, _FEWEST), _Window(_SAMPLES_S, _FEWEST + 2)
        self._lately = deque[tuple[float, int]](maxlen=_LATELY)
        self._unsteady_s = _MOST_LATE_S / _LATE_TIMES
        self._updated: float | None = None
        self._stands_since: float | None = None

    def sent(self, size: int, unit: int, now: float) -> int:
        """A frame is handed to the connection.

        Args:
            size: bytes of its request, 1 or more.
            unit: those of the unit in it.
            now: in seconds, by a clock that does not go back; as everywhere here.

        Returns:
            A ticket for `answered` or `left`; a frame that is sent again gets another one.
        """
        self._tickets += 1
        self._flight[self._tickets] = _Sent(now, size)
        self._extra.add(now, 8.0 * (size - unit))
        return self._tickets

    def left(self, ticket: int) -> None:
        """A frame is not on its way any more, and its answer tells nothing."""
        self._flight.pop(ticket, None)

    def answered(self, ticket: int, now: float, queue_s: float, work_s: float) -> None:
        """The answer to a frame has come, for which the server took so long: waiting there, and at work."""
        sent = self._flight.pop(ticket, None)
        if sent is None or ticket < self._newest:
            return
        self._newest = ticket
        self._server.add(now, queue_s + work_s)
        self._work.add(now, work_s)
        self._proved.add(now, 8.0 * sent.size)
        arrived = now - queue_s - work_s  # at the server, and as long as an answer takes
        self._ways.add(now, arrived - sent.at, sent.size)
        way, size = self._ways.least()
        left = arrived - way
        waited = self._free_at - sent.at
        if waited > 0:
            self._sample(now, left - self._free_at, sent.size)
        elif sent.size > size and left - sent.at > _TELLING_S:  # besides what it shares with the frame of the best way
            self._sample(now, left - sent.at, sent.size - size)
        elif self._lately:
            self._lately.popleft()
        over = left - max(sent.at, self._free_at) - sent.size / self._believed
        self._unsteady_s += 0.1 * (min(abs(over), _MOST_LATE_S) - self._unsteady_s)
        self._waits.add(now, max(waited, left - sent.at - sent.size / self._believed, 0.0))
        self._free_at = max(self._free_at, left)
        self._adapt(now, sent.at)

    def _sample(self, now: float, seconds: float, size: int) -> None:
        self._busy.add(now, seconds, size)
        self._lately.append((seconds, size))

    def _taken_lately(self, but: int = 0) -> float:
        """Bytes a second that the link took of the newest frames, `but` the slowest; infinity where it was not busy."""
        samples = sorted(self._lately, key=lambda each: each[0] / each[1])[: len(self._lately) - but]
        seconds = sum(each[0] for each in samples)
        return sum(each[1] for each in samples) / seconds if seconds > 0 else math.inf

    def ready(self, now: float) -> bool:
        """Whether to code a frame now. If not, ask again after an answer, or in a little while."""
        while self._flight and (first := next(iter(self._flight))) and self._flight[first].at < now - _LOST_S:
            del self._flight[first]
        if not self._flight:
            return True
        return not self._server_is_behind() and self._ahead(now)[0] <= _MOST_WAIT_S

    def bitrate(self, now: float) -> float:
        """Bits a second for the encoder's units."""
        rate = min(self._rate, _SHARE * 8 * self._ahead(now)[1])
        return min(max(rate - min(self._extra.per_s(), rate / 2), self.least), self.most)

    @property
    def _believed(self) -> float:
        """Bytes a second that the link takes, as long as nothing speaks against it."""
        return max(self._rate, self.capacity or 0.0) / 8

    @property
    def _late_s(self) -> float:
        return min(_LATE_S + _LATE_TIMES * self._unsteady_s, _MOST_LATE_S)

    def _server_is_behind(self) -> bool:
        if len(self._flight) < _ALWAYS or not self._ways.entries:
            return False
        if self._server.newest() > _MOST_SERVER_S:
            return True
        return len(self._flight) * self._work.mean() > self._ways.least()[0] + _MOST_SERVER_S

    def _ahead(self, now: float) -> tuple[float, float]:
        """Seconds until the link is done with all that is on its way, and bytes a second that it takes meanwhile."""
        takes = self._believed
        if self._waits.entries and self._waits.newest() > _STANDS_S:
            takes = min(takes, self._taken_lately())
        if not self._ways.entries:
            return sum(each.size for each in self._flight.values()) / takes, takes
        due = now - self._ways.least()[0] - self._server.usual_most() - self._late_s
        end, first = self._free_at, True
        for each in self._flight.values():
            start = max(end, each.at)
            end = start + each.size / takes
            if first and end < due:  # its answer should be here: the link takes less
                takes, end = max(each.size / (due - start), _DOUBT * takes), due
            first = False
        return max(end - now, 0.0), takes

    def _adapt(self, now: float, sent_at: float) -> None:
        passed = 0.0 if self._updated is None else min(now - self._updated, _MOST_STEP_S)
        self._updated = now
        many = len(self._waits.entries) >= _FEWEST and self._waits.span >= _STANDING_S / 2  # not all in one breath
        standing = self._waits.least()[0] if many else 0.0
        ahead = self._ahead(now)[0]
        if standing < _GONE_S:
            self._stands_since = None
        if standing > _STANDS_S and ahead > _STANDS_S / 2:
            self._fall(ahead)
            self._stands_since = now if self._stands_since is None else self._stands_since
        elif self._waits.newest() > _ALARM_S:
            self._rate = max(min(self._rate, _SHARE * 8 * self._taken_lately(but=1)), self.least)
        elif self._waits.newest() < _GONE_S:
            self._rise(passed)
        if self._stands_since is not None and sent_at - self._stands_since > _LONG_S:
            self._lengthen(now)

    def _lengthen(self, now: float) -> None:
        """What was sent long after the rate fell has waited, too: that is no queue, the way has become a longer one."""
        self._ways.forget(now, _RECENT_S)
        self._waits.entries.clear()
        self._busy.entries.clear()
        self._stands_since = self.capacity = None

    def _fall(self, ahead: float) -> None:
        taken = self._taken()
        if taken is None:
            return
        self.capacity = taken
        share = _SHARE - max(ahead - _STANDS_S / 2, 0.0) / _DRAIN_S
        self._rate = min(max(taken * max(share, _LEAST_SHARE), self.least), self.most)

    def _taken(self) -> float | None:
        """Bits a second that the link takes when it is busy; of all samples but the slowest, which may be a loss."""
        samples = sorted(self._busy.entries, key=lambda each: each[1] / each[2])[:-1]
        seconds = sum(each[1] for each in samples)
        if len(samples) < _FEWEST or seconds < _LEAST_BUSY_S:
            return None
        return 8 * sum(each[2] for each in samples) / seconds

    def _rise(self, passed: float) -> None:
        share = self._rate / self.capacity if self.capacity else 0.0
        steep = _SLOWLY + _STEEPER * max(share - _NEAR[1], 0.0)
        growth = _FAST if share < _NEAR[0] else min(steep, _FAST)
        proved = _UNPROVED * self._proved.per_s()
        self._rate = min(max(self._rate, min(self._rate * growth**passed, proved)), self.most)
