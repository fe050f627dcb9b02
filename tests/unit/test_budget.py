"""What a budget allows: more time, more of everything; never less than the least; and that is told beforehand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.helpers import toy
from tests.helpers.progress import Quiet

from midstream import data as datasets
from midstream import models
from midstream.calibration import budget
from midstream.calibration.budget import Costs, allowance
from midstream.calibration.run import fit
from midstream.calibration.settings import LEAST_IMAGES, TRIAL_PASSES, CalibrationSettings
from midstream.calibration.views import HELD_OUT, Views

#: A network whose front takes 20 ms and whose back takes 10.
COSTS = Costs(
    front=0.02,
    view=0.01,
    transform=1.0,
    seen=0.01,
    learnt=0.005,
    sample=0.1,
    fit=1.0,
    case=0.03,
    step=0.01,
    mirrored=2,
    ways=1,
)


@pytest.mark.parametrize("seconds", [20, 25, 30, 45, 60, 90, 120, 300, 600, 3600])
def test_what_is_allowed_fits_into_the_budget(seconds: float) -> None:
    allowed = allowance(COSTS, 200, seconds)
    assert allowed.seconds <= max(seconds, allowed.least)
    assert LEAST_IMAGES <= allowed.images <= 200
    tried = allowed.passes >= TRIAL_PASSES * -(-allowed.images // HELD_OUT)
    spent = COSTS.fitting(allowed.images) + allowed.passes * COSTS.step + tried * COSTS.trial(allowed.images)
    assert allowed.seconds == pytest.approx(spent)


def test_more_time_is_used() -> None:
    allowed = [allowance(COSTS, 200, seconds) for seconds in (20, 40, 80, 160, 320, 640)]
    assert [each.images for each in allowed] == sorted(each.images for each in allowed)
    assert allowed[0].images < 40 < allowed[-1].images == 200
    assert [each.passes for each in allowed] == sorted(each.passes for each in allowed)
    assert allowed[-1].passes > TRIAL_PASSES * 50


def test_with_no_time_the_least_is_done() -> None:
    allowed = allowance(COSTS, 200, 0.1)
    assert allowed.images == LEAST_IMAGES
    assert allowed.seconds == allowed.least > 0.1


@pytest.mark.parametrize(("front", "told"), [(0.001, "s in all, with 24 images; the least"), (9.0, "is too short")])
def test_it_is_told_before_the_work_and_done(
    front: float, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toml = toy.write_labelled(tmp_path) / "toy.toml"
    toy.write_images(tmp_path / "calib", 24)
    settings = CalibrationSettings(images=24, budget_s=600.0 if front < 1 else 60.0)
    monkeypatch.setattr(budget, "rehearsed", lambda *_: replace(COSTS, front=front, step=0.001))
    network, quiet = models.load(str(toml), threads=1), Quiet()
    views = Views(network, datasets.load(str(tmp_path / "calib")).images, tmp_path / "work", settings)
    done = fit(network, views, settings, quiet)
    assert told in quiet.said[0]
    assert "the least that this network takes is about" in quiet.said[0]
    assert done.profile.about.images == (24 if front < 1 else LEAST_IMAGES)
    said = next(line for line in quiet.said if "--passes" in line)
    assert f"--max-images {done.profile.about.images} --passes" in said


def test_fewer_images_are_the_first_ones(tmp_path: Path) -> None:
    toml = toy.write_labelled(tmp_path) / "toy.toml"
    toy.write_images(tmp_path / "calib", 30)
    network, files = models.load(str(toml)), datasets.load(str(tmp_path / "calib")).images
    many, few = (Views(network, files, tmp_path / "work", CalibrationSettings(images=count)) for count in (30, 22))
    many.keep(22)
    assert (many.count, many.image_hash) == (few.count, few.image_hash)
    assert (many.fit, many.held_out) == (few.fit, few.held_out)


def test_two_ways_to_code_levels_take_more_than_one() -> None:
    both = replace(COSTS, ways=2)
    assert both.fitting(100) > 1.5 * COSTS.fitting(100)
    assert both.fitting(24) == COSTS.fitting(24)  # too few images for layers
    images = [
        (allowance(both, 200, seconds).images, allowance(COSTS, 200, seconds).images) for seconds in (60, 80, 120)
    ]
    assert all(two <= one for two, one in images)
    assert images[-1][0] < images[-1][1]
