"""The clips of the assets: what they are, and a comparison on a few frames of one of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from midstream.compare.run import Request, compare
from midstream.data import load


def test_clips_are_those_of_the_assets(assets: Path) -> None:
    moving = load(f"clips:{assets / 'video/davis/eval'}")
    assert [len(part) for part in moving.parts] == [50, 80, 75, 60, 50, 50, 43]
    assert {image.clip.rate for image in moving.images if image.clip} == {24}
    assert {mark.category for marks in moving.marks.values() for mark in marks} == {"car", "dog", "bird"}
    assert len(moving.marks) == 75 + 60 + 50 + 50  # the others are of no category
    fixed = load(f"clips:{assets / 'video/highway'}")
    assert len(fixed.images) == 240
    assert max(len(marks) for marks in fixed.marks.values()) > 1


def test_the_indoor_video_is_one_clip(assets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    dataset = load(f"video:{assets / 'video/intel_one-by-one-person-detection.mp4'}", 4)
    assert [round(image.time_s, 3) for image in dataset.images] == [0, 0.1, 0.2, 0.3]


def test_a_predicted_video_takes_less_than_its_frames_alone(assets: Path, tmp_path: Path) -> None:
    request = Request(
        model="picodet-s-416",
        weights=assets / "models/picodet_s_416_coco.onnx",
        data=f"clips:{assets / 'video/highway'}",
        limit=4,
        anchors=["h264:qp=27,32", "h264:qp=27,32,intra_period=1"],
        resamples=0,
        jobs=1,
    )
    results = compare(request, tmp_path)
    assert not results.failures
    sizes = {point.label: point.bytes for point in results.points}
    for qp in (27, 32):
        assert sizes[f"h264:qp={qp}"] < 0.75 * sizes[f"h264:qp={qp},intra_period=1"]
    accuracy = results.point(results.reference).accuracy
    assert accuracy["ap"].value == accuracy["hota"].value == pytest.approx(100)
    assert accuracy["found"].value > 0
