"""Whose turn it is: the frames of many clients share the workers by the time that they take.

Start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996), charged twice: with what a client's frames usually take
when one is begun, with what it has really taken when it is done. A worker that computes cannot be interrupted; so the
last free one is kept from clients whose frames take much longer than those of others who are there.

Frames that need what those before them leave behind are in a lane: they are computed one after the other, in the order
in which they came, whoever else overtakes them.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Job = TypeVar("Job")

#: How much the newest frame counts in the running mean of what a client's frames take.
_NEWEST = 0.1
#: Of a client that was never seen.
_USUAL_S = 0.05
#: Frames that take more than so many times as long as another's are kept from the last free worker.
_MUCH_LONGER = 4.0
#: No frame is taken to be shorter than this there: what takes a few times as long holds up nobody.
_LEAST_S = 0.01
#: A client that had a frame here within so many seconds may send the next one at any time.
PRESENT_S = 5.0
#: Clients whose times are remembered.
_MOST_CLIENTS = 256


class FullError(Exception):
    """No room for a client's frame."""


@dataclass(frozen=True, eq=False)
class _Waiting(Generic[Job]):
    """A frame that waits, and its lane; None for one that needs no other."""

    job: Job
    lane: Hashable


@dataclass
class _Client(Generic[Job]):
    """What is known of a client.

    Attributes:
        had_s: seconds of workers that it has had, on the scale that all share.
        usual_s: what its frames take, as a running mean; None before the first is done.
        worst_s: the same, but at once as large as the newest.
        seen: when it last had a frame waiting or being computed.
    """

    waiting: deque[_Waiting[Job]] = field(default_factory=deque)
    running: int = 0
    had_s: float = 0.0
    usual_s: float | None = None
    worst_s: float | None = None
    seen: float = 0.0

    @property
    def busy(self) -> bool:
        return bool(self.waiting) or self.running > 0

    def took(self, seconds: float) -> None:
        usual, worst = self.usual_s or seconds, self.worst_s or seconds
        self.usual_s = usual + _NEWEST * (seconds - usual)
        self.worst_s = max(seconds, worst + _NEWEST * (seconds - worst))

    def took_for_nothing(self, seconds: float) -> None:
        """As `took`, of a refused frame, which may have ended at any point: it says only that frames can be longer."""
        if seconds > (self.worst_s or _USUAL_S):
            self.worst_s = seconds


@dataclass(frozen=True)
class Turn(Generic[Job]):
    """A frame to be computed now, the seconds that its client was charged for it, and its lane."""

    client: str
    job: Job
    charged_s: float
    lane: Hashable = None


