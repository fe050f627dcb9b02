"""Streams while others do their worst: nobody loses one to them, or hears of another's, or gets a wrong answer."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from tests.helpers import streaming
from tests.helpers.attacks import FRAMES, SHARE, TOKENS, exchange, guarded_server, stream_share
from tests.helpers.serving import SIZE, Server
from tests.helpers.streaming import CODEC, Recorded, ready

import midstream as ms
from midstream import models
from midstream.codec.calibrated.profile import Profile
from midstream.serve import Edge, Link
from midstream.serve.client import side_of
from midstream.serve.link import connect
from midstream.serve.proto import serve_pb2 as pb

_REFERENCE = grpc.StatusCode.FAILED_PRECONDITION.value[0]
_INVALID = grpc.StatusCode.INVALID_ARGUMENT.value[0]
#: Streams that the server remembers.
_ROOM = 5


@pytest.fixture(scope="module")
def codec(network: models.SplitModel, model: Path) -> ms.Calibrated:
    return streaming.calibrated(network, model.parent / "toy.profile")


@pytest.fixture(scope="module")
def server(
    model: Path, network: models.SplitModel, codec: ms.Calibrated, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    options = ["--profile", model.parent / "toy.profile", "--max-stream-memory"]
    options.append(str(streaming.room(network, codec, _ROOM)))
    with guarded_server(model, tmp_path_factory.mktemp("tokens"), *options) as running:
        yield running


def units(network: models.SplitModel, codec: ms.Codec, count: int, seed: int = 0) -> list[tuple[bytes, Any]]:
    """Units of a stream, and what is found in each."""
    edge, clip = Recorded(network, codec), ready(network, count, seed, codec)
    return [(edge.code(frame), edge.codings[frame][-1].found) for frame in clip]


def request(session: str, frame: int, unit: bytes, **changes: Any) -> pb.InferRequest:
    fields = {"session": session, "frame": frame, "bitstream": unit, "height": SIZE[0], "width": SIZE[1]}
    return pb.InferRequest(**(fields | changes))


def asked(server: Server, holder: str, requests: list[pb.InferRequest]) -> list[pb.InferReply]:
    """The answers, each awaited before the next request goes."""

    async def run() -> list[pb.InferReply]:
        async with connect(Link(server.address, TOKENS[holder]), pb.Side()) as connection:
            call = connection.stub.InferStream(metadata=connection.metadata)
            out = []
            for each in requests:
                await call.write(each)
                out.append(await call.read())
            await call.done_writing()
            return out

    return asyncio.run(asyncio.wait_for(run(), 300))


def check(reply: pb.InferReply, found: Any) -> None:
    """An answer is right to the last bit."""
    assert not reply.HasField("error"), reply.error
    np.testing.assert_array_equal(np.array(reply.detections.boxes, np.float32).reshape(-1, 4), found.boxes)
    np.testing.assert_array_equal(np.array(reply.detections.scores, np.float32), found.scores)


def test_sessions_that_are_opened_and_left_push_out_nobody_else_s(
    server: Server, network: models.SplitModel, codec: ms.Calibrated
) -> None:
    key = units(network, codec, 1)[0][0]
    numbers = itertools.count()
    side = side_of(Edge(network, codec))

    async def attack() -> None:
        await exchange(server, side, TOKENS["greedy"], (request(f"left {next(numbers)}", 0, key) for _ in range(200)))

    share, keys_asked = stream_share(server, network, codec, attack, attack)
    assert share >= SHARE
    assert keys_asked == 0
    assert next(numbers) > 2 * _ROOM
    assert server.metric('midstream_sessions_forgotten_total{reason="memory"}') > _ROOM
    assert server.metric("midstream_session_bytes") <= int(server.option("--max-stream-memory"))


def test_streams_that_never_end_push_out_nobody_else_s(
    server: Server, network: models.SplitModel, codec: ms.Calibrated
) -> None:
    """One holder keeps more sessions in use than there is room for, each with ever new units and no further key."""
    sent = [unit for unit, _ in units(network, codec, 30, seed=3)]
    side, turns = side_of(Edge(network, codec)), itertools.count()

    async def attack() -> None:
        turn = next(turns)
        requests = (
            request(f"endless {turn} {session}", number, unit)
            for number, unit in enumerate(sent)
            for session in range(2 * _ROOM)
        )
        await exchange(server, side, TOKENS["greedy"], requests)

    share, keys_asked = stream_share(server, network, codec, attack)
    assert share >= SHARE
    assert keys_asked == 0
    assert server.metric('midstream_errors_total{kind="reference"}') > 0


def test_floods_of_late_and_unordered_units_leave_honest_streams_their_share(
    server: Server, network: models.SplitModel, codec: ms.Calibrated
) -> None:
    sent = [unit for unit, _ in units(network, codec, 30, seed=4)]
    side = side_of(Edge(network, codec))

    async def late() -> None:
        requests = (request("late", number % 30, sent[number % 30], timeout_ms=1) for number in range(300))
        await exchange(server, side, TOKENS["greedy"], requests)

    async def unordered() -> None:
        order = np.random.default_rng(0).integers(0, 30, 300).tolist()
        requests = (request("unordered", at, sent[at], attempt=number) for number, at in enumerate(order))
        await exchange(server, side, TOKENS["greedy"], requests)

    share, keys_asked = stream_share(server, network, codec, late, unordered)
    assert share >= SHARE
    assert keys_asked == 0


@pytest.mark.parametrize("order", ["reversed", "shuffled", "every third lost", "twice", "two streams in one"])
def test_units_out_of_order_are_answered_rightly_or_a_key_is_asked_for(
    server: Server, network: models.SplitModel, codec: ms.Calibrated, order: str
) -> None:
    clip = list(enumerate(units(network, codec, FRAMES, seed=5)))
    if order == "reversed":
        clip.reverse()
    elif order == "shuffled":
        np.random.default_rng(1).shuffle(clip)  # type: ignore[arg-type]
    elif order == "every third lost":
        del clip[2::3]
    elif order == "twice":
        clip = [each for each in clip for _ in range(2)]
    else:
        other = enumerate(units(network, codec, FRAMES, seed=6))
        clip = [each for pair in zip(clip, other, strict=True) for each in pair]
    replies = asked(server, "greedy", [request(f"order {order}", number, unit) for number, (unit, _) in clip])
    right = 0
    for reply, (_, (_, found)) in zip(replies, clip, strict=True):
        if reply.error.code != _REFERENCE:
            check(reply, found)
            right += 1
    expected = {"reversed": 1, "every third lost": 2, "twice": 2 * FRAMES, "two streams in one": 1 + FRAMES}
    assert right == expected.get(order, right) > 0


def test_another_holder_s_session_cannot_be_taken_over(
    server: Server, network: models.SplitModel, codec: ms.Calibrated
) -> None:
    """Whoever knows a session's name and its units gets nothing of it, and changes nothing."""
    own, others = units(network, codec, 4, seed=7), units(network, codec, 4, seed=8)
    name = "guessed"

    def one(holder: str, number: int, unit: bytes) -> pb.InferReply:
        return asked(server, holder, [request(name, number, unit)])[0]

    check(one("honest", 0, own[0][0]), own[0][1])
    assert one("greedy", 1, own[1][0]).error.code == _REFERENCE  # it would go on with what the other has sent
    heard = one("greedy", 0, own[0][0])
    assert not heard.repeated
    check(heard, own[0][1])
    check(one("greedy", 0, others[0][0]), others[0][1])  # a key of its own, under that name
    check(one("greedy", 1, others[1][0]), others[1][1])
    check(one("honest", 1, own[1][0]), own[1][1])
    check(one("honest", 2, own[2][0]), own[2][1])
    assert one("honest", 2, others[2][0]).error.code == _REFERENCE
    check(one("honest", 3, own[3][0]), own[3][1])


