"""The command line, in a process of its own and in this one."""

from __future__ import annotations

import subprocess
import sys

import pytest

from midstream.cli import main


def midstream(*arguments: object, code: int = 0, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "midstream", *map(str, arguments)]
    done = subprocess.run(command, input=stdin, capture_output=True, check=False)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return done


def mistake(*arguments: object, stdin: bytes | None = None) -> str:
    """The one line on standard error of a command that must fail."""
    done = midstream(*arguments, code=2, stdin=stdin)
    lines = done.stderr.decode().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("midstream: ")
    assert done.stdout == b""
    return lines[0]


def call(*arguments: object) -> int:
    """The exit code of a command in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["midstream", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main.run()
    return int(left.value.code or 0)
