"""`make demo` and `midstream demo`: one build, a line for each step."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize("target", ["demo", "compare", "test", "test-batch", "lint"])
def test_a_target_builds_the_core_once_and_says_so(target: str, tmp_path: Path) -> None:
    command = ["make", "--dry-run", "--no-print-directory", target, f"VENV={tmp_path / 'fresh'}"]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=True)
    installs = [line for line in done.stdout.splitlines() if "pip install" in line and "--editable" in line]
    assert len(installs) == 1
    assert "--quiet" not in installs[0]
