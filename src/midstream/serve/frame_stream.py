"""Frames that are sent as one stream: each refers to the one before, and is coded anew where the server has lost that.

A frame is coded when all frames before it have gone and there is a place in flight for it. So whatever a link cannot
take waits, or is dropped, before it is coded, and the stream has no gaps. What frames are coded from is kept until they
are answered. When the server asks for a key, the frame that it could not decode is coded as one, and all unanswered
frames after it are coded anew, in order; when it had no room for a frame, that one and those after it are sent again.
Answers to what was sent before that, which still arrive, are told apart by their attempt.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import secrets
import time
from typing import TYPE_CHECKING

import grpc

from midstream.codec.api import encode_levels
from midstream.codec.rate_control import BucketFullError
from midstream.errors import InputError, ServiceError
from midstream.halves.clip import ClipEdge
from midstream.halves.coding import ReadyFrame
from midstream.serve.flights import Answer, Flight
from midstream.serve.pace import Pace
from midstream.serve.proto import serve_pb2 as pb

if TYPE_CHECKING:
    from midstream.serve.session import Session

_Code = grpc.StatusCode
#: How often it is looked whether a link, or a bucket, has room for a frame, besides when an answer comes; and after how
#: many looks, all the time that a bucket takes to run empty, a frame that is larger than the bucket goes all the same.
_LOOK_S, _LOOKS, _MORE = 0.02, 25, 1.3
#: What was sent in vain fills the bucket of a rate, too: time that is borrowed at once until there is room, how often.
_BORROWED_S, _MOST_BORROWED = 0.1, 100


class FrameStream:
    """One stream over a session, which may carry several and independent frames beside.

    Attributes:
        edge: codes the frames. Nobody else may use it.
        name: of the stream, in its requests.
        coding_s: seconds that coding has taken so far.
        pace: of its coding; None where nothing but the places in flight and the session's rate limit hold it back.
    """

    def __init__(self, session: Session, edge: ClipEdge, pace: Pace | None = None) -> None:
        """A stream that begins with the next frame; a server that takes none gets independent frames."""
        self.edge, self.pace, self._session = edge, pace, session
        self.name = secrets.token_hex(8)
        self.coding_s = 0.0
        self._sending = asyncio.Lock()  # frames are coded in the order in which they are handed over
        self._coding = asyncio.Lock()
        self._attempt = 0
        self._key_wanted = False
        self._newest_s: float | None = None
        self._moved = asyncio.Event()
        self._told = False

    async def send(
        self, ready: ReadyFrame, timeout_s: float | None = None, time_s: float | None = None
    ) -> asyncio.Future[Answer]:
        """Code a frame and hand it over, as soon as there is room for it.

        Args:
            ready: the frame.
            timeout_s: after which its answer is of no use: DEADLINE_EXCEEDED.
            time_s: when it is, for an encoder with a bit rate; see `StreamEncoder.encode`.

        Returns:
            The answer to come. It raises ServiceError when the session ends without one.

        Raises:
            InputError: the frame cannot be coded; the stream goes on without it. BucketFullError: for want of room
                within a bit rate that does not follow the link.
            ServiceError: the session has ended.
        """
        born = time.monotonic()
        expires = None if timeout_s is None else born + timeout_s
        future = asyncio.get_running_loop().create_future()
        flight = Flight(self.name, ready.size, born, expires, future, self, ready, time_s)
        async with self._sending:
            await self._session.place()
            try:
                await self._all_gone()
                await self._link_has_room()
                await self._enter_with_room(flight)
            except BaseException:
                if flight.number < 0:
                    self._session.give_back()
                raise
        return future

    async def room(self) -> None:
        """Wait until a frame could go at once: what is read only then is no older than need be. Raises as `send`."""
        while self.pace is not None and not (self._session.has_place and self.pace.ready):
            await self._look_again()

    async def _link_has_room(self) -> None:
        while self.pace is not None and not self.pace.ready:
            await self._look_again()

    async def _look_again(self) -> None:
        self._moved.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._moved.wait(), _LOOK_S)
        self._session.check()

    async def _enter_with_room(self, flight: Flight) -> None:
        """Raises as `send`."""
        for looked in itertools.count():
            try:
                async with self._coding:
                    return await self._enter(flight)
            except BucketFullError:
                if self.pace is None:
                    raise
                self.pace.more = max(_MORE ** (looked - _LOOKS), 1.0)
            await self._look_again()
        return None

    async def _enter(self, flight: Flight) -> None:
        """Raises as `send`."""
        if flight.expires is not None and flight.expires < time.monotonic():
            self._session.enter(flight)
            self._session.refuse(flight, _Code.DEADLINE_EXCEEDED, "there was no room for the frame in time")
            return
        attempt = self._attempt
        await self._code(flight)
        flight.attempt = None
        self._session.enter(flight)
        if attempt == self._attempt:  # else what is sent again goes first
            self._post(flight)

    def sent(self, request: pb.InferRequest) -> None:
        """A request of this stream is handed to the connection."""
        if self.pace is not None:
            self.pace.sent(request)

    def received(self, reply: pb.InferReply) -> None:
        """A reply has come for this stream, whoever waits for it."""
        if self.pace is not None:
            self.pace.received(reply)
            self.moved()

    def moved(self) -> None:
        """Something has gone, or needs not go any more."""
        self._moved.set()

    def again(self, flight: Flight, anew: bool, delay_s: float = 0.0) -> None:
        """Send a frame and those after it once more, in a while, as they are; or coded `anew`, beginning with a key."""
        self._attempt += 1
        self._key_wanted |= anew
        for each in self._unanswered():
            if each.number >= flight.number:
                each.attempt = None
                if anew:
                    each.bitstream = None
        self._session.start(self._resend(self._attempt, delay_s))

    def connected(self) -> None:
        """Another server may be there, which takes no streams: then nothing is sent to it as it is."""
        if self.pace is not None:
            self.pace.reconnected()
        first = next((each for each in self._unanswered() if each.unit), None)
        if first is not None and not self._session.offer.takes_streams:
            self.again(first, anew=True)

    async def _all_gone(self) -> None:
        """Wait until all frames before have gone, and the rate limit lets more go."""
        while any(not each.gone for each in self._unanswered()):
            self._moved.clear()
            await self._moved.wait()
            self._session.check()
        if self._session.limiter is not None:
            await self._session.limiter.free()

    def _unanswered(self) -> list[Flight]:
        return [each for each in self._session.unanswered_flights if each.stream is self]

    def _post(self, flight: Flight) -> None:
        flight.attempt = self._attempt
        self._session.post(flight)

    async def _resend(self, attempt: int, delay_s: float) -> None:
        try:
            async with self._coding:
                await asyncio.sleep(delay_s)
                for flight in self._unanswered():
                    if flight.attempt is not None:
                        continue
                    if self._attempt == attempt and flight.bitstream is None:
                        await self._code_again(flight, attempt)
                    if self._attempt != attempt:  # that one does it
                        return
                    if flight.bitstream is not None and not flight.future.done():
                        self._post(flight)
        except Exception as error:  # a mistake of this program: without this, frames would wait for ever
            self._session.end(ServiceError(_Code.INTERNAL.name, f"the stream has failed: {error!r}"))

    async def _code_again(self, flight: Flight, attempt: int) -> None:
        for borrowed in range(_MOST_BORROWED):
            if self._attempt != attempt:
                return
            try:
                await self._code(flight)
            except BucketFullError as error:
                if borrowed == _MOST_BORROWED - 1:
                    self._session.refuse(flight, _Code.INVALID_ARGUMENT, str(error))
                elif self.pace is not None:
                    self.pace.more = max(_MORE ** (borrowed - _LOOKS), 1.0)
                    await asyncio.sleep(_LOOK_S)
                elif flight.time_s is not None:
                    flight.time_s = max(flight.time_s, self._newest_s or 0.0) + _BORROWED_S
            except InputError as error:
                self._session.refuse(flight, _Code.INVALID_ARGUMENT, str(error))
                return
            else:
                return

    async def _code(self, flight: Flight) -> None:
        """The bitstream of a frame; none where what it refers to was lost meanwhile. Raises InputError."""
        assert flight.ready is not None
        key, self._key_wanted = self._key_wanted, False
        if self.pace is not None:
            flight.time_s = self.pace.set(self.edge.encoder)
        coding = asyncio.create_task(asyncio.to_thread(self._timed, flight.ready, flight.time_s, key))
        try:
            bitstream, flight.key, flight.unit = await asyncio.shield(coding)
        except asyncio.CancelledError:
            self._key_wanted = True  # what comes of it is not sent
            while not coding.done():  # two threads must not code
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait({coding})
            coding.exception()  # nobody else asks for it
            raise
        flight.bitstream = None if self._key_wanted else bitstream

    def _timed(self, ready: ReadyFrame, time_s: float | None, key: bool) -> tuple[bytes, bool, bool]:
        begun = time.monotonic()
        try:
            return self._coded(ready, time_s, key)
        finally:
            self.coding_s += time.monotonic() - begun

    def _coded(self, ready: ReadyFrame, time_s: float | None, key: bool) -> tuple[bytes, bool, bool]:
        """The bitstream, whether it stands alone, and whether it is a unit of a stream. Raises InputError."""
        encoder = self.edge.encoder
        if not self._session.offer.takes_streams:
            self._tell()
            return encode_levels(encoder.codec, ready.levels, ready.hints, None), True, False
        if key:
            encoder.request_key()
        if time_s is not None:  # a frame that is coded anew comes after those that came after it
            self._newest_s = time_s = max(time_s, self._newest_s or 0.0)
        bitstream = self.edge.code(ready, time_s)
        assert encoder.last is not None
        return bitstream, encoder.last.key, True

    def _tell(self) -> None:
        if not self._told:
            self._told = True
            rate = "" if self.edge.encoder.bitrate is None else ", and no bit rate is held"
            self._session.on_event(f"the server takes no streams: each frame is coded by itself{rate}")
