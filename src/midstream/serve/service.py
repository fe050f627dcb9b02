"""The gRPC service: requests in, answers and errors out. All work is the engine's."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import grpc
import grpc.aio

from midstream.serve import messages
from midstream.serve.engine import BusyError, Computed, Engine, ExpiredError, key_of
from midstream.serve.proto import serve_pb2 as pb
from midstream.serve.proto import serve_pb2_grpc
from midstream.serve.security import client_of, holder_of, owner_of, plain
from midstream.serve.telemetry import Telemetry, parent_of, sparing, trace_stages, tracer
from midstream.serve.work import REFERENCE, Done, Refused, Served, Work, screen
from midstream.wording import readable

_Code = grpc.StatusCode
_BY_NUMBER = {code.value[0]: code for code in _Code}
_Answers = asyncio.Queue[pb.InferReply | None]
_LEAVING = "the server is shutting down: connect again"


@dataclass(frozen=True)
class Offer:
    """What a server grants its clients.

    Attributes:
        in_flight: frames of one client that may be unanswered.
        message_bytes: of one request.
        streams: whether units of streams are decoded.
        tokens: SHA-256 of each token -> its holder; empty where none is needed.
    """

    in_flight: int
    message_bytes: int
    streams: bool
    tokens: Mapping[bytes, str]


@dataclass(frozen=True)
class _Caller:
    """Whom a call counts for, who may hear what was sent before, and the call's metadata."""

    name: str
    owner: str
    metadata: dict[str, str]


class Service(serve_pb2_grpc.SplitInferenceServicer):
    """See serve.proto."""

    def __init__(self, served: Served, engine: Engine, telemetry: Telemetry, offer: Offer) -> None:
        self._served, self._engine, self._telemetry, self._offer = served, engine, telemetry, offer
        self._side = messages.side(served.model, served.profile.name if served.profile else "")
        self._outputs = messages.outputs(served.outputs)
        self._leaving = asyncio.Event()

    def leave(self) -> None:
        """Take no new work; streams end when what they have in flight is answered."""
        self._leaving.set()

    async def Describe(self, request: pb.DescribeRequest, context: Any) -> pb.DescribeReply:  # noqa: N802
        """What this server runs, or FAILED_PRECONDITION."""
        if reason := messages.mismatch(request.client, self._side):
            await self._abort(context, _Code.FAILED_PRECONDITION, "mismatch", readable(reason))
        sparing.say("info", "client", peer=context.peer(), release=readable(request.client.release))
        return pb.DescribeReply(
            server=self._side,
            classes=self._served.model.classes,
            has_masks=self._served.model.has_masks,
            max_message_bytes=self._offer.message_bytes,
            max_elements=self._served.limits.elements,
            max_pixels=self._served.max_pixels,
            max_in_flight=self._offer.in_flight,
            task=self._served.model.task.name,
            takes_streams=self._offer.streams,
            outputs=self._outputs,
        )

    async def Infer(self, request: pb.InferRequest, context: Any) -> pb.InferReply:  # noqa: N802
        """One frame; an error is the call's status."""
        caller = await self._caller(context)
        if self._leaving.is_set():
            await self._abort(context, _Code.UNAVAILABLE, "leaving", _LEAVING)
        try:
            self._engine.take(caller.name)
        except BusyError as busy:
            reply = self._counted("Infer", request, busy)
        else:
            try:
                reply = await self._reply("Infer", request, context.time_remaining(), caller)
            finally:
                self._engine.release(caller.name)
        if reply.HasField("error"):
            wait = reply.error.retry_after_ms
            trailing = ((messages.PUSHBACK_KEY, str(wait)),) if wait else ()
            await context.abort(_BY_NUMBER[reply.error.code], reply.error.message, trailing)
        return reply

    async def InferStream(self, requests: Any, context: Any) -> None:  # noqa: N802
        """Frames of one client. A client that does not read its answers is not read from either."""
        caller = await self._caller(context)
        answers: _Answers = asyncio.Queue(self._offer.in_flight)
        frames: set[asyncio.Task[None]] = set()
        writing = asyncio.create_task(_write(answers, context))
        reading = asyncio.create_task(self._read(requests, caller, answers, frames))
        leaving = asyncio.create_task(self._leaving.wait())
        with self._telemetry.streams.track_inprogress():
            try:
                await asyncio.wait({reading, writing, leaving}, return_when=asyncio.FIRST_COMPLETED)
                if reading.done():
                    reading.result()
                reading.cancel()
                if not writing.done():  # else the client has gone
                    await asyncio.gather(*frames)
                    await answers.put(None)
                await writing
            finally:
                tasks = [reading, writing, leaving, *frames]
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        if self._leaving.is_set():
            await context.abort(_Code.UNAVAILABLE, _LEAVING)

    async def _caller(self, context: Any) -> _Caller:
        """Who calls; FAILED_PRECONDITION for features of another network."""
        metadata = plain(context.invocation_metadata())
        cut = metadata.get(messages.CUT_KEY, "")
        if cut and cut != self._side.cut:
            reason = messages.mismatch(pb.Side(network="another network", cut=cut), self._side)
            await self._abort(context, _Code.FAILED_PRECONDITION, "mismatch", readable(reason))
        holder, peer = holder_of(self._offer.tokens, metadata), context.peer()
        return _Caller(client_of(holder, peer), owner_of(holder, peer), metadata)

    async def _abort(self, context: Any, code: grpc.StatusCode, why: str, text: str) -> None:
        self._telemetry.refuse(why, peer=context.peer(), text=text)
        await context.abort(code, text)

    async def _read(self, requests: Any, caller: _Caller, answers: _Answers, frames: set[asyncio.Task[None]]) -> None:
        async for request in requests:
            if self._leaving.is_set():
                return  # not answered: the client sends it again, to whoever is there then
            try:
                self._engine.take(caller.name)
            except BusyError as busy:
                await answers.put(self._counted("InferStream", request, busy))
                continue
            task = asyncio.create_task(self._frame(request, caller, answers))
            frames.add(task)
            task.add_done_callback(frames.discard)
            del request, task  # else the last frame stays in memory as long as the stream is idle

    async def _frame(self, request: pb.InferRequest, caller: _Caller, answers: _Answers) -> None:
        try:
            await answers.put(await self._reply("InferStream", request, request.timeout_ms / 1e3 or None, caller))
        finally:
            self._engine.release(caller.name)

    async def _reply(
        self, method: str, request: pb.InferRequest, timeout_s: float | None, caller: _Caller
    ) -> pb.InferReply:
        """The answer to a frame, or its error."""
        start = time.perf_counter()
        attributes = {"midstream.frame": request.frame, "midstream.bytes": len(request.bitstream)}
        with tracer.start_as_current_span(method, parent_of(caller.metadata), attributes=attributes):
            outcome: Computed | BusyError | ExpiredError | None = None
            if 0 < len(request.session) <= messages.MOST_SESSION:
                work = Work(request.bitstream, (request.height, request.width))
                try:
                    outcome = await self._outcome(request, work, timeout_s, caller)
                except (BusyError, ExpiredError) as error:
                    outcome = error
                except Exception as error:  # else a stream's client would wait for ever
                    outcome = Computed(Refused("this frame could not be answered", "internal", error), 0.0, False)
            reply = self._counted(method, request, outcome)
        self._telemetry.stages.labels("total").observe(time.perf_counter() - start)
        return reply

    async def _outcome(
        self, request: pb.InferRequest, work: Work, timeout_s: float | None, caller: _Caller
    ) -> Computed:
        """What comes of a frame. Raises BusyError, ExpiredError."""
        seen = screen(self._served, work)
        if isinstance(seen, Refused):
            return Computed(seen, 0.0, repeated=False)
        if seen.unit:
            work = replace(work, stream=(caller.owner, request.session))
        key = key_of(caller.owner, request.session, request.frame, work)
        return await self._engine.answer(caller.name, key, work, timeout_s)

    def _counted(
        self, method: str, request: pb.InferRequest, outcome: Computed | BusyError | ExpiredError | None
    ) -> pb.InferReply:
        """The reply to a frame, counted; None stands for a request without a usable session."""
        session = request.session[: messages.MOST_SESSION]
        reply = pb.InferReply(session=session, frame=request.frame, attempt=request.attempt)
        code = _Code.OK
        if isinstance(outcome, Computed) and isinstance(outcome.outcome, Done):
            self._done(reply, outcome, outcome.outcome)
        else:
            problem = _problem(outcome)
            code = problem.code
            reply.error.CopyFrom(pb.Error(code=code.value[0], message=problem.reason, retry_after_ms=problem.wait_ms))
            self._telemetry.errors.labels(problem.kind).inc()
            if problem.code is not _Code.INTERNAL:  # which has its line already
                sparing.say("info", "frame refused", kind=problem.kind, reason=problem.reason)
        self._telemetry.requests.labels(method, code.name).inc()
        self._telemetry.received.inc(len(request.bitstream))
        self._telemetry.sent.inc(reply.ByteSize())
        return reply

    def _done(self, reply: pb.InferReply, answer: Computed, done: Done) -> None:
        messages.set_output(reply, self._served.model.task, done.output)
        reply.timings.CopyFrom(messages.timings(answer.queue_s, done))
        reply.repeated = answer.repeated
        if answer.repeated:
            self._telemetry.repeated.inc()
            return
        stages = {"queue": answer.queue_s, "decode": done.decode_s, "back": done.back_s}
        for stage, seconds in stages.items():
            self._telemetry.stages.labels(stage).observe(seconds)
        trace_stages(stages)


