"""The guard of the codec's speed says what has drifted."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def guard() -> ModuleType:
    spec = importlib.util.spec_from_file_location("guard", ROOT / "benchmarks" / "guard.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (9.5, "as recorded"),
        (9.0 * 0.86, "as recorded"),
        (10.0 * 1.14, "as recorded"),
        (12.0, "SLOWER by 20% than the slowest that was recorded"),
        (7.2, "faster by 20% than the fastest that was recorded"),
    ],
)
def test_a_figure_far_out_of_its_range_has_drifted(guard: ModuleType, value: float, expected: str) -> None:
    assert guard.verdict(value, 9.0, 10.0) == expected


def test_every_workload_is_recorded_and_drift_is_no_failure(
    guard: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded = json.loads(guard.RECORD.read_text())["passes"]
    assert list(recorded) == [" ".join(workload) for workload in guard.WORKLOADS]
    assert all(0 < low <= high for each in recorded.values() for low, high in each.values())
    monkeypatch.setattr(sys, "argv", ["guard.py"])
    monkeypatch.setattr(guard, "measured", lambda workload: ("simd", dict.fromkeys(recorded[" ".join(workload)], 1e6)))
    guard.main()
    lines = capsys.readouterr().out.splitlines()[1:]
    assert len(lines) == sum(len(each) for each in recorded.values())
    assert all("SLOWER" in line for line in lines)


def test_what_is_measured_is_what_bench_says(guard: ModuleType) -> None:
    simd, passes = guard.measured(("--shape", "2x8x8", "--coder", "raw,fast", "--threads", "1", "--repeats", "1"))
    command = [sys.executable, "-c", "from midstream import _native; print(_native.simd_path())"]
    assert simd == subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    assert list(passes) == ["raw encode", "raw decode", "fast encode", "fast decode"]
    assert all(value > 0 for value in passes.values())
