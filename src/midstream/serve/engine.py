"""What stands between the network's clients and the workers: a bounded queue, deadlines, and a short memory."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from midstream.serve.telemetry import Telemetry
from midstream.serve.work import Done, Outcome, Refused, Work

#: Session, frame number, hash of all that decides the answer.
Key = tuple[str, int, bytes]

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
class Answer:
    """An outcome, the seconds that it waited for a worker, and whether it comes from the memory."""

    outcome: Outcome
    queue_s: float
    repeated: bool


@dataclass(eq=False)
class _Job:
    key: Key
    work: Work
    future: asyncio.Future[Answer | None]  # None: dropped
    arrived: float = field(default_factory=time.monotonic)
    expires: float = 0.0
    waiting: int = 0

    def wanted(self, now: float) -> bool:
        return self.waiting > 0 and now < self.expires


def key_of(session: str, frame: int, work: Work) -> Key:
    """Of a frame: the same frame sent again has the same key, another one under its number has not."""
    digest = hashlib.sha256(repr(work.size).encode() + work.bitstream).digest()
    return session, frame, digest


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
        self._workers = workers
        self._queue: asyncio.Queue[_Job] = asyncio.Queue(queue)
        self._running: dict[Key, _Job] = {}
        self._memory = _Memory()
        self._clients: Counter[str] = Counter()
        self._frame_s = _LEAST_WAIT
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="midstream")
        self._tasks = [asyncio.create_task(self._serve()) for _ in range(workers)]

    @property
    def busy(self) -> int:
        """Frames that are waiting or being computed."""
        return len(self._running)

    async def close(self) -> None:
        """Stop. A thread that is computing finishes its frame first."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.to_thread(self._pool.shutdown, cancel_futures=True)

    def take(self, client: str) -> None:
        """Count a frame of a client until it is released. Raises BusyError."""
        if self._clients[client] >= self._in_flight:
            raise BusyError(f"this client has {self._in_flight} frames in flight, the most allowed", self._wait())
        self._clients[client] += 1

    def release(self, client: str) -> None:
        """The frame's answer has gone."""
        self._clients[client] -= 1
        if not self._clients[client]:
            del self._clients[client]

    async def answer(self, key: Key, work: Work, timeout_s: float | None) -> Answer:
        """The outcome of a frame: computed, awaited where it is being computed, or remembered.

        Raises:
            BusyError: the queue is full.
            ExpiredError: not done within `timeout_s`.
        """
        if (known := self._memory.get(key)) is not None:
            return Answer(known, 0.0, repeated=True)
        if timeout_s is not None and timeout_s <= 0:
            raise ExpiredError
        job = self._running.get(key)
        repeated = job is not None
        if job is None:
            job = _Job(key, work, asyncio.get_running_loop().create_future())
            try:
                self._queue.put_nowait(job)
            except asyncio.QueueFull:
                raise BusyError("the server's queue is full", self._wait()) from None
            self._running[key] = job
            self._telemetry.queue_depth.set(self._queue.qsize())
        expires = float("inf") if timeout_s is None else time.monotonic() + timeout_s
        job.expires = max(job.expires, expires)
        job.waiting += 1
        try:
            found = await asyncio.wait_for(asyncio.shield(job.future), timeout_s)
        except TimeoutError:
            raise ExpiredError from None
        finally:
            job.waiting -= 1
        if found is None:
            raise ExpiredError
        return Answer(found.outcome, found.queue_s, repeated)

    def _finish(self, job: _Job, answer: Answer | None) -> None:
        del self._running[job.key]
        if answer is not None and isinstance(answer.outcome, Done):
            self._memory.put(job.key, answer.outcome)
        if not job.future.done():
            job.future.set_result(answer)

    def _wait(self) -> float:
        """Seconds until the queue as it is will be done."""
        return min(max(self._queue.qsize() * self._frame_s / self._workers, _LEAST_WAIT), _MOST_WAIT)

    async def _serve(self) -> None:
        while True:
            waiting = [await self._queue.get()]
            while len(waiting) < self._batch and not self._queue.empty():
                waiting.append(self._queue.get_nowait())
            self._telemetry.queue_depth.set(self._queue.qsize())
            started = time.monotonic()
            jobs = [job for job in waiting if job.wanted(started)]
            for job in waiting:
                if job not in jobs:  # its sender has gone, or would get it too late
                    self._telemetry.dropped.inc()
                    self._finish(job, None)
            if jobs:
                await self._compute(jobs, started)

    async def _compute(self, jobs: list[_Job], started: float) -> None:
        loop = asyncio.get_running_loop()
        try:
            outcomes = await loop.run_in_executor(self._pool, self._run, [job.work for job in jobs])
        except Exception as error:  # `run` promises not to; a worker must not end all the same
            outcomes = [Refused("this frame could not be computed", "internal", error)] * len(jobs)
        self._frame_s += _NEWEST * ((time.monotonic() - started) / len(jobs) - self._frame_s)
        for job, outcome in zip(jobs, outcomes, strict=True):
            self._finish(job, Answer(outcome, started - job.arrived, repeated=False))


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
    found = done.detections
    return _DETECTION_BYTES * (1 + len(found)) + sum(len(mask["counts"]) for mask in found.masks or [])
