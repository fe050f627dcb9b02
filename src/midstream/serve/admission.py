"""Who is let in: every call is judged by its headers, before any message of it is awaited.

gRPC's own limits count calls that are refused, half open or idle like all others, so that any of these can use them up.
Here the calls of each client are counted, of health and reflection apart from the others; a call whose first message
does not come ends; and where all places are taken, a call of the client with most of them makes way.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import DecodeError
from grpc_health.v1 import health

from midstream.serve import messages
from midstream.serve.proto import serve_pb2 as pb
from midstream.serve.security import client_of, holder_of, plain
from midstream.serve.telemetry import Telemetry, sparing

_Code = grpc.StatusCode
#: Health is what probes ask for, without a token.
_HEALTH = f"/{health.SERVICE_NAME}/"
SERVICE = pb.DESCRIPTOR.services_by_name["SplitInference"].full_name
_FRAMES = f"/{SERVICE}/"
#: A call that has been heard of within so many seconds is at work, and makes way only for who has none, if its client
#: has more.
_BUSY_S = 1.0
#: When to come again after there was no place.
_RETRY_MS = 1000
#: Of all headers of a call together, each with HTTP/2's own 32 bytes (RFC 9113, 6.5.2).
METADATA_BYTES = 16 << 10
_HEADER_BYTES = 32
_CUT_OFF = "cut off"


@dataclass(frozen=True)
class CallLimits:
    """How many calls may be open.

    Attributes:
        calls: of all clients.
        of_client: of one of them.
        unread: of all clients, those of which no message has come yet: what such calls hold of it is in memory.
    """

    calls: int
    of_client: int
    unread: int


class RefusedError(Exception):
    """A call that is not served; `reason` is for the metrics."""

    def __init__(self, reason: str, code: grpc.StatusCode, text: str) -> None:
        super().__init__(text)
        self.reason, self.code = reason, code


@dataclass(eq=False)
class Call:
    """An open call. `heard` is when its newest message came, or itself."""

    client: str
    patience: asyncio.Timeout
    heard: float
    unread: bool = True

    def message(self) -> None:
        """A message has come."""
        self.heard = asyncio.get_running_loop().time()
        if self.unread and not self.patience.expired():
            self.unread = False
            self.patience.reschedule(None)

    def end(self) -> None:
        """It has to make way."""
        if not self.patience.expired():
            self.patience.reschedule(self.heard)


class Room:
    """The open calls of some methods."""

    def __init__(self, places: CallLimits, patience_s: float) -> None:
        """An empty one; a call's first message is awaited for so many seconds."""
        self._places, self._patience_s = places, patience_s
        self._calls: set[Call] = set()
        self._clients: Counter[str] = Counter()

    @asynccontextmanager
    async def entered(self, client: str) -> AsyncIterator[Call]:
        """A place for a call for as long as the block lasts, in the task that serves the call.

        Raises:
            RefusedError: there is none; or the call was silent for too long, or silent when another needed its place.
        """
        self._make_way(client)
        self._clients[client] += 1
        made_way = False
        try:
            async with asyncio.timeout(self._patience_s) as patience:
                call = Call(client, patience, asyncio.get_running_loop().time())
                self._calls.add(call)
                try:
                    yield call
                finally:
                    made_way = call not in self._calls
                    self._calls.discard(call)
        except TimeoutError:
            if not patience.expired():
                raise
            raise _made_way() if made_way else _silent(self._patience_s) from None
        finally:
            self._clients[client] -= 1
            if not self._clients[client]:
                del self._clients[client]

    def _make_way(self, client: str) -> None:
        """Find a place, another call's if need be."""
        if self._clients[client] >= self._places.of_client:
            text = f"this client has {self._places.of_client} calls open, the most allowed: try again"
            raise RefusedError("client's calls", _Code.RESOURCE_EXHAUSTED, text)
        unread = {call for call in self._calls if call.unread}
        if len(unread) >= self._places.unread:
            self._end(unread, client)
        elif len(self._calls) >= self._places.calls:
            self._end(self._calls, client)

    def _end(self, calls: set[Call], client: str) -> None:
        """End one of these for a client: of who has most calls the unread one, or any, that is silent for longest."""
        held = Counter(call.client for call in self._calls)
        before = asyncio.get_running_loop().time() - _BUSY_S

        def may_end(call: Call) -> bool:
            own, others = held[client], held[call.client]
            idle = call.unread or call.heard < before
            return (others > own or call.client == client) and (idle or (own == 0 and others > 1))

        able = [call for call in calls if may_end(call)]
        if not able:
            raise RefusedError("all calls", _Code.RESOURCE_EXHAUSTED, "all calls of this server are in use: try again")
        silent = min(able, key=lambda call: (-held[call.client], not call.unread, call.heard))
        self._calls.remove(silent)
        silent.end()


