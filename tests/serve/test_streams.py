"""Streams of frames, from a client to a server that remembers them or not."""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.helpers import serving, streaming
from tests.helpers.commands import midstream
from tests.helpers.serving import SIZE, Server
from tests.helpers.streaming import CODEC, Recorded, frames, ready

import midstream as ms
from midstream import models
from midstream.codec.api import encode_levels
from midstream.halves.clip import ClipEdge
from midstream.halves.coding import ReadyFrame
from midstream.serve import Answer, AsyncClient, Client, Edge, Link
from midstream.serve.client import side_of
from midstream.serve.frame_stream import FrameStream
from midstream.serve.proto import serve_pb2 as pb
from midstream.serve.proto import serve_pb2_grpc
from midstream.serve.session import Session


@pytest.fixture(scope="module")
def server(model: Path) -> Iterator[Server]:
    with Server(model, "--metrics-port", serving.free_port()) as running:
        yield running


def local(network: models.SplitModel, count: int, seed: int = 0) -> list[Any]:
    """(Bytes, whether a key, detections) of each frame of a clip, coded and decoded here."""
    edge, clip = Recorded(network), ready(network, count, seed)
    for frame in clip:
        edge.code(frame)
    return [edge.codings[frame][-1] for frame in clip]


def test_a_stream_is_answered_as_a_local_run_would(server: Server, network: models.SplitModel) -> None:
    expected = local(network, 20)
    assert [each.key for each in expected] == [True] + 19 * [False]

    def check(answers: list[Any]) -> None:
        for answer, right in zip(answers, expected, strict=True):
            assert (answer.size, answer.key, answer.attempt) == (right.size, right.key, 0)
            streaming.same_detections(answer.found(), right.found)

    with Client(server.address, network, CODEC) as client:
        check(list(client.stream(frames(20))))
        check(list(client.stream(frames(20))))  # another stream
        alone = list(client.stream(frames(20), independent=True))
        assert all(answer.key for answer in alone)
        assert sum(answer.size for answer in alone) > sum(each.size for each in expected)
        keys = [answer.key for answer in client.stream(frames(9), key_interval=4)]
        assert keys == [True, False, False, False] * 2 + [True]

    async def run() -> None:
        async with AsyncClient(server.address, network, CODEC) as client:
            check([answer async for answer in client.stream(frames(20))])

    asyncio.run(run())


@pytest.mark.parametrize("independent", [False, True])
@pytest.mark.parametrize("fault", ["front", "coder"])
def test_an_image_that_cannot_be_used_is_named_after_the_answers_before_it(
    server: Server, network: models.SplitModel, monkeypatch: pytest.MonkeyPatch, independent: bool, fault: str
) -> None:
    images: list[Any] = frames(6)
    if fault == "front":
        images[4] = images[4].astype("float32")
        message = "image 4 of the stream, counted from 0: .*uint8"
    else:
        message = "image 4 of the stream, counted from 0: too much"
        for owner in (ClipEdge, Edge):
            monkeypatch.setattr(owner, "code", fails_at(owner.code, 4))

    with Client(server.address, network, CODEC) as client:
        answers = client.stream(images, independent=independent)
        assert [next(answers).frame for _ in range(4)] == [0, 1, 2, 3]
        with pytest.raises(ms.InputError, match=message):
            next(answers)

    seen = []

    async def run() -> None:
        async with AsyncClient(server.address, network, CODEC) as client:
            async for answer in client.stream(images, independent=independent):
                seen.append(answer.frame)

    if fault == "coder":
        monkeypatch.undo()
        for owner in (ClipEdge, Edge):
            monkeypatch.setattr(owner, "code", fails_at(owner.code, 4))
    with pytest.raises(ms.InputError, match=message):
        asyncio.run(run())
    assert seen == [0, 1, 2, 3]


def fails_at(code: Any, number: int) -> Any:
    """A way to code frames that refuses one of them."""
    numbers = itertools.count()

    def coded(self: Any, *frame: Any) -> bytes:
        if next(numbers) == number:
            raise ms.InputError("too much")
        return bytes(code(self, *frame))

    return coded


