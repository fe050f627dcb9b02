"""A session: frames go out, each is answered exactly once, whatever happens to the connection in between."""

from __future__ import annotations

import asyncio
import itertools
import random
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
from opentelemetry import propagate

from midstream.errors import InputError, ServiceError
from midstream.models import Detections, Output
from midstream.serve import messages
from midstream.serve.link import PASSING, Connection, Link, connect, failure
from midstream.serve.proto import serve_pb2 as pb

_Code = grpc.StatusCode
_CODES = {code.value[0]: code for code in _Code if code is not _Code.OK}
#: Errors of a frame that are none: there was no room for it just then.
_AGAIN = (_Code.RESOURCE_EXHAUSTED, _Code.UNAVAILABLE)
_FIRST_WAIT_S, _MOST_WAIT_S = 0.1, 2.0
#: A server that wants a frame later than this is not waited for so long: servers here ask for five seconds at most.
_MOST_RETRY_S = 10.0
#: How often frames are looked through for those whose time is over.
_TICK_S = 0.05
#: An answer is awaited for so long, however short `retry_s` is: a frame that is being computed is no trouble yet.
_LEAST_PATIENCE_S = 3.0
#: How often a connection on which nothing is sent is looked at.
_LOOK_S = 0.5
_ENDED = grpc.aio.AioRpcError(
    _Code.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata(), "the server has ended the stream"
)
#: Room for what is set in a request when it is sent.
_SPARE_BYTES = 16


@dataclass(frozen=True)
class Answer:
    """The server's answer to one frame.

    Attributes:
        frame: its number within the session, from 0.
        output: what the network made of it, by its task; None where there is an error.
        error: why there is no answer; its `code` is gRPC's name: INVALID_ARGUMENT for a bitstream that cannot be used,
            DEADLINE_EXCEEDED, INTERNAL.
        size: bytes of the bitstream.
        latency_s: from handing the frame over to having its answer, resending included.
        queue_s, decode_s, back_s: on the server.
        repeated: whether the server had computed it before and this is that answer.
    """

    frame: int
    output: Output | None
    error: ServiceError | None
    size: int
    latency_s: float
    queue_s: float = 0.0
    decode_s: float = 0.0
    back_s: float = 0.0
    repeated: bool = False

    @property
    def detections(self) -> Detections | None:
        """The output of a detector."""
        return self.output if isinstance(self.output, Detections) else None

    def found(self) -> Output:
        """The output. Raises ServiceError where there is none."""
        if self.output is None:
            assert self.error is not None
            raise self.error
        return self.output


@dataclass
class Traffic:
    """What a session has done so far: frames sent again, connections lost, bytes of requests written."""

    resent: int = 0
    lost: int = 0
    sent_bytes: int = 0


@dataclass(eq=False)
class _Frame:
    request: pb.InferRequest
    future: asyncio.Future[Answer]
    expires: float | None
    born: float
    sent: bool = False


class RateLimiter:
    """Spreads bytes so that no more than so many a second are sent over any longer time."""

    def __init__(self, bytes_per_s: float) -> None:
        self._rate = bytes_per_s
        self._free_at = 0.0

    async def take(self, size: int) -> None:
        """Wait until `size` bytes may go."""
        now = time.monotonic()
        start = max(self._free_at, now)
        self._free_at = start + size / self._rate
        await asyncio.sleep(start - now)


