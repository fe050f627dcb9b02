"""Split inference while things fail, in short; `make soak` is the long form. docs/serving.md has its figures."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path

import pytest
from tests.helpers import serving, streaming
from tests.helpers.serving import Proxy, Server
from tests.helpers.storm import Storm, StreamStorm
from tests.helpers.streaming import CODEC

import midstream as ms
from midstream import models
from midstream.data.frames import open_source
from midstream.serve import Edge, Link
from midstream.serve.client import side_of
from midstream.serve.session import Session


def through_faults(
    push: subprocess.Popen[str], output: Path, server: Server, proxy: Proxy, after: tuple[int, int, int, int]
) -> str:
    """What a push prints that sees a kill, a reset, a cut message and another kill, after so many lines each."""
    for lines, fault in zip(after, ("kill", "reset", "cut", "kill"), strict=True):
        serving.wait_for_lines(output, lines, push)
        if fault == "kill":
            server.kill()
            server.start()
        else:
            proxy.cut_after = 3000 if fault == "cut" else None
            proxy.reset()
    summary, errors = push.communicate(timeout=300)
    assert push.returncode == 0, errors
    return summary


def test_every_frame_has_one_right_line_through_kills_resets_and_cut_messages(model: Path, tmp_path: Path) -> None:
    images, output = serving.write_images(tmp_path / "images", 300), tmp_path / "out.jsonl"
    with Server(model) as server, Proxy(server.port) as proxy:
        push = serving.start_push(images, proxy.address, model, output, "--rate-limit", "150kbit", "--json")
        summary = through_faults(push, output, server, proxy, (30, 90, 130, 190))
    assert serving.read_lines(output) == serving.local_lines(models.load(str(model), threads=1), images)
    report = json.loads(summary)
    assert (report["answered"], report["refused"], report["unreadable"], report["dropped"]) == (300, 0, 0, 0)
    assert report["lost"] >= 4
    assert report["resent"] > 0
    assert proxy.cuts > 0


def test_every_frame_of_a_video_has_one_right_line_through_kills_resets_and_cut_messages(
    model: Path, tmp_path: Path
) -> None:
    """`paper` in a stream gives the very values that it gives for frames by themselves, whichever of them are keys."""
    video, output = streaming.write_video(tmp_path / "in.mp4", 200), tmp_path / "out.jsonl"
    with Server(model) as server, Proxy(server.port) as proxy:
        options = ["--coder", "dense", "--rate-limit", "60kbit", "--json"]
        push = serving.start_push(video, proxy.address, model, output, *options)
        summary = through_faults(push, output, server, proxy, (30, 70, 100, 140))
    network, report = models.load(str(model), threads=1), json.loads(summary)
    frames = list(open_source(str(video)).frames())
    lines = serving.read_lines(output)
    assert [line["frame"] for line in lines] == list(range(200))
    for line, frame in zip(lines, frames, strict=True):
        assert frame.image is not None
        found = network.back(ms.decode(ms.encode(network.front(frame.image), CODEC)), frame.image.shape[:2])
        assert line["detections"] == serving.coco(found, network.classes)
    assert (report["answered"], report["refused"], report["unreadable"], report["dropped"]) == (200, 0, 0, 0)
    assert report["lost"] >= 4
    assert report["keys_asked"] >= 2
    assert report["keys"] <= 200 / 64 + 1 + report["keys_asked"]
    assert proxy.cuts > 0


def test_clients_get_the_answers_of_a_local_run_beside_floods_slow_readers_and_damage(model: Path) -> None:
    edge = Edge.of(str(model), symbols=4, z=1.5)
    frames, kills = 150, 2
    with Server(model, "--queue", 32, "--in-flight", 8) as server, Proxy(server.port) as proxy:
        storm = Storm(server, proxy, side_of(edge), serving.cases(edge.model, 100, damaged=0.05))
        report = asyncio.run(asyncio.wait_for(storm.run(frames, kills), 900))
        assert server.stop() == 0
    assert report["before"]["frames"] == report["after"]["frames"] == 3 * frames
    assert report["during"]["frames"] > 100
    assert report["damaged"] > 2 * 3 * frames * 0.04
    assert report["turned_away"] > 0
    assert report["lost"] >= 3 * kills
    assert report["cuts"] > 0
    assert not server.events("frame failed")


def test_streams_get_the_answers_of_a_local_run_through_kills_resets_half_messages_and_evictions(
    model: Path, tmp_path: Path
) -> None:
    network = models.load(str(model), threads=1)
    codec = streaming.calibrated(network, tmp_path / "toy.profile")
    frames, kills = 100, 2
    room = streaming.room(network, codec, 6)
    options = ["--profile", tmp_path / "toy.profile", "--max-stream-memory", room, "--queue", 32, "--in-flight", 8]
    with Server(model, *options) as server, Proxy(server.port) as proxy:
        cases = serving.cases(network, 100, damaged=0.05)
        storm = StreamStorm(server, proxy, side_of(Edge(network, codec)), cases, network, codec)
        report = asyncio.run(asyncio.wait_for(storm.run(frames, kills), 900))
        assert server.stop() == 0
    assert report["before"]["frames"] == report["after"]["frames"] == 3 * frames
    assert report["during"]["frames"] > 100
    assert report["lost"] >= 3 * kills
    assert report["cuts"] > 0
    # A stream that stands still from one fault to the next is asked once for both; never do all three of them.
    assert report["keys_asked"] >= 2 * kills
    assert report["keys"] < report["coded"] / 2
    assert not server.events("frame failed")


def test_memory_does_not_grow_with_requests(model: Path) -> None:
    edge = Edge.of(str(model), symbols=4, z=1.5)
    bitstream = serving.cases(edge.model, 1, damaged=0)[0].bitstream

    async def ask(address: str, count: int) -> None:
        async with Session(Link(address, in_flight=16), side_of(edge)) as session:
            for future in [await session.send(bitstream, serving.SIZE) for _ in range(count)]:
                assert (await future).error is None

    with Server(model) as server:
        asyncio.run(ask(server.address, 1500))  # more than the memory for repeated frames holds
        before = server.rss()
        asyncio.run(ask(server.address, 3000))
        assert server.rss() - before < 20 << 20


def test_memory_does_not_grow_with_the_frames_of_a_stream(model: Path) -> None:
    network = models.load(str(model), threads=1)
    with Server(model) as server:
        asyncio.run(streaming.through_one(server.address, network, CODEC, 1200))  # as above
        before = server.rss()
        asyncio.run(streaming.through_one(server.address, network, CODEC, 1800))
        assert server.rss() - before < 20 << 20


@pytest.mark.parametrize("remembered", [1000, 100])
def test_a_thousand_sessions_are_within_the_limit(model: Path, tmp_path: Path, remembered: int) -> None:
    network = models.load(str(model), threads=1)
    codec = streaming.calibrated(network, tmp_path / "toy.profile")
    limit = streaming.room(network, codec, remembered)
    options = ["--profile", tmp_path / "toy.profile", "--max-stream-memory", limit, "--stream-idle", "1h"]
    with Server(model, *options, "--metrics-port", serving.free_port()) as server:
        asyncio.run(streaming.through_one(server.address, network, codec, 200))
        before = server.rss()
        asked = asyncio.run(asyncio.wait_for(streaming.through_many(server.address, network, codec, 1000), 600))
        assert asked == (0 if remembered == 1000 else 1000)
        assert remembered <= server.metric("midstream_sessions") <= 1000
        assert server.metric("midstream_session_bytes") <= limit
        assert server.rss() - before < limit + (20 << 20)


@pytest.mark.parametrize("full", ["device", "limit"])
def test_a_full_disk_ends_the_push_with_whole_lines(model: Path, tmp_path: Path, full: str) -> None:
    images, output = serving.write_images(tmp_path / "images", 40), tmp_path / "out.jsonl"
    with Server(model) as server:
        name = "/dev/full" if full == "device" else str(output)
        command = serving.push_command(images, server.address, model, name)
        limited = ["bash", "-c", 'ulimit -f 20; exec "$@"', "bash", *command]  # KiB
        done = subprocess.run(limited, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(f"midstream: {name}: cannot be written: ")
    assert done.stderr.count("\n") == 1
    if full == "limit":
        lines = serving.read_lines(output)
        assert 0 < len(lines) < 40
        assert f"the first {len(lines)} answers are whole" in done.stderr
        assert lines == serving.local_lines(models.load(str(model), threads=1), images)[: len(lines)]
