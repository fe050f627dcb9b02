"""A session: frames go out, each is answered exactly once, whatever happens to the connection in between."""

from __future__ import annotations

import asyncio
import itertools
import random
import secrets
import time
from collections.abc import Callable, Coroutine
from typing import Any
from weakref import WeakValueDictionary

import grpc
import grpc.aio
from opentelemetry import propagate

from midstream.errors import InputError, ServiceError
from midstream.halves.clip import ClipEdge
from midstream.serve import messages
from midstream.serve.flights import Answer, Flight, RateLimiter, Traffic
from midstream.serve.frame_stream import FrameStream
from midstream.serve.link import PASSING, Connection, Link, check_same, connect, failure
from midstream.serve.pace import Pace
from midstream.serve.proto import serve_pb2 as pb
from midstream.wording import counted, readable

_Code = grpc.StatusCode
_CODES = {code.value[0]: code for code in _Code if code is not _Code.OK}
#: Errors of a frame that are none: there was no room for it just then.
_AGAIN = (_Code.RESOURCE_EXHAUSTED, _Code.UNAVAILABLE)
_FIRST_WAIT_S, _MOST_WAIT_S = 0.1, 2.0
#: A server that wants a frame later than this is not waited for so long: servers here ask for five seconds at most.
_MOST_RETRY_S = 10.0
#: How often frames are looked through for those whose time is over.
_TICK_S = 0.05
#: An answer or a greeting is awaited for so long, however short `retry_s` is: what is being computed is no trouble yet.
_LEAST_PATIENCE_S = 3.0
#: How often a connection on which nothing is sent is looked at.
_LOOK_S = 0.5
#: A unit of a stream refers to what the server does not have.
_KEY_WANTED = _Code.FAILED_PRECONDITION
#: What waits to be sent, and of which attempt; None for that nothing comes any more.
_Outbox = asyncio.Queue[tuple[Flight, int | None] | None]
#: How long a session that is left waits for the server to end its stream.
_PARTING_S = 1.0
_ENDED = grpc.aio.AioRpcError(
    _Code.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata(), "the server has ended the stream"
)
#: Room for what is set in a request when it is sent.
_SPARE_BYTES = 16


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
        self.on_event, self.limiter = on_event, limiter
        self._own = own
        self._name = secrets.token_hex(8)
        self._numbers = itertools.count()
        self._waiting: dict[int, Flight] = {}
        self._slots = asyncio.Semaphore(0)
        self._greeting: asyncio.Future[pb.DescribeReply] = asyncio.get_running_loop().create_future()
        self._outbox: _Outbox | None = None
        self._trouble_since: float | None = None
        self._answered = time.monotonic()  # or when nothing was there to be answered
        self._ended: ServiceError | InputError | None = None
        self._parting = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._streams: WeakValueDictionary[str, FrameStream] = WeakValueDictionary()

    async def __aenter__(self) -> Session:
        self._living = self.start(self._live())
        self.start(self._expire())
        try:
            self.offer = await asyncio.shield(self._greeting)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *error: object) -> None:
        try:
            await self._part()
        finally:
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            self.end(ServiceError(_Code.CANCELLED.name, "the session is closed"))

    async def _part(self) -> None:
        """Where all is answered, tell the server so, which then ends the stream: to be cancelled is a fault, there."""
        self._parting = True
        if self._outbox is not None and not self._waiting:
            self._outbox.put_nowait(None)
            await asyncio.wait({self._living}, timeout=_PARTING_S)

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Something that goes on until it is done, or the session is left."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    @property
    def in_flight(self) -> int:
        """The most frames that are unanswered at a time."""
        return min(self.link.in_flight, self.offer.max_in_flight)

    @property
    def unanswered(self) -> int:
        """Frames that are in flight."""
        return len(self._waiting)

    @property
    def unanswered_flights(self) -> list[Flight]:
        """In the order of their numbers."""
        return list(self._waiting.values())

    @property
    def has_place(self) -> bool:
        """Whether `place` would not wait."""
        return not self._slots.locked()

    def stream(self, edge: ClipEdge, pace: Pace | None = None) -> FrameStream:
        """A stream of frames; ended by not being used any more."""
        stream = FrameStream(self, edge, pace)
        self._streams[stream.name] = stream
        return stream

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
        expires = None if timeout_s is None else born + timeout_s
        flight = Flight(self._name, size, born, expires, asyncio.get_running_loop().create_future())
        flight.bitstream = bitstream
        await self.place()
        self.enter(flight)
        self.post(flight)
        return flight.future

    async def place(self) -> None:
        """Wait for a place among the frames in flight, for `enter` or `give_back`. Raises ServiceError as `send`."""
        await self._slots.acquire()
        if self._ended is not None:
            self._slots.release()  # the next one that waits is to hear of it, too
            raise self._ended

    def give_back(self) -> None:
        """A place that is not needed."""
        self._slots.release()

    def check(self) -> None:
        """Raises ServiceError: the session has ended."""
        if self._ended is not None:
            raise self._ended

    def enter(self, flight: Flight) -> None:
        """Give a frame that has a place its number; from now on it has an answer. Raises ServiceError as `send`."""
        self.check()
        flight.number = next(self._numbers)
        self._waiting[flight.number] = flight
        flight.future.add_done_callback(lambda _: self._leave(flight))  # answered, or given up by who waits for it

    def post(self, flight: Flight) -> None:
        """Send a frame, when it is its turn; or refuse it."""
        flight.gone = False
        if flight.request().ByteSize() + _SPARE_BYTES > self.offer.max_message_bytes:  # it would end the whole stream
            most = f"{self.offer.max_message_bytes:,}"
            reason = f"a bitstream of {flight.bytes:,} bytes; this server takes messages of {most}"
            self.refuse(flight, _Code.INVALID_ARGUMENT, reason)
        elif self._outbox is not None:
            self._outbox.put_nowait((flight, flight.attempt))

    async def _live(self) -> None:
        """Until the session cannot go on, which every frame that waits is to hear of."""
        try:
            await self._keep_connected()
        except (ServiceError, InputError) as error:
            self.end(error)
        except Exception as error:  # a mistake of this program: without this, frames would wait for ever
            self.end(ServiceError(_Code.INTERNAL.name, f"the session has failed: {error!r}"))

    async def _keep_connected(self) -> None:
        wait, attempts = _FIRST_WAIT_S, 0
        self._trouble_since = time.monotonic()  # until there is a greeting
        while True:
            error = _ENDED
            attempts += 1
            try:
                async with connect(self.link, self._own, self._greeting_s()) as connection:
                    self._greeted(connection.offer)
                    await self._exchange(connection)
            except grpc.aio.AioRpcError as raised:
                error = raised
            if self._parting:
                return
            now = time.monotonic()
            lost = self._trouble_since is None
            if self._trouble_since is None or (self._greeting.done() and not self._waiting):
                self._trouble_since = now  # it had worked, or nobody waits: there is time
            if lost:
                wait, attempts = _FIRST_WAIT_S, 0
                self.traffic.lost += 1
            seconds = now - self._trouble_since
            tried = f" (tried {counted(attempts, 'time')} in {seconds:.0f} s)" if attempts else ""
            if error.code() not in PASSING or seconds > self.link.retry_s:
                raise failure(self.link, error, tried)
            if lost or (attempts == 1 and not self._greeting.done()):
                what = "lost the connection" if lost else "no connection"
                reason = readable(error.details() or error.code().name)
                self.on_event(f"{self.link.address}: {what} ({reason}); trying again for {self.link.retry_s:.0f} s")
            await asyncio.sleep(wait * random.uniform(0.5, 1.0))  # not all clients of a server at once
            wait = min(2 * wait, _MOST_WAIT_S)

    def _greeting_s(self) -> float:
        """How long a greeting is waited for: as long as there is to go on trying, but never too short for a reply."""
        spent_s = 0.0 if self._trouble_since is None else time.monotonic() - self._trouble_since
        return max(self.link.retry_s - spent_s, _LEAST_PATIENCE_S) + _TICK_S  # to be over the time, not just below it

    def _greeted(self, offer: pb.DescribeReply) -> None:
        messages.check_offer(offer)
        if self._greeting.done():
            check_same(self.link, self.offer, offer)
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
        for stream in list(self._streams.values()):
            stream.connected()
        outbox: _Outbox = asyncio.Queue()
        for flight in self._waiting.values():
            flight.gone = False
            if flight.attempt is not None:
                outbox.put_nowait((flight, flight.attempt))
        self._outbox = outbox
        try:
            first = await self._first(connection, outbox)  # servers do not keep streams on which nothing comes
            if first is None:
                return
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

    async def _first(self, connection: Connection, outbox: _Outbox) -> tuple[Flight, pb.InferRequest] | None:
        """As `_next`. Raises AioRpcError where the connection is lost before."""
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

    async def _next(self, outbox: _Outbox) -> tuple[Flight, pb.InferRequest] | None:
        """The next frame, when it may be sent, and what is sent; None at the end."""
        while (waits := await outbox.get()) is not None:
            flight, attempt = waits
            # Of a stream, what nobody waits for any more goes all the same: those after it refer to it.
            if flight.attempt != attempt or (flight.stream is None and flight.future.done()):
                continue
            request = flight.request()
            if self.limiter is not None:
                await self.limiter.take(request.ByteSize())
                if flight.attempt != attempt:
                    continue
            return flight, request
        return None

    async def _send_all(self, call: Any, first: tuple[Flight, pb.InferRequest], outbox: _Outbox) -> None:
        following: tuple[Flight, pb.InferRequest] | None = first
        while following is not None:
            flight, request = following
            self.traffic.resent += flight.sent is not None
            flight.sent = request.attempt
            self.traffic.sent_bytes += request.ByteSize()
            if flight.stream is not None:
                flight.stream.sent(request)
            await call.write(request)
            if flight.attempt == request.attempt:
                flight.gone = True
            if flight.stream is not None:
                flight.stream.moved()
            following = await self._next(outbox)
        await call.done_writing()

    def _received(self, reply: pb.InferReply, outbox: _Outbox) -> None:
        if (stream := self._streams.get(reply.session)) is not None:
            stream.received(reply)
        flight = self._waiting.get(reply.frame)
        if flight is None or flight.future.done() or reply.session != flight.session:
            return  # answered, on an earlier connection
        if not reply.attempt == flight.attempt == flight.sent:  # of something that was sent before, or never
            return
        code = _CODES.get(reply.error.code, _Code.UNKNOWN) if reply.HasField("error") else _Code.OK
        if self._comes_again(flight, code, reply, outbox):
            return
        self._trouble_since, self._answered = None, time.monotonic()
        if code is not _Code.OK:
            self.refuse(flight, code, readable(reply.error.message))
            return
        try:
            found = messages.output_of(reply, self.offer, flight.size)
        except InputError as error:
            self.refuse(flight, _Code.INTERNAL, readable(str(error)))
            return
        times = reply.timings
        self._settle(
            flight,
            Answer(
                reply.frame, found, None, flight.bytes, time.monotonic() - flight.born,
                times.queue_us / 1e6, times.decode_us / 1e6, times.back_us / 1e6, reply.repeated, flight.key,
                reply.attempt,
            ),
        )  # fmt: skip

    def _comes_again(self, flight: Flight, code: grpc.StatusCode, reply: pb.InferReply, outbox: _Outbox) -> bool:
        """Whether a reply is no answer, but asks for the frame once more."""
        delay = min(max(reply.error.retry_after_ms / 1e3, _FIRST_WAIT_S), _MOST_RETRY_S)
        if flight.stream is not None and (code in _AGAIN or (code is _KEY_WANTED and not flight.key)):
            self.traffic.keys_asked += code is _KEY_WANTED
            flight.stream.again(flight, anew=code is _KEY_WANTED, delay_s=delay if code in _AGAIN else 0.0)
            return True
        if code in _AGAIN:
            asyncio.get_running_loop().call_later(delay, outbox.put_nowait, (flight, flight.attempt))
        return code in _AGAIN

    def refuse(self, flight: Flight, code: grpc.StatusCode, reason: str) -> None:
        """Answer a frame with an error."""
        error, took_s = ServiceError(code.name, reason), time.monotonic() - flight.born
        attempt = flight.attempt or 0
        self._settle(flight, Answer(flight.number, None, error, flight.bytes, took_s, key=flight.key, attempt=attempt))

    def _settle(self, flight: Flight, answer: Answer) -> None:
        if not flight.future.done():
            flight.future.set_result(answer)

    def _leave(self, flight: Flight) -> None:
        del self._waiting[flight.number]
        self._slots.release()
        if flight.stream is not None:
            flight.stream.moved()

    async def _expire(self) -> None:
        """Frames whose time is over are answered here when the server does not; where it answers none, all ends."""
        while True:
            await asyncio.sleep(_TICK_S)
            now = time.monotonic()
            for frame in [f for f in self._waiting.values() if f.expires is not None and f.expires < now - _TICK_S]:
                self.refuse(frame, _Code.DEADLINE_EXCEEDED, "no answer in time")
            # What the own rate limit holds back is not the server's to answer; lost connections have their own clock.
            if self._outbox is None or not any(frame.sent is not None for frame in self._waiting.values()):
                self._answered = now
            elif now - self._answered > (patience_s := max(self.link.retry_s, _LEAST_PATIENCE_S)):
                reason = f"the server {self.link.address} has answered no frame for {patience_s:g} s"
                self.end(ServiceError(_Code.DEADLINE_EXCEEDED.name, f"{reason}: look at its log and its load"))
                self._living.cancel()
                return

    def end(self, error: ServiceError | InputError) -> None:
        """Nothing is answered any more but with this error."""
        if self._ended is None:
            self._ended = error
        if not self._greeting.done():
            self._greeting.set_exception(error)
            self._greeting.exception()  # whoever waited for it may have gone
        for frame in self._waiting.values():
            if not frame.future.done():
                frame.future.set_exception(error)
                frame.future.exception()
            if frame.stream is not None:
                frame.stream.moved()
        self._slots.release()
