"""What stands between the network's clients and the workers: turns in a bounded queue, deadlines, a short memory.

Units of one stream are computed in the order in which they came. One that is too late to be answered is decoded all the
same, without the back: those after it refer to it.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from midstream.models import Tensors
from midstream.serve.telemetry import Telemetry
from midstream.serve.turns import PRESENT_S, FullError, Turn, Turns
from midstream.serve.work import LATE, Done, Outcome, Refused, Work
from midstream.wording import counted

#: Whose frame it is, session, frame number, hash of all that decides the answer.
Key = tuple[str, str, int, bytes]

#: Bounds of what a client that is turned away is told to wait, in seconds.
_LEAST_WAIT, _MOST_WAIT = 0.05, 5.0
#: How much the newest frame counts in the running mean of what a frame takes.
_NEWEST = 0.1
#: Answers that are remembered for frames sent again, and what each detection is taken to weigh without its mask.
_MOST_ANSWERS = 1024
_MOST_ANSWER_BYTES = 64 << 20
_DETECTION_BYTES = 200


class BusyError(Exception):
    """No room for a frame; `retry_s` is when there may be some."""

    def __init__(self, reason: str, retry_s: float) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_s = retry_s


class ExpiredError(Exception):
    """The answer would have come too late."""


@dataclass(frozen=True)
class Computed:
    """An outcome, the seconds that it waited for a worker, and whether it comes from the memory."""

    outcome: Outcome
    queue_s: float
    repeated: bool


@dataclass(eq=False)
class _Job:
    key: Key
    work: Work
    future: asyncio.Future[Computed | BusyError | None]  # None: dropped
    arrived: float = field(default_factory=time.monotonic)
    expires: float = 0.0
    waiting: int = 0
    late: bool = False

    def wanted(self, now: float) -> bool:
        """Whether somebody waits for it; or for a later frame of its stream, if it is too late for this one."""
        if self.work.stream is None:
            return self.in_time(now)
        return self.waiting > 0 or self.late

    def in_time(self, now: float) -> bool:
        return self.waiting > 0 and now < self.expires

    def given_out(self, now: float) -> Work:
        return self.work if self.in_time(now) else replace(self.work, late=True)


def key_of(owner: str, session: str, frame: int, work: Work) -> Key:
    """Of a frame: the same frame of the same owner sent again has the same key, another under its number has not."""
    digest = hashlib.sha256(repr(work.size).encode() + work.bitstream).digest()
    return owner, session, frame, digest


class Engine:
    """Runs work in threads, which the codec and ONNX Runtime leave to run side by side. Lives in one event loop."""

    def __init__(
        self,
        run: Callable[[Sequence[Work]], list[Outcome]],
        telemetry: Telemetry,
        *,
        workers: int,
        queue: int,
        in_flight: int,
        batch: int,
    ) -> None:
        """Start the workers.

        Args:
            run: the work of a batch of frames; called in threads.
            telemetry: counts.
            workers: threads.
            queue: frames that may wait for one.
            in_flight: frames of one client that may be unanswered.
            batch: the most frames to `run` at once; none waits for others.
        """
        self._run, self._telemetry, self._batch, self._in_flight = run, telemetry, batch, in_flight
        self._workers = self._free = workers
        self._turns: Turns[_Job] = Turns(workers, queue)
        self._running: dict[Key, _Job] = {}
        self._memory = _Memory()
        self._clients: Counter[str] = Counter()
        self._frame_s = _LEAST_WAIT
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="midstream")
        self._computing: set[asyncio.Task[None]] = set()
        self._asked = False
        self._later: asyncio.TimerHandle | None = None

    @property
    def busy(self) -> int:
        """Frames that are waiting or being computed."""
        return len(self._running)

    async def close(self) -> bool:
        """Stop; returns whether all threads have. One that computes cannot be interrupted, and is not waited for."""
        if self._later is not None:
            self._later.cancel()
        self._free = 0
        ended = not self._computing
        for task in self._computing:
            task.cancel()
        await asyncio.gather(*self._computing, return_exceptions=True)
        self._pool.shutdown(wait=False, cancel_futures=True)
        return ended

    def take(self, client: str) -> None:
        """Count a frame of a client until it is released. Raises BusyError."""
        if self._clients[client] >= self._in_flight:
            raise BusyError(
                f"this client has {counted(self._in_flight, 'frame')} in flight, the most allowed", self._wait()
            )
        self._clients[client] += 1

    def release(self, client: str) -> None:
        """The frame's answer has gone."""
        self._clients[client] -= 1
        if not self._clients[client]:
            del self._clients[client]

    async def answer(self, client: str, key: Key, work: Work, timeout_s: float | None) -> Computed:
        """The outcome of a client's frame: computed, awaited where it is being computed, or remembered.

        Raises:
            BusyError: the queue is full, or this frame has lost its place in it to a client with fewer.
            ExpiredError: not done within `timeout_s`.
        """
        if (known := self._memory.get(key)) is not None:
            return Computed(known, 0.0, repeated=True)
        if timeout_s is not None and timeout_s <= 0:
            raise ExpiredError
        job = self._running.get(key)
        repeated = job is not None
        if job is None:
            job = _Job(key, work, asyncio.get_running_loop().create_future())
            self._enqueue(client, job)
        expires = float("inf") if timeout_s is None else time.monotonic() + timeout_s
        job.expires = max(job.expires, expires)
        job.waiting += 1
        try:
            found = await asyncio.wait_for(asyncio.shield(job.future), timeout_s)
        except TimeoutError:
            job.late = True
            self._hold(client, job)
            raise ExpiredError from None
        finally:
            job.waiting -= 1
        if found is None:
            raise ExpiredError
        if isinstance(found, BusyError):
            raise BusyError(found.reason, found.retry_s)
        return Computed(found.outcome, found.queue_s, repeated)

    def _hold(self, client: str, job: _Job) -> None:
        """Let a frame that is too late take its place until it is done: else its client might fill the queue with such.

        One that stands alone gives it back at once, unless it is being computed.
        """
        if not job.future.done():
            self._clients[client] += 1
            job.future.add_done_callback(lambda _: self.release(client))
            self._dispatch_soon()

    def _enqueue(self, client: str, job: _Job) -> None:
        busy = BusyError("the server's queue is full", self._wait())
        try:
            lost = self._turns.put(client, job, job.work.stream)
        except FullError:
            raise busy from None
        self._running[job.key] = job
        if lost is not None:
            self._finish(lost, busy)
        self._dispatch_soon()

    def _finish(self, job: _Job, answer: Computed | BusyError | None) -> None:
        del self._running[job.key]
        if isinstance(answer, Computed) and isinstance(answer.outcome, Done):
            self._memory.put(job.key, answer.outcome)
        if not job.future.done():
            job.future.set_result(answer)

    def _wait(self) -> float:
        """Seconds until the queue as it is will be done."""
        return min(max(len(self._turns) * self._frame_s / self._workers, _LEAST_WAIT), _MOST_WAIT)

    def _dispatch_soon(self) -> None:
        """Not at once: frames that come together are computed together."""
        if not self._asked:
            self._asked = True
            asyncio.get_running_loop().call_soon(self._dispatch)

    def _dispatch(self) -> None:
        """Give the free workers what there is for them."""
        self._asked = False
        now = time.monotonic()
        for job in self._turns.drop(lambda job: job.wanted(now)):  # its sender has gone, or would get it too late
            self._telemetry.dropped.inc()
            self._finish(job, None)
        while self._free and (turns := self._turns.take(self._batch, self._free)):
            self._free -= 1
            task = asyncio.create_task(self._compute(turns, time.monotonic()))
            self._computing.add(task)
            task.add_done_callback(self._computing.discard)
        self._telemetry.queue_depth.set(len(self._turns))
        if self._later is not None:
            self._later.cancel()
            self._later = None
        if self._free and len(self._turns):  # the worker is kept for clients, who may leave
            self._later = asyncio.get_running_loop().call_later(PRESENT_S, self._dispatch)

    async def _compute(self, turns: list[Turn[_Job]], started: float) -> None:
        now = time.monotonic()
        works = [turn.job.given_out(now) for turn in turns]
        try:
            outcomes = await asyncio.get_running_loop().run_in_executor(self._pool, self._run, works)
        except Exception as error:  # `run` promises not to; a worker must not end all the same
            outcomes = [Refused("this frame could not be computed", "internal", error)] * len(turns)
        elapsed = time.monotonic() - started
        self._frame_s += _NEWEST * (elapsed / len(turns) - self._frame_s)
        self._free += 1
        for turn, outcome, seconds in zip(turns, outcomes, _shares(outcomes, elapsed), strict=True):
            self._turns.done(turn, seconds, isinstance(outcome, Refused))
            late = isinstance(outcome, Refused) and outcome.kind == LATE
            self._finish(turn.job, None if late else Computed(outcome, started - turn.job.arrived, repeated=False))
        self._dispatch_soon()