def test_units_that_lie_about_sizes_are_refused_and_change_nothing(
    server: Server, network: models.SplitModel, codec: ms.Calibrated
) -> None:
    own = units(network, codec, 3, seed=9)
    profile = Profile.of(codec.profile)
    rng = np.random.default_rng(0)

    def lie(shapes: dict[str, tuple[int, int, int]], liar: ms.Codec) -> list[bytes]:
        encoder = ms.StreamEncoder(liar)
        levels = [{name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}] * 2
        return [encoder.encode(each) for each in levels]

    large = lie({"p3": (5, 64, 64), "p4": (5, 32, 32)}, ms.Calibrated(profile=profile, importance="probe"))
    paper = lie({"p3": (5, 512, 512)}, CODEC)
    liars = [
        (large[0], _INVALID), (large[1], _REFERENCE), (paper[0], _INVALID), (paper[1], _REFERENCE),
        (own[1][0][:-5], _INVALID), (own[1][0] + b"more", _INVALID), (own[1][0][:20], _INVALID),
    ]  # fmt: skip
    requests = [request("liar", 0, own[0][0])]
    requests += [request("liar", 1, unit) for unit, _ in liars]
    requests += [
        request("liar", 1, own[1][0], height=1 << 31, width=1 << 31), request("liar", 1, own[1][0], height=0),
        request("liar", 1, own[1][0]), request("liar", 2, own[2][0]),
    ]  # fmt: skip
    first, *refused, second, third = asked(server, "greedy", requests)
    for reply, (_, found) in zip((first, second, third), own, strict=True):
        check(reply, found)
    assert [reply.error.code for reply in refused] == [code for _, code in liars] + [_INVALID] * 2
    assert not server.events("frame failed")
