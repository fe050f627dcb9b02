"""How much the network's outputs move with channels and levels, on the toy network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from tests.helpers import toy
from tests.helpers.calibration import FAST

from midstream import data as datasets
from midstream import models
from midstream.calibration import sensitivity
from midstream.calibration.views import Views

LEVELS = {"p3": "fine", "p4": "coarse"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = toy.write_labelled(tmp_path_factory.mktemp("toy"))
    toy.write_images(folder / "calib", 26)
    return folder


def test_how_alike_channels_are_is_measured(folder: Path, tmp_path: Path) -> None:
    network = models.load(str(folder / "toy.toml"), threads=1)
    views = Views(network, datasets.load(str(folder / "calib")).images, tmp_path, FAST)
    deviations = {name: np.ones(len(maps)) for name, maps in views.sent(views.plain[0]).items()}
    found, bundled = (
        sensitivity.measured_sensitivity(network, views, deviations, sensitivity.SensitivityPlan(2, n), 0, lambda: None)
        for n in (1, 2)
    )
    for name, each in found.items():
        assert np.allclose(each.alike, each.alike.T)
        assert np.abs(each.alike).max() <= 1 + 1e-6
        assert not np.allclose(each.alike, np.eye(len(each.alike)))
        assert np.allclose(bundled[name].alike, _cosines(folder, LEVELS[name]))


def test_levels_are_measured_in_more_images_than_channels(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of outputs that are the features themselves, p4 seven times as much, except in the first two images."""
    network = models.load(str(folder / "toy.toml"), threads=1)
    views = Views(network, datasets.load(str(folder / "calib")).images, tmp_path, FAST)
    deviations = {name: np.ones(len(maps)) for name, maps in views.sent(views.plain[0]).items()}
    asked = [0]

    def responding(model: Any, pyramid: dict[str, np.ndarray], size: tuple[int, int]) -> Any:
        asked[0] += 1
        usual = any(np.array_equal(pyramid["p3"], views.full(view)["p3"]) for view in views.plain[2:])
        by = {"p3": 1.0, "p4": 7.0 if usual else 0.1}
        return lambda disturbed: np.concatenate([by[name] * (disturbed[name] - pyramid[name]).ravel() for name in by])

    monkeypatch.setattr(sensitivity, "responder", responding)
    few, more = (
        sensitivity.measured_sensitivity(network, views, deviations, plan, 0, lambda: None)
        for plan in (sensitivity.SensitivityPlan(2, 2), sensitivity.SensitivityPlan(2, 2, 12))
    )

    def ratio(found: dict[str, sensitivity.Sensitivity]) -> float:
        return float(found["p4"].channels.mean() / found["p3"].channels.mean())

    assert ratio(few) == pytest.approx(0.01, rel=0.01)
    # The geometric mean of ten images, and of the two in which p4 counts little.
    assert ratio(more) == pytest.approx((49**10 * 0.01**2) ** (1 / 12), rel=0.01)


def test_what_images_say_is_kept(folder: Path, tmp_path: Path) -> None:
    network = models.load(str(folder / "toy.toml"), threads=1)
    views = Views(network, datasets.load(str(folder / "calib")).images, tmp_path, FAST)
    deviations = {name: np.ones(len(maps)) for name, maps in views.sent(views.plain[0]).items()}
    plan = sensitivity.SensitivityPlan(2, 2, 5)
    passes: list[int] = []

    def measured() -> dict[str, sensitivity.Sensitivity]:
        return sensitivity.measured_sensitivity(network, views, deviations, plan, 0, lambda: passes.append(1))

    first = measured()
    assert len(passes) == sensitivity.passes_of(plan, deviations)
    again = measured()
    assert len(passes) == sensitivity.passes_of(plan, deviations)
    for name, each in first.items():
        assert np.array_equal(each.channels, again[name].channels)


def _cosines(folder: Path, level: str) -> np.ndarray:
    """Between the weights that two channels of a level meet in the head's convolutions."""
    graph = onnx.load(folder / "toy.onnx").graph
    kernels = [
        numpy_helper.to_array(each)
        for each in graph.initializer
        if each.name in (f"w_scores_{level}", f"w_boxes_{level}")
    ]
    weights = np.concatenate([kernel[:, :, 0, 0] for kernel in kernels])
    weights = weights / np.linalg.norm(weights, axis=0)
    return weights.T @ weights


@pytest.mark.parametrize(("rounding", "noise"), [(0.0, 0.3), (0.05, 1.0), (0.5, 3.0)])
def test_noise_stands_out_from_a_networks_own_rounding(
    rounding: float, noise: float, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network of integers moves by its rounding as soon as anything changes, whatever it is."""
    network = models.load(str(folder / "toy.toml"), threads=1)
    views = Views(network, datasets.load(str(folder / "calib")).images, tmp_path, FAST)
    pyramid = views.full(views.plain[0])
    deviations = {name: np.ones(len(maps)) for name, maps in views.sent(views.plain[0]).items()}

    def moved(disturbed: dict[str, np.ndarray]) -> np.ndarray:
        steps = [disturbed[name] - values for name, values in pyramid.items()]
        own = [np.sqrt(rounding * step[0].size) * step.any() for step in steps]
        return np.concatenate([*(step.ravel() for step in steps), own])

    monkeypatch.setattr(sensitivity, "responder", lambda *_: moved)
    assert set(sensitivity.chosen_noises(network, views, deviations).values()) == {noise}