class Turns(Generic[Job]):
    """The frames that wait, of all clients."""

    def __init__(self, workers: int, most: int) -> None:
        """For so many workers, and at most so many frames."""
        self._workers, self._most = workers, most
        self._clients: dict[str, _Client[Job]] = {}
        #: Of each lane what waits, the first first; several clients may share one: a sender that has connected anew.
        self._lanes: dict[Hashable, deque[_Waiting[Job]]] = {}
        self._running: Counter[Hashable] = Counter()
        self._now_s = 0.0

    def __len__(self) -> int:
        return sum(len(client.waiting) for client in self._clients.values())

    def put(self, name: str, job: Job, lane: Hashable = None) -> Job | None:
        """Let a frame wait. Returns the one that has lost its place for it: the newest of who has most of them.

        Frames of one lane, other than None, are computed one after the other.

        Raises:
            FullError: it would have to be one of this client's own, or of one with no more of them.
        """
        client = self._entered(name)
        lost = None
        if len(self) >= self._most:
            longest = max((each.waiting for each in self._clients.values()), key=len)
            if len(longest) <= len(client.waiting) + 1:
                raise FullError
            lost = longest.pop()
            self._out_of_lane(lost)
        if not client.busy:
            client.had_s = max(client.had_s, self._now_s)
        waiting = _Waiting(job, lane)
        client.waiting.append(waiting)
        if lane is not None:
            self._lanes.setdefault(lane, deque()).append(waiting)
        return None if lost is None else lost.job

    def take(self, most: int, free: int) -> list[Turn[Job]]:
        """Up to so many frames, to be computed together by one of `free` workers; none where none may begin.

        Those of one lane among them are to be computed in their order.
        """
        since = time.monotonic() - PRESENT_S
        there = [each for each in self._clients.values() if each.busy or each.seen > since]
        # One that nothing is known of may be like the worst of them.
        unknown = max((each.worst_s for each in there if each.worst_s is not None), default=0.0)
        kept_for = there if free == 1 < self._workers else []
        turns: list[Turn[Job]] = []
        able = [name for name in self._able(turns) if not self._longer(name, kept_for, unknown)]
        while able and len(turns) < most:
            turns.append(self._begin(min(able, key=lambda name: self._clients[name].had_s), turns))
            first = turns[0].client
            able = [
                name
                for name in self._able(turns)
                if not self._longer(name, [self._clients[first]], unknown)
                and not self._longer(first, [self._clients[name]], unknown)
            ]
        return turns

    def drop(self, wanted: Callable[[Job], bool]) -> list[Job]:
        """Take out the frames that nobody waits for any more, and return them."""
        lost: list[_Waiting[Job]] = []
        for client in self._clients.values():
            lost += [each for each in client.waiting if not wanted(each.job)]
            client.waiting = deque(each for each in client.waiting if wanted(each.job))
        for each in lost:
            self._out_of_lane(each)
        return [each.job for each in lost]

    def done(self, turn: Turn[Job], seconds: float, refused: bool = False) -> None:
        """A frame has taken so many seconds of a worker, or of it until it was refused."""
        client = self._clients[turn.client]
        client.running -= 1
        client.had_s += seconds - turn.charged_s
        (client.took_for_nothing if refused else client.took)(seconds)
        client.seen = time.monotonic()
        if turn.lane is not None:
            self._running[turn.lane] -= 1
            if not self._running[turn.lane]:
                del self._running[turn.lane]

    def _entered(self, name: str) -> _Client[Job]:
        """A client, as the newest of those that are remembered."""
        client = self._clients.pop(name, None) or _Client()
        client.seen = time.monotonic()
        if len(self._clients) >= _MOST_CLIENTS:
            oldest = next((each for each, known in self._clients.items() if not known.busy), None)
            if oldest is not None:
                del self._clients[oldest]
        self._clients[name] = client
        return client

    def _able(self, turns: Sequence[Turn[Job]]) -> list[str]:
        """Clients that have a frame which may begin, in a batch that holds these already."""
        return [name for name in self._clients if self._next(name, turns) is not None]

    def _next(self, name: str, turns: Sequence[Turn[Job]]) -> _Waiting[Job] | None:
        """A client's first frame that need not wait for another one of its lane, elsewhere than in the same batch."""
        for each in self._clients[name].waiting:
            here = sum(turn.lane == each.lane for turn in turns)
            if each.lane is None or (self._lanes[each.lane][0] is each and self._running[each.lane] == here):
                return each
        return None

    def _out_of_lane(self, waiting: _Waiting[Job]) -> None:
        if waiting.lane is not None:
            lane = self._lanes[waiting.lane]
            lane.remove(waiting)
            if not lane:
                del self._lanes[waiting.lane]

    def _longer(self, name: str, others: Sequence[_Client[Job]], unknown: float) -> bool:
        """Whether a client's frames take much longer than those of any of the others; `unknown` if none is done yet."""
        client = self._clients[name]
        worst_s = unknown if client.worst_s is None else client.worst_s
        return any(
            worst_s > _MUCH_LONGER * max(other.usual_s, _LEAST_S)
            for other in others
            if other is not client and other.usual_s is not None
        )

    def _begin(self, name: str, turns: Sequence[Turn[Job]]) -> Turn[Job]:
        client, begun = self._clients[name], self._next(name, turns)
        assert begun is not None
        client.waiting.remove(begun)
        self._out_of_lane(begun)
        if begun.lane is not None:
            self._running[begun.lane] += 1
        turn = Turn(name, begun.job, client.usual_s or _USUAL_S, begun.lane)
        self._now_s = max(self._now_s, client.had_s)
        client.had_s += turn.charged_s
        client.running += 1
        return turn
