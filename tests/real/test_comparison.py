"""The comparison on a real detector: figures of the compressed image that are known from elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.helpers.progress import Quiet

from midstream import models
from midstream.compare.run import Request, compare


def request_of(assets: Path, anchors: list[str], tests: list[str], limit: int | None) -> Request:
    coco = assets / "coco"
    weights = assets / "models" / models.registry.descriptions()["picodet-s-416"].weights.file
    data = f"coco:{coco / 'eval'},{coco / 'instances_eval.json'}"
    return Request("picodet-s-416", data, anchors, tests, weights=weights, limit=limit, resamples=100)


def test_the_network_and_the_jpeg_image_at_the_known_figures(assets: Path, tmp_path: Path) -> None:
    results = compare(request_of(assets, ["jpeg:quality=70"], [], None), tmp_path, Quiet())
    plain, jpeg = results.point(results.reference), next(p for p in results.points if p.label == "jpeg:quality=70")
    assert plain.accuracy["ap"].value == pytest.approx(34.32, abs=0.1)
    # OpenCV 4 and 5 carry different versions of libjpeg-turbo.
    assert jpeg.bytes == pytest.approx(29_980, rel=0.01)
    assert jpeg.accuracy["ap"].value == pytest.approx(32.75, abs=0.2)
    loss = jpeg.accuracy["ap"].loss_interval
    assert loss is not None
    assert 0 < loss.low < jpeg.accuracy["ap"].loss < loss.high < 15


def test_video_codecs_on_images_and_on_packed_features(assets: Path, tmp_path: Path) -> None:
    anchors = ["vvc:preset=faster,qp=22,42", "hevc:qp=22,42", "av1:qp=20,50"]
    tests = ["packed-hevc:qp=5", "packed-vvc:preset=faster,qp=8", "packed-av1:qp=5"]
    results = compare(request_of(assets, anchors, tests, 3), tmp_path, Quiet())
    assert not results.failures
    for curve in results.curves:
        cheapest, dearest = results.point(curve.points[0]), results.point(curve.points[-1])
        if curve.role == "anchor":
            assert cheapest.bytes < dearest.bytes / 3
            assert cheapest.accuracy["ap"].value < dearest.accuracy["ap"].value
        if curve.role == "test":
            assert dearest.accuracy["ap"].loss < 15
            assert dearest.bits_per_element is not None
            assert 1 < dearest.bits_per_element < 8
