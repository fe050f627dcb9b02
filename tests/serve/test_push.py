"""push and its files: one writer at a time, what a killed one leaves, sources that are looked at first."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.helpers import serving, streaming, toy
from tests.helpers.serving import Server

import midstream as ms
from midstream import models
from midstream.data.frames import open_source
from midstream.halves.coding import ReadyFrame
from midstream.json_lines import Lines
from midstream.models import Image
from midstream.serve import Edge, Link, behind, push


@pytest.fixture(scope="module")
def server(model: Path) -> Iterator[Server]:
    with Server(model) as server:
        yield server


def run(*command: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(serving.push_command(*command), capture_output=True, text=True, check=False)  # type: ignore[arg-type]


@pytest.mark.parametrize("contested", ["lines", "film"])
def test_of_two_into_one_file_the_second_is_refused(
    model: Path, tmp_path: Path, server: Server, contested: str
) -> None:
    images, output, film = serving.write_images(tmp_path / "images", 60), tmp_path / "out", tmp_path / "out.mp4"
    first = serving.start_push(images, server.address, model, output, "--draw", film, "--rate-limit", "2kbit")
    serving.wait_for_lines(output, 3, first)
    more = ["--draw", film] if contested == "film" else []
    other = output if contested == "lines" else tmp_path / "other"
    second = run(images, server.address, model, other, *more)
    assert second.returncode == 2
    path = output if contested == "lines" else film
    assert second.stderr.startswith(f"midstream: {path}: process {first.pid} on ")
    assert len(second.stderr.splitlines()) == 1
    first.send_signal(signal.SIGINT)
    _, errors = first.communicate(timeout=300)
    assert first.returncode == 0, errors
    lines = serving.read_lines(output)
    assert lines == serving.local_lines(models.load(str(model)), images)[: len(lines)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "out", "out.mp4"]


def test_one_image_is_pushed(model: Path, tmp_path: Path, server: Server) -> None:
    images, output = serving.write_images(tmp_path / "images", 1), tmp_path / "out"
    done = run(images / "00000.png", server.address, model, output)
    assert done.returncode == 0, done.stderr
    assert serving.read_lines(output) == serving.local_lines(models.load(str(model)), images)


def test_a_killed_push_blocks_nobody_and_its_files_are_removed(model: Path, tmp_path: Path, server: Server) -> None:
    images, output, film = serving.write_images(tmp_path / "images", 30), tmp_path / "out", tmp_path / "out.mp4"
    first = serving.start_push(images, server.address, model, output, "--draw", film, "--rate-limit", "2kbit")
    serving.wait_for_lines(output, 3, first)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert any(path.name.endswith(".tmp.mp4") for path in tmp_path.iterdir())
    second = run(images, server.address, model, output, "--draw", film)
    assert second.returncode == 0, second.stderr
    assert len(serving.read_lines(output)) == 30
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "out", "out.mp4"]


class Slow(Edge):
    """A device whose front takes longer than a frame of 25 a second."""

    def ready(self, image: Image) -> ReadyFrame:
        time.sleep(0.08)
        return super().ready(image)


@pytest.mark.parametrize(("drop_oldest", "slow", "said"), [(False, True, 1), (True, True, 0), (False, False, 0)])
def test_a_device_that_is_slower_than_its_source_is_told_of(
    model: Path,
    tmp_path: Path,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    drop_oldest: bool,
    slow: bool,
    said: int,
) -> None:
    monkeypatch.setattr(behind, "_SPAN_S", 0.4)
    streaming.write_video(tmp_path / "in.mp4", 50)
    edge = (Slow if slow else Edge)(models.load(str(model), threads=1), ms.Paper(symbols=4, z=1.5))
    events: list[str] = []

    async def run() -> push.PushSummary:
        settings = push.PushSettings(drop_oldest=drop_oldest, live=True)
        source, lines = open_source(str(tmp_path / "in.mp4"), realtime=True), Lines(str(tmp_path / "out"))
        watching, stop = push.Watching(events.append), asyncio.Event()
        try:
            return await push.push(source, edge, None, Link(server.address), settings, lines, None, watching, stop)
        finally:
            lines.close()

    summary = asyncio.run(run())
    assert summary.answered + summary.dropped == 50
    assert [text for text in events if "--drop-oldest" in text] == [behind.TEXT] * said


def test_a_push_ends_where_another_server_comes_back(model: Path, tmp_path: Path) -> None:
    images, output = serving.write_images(tmp_path / "images", 60), tmp_path / "out"
    other = toy.write_toy(tmp_path)
    other.write_text(other.read_text().replace(toy.CLASSES[0], "another"))
    with Server(model) as first:
        pushing = serving.start_push(images, first.address, model, output, "--rate-limit", "2kbit")
        serving.wait_for_lines(output, 3, pushing)
    with Server(other, port=first.port):
        _, errors = pushing.communicate(timeout=300)
    assert pushing.returncode == 2, errors
    *_, said = errors.splitlines()
    change = f"its class 0 is 'another', and was '{toy.CLASSES[0]}'"
    assert said == f"midstream: the server {first.address} is another one now: {change}; start anew"
    assert "Traceback" not in errors
    lines = serving.read_lines(output)
    assert 3 <= len(lines) < 60
    assert lines == serving.local_lines(models.load(str(model)), images)[: len(lines)]


def test_push_names_what_it_cannot_read_and_answers_the_rest(model: Path, tmp_path: Path, server: Server) -> None:
    images, output = serving.write_images(tmp_path / "images", 4), tmp_path / "out.jsonl"
    (images / "00001.png").write_bytes(b"no image")
    done = subprocess.run(
        serving.push_command(images, server.address, model, output), capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "00001.png: it is not a whole image" in done.stderr
    assert "3 frames answered" in done.stderr
    assert "1 unreadable" in done.stderr
    lines = serving.read_lines(output)
    assert [line["source"] for line in lines] == [f"0000{i}.png" for i in range(4)]
    assert [line.get("error", {}).get("code") for line in lines] == [None, "UNREADABLE", None, None]


def test_push_of_a_video_draws_what_was_found(model: Path, tmp_path: Path, server: Server) -> None:
    av = pytest.importorskip("av")
    with av.open(str(tmp_path / "in.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for i in range(15):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 15 * i, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    output, drawn = tmp_path / "out.jsonl", tmp_path / "drawn.mp4"
    options = ["--draw", drawn, "--realtime", "--rate-limit", "1Mbit", "--timeout", "300s"]
    command = serving.push_command(tmp_path / "in.mp4", server.address, model, output, *options)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = serving.read_lines(output)
    assert [line["frame"] for line in lines] == list(range(15))
    assert [line["time_s"] for line in lines] == pytest.approx([i / 25 for i in range(15)])
    with av.open(str(drawn)) as container:
        assert container.streams.video[0].average_rate == 25
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(frames) == 15
    assert frames[0].shape == (48, 64, 3)
    assert frames[5].std() > 5  # a grey image with boxes in it
    assert not list(tmp_path.glob(".*"))


def test_a_signal_ends_the_source_and_finishes_what_is_in_flight(model: Path, tmp_path: Path, server: Server) -> None:
    images, output = serving.write_images(tmp_path / "images", 200), tmp_path / "out.jsonl"
    push = serving.start_push(images, server.address, model, output, "--rate-limit", "30kbit")
    serving.wait_for_lines(output, 5, push)
    push.send_signal(signal.SIGINT)
    _, errors = push.communicate(timeout=300)
    assert push.returncode == 0, errors
    lines = serving.read_lines(output)
    assert 5 <= len(lines) < 200
    assert f"{len(lines)} frames answered" in errors
    assert lines == serving.local_lines(models.load(str(model)), images)[: len(lines)]
