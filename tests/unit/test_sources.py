"""Images and videos as push and batch read them: one reader, upright, and looked at before anything is asked for."""

from __future__ import annotations

import io
import os
import signal
import struct
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from tests.helpers.commands import mistake

from midstream import data as datasets
from midstream.batch import sources
from midstream.batch.groups import Group
from midstream.calibration.clips import clip_sources
from midstream.data.frames import Frame, open_source
from midstream.data.images import read_image
from midstream.data.video import Video
from midstream.errors import InputError

av = pytest.importorskip("av")

Pixels = NDArray[np.uint8]
#: (a, b, c, d) of a display matrix, and what it does to an image. The first four are what phones write.
MATRICES: dict[tuple[int, int, int, int], Any] = {
    (1, 0, 0, 1): lambda x: x,
    (0, 1, -1, 0): lambda x: np.rot90(x, -1),  # held upright
    (-1, 0, 0, -1): lambda x: np.rot90(x, 2),
    (0, -1, 1, 0): lambda x: np.rot90(x, 1),
    (-1, 0, 0, 1): lambda x: x[:, ::-1],
    (1, 0, 0, -1): lambda x: x[::-1],
    (0, 1, 1, 0): lambda x: x.transpose(1, 0, 2),
    (0, -1, -1, 0): lambda x: np.rot90(x.transpose(1, 0, 2), 2),
}