class Session:
    """Use as an async context; entering it waits until the server has greeted.

    The connection is made anew whenever it is lost, with back-off, and everything unanswered is sent again. An answer
    that comes twice counts once.
    """

    def __init__(
        self,
        link: Link,
        own: pb.Side,
        on_event: Callable[[str], None] = lambda text: None,
        limiter: RateLimiter | None = None,
    ) -> None:
        """A session yet to be entered.

        Args:
            link: to the server.
            own: what this side has.
            on_event: told what a person should know: a lost connection, a retry.
            limiter: of the bytes sent.
        """
        self.link, self.traffic = link, Traffic()
        self._own, self._on_event, self._limiter = own, on_event, limiter
        self._name = secrets.token_hex(8)
        self._numbers = itertools.count()
        self._waiting: dict[int, _Frame] = {}
        self._slots = asyncio.Semaphore(0)
        self._greeting: asyncio.Future[pb.DescribeReply] = asyncio.get_running_loop().create_future()
        self._outbox: asyncio.Queue[_Frame] | None = None
        self._trouble_since: float | None = None
        self._answered = time.monotonic()  # or when nothing was there to be answered
        self._ended: ServiceError | InputError | None = None

    async def __aenter__(self) -> Session:
        self._living = asyncio.create_task(self._live())
        self._tasks = [self._living, asyncio.create_task(self._expire())]
        try:
            self.offer = await asyncio.shield(self._greeting)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *error: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._end(ServiceError(_Code.CANCELLED.name, "the session is closed"))

    @property
    def in_flight(self) -> int:
        """The most frames that are unanswered at a time."""
        return min(self.link.in_flight, self.offer.max_in_flight)

    @property
    def unanswered(self) -> int:
        """Frames that are in flight."""
        return len(self._waiting)

    async def send(
        self, bitstream: bytes, size: tuple[int, int], timeout_s: float | None = None
    ) -> asyncio.Future[Answer]:
        """Hand a frame over, when there is room for it among those in flight.

        Args:
            bitstream: of the frame's features.
            size: (height, width) of the original image.
            timeout_s: after which its answer is of no use: DEADLINE_EXCEEDED.

        Returns:
            The answer to come. It raises ServiceError when the session ends without one.

        Raises:
            ServiceError: the session has ended.
        """
        born = time.monotonic()
        await self._slots.acquire()
        if self._ended is not None:
            self._slots.release()  # the next one that waits is to hear of it, too
            raise self._ended
        number = next(self._numbers)
        request = pb.InferRequest(session=self._name, frame=number, bitstream=bitstream, height=size[0], width=size[1])
        expires = None if timeout_s is None else born + timeout_s
        frame = _Frame(request, asyncio.get_running_loop().create_future(), expires, born)
        self._waiting[number] = frame
        frame.future.add_done_callback(lambda _: self._leave(number))  # answered, or given up by who waits for it
        if request.ByteSize() + _SPARE_BYTES > self.offer.max_message_bytes:  # it would end the whole stream
            most = f"{self.offer.max_message_bytes:,}"
            reason = f"a bitstream of {len(bitstream):,} bytes; this server takes messages of {most}"
            self._refuse(frame, _Code.INVALID_ARGUMENT, reason)
        elif self._outbox is not None:
            self._outbox.put_nowait(frame)
        return frame.future

    async def _live(self) -> None:
        """Until the session cannot go on, which every frame that waits is to hear of."""
        try:
            await self._keep_connected()
        except (ServiceError, InputError) as error:
            self._end(error)
        except Exception as error:  # a mistake of this program: without this, frames would wait for ever
            self._end(ServiceError(_Code.INTERNAL.name, f"the session has failed: {error!r}"))

    async def _keep_connected(self) -> None:
        wait, attempts = _FIRST_WAIT_S, 0
        while True:
            error = _ENDED
            attempts += 1
            try:
                async with connect(self.link, self._own) as connection:
                    self._greeted(connection.offer)
                    await self._exchange(connection)
            except grpc.aio.AioRpcError as raised:
                error = raised
            now = time.monotonic()
            if self._trouble_since is None:  # it had worked
                self._trouble_since, wait, attempts = now, _FIRST_WAIT_S, 1
                self.traffic.lost += self._greeting.done()
            if self._greeting.done() and not self._waiting:  # nobody waits: there is time
                self._trouble_since = now
            seconds = now - self._trouble_since
            tried = f" (tried {attempts} times in {seconds:.0f} s)"
            if error.code() not in PASSING or seconds > self.link.retry_s:
                raise failure(self.link, error, tried)
            if attempts == 1:
                what = "lost the connection" if self._greeting.done() else "no connection"
                reason = messages.readable(error.details() or error.code().name)
                self._on_event(f"{self.link.address}: {what} ({reason}); trying again for {self.link.retry_s:.0f} s")
            await asyncio.sleep(wait * random.uniform(0.5, 1.0))  # not all clients of a server at once
            wait = min(2 * wait, _MOST_WAIT_S)

    def _greeted(self, offer: pb.DescribeReply) -> None:
        messages.check_offer(offer)
        self.offer = offer
        if not self._greeting.done():
            self._greeting.set_result(offer)
            for _ in range(self.in_flight):
                self._slots.release()
        if not self._waiting:
            self._trouble_since = None

    async def _exchange(self, connection: Connection) -> None:
        """Send all that is unanswered, then what comes; take answers. Raises AioRpcError when the connection ends."""
        carrier: dict[str, str] = {}
        propagate.inject(carrier)
        outbox: asyncio.Queue[_Frame] = asyncio.Queue()
        for frame in self._waiting.values():
            outbox.put_nowait(frame)
        self._outbox = outbox
        try:
            first = await self._first(connection, outbox)  # servers do not keep streams on which nothing comes
            call = connection.stub.InferStream(metadata=(*connection.metadata, *carrier.items()))
            sending = asyncio.create_task(self._send_all(call, first, outbox))
            try:
                async for reply in call:
                    self._received(reply, outbox)
            finally:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)  # the call itself says why it failed
                call.cancel()
        finally:
            self._outbox = None

    async def _first(self, connection: Connection, outbox: asyncio.Queue[_Frame]) -> _Frame:
        """The first frame to be sent. Raises AioRpcError where the connection is lost before there is one."""
        coming = asyncio.create_task(self._next(outbox))
        try:
            # Asked for, since what gRPC would tell by itself outlives the loop that waits for it.
            while connection.alive and not coming.done():
                await asyncio.wait({coming}, timeout=_LOOK_S)
            if not connection.alive:
                raise _ENDED
            return coming.result()
        finally:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)

    async def _next(self, outbox: asyncio.Queue[_Frame]) -> _Frame:
        """The next frame, when it may be sent."""
        while (frame := await outbox.get()).future.done():
            pass
        if self._limiter is not None:
            await self._limiter.take(frame.request.ByteSize())
        return frame

    async def _send_all(self, call: Any, first: _Frame, outbox: asyncio.Queue[_Frame]) -> None:
        frame = first
        while True:
            if frame.expires is not None:
                frame.request.timeout_ms = max(int((frame.expires - time.monotonic()) * 1e3), 1)
            self.traffic.resent += frame.sent
            frame.sent = True
            self.traffic.sent_bytes += frame.request.ByteSize()
            await call.write(frame.request)
            frame = await self._next(outbox)

    def _received(self, reply: pb.InferReply, outbox: asyncio.Queue[_Frame]) -> None:
        frame = self._waiting.get(reply.frame)
        if frame is None or frame.future.done() or reply.session != self._name:  # answered, on an earlier connection
            return
        code = _CODES.get(reply.error.code, _Code.UNKNOWN) if reply.HasField("error") else _Code.OK
        if code in _AGAIN:  # which is no answer
            delay = min(max(reply.error.retry_after_ms / 1e3, _FIRST_WAIT_S), _MOST_RETRY_S)
            asyncio.get_running_loop().call_later(delay, outbox.put_nowait, frame)
            return
        self._trouble_since, self._answered = None, time.monotonic()
        if code is not _Code.OK:
            self._refuse(frame, code, messages.readable(reply.error.message))
            return
        try:
            size = (frame.request.height, frame.request.width)
            found = messages.output_of(reply, self.offer, size)
        except InputError as error:
            self._refuse(frame, _Code.INTERNAL, messages.readable(str(error)))
            return
        times = reply.timings
        self._settle(
            frame,
            Answer(
                reply.frame, found, None, len(frame.request.bitstream), time.monotonic() - frame.born,
                times.queue_us / 1e6, times.decode_us / 1e6, times.back_us / 1e6, reply.repeated,
            ),
        )  # fmt: skip

    def _refuse(self, frame: _Frame, code: grpc.StatusCode, reason: str) -> None:
        error = ServiceError(code.name, reason)
        latency_s = time.monotonic() - frame.born
        self._settle(frame, Answer(frame.request.frame, None, error, len(frame.request.bitstream), latency_s))

    def _settle(self, frame: _Frame, answer: Answer) -> None:
        if not frame.future.done():
            frame.future.set_result(answer)

    def _leave(self, number: int) -> None:
        del self._waiting[number]
        self._slots.release()

    async def _expire(self) -> None:
        """Frames whose time is over are answered here when the server does not; where it answers none, all ends."""
        while True:
            await asyncio.sleep(_TICK_S)
            now = time.monotonic()
            for frame in [f for f in self._waiting.values() if f.expires is not None and f.expires < now - _TICK_S]:
                self._refuse(frame, _Code.DEADLINE_EXCEEDED, "no answer in time")
            # What the own rate limit holds back is not the server's to answer; lost connections have their own clock.
            if self._outbox is None or not any(frame.sent for frame in self._waiting.values()):
                self._answered = now
            elif now - self._answered > (patience_s := max(self.link.retry_s, _LEAST_PATIENCE_S)):
                reason = f"the server {self.link.address} has answered no frame for {patience_s:g} s"
                self._end(ServiceError(_Code.DEADLINE_EXCEEDED.name, f"{reason}: look at its log and its load"))
                self._living.cancel()
                return

    def _end(self, error: ServiceError | InputError) -> None:
        if self._ended is None:
            self._ended = error
        if not self._greeting.done():
            self._greeting.set_exception(error)
            self._greeting.exception()  # whoever waited for it may have gone
        for frame in self._waiting.values():
            if not frame.future.done():
                frame.future.set_exception(error)
                frame.future.exception()
        self._slots.release()
