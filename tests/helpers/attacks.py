"""Servers whose frames take a fixed time, clients that do their worst, and what honest ones still get meanwhile.

Every frame of these servers takes a fixed time of a worker, long beside what the machine needs for the frame itself,
so that shares are the scheduler's and not those of a processor that other tests and the attackers use as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from pathlib import Path

import grpc
import grpc.aio
from tests.helpers import serving
from tests.helpers.serving import SIZE, Server
from tests.helpers.streaming import Recorded, ready

import midstream as ms
from midstream.models import SplitModel
from midstream.serve import Edge, Link
from midstream.serve.client import side_of
from midstream.serve.link import connect
from midstream.serve.proto import serve_pb2 as pb
from midstream.serve.session import Session

TOKENS = {name: f"{name}-0123456789abcdef" for name in ("honest", "greedy")}
#: Of images whose frames take ten times as long as others.
SLOW = (61, 50)
FRAME_S = 0.1
WORKERS = 2
WORK = f"""
import time
import midstream.serve.server as server
from midstream.serve.work import Done
real = server.infer
def infer(served, works, streams=None):
    outcomes = real(served, works, streams)
    for work, outcome in zip(works, outcomes):
        if isinstance(outcome, Done):
            time.sleep({10 * FRAME_S} if work.size == {SLOW} else {FRAME_S})
    return outcomes
server.infer = infer
"""
#: Frames of an honest client, and what it is to have of what it had before.
FRAMES = 24
SHARE = 1 / 3
INFER, STREAM = (f"/midstream.v1.SplitInference/{name}" for name in ("Infer", "InferStream"))
Attack = Callable[[], Awaitable[None]]


@contextlib.contextmanager
def guarded_server(model: Path, folder: Path, *options: object) -> Iterator[Server]:
    """A server with two holders of tokens."""
    tokens = folder / "tokens"
    tokens.write_text("".join(f"{name} {token}\n" for name, token in TOKENS.items()))
    more = ["--workers", WORKERS, "--metrics-port", serving.free_port(), *options]
    with Server(model, "--tokens", tokens, *more, before=WORK) as server:
        yield server


def share(
    server: Server, edge: Edge, bitstream: bytes, *attacks: Attack, token: str | None = TOKENS["honest"]
) -> float:
    """Frames a second of a client with the attacks, over what it gets without them."""

    async def seconds(*sessions: Session) -> float:
        start = time.monotonic()
        for session in sessions:
            for future in [await session.send(bitstream, SIZE) for _ in range(FRAMES)]:
                assert (await future).error is None
        return time.monotonic() - start

    async def run() -> float:
        async with Session(Link(server.address, token), side_of(edge)) as session:
            await seconds(session)
            before = await seconds(session, session)
            assert before > 2 * FRAMES * FRAME_S / WORKERS  # frames do take their fixed time
            # One that was there before, and one that comes in the middle of it.
            async with attacked(*attacks), Session(Link(server.address, token), side_of(edge)) as other:
                during = await seconds(session, other)
        return before / during

    return asyncio.run(asyncio.wait_for(run(), 600))


@contextlib.asynccontextmanager
async def attacked(*attacks: Attack) -> AsyncIterator[None]:
    """Attacks go on, again and again, while the block lasts."""
    tasks = [asyncio.create_task(until_cancelled(attack)) for attack in attacks]
    try:
        await asyncio.sleep(1)  # by now they have taken what they can
        yield
    finally:
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    for outcome in outcomes:
        assert isinstance(outcome, asyncio.CancelledError), outcome


async def until_cancelled(attack: Attack) -> None:
    while True:
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            await attack()
        await asyncio.sleep(0.1)


@contextlib.asynccontextmanager
async def channel(server: Server) -> AsyncIterator[grpc.aio.Channel]:
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(server.address, options) as opened:
        yield opened


def flood(server: Server, side: pb.Side, token: str | None, bitstream: bytes, size: tuple[int, int] = SIZE) -> Attack:
    """Sixteen frames in flight, always."""

    async def attack() -> None:
        async with Session(Link(server.address, token, in_flight=16, retry_s=60), side) as session:
            while True:
                await session.send(bitstream, size)

    return attack


async def exchange(server: Server, side: pb.Side, token: str | None, requests: Iterable[pb.InferRequest]) -> None:
    """Send requests as fast as they are taken, whatever is answered; and then no more."""
    async with connect(Link(server.address, token), side) as connection:
        call = connection.stub.InferStream(metadata=connection.metadata)

        async def read() -> None:
            while await call.read() is not grpc.aio.EOF:
                pass

        reading = asyncio.create_task(read())
        try:
            for request in requests:
                await call.write(request)
            await call.done_writing()
            await reading
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


def stream_share(server: Server, model: SplitModel, codec: ms.Codec, *attacks: Attack) -> tuple[float, int]:
    """As `share`, of an honest client's stream, whose answers are all checked; and how often a key was asked for."""
    clip = ready(model, FRAMES, codec=codec)

    async def seconds(session: Session) -> float:
        stream, start = session.stream(edge := Recorded(model, codec)), time.monotonic()
        for frame, answer in [(frame, await stream.send(frame)) for frame in clip]:
            edge.check(frame, await answer)
        return time.monotonic() - start

    async def run() -> tuple[float, int]:
        async with Session(Link(server.address, TOKENS["honest"]), side_of(Edge(model, codec))) as session:
            before = await seconds(session)
            assert before > FRAMES * FRAME_S  # one after the other
            async with attacked(*attacks):
                during = await seconds(session)
            return before / during, session.traffic.keys_asked

    return asyncio.run(asyncio.wait_for(run(), 600))
