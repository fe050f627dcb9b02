"""Sources that `midstream watch` meets in the wild: too quick, gone and back, silent, changing their size."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from tests.helpers import clips, watching
from tests.helpers.watching import Program, rows, tab


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> list[object]:
    described, profile = watching.toy_network(tmp_path_factory.mktemp("toy"))
    return ["-m", described, "--profile", profile, "--threads", 1]


def film_of(images: list[NDArray[np.uint8]], rate: int, form: str, codec: str) -> bytes:
    """The frames as a stream that can be left anywhere."""
    data = io.BytesIO()
    with av.open(data, "w", format=form) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return data.getvalue()


class Camera:
    """A camera at tcp://ADDRESS: to whoever connects it sends all that it has at once, and stays or hangs up."""

    def __init__(self, data: bytes, hangs_up: bool) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        self._data, self._hangs_up = data, hangs_up
        self.calls = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        held = []
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                break
            self.calls += 1
            with suppress(OSError):
                connection.sendall(self._data)
            if self._hangs_up:
                connection.close()
            else:
                held.append(connection)
        for each in held:
            each.close()

    def __enter__(self) -> Camera:
        return self

    def __exit__(self, *error: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def test_a_camera_of_a_thousand_frames_a_second_that_hangs_up_is_called_again(network: list[object]) -> None:
    """Frames that come faster than they are coded are left out; what is shown is the newest, and nothing is lost."""
    film = film_of(30 * clips.frames(20), 50, "mpegts", "mpeg2video")

    async def watch(program: Program) -> None:
        async with tab(program.host) as one:
            assert (await one.hello())["kind"] == "live"
            said = await one.until(lambda said: said["phase"] == "lost")
            assert said["reason"] == "the source has ended"
            await one.order("again")  # rather than in a second
            said = await one.until(lambda said: said["frames"] > 1 and camera.calls >= 2)
            said = await one.until(lambda said: said["dropped"] > 0)
            assert said["failed"] == said["unreadable"] == 0
            assert len(one.pictures) <= said["frames"]

    with Camera(film, hangs_up=True) as camera, Program(camera.address, *network, "--json") as program:
        asyncio.run(watch(program))
        code, _, errors = program.end()
        assert code == 0, errors


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_camera_that_falls_silent_is_said_to_and_does_not_hold_the_end(network: list[object], number: int) -> None:
    async def watch(program: Program) -> None:
        async with tab(program.host) as one:
            await one.hello()
            said = await one.until(lambda said: said["frames"] and (said["idle_s"] > 1.5 or said["phase"] == "lost"))
            assert said["phase"] == "playing" or "cannot read the video" in said["reason"]  # that is read for 10 s

    film = film_of(clips.frames(20), 25, "mpegts", "mpeg2video")
    with Camera(film, hangs_up=False) as camera, Program(camera.address, *network) as program:
        asyncio.run(watch(program))
        assert program.end(number)[0] == 0


def test_standard_input_that_stalls_and_ends(network: list[object]) -> None:
    film = film_of(clips.frames(20), 50, "yuv4mpegpipe", "rawvideo")  # opened at once
    half = len(film) // 2

    async def watch(program: Program) -> None:
        async with tab(program.host) as one:
            assert (await one.hello())["kind"] == "pipe"
            said = await one.until(lambda said: said["frames"] and said["idle_s"] > 1)
            frames = said["frames"]
            os.write(sink, film[half:])
            os.close(sink)
            said = await one.until(lambda said: said["phase"] == "ended" and said["frames"] > frames)
            await one.order("again")
            said = await one.until(lambda said: said["phase"] == "failed")
            assert said["reason"] == "standard input and pipes can be read once only"

    source, sink = os.pipe()
    assert os.write(sink, film[:half]) == half  # a pipe holds that
    with Program("-", *network, stdin=source) as program:
        os.close(source)
        asyncio.run(watch(program))


@pytest.fixture
def sizes(tmp_path: Path) -> Iterator[Path]:
    """A folder whose images change their size all the time, down to a pixel."""
    rng = np.random.default_rng(0)
    for number, (height, width) in enumerate(
        [(48, 64), (64, 48), (48, 64), (1, 1), (3, 200), (200, 3), (47, 63), (2, 2)]
    ):
        cv2.imwrite(str(tmp_path / f"{number}.png"), rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
    return tmp_path


@pytest.mark.parametrize("size", ["input", "original"])
def test_frames_of_any_size_are_shown(network: list[object], sizes: Path, size: str) -> None:
    async def watch(program: Program) -> None:
        async with tab(program.host) as one:
            await one.hello()
            await one.order("uncoded", True)
            seen: dict[int, dict[str, object]] = {}
            async with asyncio.timeout(watching.PATIENCE_S):
                while len(seen) < 24:
                    said = await one.next()
                    seen |= {row["number"]: row for row in rows(said)}
            assert said["failed"] == said["unreadable"] == 0
            for picture in one.pictures:
                assert cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR) is not None
            assert all(row["size"] and row["jpeg"] for row in seen.values())

    with Program(sizes, *network, "--loop", "--every-frame", "--anchor-size", size) as program:
        asyncio.run(watch(program))
        code, _, errors = program.end()
        assert code == 0, errors