def scene(height: int = 48, width: int = 64) -> Pixels:
    """An image of four colours, one a quarter."""
    image = np.zeros((height, width, 3), np.uint8)
    image[: height // 2, : width // 2, 0] = 220
    image[: height // 2, width // 2 :, 1] = 220
    image[height // 2 :, : width // 2, 2] = 220
    return image


def write_video(path: Path, images: list[Pixels], codec: str = "mpeg4") -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt, stream.bit_rate = "yuv420p", 4_000_000
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return path


def turn(path: Path, matrix: tuple[int, int, int, int]) -> None:
    """Write the display matrix of an .mp4 as a phone does: 16.16 numbers in the track's header."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    a, b, c, d = (value << 16 for value in matrix)
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


def pushed(spec: Path | str) -> list[Frame]:
    return list(open_source(str(spec)).frames())


def batched(path: Path) -> list[dict[str, Any]]:
    sources = pytest.importorskip("midstream.batch.sources")
    return [row for chunk in sources.find([str(path)], "encode") for table in chunk.read() for row in table.to_pylist()]


@pytest.mark.parametrize("matrix", MATRICES)
def test_a_video_is_read_upright_by_push_and_by_batch(tmp_path: Path, matrix: tuple[int, int, int, int]) -> None:
    path = write_video(tmp_path / "phone.mp4", [scene()] * 3)
    plain = [frame.image for frame in Video(str(path)).frames()]
    turn(path, matrix)
    expected = [MATRICES[matrix](image) for image in plain]
    for frame, row, right in zip(pushed(path), batched(path), expected, strict=True):
        np.testing.assert_array_equal(frame.image, right)
        assert (row["height"], row["width"]) == right.shape[:2]
        assert row["data"] == np.ascontiguousarray(right).tobytes()
        assert np.abs(right.astype(int) - MATRICES[matrix](scene())).mean() < 20  # it is the image that was filmed


def test_one_image_is_a_source(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "photo.JPG"), scene())
    (frame,) = pushed(tmp_path / "photo.JPG")
    assert (frame.number, frame.name, frame.time_s) == (0, "photo.JPG", None)
    np.testing.assert_array_equal(frame.image, read_image(tmp_path / "photo.JPG"))


def test_a_image_with_a_videos_suffix_is_a_video_of_one_frame(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "photo.png"), scene())
    (tmp_path / "photo.png").rename(tmp_path / "photo.mp4")
    (frame,) = pushed(tmp_path / "photo.mp4")
    np.testing.assert_array_equal(frame.image, scene()[:, :, ::-1])
    assert len(batched(tmp_path / "photo.mp4")) == 1


@pytest.mark.parametrize("name", ["2026-11-29T21:00.mp4", "odd:48x64 %d.mp4", "a%03d.avi", "b%20c?d#e.mkv"])
@pytest.mark.parametrize("before", ["", "./"])
def test_a_file_is_a_file_whatever_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, before: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_video(Path.cwd() / name, [scene()] * 3)
    opened = open_source(before + name)
    assert [frame.name for frame in opened.frames()] == [name] * 3
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    assert len(datasets.load(f"video:{before}{name}").images) == 3
    assert len(list(clip_sources([before + name])[0].frames())) == 3
    for interval in (None, 2):
        (chunk,) = sources.find([before + name], "encode", interval)
        rows = [row for table in chunk.read() for row in table.to_pylist()]
        assert [row["error"] for row in rows] == [None] * (3 if interval is None else 2)
    frames = [frame for row in rows for frame in Group.model_validate_json(row["data"]).frames()]
    assert [frame.problem for frame in frames] == [""] * 3


def test_the_name_of_one_image_is_no_pattern_of_many(tmp_path: Path) -> None:
    for number in (1, 2):
        cv2.imwrite(str(tmp_path / f"x{number}.png"), scene())
    cv2.imwrite(str(tmp_path / "any.png"), scene(32, 40))
    (tmp_path / "any.png").rename(tmp_path / "x%d.png")
    (frame,) = Video(tmp_path / "x%d.png").frames()
    assert frame.image is not None
    assert frame.image.shape == (32, 40, 3)


@pytest.mark.parametrize("kind", ["video", "folder"])
def test_of_a_source_the_first_frames_are_taken(tmp_path: Path, kind: str) -> None:
    for number in range(5):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((48, 64, 3), 10 * number, np.uint8))
    source = write_video(tmp_path / "v.mp4", [scene()] * 5) if kind == "video" else tmp_path
    assert [frame.number for frame in open_source(str(source), limit=3).frames()] == [0, 1, 2]
    assert len(list(open_source(str(source), limit=9).frames())) >= 5


def test_a_video_may_change_its_size(tmp_path: Path) -> None:
    small = write_video(tmp_path / "a.ts", [scene()] * 4, "mpeg2video").read_bytes()
    large = write_video(tmp_path / "b.ts", [scene(96, 128)] * 4, "mpeg2video").read_bytes()
    (tmp_path / "both.ts").write_bytes(small + large)
    sizes = [frame.image.shape[:2] for frame in pushed(tmp_path / "both.ts") if frame.image is not None]
    assert sizes == sorted(sizes)  # FFmpeg's decoder gives up what it still holds of the first size
    assert set(sizes) == {(48, 64), (96, 128)}
    assert [(row["height"], row["width"]) for row in batched(tmp_path / "both.ts")] == sizes


def test_what_cannot_be_read_in_a_video_is_a_frame_of_its_own(tmp_path: Path) -> None:
    path = write_video(tmp_path / "x.mkv", [scene()] * 12)
    packets = [bytes(packet) for packet in av.open(str(path)).demux(video=0) if packet.size]
    data = path.read_bytes()
    path.write_bytes(data.replace(packets[0], b"\0" * len(packets[0])))
    frames, rows = pushed(path), batched(path)
    assert [frame.image is None for frame in frames] == [row["error"] is not None for row in rows]
    assert frames[0].image is None
    assert "cannot read the video" in frames[0].problem
    assert frames[-1].image is not None


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("photo.jpg", b"", "photo.jpg: the file is empty"),
        ("photo.jpg", b"no image", "photo.jpg: it is not a whole image"),
        ("clip.mp4", b"", "clip.mp4: Invalid data"),
        ("clip.mp4", b"no video", "clip.mp4: Invalid data"),
        ("notes.txt", b"no video", "notes.txt: Invalid data"),
    ],
)
def test_what_is_no_source_is_named_before_a_server_is_asked_for(
    tmp_path: Path, name: str, content: bytes, reason: str
) -> None:
    (tmp_path / name).write_bytes(content)
    said = mistake("push", tmp_path / name, "--to", "127.0.0.1:9", "--model", tmp_path / "none.toml")
    assert "cannot read the" in said
    assert reason in said


def test_a_video_without_frames_is_no_source(tmp_path: Path) -> None:
    path = write_video(tmp_path / "empty.mkv", [scene()])
    path.write_bytes(path.read_bytes().partition(b"\x1f\x43\xb6\x75")[0])  # up to the first cluster
    for read in (lambda: pushed(path), lambda: list(Video(str(path)).frames())):
        with pytest.raises(InputError, match=r"cannot read the video .*empty\.mkv: "):
            read()
    (row,) = batched(path)
    assert "cannot read the video" in row["error"]


def test_a_folder_needs_one_image_that_can_be_read(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"no image")
    with pytest.raises(InputError, match=r"none of 2 frames can be read; the first: cannot read the image .*a\.png"):
        open_source(str(tmp_path))
    cv2.imwrite(str(tmp_path / "c.png"), scene())
    assert [frame.image is None for frame in pushed(tmp_path)] == [True, True, False]


def test_frames_that_were_looked_at_first_count_from_when_they_are_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = open_source(str(write_video(tmp_path / "x.mp4", [scene()] * 3)), realtime=True)
    clock = [1e9]  # the server was not there at once
    monkeypatch.setattr("midstream.data.frames.time.monotonic", lambda: clock[0])
    monkeypatch.setattr("midstream.data.frames.time.sleep", lambda s: clock.__setitem__(0, clock[0] + s))
    frames = list(source.frames())
    assert [frame.number for frame in frames] == [0, 1, 2]
    assert [frame.time_s for frame in frames] == pytest.approx([0, 0.04, 0.08])
    assert [frame.taken - 1e9 for frame in frames] == pytest.approx([0, 0.04, 0.08], abs=1e-6)
    assert source.rate == 25


def test_the_user_of_an_address_is_not_shown() -> None:
    with pytest.raises(InputError, match=r"cannot read the video rtsp://127\.0\.0\.1:9/live: Connection refused"):
        open_source("rtsp://camera:secret@127.0.0.1:9/live?token=secret")


def test_numbers_in_names_of_frames_count_as_such(tmp_path: Path) -> None:
    for number in (10, 9, 0):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((4, 4, 3), number, np.uint8))
    assert [frame.name for frame in open_source(str(tmp_path)).frames()] == ["0.png", "9.png", "10.png"]


@pytest.mark.parametrize("frames", [0, 3])
def test_who_interrupts_reading_from_a_pipe_is_heard(frames: int, capfd: pytest.CaptureFixture[str]) -> None:
    class Interrupted(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if data := super().read(size):
                return data
            raise KeyboardInterrupt

        def seekable(self) -> bool:
            return False

    with pytest.raises(KeyboardInterrupt):
        list(Video(Interrupted(y4m(frames) if frames else b""), "a pipe").frames())
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("interrupts")
def test_who_interrupts_the_opening_of_a_named_pipe_is_heard(tmp_path: Path) -> None:
    """FFmpeg waits there for somebody who writes; PyAV loses what Python's handler raises."""
    pipe = tmp_path / "pipe.mp4"
    os.mkfifo(pipe)
    timer = threading.Timer(0.3, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        open_source(str(pipe))
    timer.join()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_process_ends_while_a_thread_waits_for_its_standard_input() -> None:
    """A reader with a buffer holds a lock that the interpreter needs at its end, and aborts it."""
    script = """
import threading
from midstream.data.frames import open_source
read = threading.Event()
def frames():
    for frame in open_source("-").frames():
        read.set()
threading.Thread(target=frames, daemon=True).start()
assert read.wait(60)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(y4m(20))
        process.stdin.flush()
        code = process.wait(60)
        assert (code, process.stderr.read()) == (0, b"")


def y4m(count: int) -> bytes:
    """So many grey frames, as a pipe has them."""
    return b"YUV4MPEG2 W64 H48 F25:1 Ip C420jpeg\n" + count * (b"FRAME\n" + bytes([128]) * (64 * 48 * 3 // 2))
