"""What an honest client still gets while others do their worst: at least a third of what it got before."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tests.helpers import attacks, profiles, serving
from tests.helpers.attacks import (
    FRAMES,
    INFER,
    SHARE,
    SLOW,
    STREAM,
    TOKENS,
    WORK,
    WORKERS,
    Attack,
    channel,
    flood,
    share,
    until_cancelled,
)
from tests.helpers.serving import SIZE, Server

import midstream as ms
from midstream.serve import Edge, Link
from midstream.serve.client import side_of
from midstream.serve.link import connect
from midstream.serve.proto import serve_pb2 as pb
from midstream.serve.session import Session

#: A frame that never ends.
HANG = """
import sys, time
import midstream.serve.server as server
def infer(served, works, streams=None):
    sys.stderr.write('{"event": "computing"}\\n')
    sys.stderr.flush()
    time.sleep(86400)
server.infer = infer
"""


@pytest.fixture(scope="module")
def edge(model: Path) -> Edge:
    return Edge.of(str(model), symbols=4, z=1.5)


@pytest.fixture(scope="module")
def bitstream(edge: Edge) -> bytes:
    return serving.cases(edge.model, 1, damaged=0)[0].bitstream


@pytest.fixture(scope="module")
def guarded(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with attacks.guarded_server(model, tmp_path_factory.mktemp("tokens")) as server:
        yield server


@pytest.fixture(scope="module")
def unguarded(model: Path) -> Iterator[Server]:
    with Server(model, "--workers", WORKERS, "--metrics-port", serving.free_port(), before=WORK) as server:
        yield server


def half_open(server: Server, token: str | None = None, method: str = INFER) -> Attack:
    """A call of which only the headers arrive."""

    async def attack() -> None:
        metadata = (("authorization", f"Bearer {token}"),) if token else ()
        async with channel(server) as opened:
            await opened.stream_unary(method)(metadata=metadata).code()

    return attack


def crowd(server: Server, token: str | None, method: str, calls: int, *first: bytes) -> Attack:
    """So many calls on one connection, each with a first message or without, then silent."""

    async def one(opened: grpc.aio.Channel) -> None:
        call = opened.stream_stream(method)(metadata=(("authorization", f"Bearer {token}"),) if token else ())
        for message in first:
            await call.write(message)
        while await call.read() is not grpc.aio.EOF:
            pass

    async def attack() -> None:
        async with channel(server) as opened:
            await asyncio.gather(*(until_cancelled(lambda: one(opened)) for _ in range(calls)))

    return attack


def watchers(server: Server, count: int) -> Attack:
    async def attack() -> None:
        async with channel(server) as opened:
            stub = health_pb2_grpc.HealthStub(opened)
            await asyncio.gather(*(until_cancelled(lambda: _watch(stub)) for _ in range(count)))

    return attack


async def _watch(stub: Any) -> None:
    async for _ in stub.Watch(health_pb2.HealthCheckRequest()):
        pass


def test_calls_without_a_token_take_nobody_s_place(guarded: Server, edge: Edge, bitstream: bytes) -> None:
    before = guarded.metric('midstream_refused_total{reason="token"}')
    wrong = [crowd(guarded, token, method, 100) for token in (None, "wrong" * 5) for method in (INFER, STREAM)]
    assert share(guarded, edge, bitstream, *wrong) >= SHARE
    refused = guarded.metric('midstream_refused_total{reason="token"}') - before
    assert refused >= 400
    assert len(guarded.events("refused")) < refused / 4  # a caller does not write the log


def test_watchers_of_the_health_take_no_frame_s_place_nor_each_other_s(
    guarded: Server, edge: Edge, bitstream: bytes
) -> None:
    async def healthy() -> None:
        async with channel(guarded) as opened:
            reply = await health_pb2_grpc.HealthStub(opened).Check(health_pb2.HealthCheckRequest())
            assert reply.status == health_pb2.HealthCheckResponse.SERVING
            checked.append(True)

    checked: list[bool] = []
    assert share(guarded, edge, bitstream, *[watchers(guarded, 66)] * 4, healthy) >= SHARE
    assert checked
    assert guarded.metric('midstream_refused_total{reason="client\'s calls"}') > 0


def test_a_holder_s_silent_calls_end_where_its_own_places_do(guarded: Server, edge: Edge, bitstream: bytes) -> None:
    frame = pb.InferRequest(session="idle", bitstream=bitstream, height=SIZE[0], width=SIZE[1]).SerializeToString()
    silent = crowd(guarded, TOKENS["greedy"], INFER, 132)
    idle = crowd(guarded, TOKENS["greedy"], STREAM, 132, frame)
    assert share(guarded, edge, bitstream, silent, idle) >= SHARE


def test_a_call_without_its_first_message_ends(guarded: Server) -> None:
    async def run() -> None:
        call = half_open(guarded, TOKENS["greedy"])
        await asyncio.gather(*(call() for _ in range(3)), half_open(guarded, method="/grpc.health.v1.Health/Check")())

    before = guarded.metric('midstream_refused_total{reason="no message"}')
    asyncio.run(asyncio.wait_for(run(), 300))
    assert guarded.metric('midstream_refused_total{reason="no message"}') == before + 4


def test_many_connections_that_are_half_open_make_way(unguarded: Server, edge: Edge, bitstream: bytes) -> None:
    attacks = [half_open(unguarded, method=method) for method in (INFER, STREAM) for _ in range(80)]
    assert share(unguarded, edge, bitstream, *attacks, token=None) >= SHARE
    assert unguarded.metric('midstream_refused_total{reason="made way"}') > 0


@pytest.mark.parametrize("in_turn", [False, True])
def test_a_greedy_client_gets_its_turns_and_no_more(
    guarded: Server, edge: Edge, bitstream: bytes, in_turn: bool
) -> None:
    attacks = [flood(guarded, side_of(edge), TOKENS["greedy"], bitstream, SLOW)]
    if in_turn:  # cheap frames among the others
        attacks.append(flood(guarded, side_of(edge), TOKENS["greedy"], bitstream, SIZE))
    done = guarded.metric('midstream_requests_total{code="OK",method="InferStream"}')
    assert share(guarded, edge, bitstream, *attacks) >= SHARE
    assert guarded.metric('midstream_requests_total{code="OK",method="InferStream"}') > done + 4 * FRAMES


def test_foreign_profiles_cost_nothing(guarded: Server, edge: Edge, bitstream: bytes) -> None:
    foreign = ms.encode(profiles.pyramid(), "calibrated", profile=profiles.profile(), embed=True)
    assert share(guarded, edge, bitstream, flood(guarded, pb.Side(), TOKENS["greedy"], foreign)) >= SHARE
    assert guarded.metric('midstream_errors_total{kind="profile"}') > 0


def test_idle_connections_and_rapid_resets(unguarded: Server, edge: Edge, bitstream: bytes) -> None:
    async def resets() -> None:
        await asyncio.to_thread(_rapid_reset, unguarded.port, 200)

    with contextlib.ExitStack() as stack:
        for _ in range(300):
            stack.enter_context(socket.create_connection(("127.0.0.1", unguarded.port)))
        assert share(unguarded, edge, bitstream, resets, token=None) >= SHARE


def _rapid_reset(port: int, count: int) -> None:
    """HTTP/2 by hand: streams that are opened and reset at once."""
    fields = {":method": "POST", ":scheme": "http", ":path": INFER, ":authority": "x", "te": "trailers",
              "content-type": "application/grpc"}  # fmt: skip
    block = b"".join(b"\0" + bytes([len(k)]) + k.encode() + bytes([len(v)]) + v.encode() for k, v in fields.items())
    with socket.create_connection(("127.0.0.1", port)) as connection, contextlib.suppress(OSError):
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(4, 0, 0, b""))
        for stream in range(1, 2 * count, 2):
            connection.sendall(_frame(1, 4, stream, block) + _frame(3, 0, stream, struct.pack(">I", 8)))
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(1 << 16):
            pass


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def test_one_holder_does_not_hear_what_another_has_sent(guarded: Server, edge: Edge, bitstream: bytes) -> None:
    frame = pb.InferRequest(session="guessed", bitstream=bitstream, height=SIZE[0], width=SIZE[1])

    async def repeated(token: str) -> bool:
        async with connect(Link(guarded.address, token), side_of(edge)) as connection:
            reply = await connection.stub.Infer(frame, metadata=connection.metadata)
            return bool(reply.repeated)

    assert [asyncio.run(repeated(TOKENS[name])) for name in ("honest", "greedy", "honest")] == [False, False, True]


def test_a_message_above_the_limit_and_too_much_metadata_are_counted(guarded: Server) -> None:
    token = (("authorization", f"bearer {TOKENS['honest']}"),)
    with grpc.insecure_channel(guarded.address) as opened:
        for method, metadata, message, reason in (
            (INFER, token, bytes(5 << 20), "cut off"),
            (INFER, (*token, ("x", "y" * 20_000)), b"", "metadata"),
            ("/midstream.v1.SplitInference/Nothing", token, b"", "method"),
        ):
            name = f'midstream_refused_total{{reason="{reason}"}}'
            before = guarded.metric(name)
            with pytest.raises(grpc.RpcError):
                opened.unary_unary(method)(message, metadata=metadata)
            while guarded.metric(name) == before:
                time.sleep(0.01)


def test_sigterm_ends_within_the_drain_whatever_is_being_computed(model: Path, edge: Edge, bitstream: bytes) -> None:
    async def send(server: Server) -> int:
        async with Session(Link(server.address, retry_s=0), side_of(edge)) as session:
            future = await session.send(bitstream, SIZE)
            while not server.events("computing"):
                await asyncio.sleep(0.01)
            code = await asyncio.to_thread(server.stop)
            await asyncio.gather(future, return_exceptions=True)
            return code

    with Server(model, "--drain", "200ms", before=HANG) as server:
        assert asyncio.run(send(server)) == 0
        assert server.events("stopped")
