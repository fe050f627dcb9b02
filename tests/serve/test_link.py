"""Streams whose rate follows the link, over a link that is narrowed and widened while frames go."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import cv2
import pytest
from tests.helpers import wide
from tests.helpers.serving import Server
from tests.helpers.shaping import ShapedLink
from tests.helpers.streaming import Recorded

import midstream as ms
from midstream import models
from midstream.serve import Client, Edge, Link
from midstream.serve.client import side_of
from midstream.serve.frame_stream import FrameStream
from midstream.serve.pace import pace_for, rate_options
from midstream.serve.session import Session

FPS = 25
KBIT = 1000
#: However slow the machine is.
_PATIENCE_S = 180


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("wide")
    wide.write(made)
    return made


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    with Server(folder / "toy.toml", "--profile", folder / "toy.profile") as running:
        yield running


@pytest.fixture
def link(server: Server) -> Iterator[ShapedLink]:
    with ShapedLink(server.port) as shaped:
        shaped.up.rate, shaped.up.delay_s, shaped.down.delay_s = 800 * KBIT, 0.01, 0.01
        yield shaped


class Following:
    """A stream that follows its link, and the frames it has sent with their answers to come."""

    def __init__(self, session: Session, edge: Recorded, ready: list[Any]) -> None:
        pace = pace_for("auto", 20 * KBIT, 2000 * KBIT)
        assert pace is not None
        self.pace, self.edge = pace, edge
        self.stream: FrameStream = session.stream(edge, pace)
        self.sent: list[tuple[Any, asyncio.Future[Any]]] = []
        self._ready = cycle(ready)

    async def until(self, true: Callable[[float], bool]) -> None:
        """Send frames as a camera does, until the rate is as it should be."""
        begin = time.monotonic()
        while self.pace.bitrate is None or not true(self.pace.bitrate):
            assert time.monotonic() < begin + _PATIENCE_S, self.pace.bitrate
            await self.stream.room()
            frame = next(self._ready)
            self.sent.append((frame, await self.stream.send(frame)))
            await asyncio.sleep(1 / FPS)


def test_the_rate_goes_down_and_up_with_the_link_and_every_frame_is_answered_as_it_was_coded(
    folder: Path, link: ShapedLink
) -> None:
    network, codec = models.load(str(folder / "toy.toml")), wide.codec(folder)
    edge = Edge(network, codec)
    ready = [edge.ready(image) for image in islice(wide.images(), 60)]

    async def run() -> None:
        async with Session(Link(link.address, in_flight=16), side_of(edge)) as session:
            own = Recorded(network, codec, **rate_options("auto", pace_for("auto"), FPS))
            following = Following(session, own, ready)
            await following.until(lambda rate: rate > 150 * KBIT)
            link.up.rate = 60 * KBIT
            await following.until(lambda rate: rate < 60 * KBIT)
            link.up.rate = 800 * KBIT
            await following.until(lambda rate: rate > 150 * KBIT)
            answers = [await future for _, future in following.sent]
        assert [answer.frame for answer in answers] == list(range(len(answers)))
        assert all(answer.error is None for answer in answers)
        assert own.coded == len(answers)  # nothing was coded that did not go, and nothing twice
        assert own.keys < len(answers) / 10
        assert session.traffic.keys_asked == session.traffic.resent == 0

    asyncio.run(run())


def test_a_link_that_stands_and_a_server_that_is_lost_cost_no_answer(folder: Path, server: Server) -> None:
    network, codec = models.load(str(folder / "toy.toml")), wide.codec(folder)
    edge = Edge(network, codec)
    ready = [edge.ready(image) for image in islice(wide.images(1), 30)]

    async def run(link: ShapedLink) -> None:
        async with Session(Link(link.address, in_flight=16), side_of(edge)) as session:
            own = Recorded(network, codec, **rate_options("auto", pace_for("auto"), FPS))
            following = Following(session, own, ready)
            await following.until(lambda rate: len(following.sent) >= 20)
            link.up.rate = 0
            begin = len(following.sent)
            await asyncio.sleep(0.5)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(following.until(lambda rate: False), 2)
            assert len(following.sent) - begin <= 17  # no more than there is room for
            await asyncio.to_thread(server.kill)
            link.up.rate = None
            await asyncio.to_thread(server.start)
            goal = len(following.sent) + 20
            await following.until(lambda rate: len(following.sent) >= goal)
            answers = [await future for _, future in following.sent]
        assert [answer.frame for answer in answers] == list(range(len(answers)))
        for (frame, _), answer in zip(following.sent[-10:], answers[-10:], strict=True):
            assert answer.error is None
            assert answer.size in [each.size for each in own.codings[frame]]

    with ShapedLink(server.port) as link:
        asyncio.run(run(link))


def clip(path: Path, count: int) -> Path:
    height, width = wide.SIZE
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), FPS, (width, height))
    for image in islice(wide.images(2), count):
        writer.write(image[:, :, ::-1].copy())
    writer.release()
    return path


def push(folder: Path, address: str, source: Path, output: Path, *options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "midstream", "push", source, "--to", address, "--model", folder / "toy.toml"]
    command += ["--codec", "calibrated", "--profile", folder / "toy.profile", "--json", "-o", output, *options]
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)


def test_push_follows_the_link_and_counts_what_it_drops(folder: Path, tmp_path: Path, link: ShapedLink) -> None:
    source, output = clip(tmp_path / "clip.mp4", 100), tmp_path / "out"
    link.up.rate = 120 * KBIT
    done = push(
        folder, link.address, source, output, "--bitrate", "auto", "--max-bitrate", "1Mbit", "--realtime",
        "--drop-oldest",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    summary, lines = json.loads(done.stdout), [json.loads(line) for line in output.read_text().splitlines()]
    assert summary["answered"] == len(lines)
    assert summary["answered"] + summary["dropped"] == 100
    assert 50e3 <= summary["bitrate_low"] <= summary["bitrate_high"] <= 1e6
    assert 1 <= summary["quality_mean"] <= 100
    assert summary["keys"] >= 1
    assert "the link's rate" in done.stderr


def test_push_at_a_rate_of_its_own_keeps_to_it_in_the_videos_time(folder: Path, tmp_path: Path, server: Server) -> None:
    source, output = clip(tmp_path / "clip.mp4", 100), tmp_path / "out"
    done = push(folder, server.address, source, output, "--bitrate", "200kbit")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["answered"] == 100
    assert summary["bitrate_low"] is None
    assert 8 * summary["bitstream_bytes"] / 4 == pytest.approx(200e3, rel=0.15)


def test_frames_that_a_rate_has_no_room_for_are_dropped_and_said(folder: Path, tmp_path: Path, server: Server) -> None:
    source, output = clip(tmp_path / "clip.mp4", 50), tmp_path / "out"
    done = push(folder, server.address, source, output, "--bitrate", "3kbit")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["dropped"] > 10
    assert summary["answered"] + summary["dropped"] == 50
    assert done.stderr.count("is left out: the least that this frame takes is") == 1


def test_a_client_in_python_follows_the_link_too(folder: Path, link: ShapedLink) -> None:
    images = list(islice(wide.images(3), 40))
    with Client(link.address, str(folder / "toy.toml"), wide.codec(folder)) as client:
        answers = list(client.stream(images, bitrate="auto", min_bitrate="30kbit", max_bitrate=100e3))
        assert [answer.frame for answer in answers] == list(range(40))
        assert all(answer.error is None for answer in answers)
        assert sum(answer.size for answer in answers) < sum(
            answer.size for answer in client.stream(images, bitrate=1e6, fps=FPS)
        )
        # A rate at which no frame fits into the bucket: they go all the same, one after another.
        assert len(list(client.stream(images[:3], bitrate="auto", min_bitrate=200, max_bitrate=400))) == 3
        with pytest.raises(ms.InputError, match="bitrate is that of a stream: it does not go with independent"):
            list(client.stream(images, independent=True, bitrate="auto"))


@pytest.mark.parametrize("target", [{"quality": 50}, {"max_bytes": 400}, {"max_loss": 0.1}])
def test_a_rate_in_python_takes_the_place_of_the_client_s_target(
    folder: Path, server: Server, target: dict[str, Any]
) -> None:
    images = list(islice(wide.images(3), 30))
    codec = wide.codec(folder)
    assert isinstance(codec, ms.Calibrated)
    options = {key: value for key, value in codec.given().items() if key not in codec.targets} | target
    with Client(server.address, str(folder / "toy.toml"), "calibrated", **options) as client:

        def size(**rate: Any) -> int:
            answers = list(client.stream(images, **rate))
            assert all(answer.error is None for answer in answers)
            return sum(answer.size for answer in answers)

        assert len(list(client.stream(images, bitrate="auto"))) == 30
        assert size(bitrate="300kbit", fps=FPS) > size(bitrate="100kbit", fps=FPS)
        assert size(max_bytes=300) <= 300 * 30
        assert client.edge.codec.given() == options  # what is sent without a rate is as it was


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--bitrate", "auto", "--independent"], "--bitrate is that of a stream: it does not go with --independent"),
        (["--min-bitrate", "1Mbit"], "--min-bitrate is a bound of --bitrate auto: give that, too"),
        (["--bitrate", "1Mbit", "--max-bitrate", "2Mbit"], "--max-bitrate is a bound of --bitrate auto"),
        (
            ["--bitrate", "auto", "--min-bitrate", "3Mbit", "--max-bitrate", "1Mbit"],
            "--min-bitrate is 3,000,000 bits a second: --max-bitrate and the rate limit allow 1,000,000",
        ),
        (
            ["--bitrate", "auto", "--min-bitrate", "100kbit", "--rate-limit", "100kbit"],
            "--min-bitrate is 100,000 bits a second: --max-bitrate and the rate limit allow 95,000",
        ),
        (["--bitrate", "much"], "a rate such as 2Mbit or 500kbit is wanted, not 'much'"),
        (["--bitrate", "auto", "--quality", "50"], "give one of --bitrate and --quality"),
    ],
)
def test_options_are_refused_in_words(folder: Path, tmp_path: Path, options: list[str], message: str) -> None:
    source, output = clip(tmp_path / "clip.mp4", 2), tmp_path / "out"
    done = push(folder, "127.0.0.1:1", source, output, "--retry", "1s", *options)
    assert done.returncode == 2
    assert message in done.stderr
    assert not output.exists()