def _shares(outcomes: Sequence[Outcome], elapsed: float) -> list[float]:
    """Seconds that each frame of a batch has taken; those that say nothing of it have an equal part of the rest."""
    if len(outcomes) == 1:
        return [elapsed]
    known = [one.decode_s + one.back_s if isinstance(one, Done) else None for one in outcomes]
    rest = max(elapsed - sum(seconds or 0.0 for seconds in known), 0.0) / max(known.count(None), 1)
    return [rest if seconds is None else seconds for seconds in known]


class _Memory:
    """The newest answers, bounded in number and bytes."""

    def __init__(self) -> None:
        self._answers: OrderedDict[Key, Done] = OrderedDict()
        self._bytes = 0

    def get(self, key: Key) -> Done | None:
        return self._answers.get(key)

    def put(self, key: Key, done: Done) -> None:
        self._answers[key] = done
        self._bytes += _weight(done)
        while len(self._answers) > _MOST_ANSWERS or self._bytes > _MOST_ANSWER_BYTES:
            self._bytes -= _weight(self._answers.popitem(last=False)[1])


def _weight(done: Done) -> int:
    found = done.output
    if isinstance(found, Tensors):
        return sum(values.nbytes for values in found.values.values())
    return _DETECTION_BYTES * (1 + len(found)) + sum(len(mask["counts"]) for mask in found.masks or [])