@dataclass(frozen=True)
class _Problem:
    """An error for the network, so without anything of this machine; `kind` is for the metrics."""

    kind: str
    code: grpc.StatusCode
    reason: str
    wait_ms: int = 0


def _problem(outcome: Computed | BusyError | ExpiredError | None) -> _Problem:
    match outcome:
        case None:
            return _Problem("session", _Code.INVALID_ARGUMENT, f"a session has 1 to {messages.MOST_SESSION} characters")
        case BusyError():
            reason = f"{outcome.reason}: try again"
            return _Problem("busy", _Code.RESOURCE_EXHAUSTED, reason, int(outcome.retry_s * 1e3))
        case ExpiredError():
            return _Problem("late", _Code.DEADLINE_EXCEEDED, "the frame's time was over before it was computed")
    refused = outcome.outcome
    assert isinstance(refused, Refused)
    if refused.kind == REFERENCE:
        return _Problem(refused.kind, _Code.FAILED_PRECONDITION, readable(refused.reason))
    if refused.kind != "internal":
        return _Problem(refused.kind, _Code.INVALID_ARGUMENT, readable(refused.reason))
    reference = secrets.token_hex(4)
    sparing.say("error", "frame failed", reference=reference, exc_info=refused.cause)
    return _Problem(
        "internal", _Code.INTERNAL, f"{refused.reason}; the server's log may have the reason under {reference}"
    )


async def _write(answers: _Answers, context: Any) -> None:
    while (reply := await answers.get()) is not None:
        await context.write(reply)
