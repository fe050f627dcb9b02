"""Fixtures, and the rule that real material is never skipped silently where it exists."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from numpy.typing import NDArray

from midstream import _native

_BESIDE = Path(__file__).parents[2] / "shared" / "assets"
ASSETS = Path(os.environ.get("MIDSTREAM_ASSETS", _BESIDE))
_skipped_real: list[str] = []
_BROWSER = "tests/watch/test_browser.py"
_without_browser: list[str] = []

# pytest-xdist sets it in its workers, to the width of nobody's terminal, where tables would break their lines.
os.environ.pop("COLUMNS", None)
# Shared machines: an example that takes long says nothing about the code.
settings.register_profile("midstream", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("midstream")


@pytest.fixture(scope="session")
def assets() -> Path:
    """The folder of real models and images; a test that needs it is skipped where there is none."""
    if not (ASSETS / "models").is_dir():
        pytest.skip(f"no real material at {ASSETS} (MIDSTREAM_ASSETS)")
    return ASSETS.resolve()


@pytest.fixture
def interrupts() -> Iterator[None]:
    """Interrupts are heard, as they are not by what a shell runs in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(params=_native.simd_paths())
def simd_path(request: pytest.FixtureRequest) -> Iterator[str]:
    """Every instruction set of this machine in turn."""
    before = _native.simd_path()
    _native.set_simd_path(request.param)
    yield request.param
    _native.set_simd_path(before)


@pytest.fixture
def pyramid() -> dict[str, NDArray[np.float32]]:
    """A small pyramid with channels of different means and spreads."""
    rng = np.random.default_rng(7)
    return {
        f"p{i}": (rng.laplace(size=(6, size, size + 1)) * rng.uniform(0.1, 3, (6, 1, 1)) + rng.normal(size=(6, 1, 1)))
        .astype(np.float32)
        for i, size in zip((3, 4, 5), (16, 8, 4), strict=True)
    }  # fmt: skip


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped and report.nodeid.startswith("tests/real/"):
        _skipped_real.append(report.nodeid)
    if report.skipped and report.nodeid.startswith(_BROWSER):
        _without_browser.append(str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr))


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    there = [folder for folder in (ASSETS, _BESIDE) if folder.is_dir()]
    if _skipped_real and there:
        print(f"\nreal material is at {there[0]}, but these tests were skipped:", *_skipped_real, sep="\n  ")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    if _without_browser:
        print(f"\nTHE PAGE OF midstream watch WAS NOT TRIED IN A BROWSER, {len(_without_browser)} tests: "
              f"{_without_browser[0]}")  # fmt: skip
