"""Clients at work while everything around them fails: who is answered, how fast, and whether rightly."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import grpc.aio
import numpy as np
from tests.helpers import streaming
from tests.helpers.serving import SIZE, Case, Proxy, Server

from midstream.codec.base import Codec
from midstream.halves.coding import ReadyFrame
from midstream.models import SplitModel
from midstream.serve import Answer, Link
from midstream.serve.link import connect
from midstream.serve.proto import serve_pb2 as pb
from midstream.serve.session import Session

CLIENTS = 3
_IN_FLIGHT = 4
_FLOOD = 200
#: Time of a frame that has little.
_LITTLE_S = 0.05
#: More than a server remembers that is to forget some: see `stream_room`.
_MOST_STREAMS = 8
_LOST = (grpc.aio.AioRpcError, asyncio.InvalidStateError)


@dataclass
class Phase:
    """Frames of the steady clients: seconds of each, and of all together."""

    latencies: list[float] = field(default_factory=list)
    seconds: float = 0.0

    def report(self) -> dict[str, float]:
        low, high = np.percentile(np.array(self.latencies) * 1e3, [50, 99])
        return {"frames": len(self.latencies), "seconds": self.seconds, "per_s": len(self.latencies) / self.seconds,
                "p50_ms": float(low), "p99_ms": float(high), "max_ms": max(self.latencies) * 1e3}  # fmt: skip


@dataclass
class Counts:
    """What the others met with."""

    damaged: int = 0
    repeated: int = 0
    kills: int = 0
    lost: int = 0
    resent: int = 0
    flooded: int = 0
    turned_away: int = 0
    slow: int = 0
    half_sent: int = 0
    streams: int = 0
    coded: int = 0
    keys: int = 0
    keys_asked: int = 0
    late: int = 0
    evicted: int = 0


class Storm:
    """Three steady clients behind a proxy; a flooding one, a slow reader and half-sent messages at the server itself.

    Every answer is held against that of a local run at once.
    """

    def __init__(self, server: Server, proxy: Proxy, side: pb.Side, cases: Sequence[Case]) -> None:
        self.server, self.proxy, self.side, self.cases = server, proxy, side, cases
        self.counts = Counts()
        self._answered = 0

    async def run(self, frames: int, kills: int) -> dict[str, Any]:
        """`frames` of each client before and after the faults; as many as there is time for while they happen."""
        link = Link(self.proxy.address, in_flight=_IN_FLIGHT, retry_s=120)
        sessions = [Session(link, self.side) for _ in range(CLIENTS)]
        for session in sessions:
            await session.__aenter__()
        before = await self._phase(sessions, frames, None)
        others = [asyncio.create_task(each()) for each in (self._flood, self._slow_reader)]
        faults = asyncio.create_task(self._faults(kills))
        during = await self._phase(sessions, frames, faults)
        await faults
        for other in others:
            other.cancel()
        for outcome in await asyncio.gather(*others, return_exceptions=True):
            assert isinstance(outcome, asyncio.CancelledError), outcome
        after = await self._phase(sessions, frames, None)
        for session in sessions:
            await session.__aexit__()
            self.counts.lost += session.traffic.lost
            self.counts.keys_asked += session.traffic.keys_asked
            self.counts.resent += session.traffic.resent
        phases = {"before": before, "during": during, "after": after}
        return {name: phase.report() for name, phase in phases.items()} | {
            **vars(self.counts), "resets": self.proxy.resets, "cuts": self.proxy.cuts
        }  # fmt: skip

    async def _phase(self, sessions: list[Session], frames: int, until: asyncio.Task[None] | None) -> Phase:
        phase, start = Phase(), time.monotonic()
        await asyncio.gather(*(self._steady(session, frames, until, phase) for session in sessions))
        phase.seconds = time.monotonic() - start
        return phase

    async def _steady(self, session: Session, frames: int, until: asyncio.Task[None] | None, phase: Phase) -> None:
        checks: set[asyncio.Task[None]] = set()
        sent = 0
        while sent < frames if until is None else not until.done():
            case = self.cases[sent % len(self.cases)]
            check = asyncio.create_task(self._check(case, await session.send(case.bitstream, SIZE), phase))
            checks.add(check)
            check.add_done_callback(lambda done: checks.discard(done) if done.exception() is None else None)
            sent += 1
        await asyncio.gather(*checks)

    async def _check(self, case: Case, future: asyncio.Future[Answer], phase: Phase) -> None:
        answer = await future
        case.check(answer)
        self._answered += 1
        self.counts.damaged += case.detections is None
        self.counts.repeated += answer.repeated
        phase.latencies.append(answer.latency_s)

    async def _faults(self, kills: int) -> None:
        """One round for each kill: resets, a connection cut in the middle of a message, delay, then the kill."""
        rng = np.random.default_rng(0)
        for _ in range(kills):
            await self._some_answers()
            self.proxy.reset()
            await self._some_answers()
            await self._cut(int(rng.integers(500, 3000)))
            self.proxy.delay_s = 0.002
            self._half_sent()
            await self._some_answers()
            self.proxy.delay_s = 0.0
            await self._evict()
            await self._some_answers()
            await asyncio.to_thread(self.server.kill)
            self.counts.kills += 1
            await asyncio.to_thread(self.server.start)
        self.proxy.reset()
        await self._some_answers()

    async def _cut(self, after: int) -> None:
        """Every connection made now ends after so many bytes, which is in the middle of a message."""
        cuts = self.proxy.cuts
        self.proxy.cut_after = after
        self.proxy.reset()
        while self.proxy.cuts == cuts:
            await asyncio.sleep(0.01)
        self.proxy.cut_after = None

    async def _some_answers(self) -> None:
        goal = self._answered + 30
        while self._answered < goal:
            await asyncio.sleep(0.01)

    def _half_sent(self) -> None:
        """A connection that begins as HTTP/2 and ends within a frame's head."""
        with socket.create_connection(("127.0.0.1", self.server.port)) as half:
            half.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x12\x04")
        self.counts.half_sent += 1

    async def _flood(self) -> None:
        """Sends hundreds of frames at once, again and again; all are answered or turned away."""
        link = Link(self.server.address)
        number = 0
        while True:
            try:
                async with connect(link, self.side) as connection:
                    call = connection.stub.InferStream()
                    while True:
                        for _ in range(_FLOOD):
                            await call.write(self._request("flood", number := number + 1))
                        for _ in range(_FLOOD):
                            reply = await call.read()
                            if reply is grpc.aio.EOF:
                                break
                            self.counts.flooded += 1
                            self.counts.turned_away += reply.error.code == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
            except _LOST:
                await asyncio.sleep(0.2)

    async def _slow_reader(self) -> None:
        """Sends much and reads a little of it, late."""
        link = Link(self.server.address)
        number = 0
        while True:
            try:
                async with connect(link, self.side) as connection:
                    call = connection.stub.InferStream()
                    for _ in range(20):
                        await call.write(self._request("slow", number := number + 1))
                    await asyncio.sleep(0.5)
                    for _ in range(5):
                        if await call.read() is grpc.aio.EOF:
                            break
                        self.counts.slow += 1
                    call.cancel()
            except _LOST:
                await asyncio.sleep(0.2)

    async def _evict(self) -> None:
        """Sends keys of so many other streams that the server forgets those of the steady clients."""

    def _request(self, session: str, number: int) -> pb.InferRequest:
        bitstream = self.cases[number % len(self.cases)].bitstream
        return pb.InferRequest(session=session, frame=number, bitstream=bitstream, height=SIZE[0], width=SIZE[1])


