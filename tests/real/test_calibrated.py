"""The calibrated codec on a real detector: fitted to a few images here and now, measured on others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.helpers.detectors import load
from tests.helpers.progress import Quiet

import midstream as ms
from midstream import data, models
from midstream.calibration.run import Calibration, fit
from midstream.calibration.settings import CalibrationSettings, Tools
from midstream.calibration.views import Views
from midstream.evaluation.codecs import calibrated_options, paper_options
from midstream.evaluation.run import run

#: Few images and few passes: worse than a calibration with defaults, but done in a minute. Eight images are held
#: out, which say little of what a quality costs: rates are caps here.
SETTINGS = CalibrationSettings(images=32, passes=2000, tools=replace(Tools(), power=False))


@pytest.fixture(scope="module")
def network(assets: Path) -> models.SplitModel:
    return load("picodet-s-416", assets)


@pytest.fixture(scope="module")
def done(network: models.SplitModel, assets: Path, tmp_path_factory: pytest.TempPathFactory) -> Calibration:
    images = data.load(str(assets / "coco" / "calib")).images
    return fit(network, Views(network, images, tmp_path_factory.mktemp("work"), SETTINGS), SETTINGS, Quiet())


def test_a_third_of_the_papers_bytes_at_its_accuracy(
    network: models.SplitModel, assets: Path, done: Calibration
) -> None:
    dataset = data.load(f"coco:{assets / 'coco' / 'eval'},{assets / 'coco' / 'instances_eval.json'}").head(60)
    fine, probed, coarse, good, paper = run(
        network,
        dataset,
        [
            calibrated_options(done.profile, max_bytes=14_000),
            calibrated_options(done.profile, max_bytes=14_000, places="probe"),
            calibrated_options(done.profile, max_bytes=4000),
            calibrated_options(done.profile, quality=90),
            paper_options(4, z=1.5, coder="dense"),
        ],
    )
    assert 13_300 < fine.bytes_per_image <= 14_000 < paper.bytes_per_image / 3
    assert 3800 < coarse.bytes_per_image <= 4000
    # On 60 images AP is uncertain by some percent.
    assert fine.ap > 0.97 * paper.ap
    for result, least in ((fine, 0.94), (probed, 0.94), (coarse, 0.85), (good, 0.94)):
        assert result.ap > least * result.ap_uncompressed


@pytest.mark.parametrize("most", [600, 2500, 9000, 40_000])
def test_a_cap_is_used(network: models.SplitModel, assets: Path, done: Calibration, most: int) -> None:
    for image in data.load(str(assets / "coco" / "calib")).images[:3]:
        coded = ms.encode(
            network.front(data.read_image(image.path)), "calibrated", profile=done.profile, max_bytes=most
        )
        assert 0.95 * most <= len(coded) <= most


def test_bytes_do_not_depend_on_what_was_coded_before(
    network: models.SplitModel, assets: Path, done: Calibration
) -> None:
    pyramid = network.front(data.read_image(data.load(str(assets / "coco" / "calib")).images[-1].path))

    def coded(quality: int) -> bytes:
        return ms.encode(pyramid, "calibrated", profile=done.profile, quality=quality, threads=1)

    before = coded(60)
    for other in (1, 100, 20):
        coded(other)
        assert coded(60) == before


def test_the_profile_is_small_and_the_activation_s_floor_is_kept(done: Calibration) -> None:
    assert len(done.profile.data) <= 8_000_000
    floors = {level.about.name: level.low.min() for group in done.profile.groups for level in group.levels}
    assert all(floors[name] == pytest.approx(-0.375, abs=1e-3) for name in ("p3", "p4", "p5"))
