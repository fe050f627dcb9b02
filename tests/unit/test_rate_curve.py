"""Which steps a calibration measures, by what they cost and lose."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from midstream.calibration import curve
from midstream.calibration.loss import HARSH, ITSELF, USUAL, Seen
from midstream.codec.calibrated.document import STEP_INDICES

RUNG = 4


def steps(
    monkeypatch: pytest.MonkeyPatch, coarsest: int, losses: tuple[float, float], usual: Any = USUAL, **more: Any
) -> list[int]:
    """Those that are measured where what changes doubles with two octaves of the step, and bytes halve with one."""
    floor, empty = more.get("floor", 0.0), more.get("empty", False)

    def point(_reference: Any, _profile: Any, _cases: Any, step: int) -> curve.StepMeasured:
        disagreement = 1.0 if empty else min(0.4 * 2 ** ((step - 120) / 16), 1.0)
        return curve.StepMeasured(step, max(1000 * 2 ** ((120 - step) / 8), floor), Seen(disagreement, None))

    monkeypatch.setattr(curve, "_kept_or_measured", point)
    told: list[str] = []
    reference: Any = SimpleNamespace(usual=usual, empty=empty)
    found = curve.measured(reference, None, coarsest, RUNG, losses, HARSH, told.append)  # type: ignore[arg-type]
    assert len(told) == len(found)
    assert [each.step for each in found] == sorted((each.step for each in found), reverse=True)
    return [each.step for each in found]


def test_coarser_steps_are_measured_up_to_the_loss_of_the_worst_quality(monkeypatch: pytest.MonkeyPatch) -> None:
    assert steps(monkeypatch, 120, (0.1, 0.3))[0] == 124, "0.4 usually means 0.23, and 0.48 means 0.31"
    assert steps(monkeypatch, 100, (0.1, 0.3))[0] == 124
    assert steps(monkeypatch, 120, (0.1, 0.3), ITSELF)[0] == 120
    assert steps(monkeypatch, 160, (0.1, 0.3))[0] == 160
    assert steps(monkeypatch, 120, (0.1, 0))[0] == 120
    assert steps(monkeypatch, 120, (0.1, 0.3), empty=True)[0] == 120
    assert len(steps(monkeypatch, 100, (0.1, 0.3))) > len(steps(monkeypatch, 124, (0.2, 0.3)))


def test_coarser_steps_are_not_measured_where_there_is_nothing_left_to_leave_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = steps(monkeypatch, 60, (0.2, 0.99), floor=1000)[0]
    assert first == 124, "of 120 on a point has as many bytes as the one before"
    assert STEP_INDICES - RUNG <= steps(monkeypatch, 60, (0.2, 1.1))[0] < STEP_INDICES