class StreamStorm(Storm):
    """The steady clients send streams. What they get is held against decoding the very same units here, in order.

    Some frames have little time, and are answered or late; whoever else evicts them, streams go on.
    """

    def __init__(
        self, server: Server, proxy: Proxy, side: pb.Side, cases: Sequence[Case], model: SplitModel, codec: Codec
    ) -> None:
        super().__init__(server, proxy, side, cases)
        self._model, self._codec = model, codec
        self._clips = [streaming.ready(model, 200, seed, codec) for seed in range(CLIENTS)]

    async def _steady(self, session: Session, frames: int, until: asyncio.Task[None] | None, phase: Phase) -> None:
        edge = streaming.Recorded(self._model, self._codec)
        clip, stream = self._clips[self.counts.streams % CLIENTS], session.stream(edge)
        self.counts.streams += 1
        checks: set[asyncio.Task[None]] = set()
        sent = 0
        while sent < frames if until is None else not until.done():
            frame = replace(clip[sent % len(clip)])  # one of its own: clips are shown again and again
            timeout_s = _LITTLE_S if until is not None and sent % 7 == 6 else None
            future = await stream.send(frame, timeout_s)
            check = asyncio.create_task(self._right(edge, frame, future, timeout_s is not None, phase))
            checks.add(check)
            check.add_done_callback(lambda done: checks.discard(done) if done.exception() is None else None)
            sent += 1
        await asyncio.gather(*checks)
        self.counts.coded += edge.coded
        self.counts.keys += edge.keys

    async def _right(
        self, edge: streaming.Recorded, frame: ReadyFrame, future: asyncio.Future[Answer], hurried: bool, phase: Phase
    ) -> None:
        answer = await future
        self._answered += 1
        if hurried and answer.error is not None and answer.error.code == "DEADLINE_EXCEEDED":
            self.counts.late += 1
            return
        edge.check(frame, answer)
        self.counts.repeated += answer.repeated
        phase.latencies.append(answer.latency_s)

    async def _evict(self) -> None:
        key = self._model_key()
        async with connect(Link(self.server.address), self.side) as connection:
            for _ in range(_MOST_STREAMS):
                self.counts.evicted += 1
                request = self._request(f"evicting {self.counts.evicted}", 0)
                request.bitstream = key
                await connection.stub.Infer(request)

    def _model_key(self) -> bytes:
        return streaming.Recorded(self._model, self._codec).code(replace(self._clips[0][0]))
