"""A calibration that was stopped: what its folder keeps is not done again, and the profile is the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.helpers import toy
from tests.helpers.calibration import FAST, calibrated
from tests.helpers.progress import Quiet

from midstream import data as datasets
from midstream import models
from midstream.calibration import curve, made, run
from midstream.calibration.views import Views

SETTINGS = replace(FAST, passes=4, tools=replace(FAST.tools, importance=False, flips=False))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = toy.write_labelled(tmp_path_factory.mktemp("toy"))
    toy.write_images(folder / "calib", 26)
    return folder


class StoppedError(Exception):
    pass


def test_what_was_fitted_and_measured_is_not_done_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = calibrated(folder, tmp_path / "other", SETTINGS)
    steps: list[int] = []
    round_trip = curve._round_trip

    def stops(model: Any, views: Any, profile: Any, case: Any, step: int) -> Any:
        steps.append(step)
        if len(set(steps)) > 1:
            raise StoppedError
        return round_trip(model, views, profile, case, step)

    with monkeypatch.context() as patch:
        patch.setattr(curve, "_round_trip", stops)
        with pytest.raises(StoppedError):
            calibrated(folder, tmp_path / "work", SETTINGS)
    first, last = set(steps[:-1]), steps[-1]
    again: list[int] = []

    def counts(model: Any, views: Any, profile: Any, case: Any, step: int) -> Any:
        again.append(step)
        return round_trip(model, views, profile, case, step)

    def never(*_: object) -> Any:
        raise AssertionError("it was fitted before")

    monkeypatch.setattr(curve, "_round_trip", counts)
    monkeypatch.setattr(made, "fitted", never)
    monkeypatch.setattr(made, "transforms", never)
    done = calibrated(folder, tmp_path / "work", SETTINGS)
    assert again[0] == last
    held_out = -(-SETTINGS.images // 4)
    assert all(again.count(step) <= SETTINGS.images for step in first)  # what disagreement costs is seen once more
    assert again.count(last) >= held_out
    assert done.profile.data == wanted.profile.data
    assert done.power == wanted.power
    assert [len(each) for each in done.variances] == [len(each) for each in wanted.variances]
    for mine, theirs in zip(done.variances, wanted.variances, strict=True):
        assert (mine == theirs).all()


@pytest.mark.parametrize("at", [0.5, 0.999])
def test_numbers_that_have_changed_are_made_again(at: float, folder: Path, tmp_path: Path) -> None:
    wanted = calibrated(folder, tmp_path, SETTINGS)
    kept = sorted(tmp_path.glob("*.numbers"))
    assert kept
    for path in kept:
        data = bytearray(path.read_bytes())
        data[int(at * len(data))] ^= 1
        path.write_bytes(bytes(data))
    assert calibrated(folder, tmp_path, SETTINGS).profile.data == wanted.profile.data


def test_images_that_are_all_the_same_are_warned_of(folder: Path, tmp_path: Path) -> None:
    one = next((folder / "calib").iterdir()).read_bytes()
    (tmp_path / "calib").mkdir()
    for number in range(24):
        (tmp_path / "calib" / f"{number}.png").write_bytes(one)
    files, quiet = datasets.load(str(tmp_path / "calib")).images, Quiet()
    network = models.load(str(folder / "toy.toml"), threads=1)
    run.fit(network, Views(network, files, tmp_path / "work", SETTINGS), SETTINGS, quiet)
    assert any(said.startswith("of 24 images only 1 differ") for said in quiet.said)


def test_a_run_by_the_clock_goes_on_with_the_images_that_it_was_allowed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(SETTINGS, passes=None, budget_s=30.0)
    asked: list[int] = []

    def allowance(costs: Any, images: int, seconds: float) -> Any:
        asked.append(images)
        return run.budget.Allowance(22 - len(asked), 3 + len(asked), 1.0, 0.5)

    monkeypatch.setattr(run.budget, "allowance", allowance)
    monkeypatch.setattr(run.budget, "rehearsed", lambda *_: None)
    counts = []
    for budget in (30.0, 30.0, 40.0):
        network = models.load(str(folder / "toy.toml"), threads=1)
        images: Sequence[Any] = datasets.load(str(folder / "calib")).images
        views = Views(network, images, tmp_path, settings)
        passes, until = run._within_budget(network, views, replace(settings, budget_s=budget), Quiet())
        counts.append((views.count, passes))
        assert until == np.inf  # nothing is tried
    assert counts == [(21, 4), (21, 4), (20, 5)]
    assert asked == [24, 24]


@pytest.mark.parametrize("late", [False, True])
def test_a_machine_that_has_become_slow_leaves_the_trial_out(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    settings = replace(SETTINGS, passes=None, budget_s=1000.0, tools=replace(SETTINGS.tools, power=True))
    tried: list[int] = []

    def power(*_: object) -> float:
        tried.append(1)
        return 0.5

    after = 1200.0 if late else 100.0
    monkeypatch.setattr(run.budget, "allowance", lambda *_: run.budget.Allowance(20, 4, 1.0, 0.5, after))
    monkeypatch.setattr(run.budget, "rehearsed", lambda *_: None)
    monkeypatch.setattr(made, "best_power", power)
    assert calibrated(folder, tmp_path, settings).power == (1.0 if late else 0.5)
    assert len(tried) == (not late)
