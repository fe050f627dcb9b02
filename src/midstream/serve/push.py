"""From a source to a server and back: front, encode, send, write the answers, never far behind the source."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from midstream.codec.rate_control import BucketFullError
from midstream.codec.stream import StreamEncoder
from midstream.data.film_writer import FilmWriter
from midstream.data.frames import Frame, Source
from midstream.errors import InputError
from midstream.halves.edge import Edge
from midstream.json_lines import Lines
from midstream.models import Task
from midstream.serve.behind import TEXT, Behind
from midstream.serve.client import side_of
from midstream.serve.flights import Answer, RateLimiter
from midstream.serve.intake import Intake
from midstream.serve.lines import answered, unreadable
from midstream.serve.link import Link
from midstream.serve.messages import offered_task
from midstream.serve.pace import Pace
from midstream.serve.senders import Sender, sender
from midstream.serve.session import Session
from midstream.wording import InARow

#: Of the live line: what the last so many seconds were like.
_WINDOW_S = 5.0
_TICK_S = 0.5
#: Latencies that percentiles are of, the newest.
_MOST_LATENCIES = 10_000


@dataclass(frozen=True)
class PushSettings:
    """How to push.

    Attributes:
        lag: frames that wait for the front at most; then the source waits.
        drop_oldest: instead of that, drop the oldest of them.
        rate: bits a second to send at most; None for no limit.
        timeout_s: after which the answer to a frame is of no use; None for never.
        pace: of a stream whose bit rate follows the link.
        live: whether frames of the source come at times of their own; then people are told of a device that is slower.
    """

    lag: int = 2
    drop_oldest: bool = False
    rate: float | None = None
    timeout_s: float | None = None
    pace: Pace | None = None
    live: bool = False


@dataclass
class PushSummary:
    """What a push has done.

    Attributes:
        answered: frames with detections.
        refused: frames that the server answered with an error.
        unreadable: frames of the source that are no images.
        dropped: frames that were too old, on request, or for which a bit rate had no room.
        seconds: from the first connection.
        sent_bytes: of requests, those sent again included; `bitstream_bytes` of each answered frame once.
        resent, lost: frames sent again, connections lost.
        keys: answered frames that stood alone: all, or the keys of a stream.
        keys_asked: how often the server had lost the stream, and asked for a key.
        repeated: frames that the server answered from its memory.
        latency_p50_ms, latency_p99_ms: from reading a frame to having its answer, over the newest 10,000.
        quality_mean: of the stream's frames, where their steps are chosen to hold a bit rate.
        bitrate_low, bitrate_high: bits a second, where the rate follows the link: the least and the most it was.
    """

    answered: int = 0
    refused: int = 0
    unreadable: int = 0
    dropped: int = 0
    seconds: float = 0.0
    sent_bytes: int = 0
    bitstream_bytes: int = 0
    resent: int = 0
    lost: int = 0
    keys: int = 0
    keys_asked: int = 0
    repeated: int = 0
    latency_p50_ms: float | None = None
    latency_p99_ms: float | None = None
    quality_mean: float | None = None
    bitrate_low: int | None = None
    bitrate_high: int | None = None

    @property
    def done(self) -> int:
        """Frames that have their line."""
        return self.answered + self.refused + self.unreadable

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Status:
    """The last seconds, for people.

    Attributes:
        summary: of all so far.
        frames_per_s, kbit_per_s: that were answered.
        in_flight: frames.
        lag_s: from reading the newest frame that is answered to its answer; None before the first.
        rate_kbit: a second, that the encoder is set to; None where nothing sets it.
        quality: of the newest frame, where its step is chosen to hold a bit rate.
    """

    summary: PushSummary
    frames_per_s: float
    kbit_per_s: float
    in_flight: int
    lag_s: float | None = None
    rate_kbit: float | None = None
    quality: int | None = None


@dataclass(frozen=True)
class Watching:
    """Whom to tell: `event` of what a person should know, `status` twice a second."""

    event: Callable[[str], None] = lambda text: None
    status: Callable[[Status], None] = lambda status: None


@dataclass
class _Run:
    watching: Watching
    encoder: StreamEncoder | None
    pace: Pace | None
    start: float = field(default_factory=time.monotonic)
    summary: PushSummary = field(default_factory=PushSummary)
    latencies: deque[float] = field(default_factory=lambda: deque(maxlen=_MOST_LATENCIES))
    recent: deque[tuple[float, int, int]] = field(default_factory=deque)
    left_out: int = 0
    front_s: float = 0.0
    quality: int | None = None
    qualities: Counter[int] = field(default_factory=Counter)

    def coded(self) -> None:
        """A frame was coded."""
        self.quality = None if self.encoder is None or self.encoder.last is None else self.encoder.last.quality
        if self.quality is not None:
            self.qualities[self.quality] += 1

    def leave_out(self, frame: Frame, why: BucketFullError) -> None:
        """A bit rate has no room for a frame; of the first one, people are told."""
        if not self.left_out:
            self.watching.event(f"frame {frame.number} ({frame.name}) is left out: {why}")
        self.left_out += 1

    def percentiles(self) -> None:
        if self.latencies:
            low, high = np.percentile(np.array(self.latencies) * 1e3, [50, 99])
            self.summary.latency_p50_ms, self.summary.latency_p99_ms = round(float(low), 3), round(float(high), 3)


#: A frame and, unless it could not be read, its answer to come and the seconds from reading it to handing it over.
_Pending = tuple[Frame, asyncio.Future[Answer] | None, float]


async def push(
    source: Source,
    edge: Edge,
    encoder: StreamEncoder | None,
    link: Link,
    settings: PushSettings,
    lines: Lines,
    film: FilmWriter | None,
    watching: Watching,
    stop: asyncio.Event,
) -> PushSummary:
    """Push a source through until its end, or until `stop`: then what has been read is finished.

    Every frame that was not dropped has exactly one line, in the source's order. With an encoder the frames are one
    stream, and without one each is coded by itself.

    Raises:
        ServiceError: the server cannot be reached any more, or does not fit.
        InputError: the source fails, or an output cannot be written. The lines up to there are whole.
    """
    limiter = None if settings.rate is None else RateLimiter(settings.rate / 8)
    async with Session(link, side_of(edge), watching.event, limiter) as session:
        lines.begin()  # only now: a server that is not there costs no earlier output
        intake = Intake(source, settings.lag, settings.drop_oldest)
        pending: asyncio.Queue[_Pending | None] = asyncio.Queue(session.in_flight)
        run = _Run(watching, encoder, settings.pace)
        frames = sender(session, edge, encoder, settings.pace)
        feeding = asyncio.create_task(_feed(intake, edge, frames, settings, pending, run))
        writing = asyncio.create_task(_write(pending, session, edge.model.category_ids, run, lines, film))
        others = [
            asyncio.create_task(_tick(run, session, intake, frames, settings.live and not settings.drop_oldest)),
            asyncio.create_task(_close_at(stop, intake)),
        ]
        try:
            await asyncio.wait({feeding, writing}, return_when=asyncio.FIRST_EXCEPTION)
            if writing.done():
                writing.result()
            if feeding.done() and (error := feeding.exception()) is not None:
                await _finish(pending, writing)
                raise error
        finally:
            intake.close()
            for task in (feeding, writing, *others):
                task.cancel()
            await asyncio.gather(feeding, writing, *others, return_exceptions=True)
            _count(run, session, intake)
    return run.summary


async def _finish(pending: asyncio.Queue[_Pending | None], writing: asyncio.Task[None]) -> None:
    """The source has failed, or the session has ended: what can still be answered is written."""
    ending = asyncio.create_task(pending.put(None))
    await asyncio.wait({ending, writing}, return_when=asyncio.FIRST_COMPLETED)
    if ending.done():
        await asyncio.wait({writing})
    ending.cancel()


async def _close_at(stop: asyncio.Event, intake: Intake) -> None:
    await stop.wait()
    intake.close()


async def _feed(
    intake: Intake,
    edge: Edge,
    frames: Sender,
    settings: PushSettings,
    pending: asyncio.Queue[_Pending | None],
    run: _Run,
) -> None:
    while (frame := await _newest(intake, frames)) is not None:
        if frame.image is None:
            await pending.put((frame, None, 0.0))
            continue
        begun = time.monotonic()
        try:
            ready = await asyncio.to_thread(edge.ready, frame.image)
            run.front_s += time.monotonic() - begun
            waited_s = time.monotonic() - frame.taken
            timeout_s = None if settings.timeout_s is None else max(settings.timeout_s - waited_s, 0)
            future = await frames.send(ready, timeout_s, frame.time_s)
        except BucketFullError as error:
            run.leave_out(frame, error)
            continue
        except InputError as error:  # features that are not finite, say
            await pending.put((replace(frame, image=None, problem=f"{frame.name}: {error}"), None, 0.0))
            continue
        run.coded()
        await pending.put((frame, future, waited_s))
    await pending.put(None)


async def _newest(intake: Intake, frames: Sender) -> Frame | None:
    """The next frame, as soon as it could go: while it could not, older ones may be dropped in its place."""
    await frames.room()
    return await asyncio.to_thread(intake.get)


async def _write(
    pending: asyncio.Queue[_Pending | None],
    session: Session,
    category_ids: Sequence[int] | None,
    run: _Run,
    lines: Lines,
    film: FilmWriter | None,
) -> None:
    task, classes = offered_task(session.offer), tuple(session.offer.classes)
    with InARow(lambda which: run.watching.event(f"unreadable: {which}")) as faults:
        while (item := await pending.get()) is not None:
            frame, future, waited_s = item
            answer = None if future is None else await future
            await asyncio.to_thread(_record, frame, answer, waited_s, task, classes, category_ids, run, lines, film)
            if answer is None:
                faults.add(frame.number, frame.problem)
                continue
            faults.end()
            if answer.error is not None:
                run.watching.event(f"frame {frame.number} ({frame.name}): {answer.error.code}: {answer.error}")


def _record(
    frame: Frame,
    answer: Answer | None,
    waited_s: float,
    task: Task[Any],
    classes: tuple[str, ...],
    category_ids: Sequence[int] | None,
    run: _Run,
    lines: Lines,
    film: FilmWriter | None,
) -> None:
    """A line, and an image of the film."""
    summary, size = run.summary, 0
    if answer is None:
        lines.write(unreadable(frame))
        summary.unreadable += 1
    else:
        latency_s = waited_s + answer.latency_s
        lines.write(answered(frame, answer, latency_s, task, classes, category_ids))
        size = answer.size
        summary.bitstream_bytes += size
        summary.repeated += answer.repeated
        summary.keys += answer.key and answer.error is None
        summary.answered += answer.error is None
        summary.refused += answer.error is not None
        run.latencies.append(latency_s)
    run.recent.append((time.monotonic(), 1, size))
    if film is not None and frame.image is not None:
        found = answer.output if answer is not None else None
        film.add(frame.image if found is None else task.annotate(frame.image, found, classes))


def _count(run: _Run, session: Session, intake: Intake) -> None:
    summary, traffic, pace = run.summary, session.traffic, run.pace
    summary.seconds = round(time.monotonic() - run.start, 3)
    summary.dropped = intake.dropped + run.left_out
    summary.sent_bytes, summary.resent, summary.lost = traffic.sent_bytes, traffic.resent, traffic.lost
    summary.keys_asked = traffic.keys_asked
    if count := run.qualities.total():
        summary.quality_mean = round(sum(quality * n for quality, n in run.qualities.items()) / count, 1)
    if pace is not None and pace.lowest is not None and pace.highest is not None:
        summary.bitrate_low, summary.bitrate_high = round(pace.lowest), round(pace.highest)
    run.percentiles()


async def _tick(run: _Run, session: Session, intake: Intake, frames: Sender, live: bool) -> None:
    behind = Behind(time.monotonic())
    while True:
        await asyncio.sleep(_TICK_S)
        _count(run, session, intake)
        now = time.monotonic()
        if live and behind.to_say(now, run.front_s + frames.coding_s, intake.held_s):
            run.watching.event(TEXT)
        while run.recent and run.recent[0][0] < now - _WINDOW_S:
            run.recent.popleft()
        span = min(now - run.start, _WINDOW_S)
        done = sum(count for _, count, _ in run.recent)
        bits = 8 * sum(size for _, _, size in run.recent)
        lag_s = run.latencies[-1] if run.latencies else None
        rate = None if run.pace is None or run.pace.bitrate is None else run.pace.bitrate / 1e3
        rates = done / span, bits / 1e3 / span
        run.watching.status(Status(run.summary, *rates, session.unanswered, lag_s, rate, run.quality))
