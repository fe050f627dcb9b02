"""The command line, in this process and in one of its own."""

from __future__ import annotations

import io
import subprocess
import sys
import tempfile
import warnings
from contextlib import ExitStack

import pytest

from midstream.cli import main


def midstream(*arguments: object, code: int = 0, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    """What a command prints, run in this process, which is much faster than `process`; streams are files."""
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        names = ("stdin", "stdout", "stderr")
        files = {name: stack.enter_context(tempfile.TemporaryFile()) for name in names}
        files["stdin"].write(stdin or b"")
        files["stdin"].seek(0)
        for name, file in files.items():
            stream = stack.enter_context(io.TextIOWrapper(file, encoding="utf-8", write_through=True))
            patch.setattr(sys, name, stream)
        patch.setattr(warnings, "showwarning", warnings.showwarning)  # put back: the program prints them in its way
        with warnings.catch_warnings():
            warnings.simplefilter("default", UserWarning)
            left = call(*arguments)
        out, error = (_content(files[name]) for name in ("stdout", "stderr"))
    assert left == code, (left, out, error)
    return subprocess.CompletedProcess(arguments, left, out, error)


def _content(file: io.BufferedRandom) -> bytes:
    file.seek(0)
    return file.read()


def process(*arguments: object, code: int = 0, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    """The same of a process of its own: for what depends on one, such as pipes, imports and locks."""
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