def test_images_of_another_size_begin_anew(server: Server, network: models.SplitModel) -> None:
    clip = [image[:, : 50 - 2 * (number // 4)] for number, image in enumerate(frames(12))]
    edge, alone = Recorded(network), Edge(network, CODEC)
    with Client(server.address, network, CODEC) as client:
        answers = list(client.stream(clip))
    assert [answer.key for answer in answers] == [number % 4 == 0 for number in range(12)]
    for answer, image in zip(answers, clip, strict=True):
        edge.code(frame := alone.ready(image))
        edge.check(frame, answer)


def test_a_codec_that_keeps_nothing_of_a_stream_is_sent_as_ever(server: Server, network: models.SplitModel) -> None:
    with Client(server.address, network, symbols=4, z=1.5) as client:
        assert all(answer.key and answer.found() is not None for answer in client.stream(frames(5)))


def test_a_server_without_streams_gets_frames_by_themselves(model: Path, network: models.SplitModel) -> None:
    with Server(model, "--max-stream-memory", "0") as server, Client(server.address, network, CODEC) as client:
        answers = list(client.stream(frames(5)))
        for answer, image in zip(answers, frames(5), strict=True):
            data = client.edge.encode(image)
            assert (answer.size, answer.key) == (len(data), True)
            streaming.same_detections(answer.found(), network.back(ms.decode(data), SIZE))  # type: ignore[arg-type]


def test_what_a_server_has_forgotten_is_coded_anew(model: Path, network: models.SplitModel) -> None:
    """Two streams where there is room for one: each forgets the other, frame by frame."""
    one = ms.StreamDecoder(kept_frames=1)
    one.decode(units(network, 1)[0])
    room = one.size + 12_000  # of what is beside, once

    async def run(server: Server) -> int:
        link = Link(server.address, in_flight=3)
        async with Session(link, side_of(Edge(network, CODEC))) as session:
            edges = [Recorded(network), Recorded(network)]
            streams = [session.stream(each) for each in edges]
            for pair in zip(ready(network, 30, 1), ready(network, 30, 2), strict=True):
                futures = [await stream.send(frame) for stream, frame in zip(streams, pair, strict=True)]
                for edge, frame, future in zip(edges, pair, futures, strict=True):
                    edge.check(frame, await future)
            assert sum(edge.keys for edge in edges) > 20
            return session.traffic.keys_asked

    with Server(model, "--max-stream-memory", room, "--metrics-port", serving.free_port()) as server:
        asked = asyncio.run(asyncio.wait_for(run(server), 300))
        assert asked > 10
        assert server.metric('midstream_errors_total{kind="reference"}') >= asked
        assert server.metric('midstream_sessions_forgotten_total{reason="memory"}') > 10
        assert server.metric("midstream_session_bytes") <= room
        assert server.metric("midstream_sessions") == 1


def test_streams_go_on_beside_a_server_that_takes_none_and_one_that_takes_them_again(
    model: Path, network: models.SplitModel
) -> None:
    async def run(server: Server) -> None:
        clip, side = ready(network, 90), side_of(Edge(network, CODEC))
        async with Session(Link(server.address, retry_s=120), side, told.append) as session:
            stream = session.stream(edge := Recorded(network))
            waiting = [asyncio.create_task(_answer(stream, frame)) for frame in clip]
            for answered, options in ((30, ["--max-stream-memory", "0"]), (60, [])):
                while sum(each.done() for each in waiting) < answered:
                    await asyncio.sleep(0.001)
                await asyncio.to_thread(server.kill)
                await asyncio.to_thread(server.start, *options)
            answers = await asyncio.gather(*waiting)
        for frame, answer in zip(clip, answers, strict=True):
            if answer.size in [each.size for each in edge.codings.get(frame, [])]:
                edge.check(frame, answer)
            else:
                data = encode_levels(CODEC, frame.levels, frame.hints, None)
                assert (answer.size, answer.key) == (len(data), True)
                streaming.same_detections(answer.found(), network.back(ms.decode(data), SIZE))  # type: ignore[arg-type]
        assert sum(not answer.key for answer in answers) > 30

    told: list[str] = []
    with Server(model, "--workers", 1, before=SLOW) as server:
        asyncio.run(asyncio.wait_for(run(server), 300))
    assert sum("takes no streams" in each for each in told) == 1


async def _answer(stream: FrameStream, frame: ReadyFrame) -> Answer:
    return await (await stream.send(frame))


def test_a_stream_that_is_idle_is_forgotten(model: Path, network: models.SplitModel) -> None:
    with (
        Server(model, "--stream-idle", "100ms", "--metrics-port", serving.free_port()) as server,
        Client(server.address, network, CODEC) as client,
    ):
        assert len(list(client.stream(frames(3)))) == 3
        while server.metric('midstream_sessions_forgotten_total{reason="idle"}') < 1:
            pass
        assert server.metric("midstream_sessions") == server.metric("midstream_session_bytes") == 0


def test_streams_survive_a_server_that_has_no_room(model: Path, network: models.SplitModel) -> None:
    """A queue of one and four streams: frames are turned away all the time, and sent again in order."""

    async def run(address: str) -> tuple[int, int]:
        async def one(session: Session, seed: int) -> None:
            edge, clip = Recorded(network), ready(network, 25, seed)
            stream = session.stream(edge)
            waiting = [await stream.send(frame) for frame in clip]
            for frame, future in zip(clip, waiting, strict=True):
                edge.check(frame, await future)

        side = side_of(Edge(network, CODEC))
        async with Session(Link(address), side) as a, Session(Link(address), side) as b:
            await asyncio.gather(*(one(session, seed) for seed, session in enumerate((a, a, b, b))))
            return a.traffic.resent + b.traffic.resent, a.traffic.keys_asked + b.traffic.keys_asked

    with Server(model, "--queue", 1, "--workers", 1, before=SLOW) as server:
        resent, asked = asyncio.run(asyncio.wait_for(run(server.address), 300))
    assert resent > 0
    assert asked <= resent


#: Frames that take a while, so that others wait.
SLOW = """
import time
import midstream.serve.server as server
real = server.infer
def infer(served, works, streams=None):
    time.sleep(0.01)
    return real(served, works, streams)
server.infer = infer
"""


def test_a_frame_that_is_too_late_costs_no_key(model: Path, network: models.SplitModel) -> None:
    async def run(address: str) -> list[str]:
        clip = ready(network, 40)
        async with Session(Link(address), side_of(Edge(network, CODEC))) as session:
            stream = session.stream(edge := Recorded(network))
            waiting = [await stream.send(frame, 0.02 if number % 2 else None) for number, frame in enumerate(clip)]
            answers = [await each for each in waiting]
            for frame, answer in zip(clip, answers, strict=True):
                if answer.error is None:
                    edge.check(frame, answer)
            assert session.traffic.keys_asked == 0
            return [answer.error.code if answer.error else "OK" for answer in answers]

    with Server(model, "--workers", 1, before=SLOW) as server:
        codes = asyncio.run(asyncio.wait_for(run(server.address), 300))
    assert set(codes) == {"OK", "DEADLINE_EXCEEDED"}
    assert codes[::2] == 20 * ["OK"]


def units(network: models.SplitModel, count: int, seed: int = 0) -> list[bytes]:
    edge = Recorded(network)
    return [edge.code(frame) for frame in ready(network, count, seed)]


def asked(server: Server, session: str, frame: int, unit: bytes, **changes: Any) -> pb.InferReply:
    fields = {"session": session, "frame": frame, "bitstream": unit, "height": SIZE[0], "width": SIZE[1]}
    with grpc.insecure_channel(server.address) as channel:
        stub = serve_pb2_grpc.SplitInferenceStub(channel)  # type: ignore[no-untyped-call]
        return next(stub.InferStream(iter([pb.InferRequest(**(fields | changes))])))


def test_any_client_can_send_units_and_is_asked_for_a_key(server: Server, network: models.SplitModel) -> None:
    sent = units(network, 4)
    assert asked(server, "any", 0, sent[1]).error.code == grpc.StatusCode.FAILED_PRECONDITION.value[0]
    first = asked(server, "any", 0, sent[0], attempt=3)
    assert (first.attempt, first.HasField("detections")) == (3, True)
    assert asked(server, "any", 1, sent[1]).HasField("detections")
    again = asked(server, "any", 1, sent[1])  # from the memory: what it refers to is gone
    assert (again.repeated, again.HasField("detections")) == (True, True)
    missing = asked(server, "any", 3, sent[3])  # the one before it never came
    assert missing.error.message.startswith("send a key frame: frame 3 refers to frame 2, ")
    assert asked(server, "other", 2, sent[2]).error.code == grpc.StatusCode.FAILED_PRECONDITION.value[0]
    assert asked(server, "any", 2, sent[2]).HasField("detections")
    assert asked(server, "any", 3, sent[3]).HasField("detections")


def pushed(source: Path, address: str, model: Path, output: Path, *options: str) -> subprocess.CompletedProcess[bytes]:
    """In this process, which is much faster than one of its own."""
    command = serving.push_command(source, address, model, output, *options)
    return midstream(*command[command.index("push") :])


def test_push_of_a_video_is_a_stream_and_of_a_folder_is_none(model: Path, tmp_path: Path, server: Server) -> None:
    streaming.write_video(tmp_path / "in.mp4", 12)
    images = serving.write_images(tmp_path / "images", 3)
    for source, options, keys in (
        (tmp_path / "in.mp4", [], 1),
        (tmp_path / "in.mp4", ["--independent"], 12),
        (images, [], 3),
    ):
        output = tmp_path / "out.jsonl"
        done = pushed(source, server.address, model, output, "--coder", "dense", "--json", *options)
        summary = json.loads(done.stdout)
        assert summary["keys"] == keys
        assert b"coded by itself" not in done.stderr
        assert len(serving.read_lines(output)) == summary["answered"] == (3 if source == images else 12)


def test_a_codec_that_keeps_nothing_of_a_stream_is_told_of(model: Path, tmp_path: Path, server: Server) -> None:
    streaming.write_video(tmp_path / "in.mp4", 3)
    for options, said in (([], 1), (["-q"], 0), (["--independent"], 0)):
        done = pushed(tmp_path / "in.mp4", server.address, model, tmp_path / "out", *options)
        assert done.stderr.count(b"keeps nothing of a stream: --codec calibrated --profile FILE does") == said


def test_what_the_link_cannot_take_is_dropped_before_it_is_coded(model: Path, tmp_path: Path, server: Server) -> None:
    video, output = streaming.write_video(tmp_path / "in.mp4", 150), tmp_path / "out.jsonl"
    options = ["--coder", "dense", "--json", "--drop-oldest", "--rate-limit", "20kbit"]
    done = subprocess.run(
        serving.push_command(video, server.address, model, output, *options),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["dropped"] > 50
    assert summary["answered"] == 150 - summary["dropped"] == len(serving.read_lines(output))
    assert (summary["keys"], summary["keys_asked"]) == (1, 0)
