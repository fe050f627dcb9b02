"""What a calibration is made of: layout, directions, the curve of losses and the qualities on it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from midstream.calibration import curve, sensitivity
from midstream.calibration.layout import groups_of
from midstream.calibration.transform import ChannelMoments, level_parts
from midstream.codec.calibrated.document import CurvePoint, GroupAbout, LevelAbout


def test_a_small_budget_measures_channels_together_and_levels_in_more_images() -> None:
    assert sensitivity.plan(384, 10**9, 4) == sensitivity.SensitivityPlan(16, 1)
    slow = sensitivity.plan(1024, 75, 4)
    assert slow.images == 2
    assert slow.level_images == 9
    deviations = {name: np.ones(256) for name in "abcd"}
    assert sensitivity.passes_of(slow, deviations) <= 76
    assert sensitivity.plan(1024, 75, 1).level_images == 0


def test_layout() -> None:
    def cells(**shapes: tuple[int, int, int]) -> list[dict[str, int]]:
        return [{level.name: level.ratio for level in group.levels} for group in groups_of(shapes)]

    assert cells(a=(9, 52, 52), b=(9, 26, 26), c=(9, 13, 13), d=(9, 7, 7)) == [{"a": 4, "b": 2, "c": 1}, {"d": 1}]
    assert cells(p2=(9, 200, 304), p3=(9, 100, 152), p4=(9, 50, 76), p5=(9, 25, 38)) == [
        {"p2": 4, "p3": 2, "p4": 1}, {"p5": 2},
    ]  # fmt: skip
    assert cells(only=(9, 80, 100)) == [{"only": 4}]
    assert cells(odd=(9, 30, 40), other=(9, 17, 9)) == [{"odd": 2}, {"other": 1}]


def test_the_strongest_direction_comes_first_and_goes_back() -> None:
    about = GroupAbout(levels=(LevelAbout(name="a", channels=3, size=(4, 4), ratio=1),))
    moments = ChannelMoments(np.zeros(3), np.eye(3), np.zeros(3, np.float32), np.ones(3, np.float32))
    part = level_parts(about, {"a": moments}, {"a": np.diag([1.0, 4.0, 9.0])}, 0.0)[0]
    assert np.allclose(part.weight, [1, 2, 3])
    assert np.allclose(np.abs(part.basis).argmax(axis=1), [2, 1, 0])
    mixed = np.random.default_rng(0).normal(size=(3, 3))
    part = level_parts(about, {"a": moments}, {"a": mixed @ mixed.T}, 0.0)[0]
    assert np.allclose(part.synthesis @ part.basis, np.eye(3), atol=5e-3)


def test_directions_that_do_nothing_hardly_count() -> None:
    alike = np.full((3, 3), 0.0)
    alike[:2, :2], alike[2, 2] = 1, 1  # two channels of which the network sees the sum only
    measured = {"a": sensitivity.Sensitivity(np.array([1.0, 1.0, 1.0]), alike)}
    metric = sensitivity.metrics(measured, 1, directions=True)["a"]
    together, apart = np.array([1, 1, 0]), np.array([1, -1, 0])
    assert together @ metric @ together > 3 * (apart @ metric @ apart) > 0
    assert np.allclose(sensitivity.metrics(measured, 1, directions=False)["a"], np.eye(3))


def test_curves_are_compared_at_equal_loss() -> None:
    def points(factor: float) -> list[CurvePoint]:
        return [CurvePoint(step=s, bytes=factor * 2 ** (8 - s / 8), loss=0.01 * s) for s in range(0, 40, 8)]

    a, b = curve.costs_at_equal_loss([points(100), points(150)])
    assert b / a == pytest.approx(1.5)
    assert curve.quality_loss(100) < curve.quality_loss(60) < curve.quality_loss(1)


@pytest.mark.parametrize(
    ("losses", "done"),
    [
        ([1.0] * 12, False),
        ([1.0, 0.6, 0.2, 0.001], True),
        ([1.0, 0.02, 0.02, 0.02, 0.02], True),
        ([1.0, 0.02, 0.015, 0.012, 0.01], False),
        ([1.0, *[0.1] * 8], False),
        ([1.0, *[0.1] * 9], True),
    ],
)
def test_a_curve_ends_where_finer_steps_help_no_more(losses: list[float], done: bool) -> None:
    assert curve.finished(losses, 0.002) is done


def test_a_cliff_is_where_a_step_loses_several_times_as_much() -> None:
    losses = {80: 0.002, 84: 0.008, 88: 0.012, 92: 0.06, 96: 0.15, 100: 0.3}
    points = [CurvePoint(step=step, bytes=1e5 / step, loss=loss) for step, loss in losses.items()]
    qualities = curve.quality_steps(points)
    ((finer, coarser, above, below),) = curve.cliffs(points, qualities)
    assert (finer, coarser) == (points[2], points[3]), "of small losses none is"
    assert qualities[above - 1] <= 88 < qualities[above - 2]
    assert qualities[below - 1] >= 92 > qualities[below]
    assert 0.012 < curve.quality_loss(above) < curve.quality_loss(below) < 0.06
    assert curve.cliffs(points[3:], qualities) == []


@pytest.mark.parametrize("losses", [(0.0, 0.0), (0.004, 0.05), (0.06, 0.4), (0.0001, 0.002)])
def test_no_two_far_qualities_have_one_step(losses: tuple[float, float]) -> None:
    points = [
        CurvePoint(step=int(s), bytes=1e5 / s, loss=float(loss))
        for s, loss in zip(range(60, 130, 4), np.geomspace(*np.maximum(losses, 1e-6), 18), strict=True)
    ]
    steps = curve.quality_steps(points)
    assert len(steps) == 100
    assert all(a >= b for a, b in itertools.pairwise(steps))
    assert all(a > b for a, b in zip(steps, steps[5:], strict=False))
