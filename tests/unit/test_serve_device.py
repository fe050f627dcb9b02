"""The device's side of split inference without a server: sources, rates, what is written and drawn."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pycocotools.mask
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

import midstream as ms
from midstream.data.film_writer import FilmWriter
from midstream.data.frames import Frame, is_live, open_source
from midstream.json_lines import Lines
from midstream.models import Detections
from midstream.models.annotate import annotate
from midstream.models.tasks.detection import InstanceSegmentation
from midstream.quantities import bits_per_second, seconds
from midstream.serve.behind import Behind
from midstream.serve.intake import Intake
from midstream.serve.lines import answered
from midstream.serve.link import Link
from midstream.serve.session import Answer, RateLimiter


def test_what_is_no_source(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no video")
    with pytest.raises(ms.InputError, match=r"cannot read the video .*text: Invalid data"):
        open_source(str(tmp_path / "text"))
    with pytest.raises(ms.InputError, match="a source is an image, a folder of images, a video file, a camera"):
        open_source(str(tmp_path / "nothing"))
    with pytest.raises(ms.InputError, match="no image"):
        open_source(str(tmp_path))


def test_a_film_has_a_name_and_appears_whole(tmp_path: Path) -> None:
    with pytest.raises(ms.InputError, match=r"an \.mp4 file"):
        FilmWriter(str(tmp_path / "x.avi"), 5)
    film = FilmWriter(str(tmp_path / "x.mp4"), 5)
    film.add(np.zeros((31, 33, 3), np.uint8))
    film.close(whole=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("address", ["", "here", "here:", ":8440", "here:0", "here:70000", "http://here:80", "a:1:2"])
def test_a_bad_address(address: str) -> None:
    with pytest.raises(ms.InputError, match="HOST:PORT"):
        Link(address)


def test_times_and_rates() -> None:
    assert [seconds(text) for text in ("10s", "500ms", "1.5m", "2")] == [10, 0.5, 90, 2]
    assert [bits_per_second(text) for text in ("2Mbit", "500kbit/s", "64")] == [2e6, 5e5, 64]
    for text in ("", "fast", "-1s", "1e3", "10 parsecs", "9" * 400):
        with pytest.raises(ms.InputError, match="is wanted, not"):
            seconds(text)
    with pytest.raises(ms.InputError, match="above 0"):
        bits_per_second("0")


class Numbers:
    """A source of so many frames without images; `read` is how many have been asked for."""

    rate = 1.0

    def __init__(self, count: int) -> None:
        self.count, self.read = count, 0

    def frames(self) -> Any:
        for number in range(self.count):
            self.read += 1
            yield Frame(number, "x", None)


def test_the_source_waits_or_its_oldest_frames_are_dropped() -> None:
    waiting = Numbers(100)
    intake = Intake(waiting, 3, drop_oldest=False)
    assert [frame.number for frame in iter(intake.get, None)] == list(range(100))
    assert intake.dropped == 0
    dropping = Numbers(100)
    intake = Intake(dropping, 3, drop_oldest=True)
    while dropping.read < 100 or intake.dropped < 97:
        pass
    assert [frame.number for frame in iter(intake.get, None)] == [97, 98, 99]


def test_it_is_known_how_long_the_source_waits() -> None:
    source = Numbers(100)
    intake = Intake(source, 3, drop_oldest=False)
    while source.read < 4:
        pass
    time.sleep(0.02)
    assert [frame.number for frame in iter(intake.get, None)] == list(range(100))
    assert intake.held_s > 0.01


def test_a_device_that_is_too_slow_is_told_of_once_a_minute() -> None:
    def said(busy: float, held: float, seconds: int = 200) -> list[float]:
        behind = Behind(5.0)
        looks = [half / 2 for half in range(2 * seconds)]
        return [now for now in looks if behind.to_say(5.0 + now, busy * now, held * now)]

    assert said(0.97, 0.5) == [10.0, 70.0, 130.0, 190.0]
    assert said(0.5, 0.5) == []  # the link or the server is what holds frames up
    assert said(0.97, 0.0) == []  # all is needed, and it is enough


def test_what_comes_at_times_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "in.mp4").touch()
    assert [is_live(str(place)) for place in ("rtsp://camera/1", "/dev/null", "udp://:5000")] == [True] * 3
    others = (tmp_path, tmp_path / "in.mp4", tmp_path / "gone", "https://host/in.mp4", "scenes-video:1,0")
    assert [is_live(str(place)) for place in others] == [False] * 5


def test_a_source_never_runs_ahead() -> None:
    source = Numbers(100)
    intake = Intake(source, 3, drop_oldest=False)
    for _ in range(10):
        assert intake.get() is not None
    assert source.read <= 10 + 3 + 1
    intake.close()


def test_a_source_that_fails_says_so_after_its_last_frame() -> None:
    class Failing(Numbers):
        def frames(self) -> Any:
            yield from super().frames()
            raise RuntimeError("unplugged")

    intake = Intake(Failing(2), 3, drop_oldest=False)
    assert [intake.get().number, intake.get().number] == [0, 1]  # type: ignore[union-attr]
    with pytest.raises(ms.InputError, match="unplugged"):
        intake.get()


def test_lines_are_whole(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_text("of an earlier push")
    lines = Lines(str(path))
    assert path.read_text() == "of an earlier push"
    lines.begin()
    lines.write({"a": 1})
    assert path.read_text() == '{"a": 1}\n'
    with pytest.raises(ValueError, match="Out of range"):
        lines.write({"a": float("nan")})
    lines.write({"b": "ä\n"})
    lines.close()
    assert [json.loads(line) for line in path.read_text().splitlines()] == [{"a": 1}, {"b": "ä\n"}]
    with pytest.raises(ms.InputError, match="cannot be written"):
        Lines(str(tmp_path / "nowhere" / "lines"))


def test_a_line_has_cocos_boxes_and_masks() -> None:
    mask = {"size": [60, 50], "counts": b"PPYo1"}
    found = Detections(np.array([[1, 2, 4, 8]], np.float32), np.array([0.5], np.float32), np.array([1]), [mask])
    frame = Frame(3, "a.png", np.zeros((60, 50, 3), np.uint8), time_s=0.12)
    line = answered(
        frame, Answer(9, found, None, 77, 0.01, 0.001, 0.002, 0.003), 0.02, InstanceSegmentation(), ("cat", "dog"), None
    )
    assert json.loads(json.dumps(line)) == {
        "frame": 3, "source": "a.png", "time_s": 0.12, "height": 60, "width": 50,
        "detections": [{"category": "dog", "label": 1, "score": 0.5, "bbox": [1.0, 2.0, 3.0, 6.0],
                        "segmentation": {"size": [60, 50], "counts": "PPYo1"}}],
        "bytes": 77, "latency_ms": 20.0, "server_ms": {"queue": 1.0, "decode": 2.0, "back": 3.0},
    }  # fmt: skip


def test_lines_are_results_that_coco_s_own_program_reads(capfd: pytest.CaptureFixture[str]) -> None:
    """Once it is known which image a frame is: `category_id` is the data set's, not the network's index."""
    mask = pycocotools.mask.encode(np.asfortranarray(np.ones((60, 50), np.uint8)))
    found = Detections(np.array([[0, 0, 50, 60]], np.float32), np.array([0.5], np.float32), np.array([1]), [mask])
    frame = Frame(0, "000000000139.png", np.zeros((60, 50, 3), np.uint8))
    line = answered(
        frame,
        Answer(9, found, None, 77, 0.01, 0.001, 0.002, 0.003),
        0.02,
        InstanceSegmentation(),
        ("couch", "tv"),
        (63, 72),
    )
    truth = COCO()
    truth.dataset = {
        "images": [{"id": 139, "height": 60, "width": 50}],
        "categories": [{"id": 63, "name": "couch"}, {"id": 72, "name": "tv"}],
        "annotations": [{"id": 1, "image_id": 139, "category_id": 72, "bbox": [0, 0, 50, 60], "area": 3000,
                         "segmentation": [[0, 0, 50, 0, 50, 60, 0, 60]], "iscrowd": 0}],
    }  # fmt: skip
    truth.createIndex()
    entries = [{**entry, "image_id": 139} for entry in json.loads(json.dumps(line))["detections"]]
    for kind in ("bbox", "segm"):
        evaluation = COCOeval(truth, truth.loadRes(entries), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
        assert evaluation.stats[0] == pytest.approx(1)
    capfd.readouterr()


@pytest.mark.parametrize(
    ("package", "name", "extra"),
    [("grpc", "Client", "client"), ("grpc_health", "Client", None), ("grpc_health", "Settings", "serve")],
)
def test_without_the_extra_its_name_is_said(package: str, name: str, extra: str | None) -> None:
    code = (
        f"import sys; sys.modules['{package}'] = None; import midstream.serve.work; import midstream as ms\n"
        f"ms.serve.{name}"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == (extra is not None)
    assert extra is None or f"midstream.serve needs the extra '{extra}': pip install " in done.stderr


def test_drawing_marks_what_was_found_and_nothing_else() -> None:
    image = np.zeros((80, 100, 3), np.uint8)
    boxes = np.array([[10, 40, 50, 70], [60, 10, 90, 30]], np.float32)
    found = Detections(boxes, np.array([0.9, 0.1], np.float32), np.array([0, 1]))
    drawn = annotate(image, found, ("cat", "dog"))
    assert drawn[40:71, 10:51].any()
    assert not drawn[:20].any()
    assert not image.any()


def test_no_more_than_the_rate_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]

    async def sleep(duration: float) -> None:
        clock[0] += duration

    monkeypatch.setattr("midstream.serve.session.time.monotonic", lambda: clock[0])
    monkeypatch.setattr("midstream.serve.session.asyncio.sleep", sleep)
    limiter, sent = RateLimiter(1000.0), []

    async def run() -> None:
        for size in (500, 1500, 10):
            await limiter.take(size)
            sent.append(clock[0])
        clock[0] += 60  # what was not used then is not made up for
        for size in (500, 500):
            await limiter.take(size)
            sent.append(clock[0])

    asyncio.run(run())
    assert sent == pytest.approx([100, 100.5, 102, 162, 162.5])