def _made_way() -> RefusedError:
    text = "this call was idle, and the server needed its place: call again"
    return RefusedError("made way", _Code.UNAVAILABLE, text)


def _silent(seconds: float) -> RefusedError:
    return RefusedError("no message", _Code.DEADLINE_EXCEEDED, f"no message came within {seconds:.0f} s")


class Gate(grpc.aio.ServerInterceptor):
    """Makes of every method one that is refused by its headers, or whose messages are read here."""

    def __init__(self, tokens: Mapping[bytes, str], telemetry: Telemetry, frames: Room, checks: Room) -> None:
        """A gate to the service and, with places of their own, to health and reflection."""
        self._tokens, self._telemetry, self._frames, self._checks = tokens, telemetry, frames, checks

    async def intercept_service(
        self, continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]], details: grpc.HandlerCallDetails
    ) -> Any:
        """The guarded handler of a call: one of streams, since gRPC itself awaits the message of any other."""
        handler, method = await continuation(details), details.method

        async def call(requests: Any, context: Any) -> None:
            del requests  # they are read from the context
            try:
                await self._serve(method, handler, context)
            except RefusedError as refused:
                known = "unknown" if handler is None else method
                self._telemetry.refuse(refused.reason, peer=context.peer(), method=known)
                wait = ((messages.PUSHBACK_KEY, str(_RETRY_MS)),) if refused.code is _Code.RESOURCE_EXHAUSTED else ()
                await context.abort(refused.code, str(refused), wait)

        if handler is None:
            return grpc.stream_stream_rpc_method_handler(call)
        parser = handler.request_deserializer
        return grpc.stream_stream_rpc_method_handler(call, _lenient(parser), handler.response_serializer)

    async def _serve(self, method: str, handler: Any, context: Any) -> None:
        """Serve a call. Raises RefusedError."""
        metadata, peer = context.invocation_metadata(), context.peer()
        if sum(len(key) + len(value) + _HEADER_BYTES for key, value in metadata or ()) > METADATA_BYTES:
            raise RefusedError("metadata", _Code.RESOURCE_EXHAUSTED, f"more than {METADATA_BYTES} bytes of metadata")
        holder = holder_of(self._tokens, plain(metadata))
        if self._tokens and holder is None and not method.startswith(_HEALTH):
            text = "this server wants a token it knows: authorization: Bearer"
            raise RefusedError("token", _Code.UNAUTHENTICATED, text)
        if handler is None:
            raise RefusedError("method", _Code.UNIMPLEMENTED, "this server has no such method")
        room = self._frames if method.startswith(_FRAMES) else self._checks
        async with room.entered(client_of(holder, peer)) as call:
            try:
                await _run(handler, context, call)
            except asyncio.CancelledError:
                if not call.patience.expired():
                    self._cut_off(peer, method)
                raise

    def _cut_off(self, peer: str, method: str) -> None:
        """Count a call that gRPC has ended: it does not say whether the client gave up, or sent too large a message."""
        self._telemetry.refused.labels(_CUT_OFF).inc()
        sparing.say("info", _CUT_OFF, peer=peer, method=method, why="given up, or a message above the limit")


async def _run(handler: Any, context: Any, call: Call) -> None:
    if handler.request_streaming:
        given = _messages(context, call)
    else:
        given = await context.read()
        if given is grpc.aio.EOF:
            raise RefusedError(_CUT_OFF, _Code.INVALID_ARGUMENT, "the call ended before its message had come")
        call.message()
    kinds = (handler.unary_unary, handler.unary_stream, handler.stream_unary, handler.stream_stream)
    answer = next(kind for kind in kinds if kind is not None)(given, context)
    if isinstance(answer, AsyncIterator):
        async for reply in answer:
            await context.write(reply)
    elif (reply := await answer) is not None:  # else it has written its answers itself
        await context.write(reply)


async def _messages(context: Any, call: Call) -> AsyncIterator[Any]:
    while (message := await context.read()) is not grpc.aio.EOF:
        call.message()
        yield message
        del message  # else the last one stays in memory as long as the stream is idle


def _lenient(parser: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """What is no message of the method is an empty one to it: gRPC's own answer would show the parser's error."""

    def parse(data: bytes) -> Any:
        try:
            return parser(data)
        except DecodeError:
            return parser(b"")

    return parse
