"""`midstream batch` as a process: started, awaited, watched."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any


def command(job: str, made: Path, output: Path, *more: object) -> list[str]:
    """A job with the toy network, two workers and parts as small as can be."""
    given = ["--model", made / "toy.toml", "--output", output, "--workers", 2, "--part-rows", 1, "--json", *more]
    return [sys.executable, "-m", "midstream", "batch", job, *map(str, given)]


def run(job: str, made: Path, output: Path, *more: object, code: int = 0) -> dict[str, Any]:
    """What a job says of itself when it is done."""
    done = subprocess.run(command(job, made, output, *more), capture_output=True, check=False, timeout=300)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    summary: dict[str, Any] = json.loads(done.stdout)
    return summary


def wait_for(what: Any, process: subprocess.Popen[bytes]) -> Any:
    """What a function returns as soon as it is true; fails when the process ends before."""
    while process.poll() is None:
        if found := what():
            return found
        time.sleep(0.02)
    raise AssertionError(f"the job ended first: {process.communicate()}")


def parts(output: Path) -> list[Path]:
    """The files of its results."""
    return list((output / "results").glob("*.parquet"))
