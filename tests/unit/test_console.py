"""What long work says of itself: lines in a pipe, a bar on a terminal, nothing where nobody wants to hear it."""

from __future__ import annotations

import inspect
import io
import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from rich.console import Console
from tests.helpers import toy
from tests.helpers.commands import call
from typer.main import get_command

from midstream.__main__ import main as program
from midstream.cli import console, main
from midstream.cli import progress as showing
from midstream.cli.console import note
from midstream.cli.progress import LiveLine, Stages, progress
from midstream.wording import counted

#: More than any line needs, for machines that are busy.
PATIENCE_S = 60.0


class Pipe(io.StringIO):
    """Standard error that says when something was written."""

    def __init__(self, terminal: bool = False) -> None:
        super().__init__()
        self.written = threading.Event()
        self._terminal = terminal

    def write(self, text: str) -> int:
        done = super().write(text)
        self.written.set()
        return done

    def isatty(self) -> bool:
        return self._terminal


def errors_to(pipe: Pipe, patch: pytest.MonkeyPatch, seconds: float = 0.01) -> Pipe:
    """Let standard error be `pipe`; no fixture, since pytest puts its own there when a test begins."""
    patch.setattr("sys.stderr", pipe)
    patch.setattr(console, "ERRORS", Console(stderr=True))
    patch.setattr(showing, "_PIPE_S", seconds)
    return pipe


def test_in_a_pipe_work_says_what_it_does_also_within_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = errors_to(Pipe(), monkeypatch)
    with Stages() as stages:
        stages.stage("running the [front]", 350)
        assert pipe.written.wait(PATIENCE_S)
        for _ in range(120):
            stages.step("p3")
        for _ in range(2):  # the first may have been on its way before
            pipe.written.clear()
            assert pipe.written.wait(PATIENCE_S)
    line = pipe.getvalue().splitlines()[-1]
    assert re.fullmatch(r"running the \[front\]: 120 of 350 \(\d+ s(, about \d+ s left)?, p3\)", line)


def test_a_stage_of_who_knows_how_many_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = errors_to(Pipe(), monkeypatch)
    with progress("reading", None) as advance:
        assert pipe.written.wait(PATIENCE_S)
        assert re.match(r"reading \(\d+ s\)\n", pipe.getvalue())
        advance()


def test_quiet_work_says_what_failed_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = errors_to(Pipe(), monkeypatch)
    monkeypatch.setattr(threading.Thread, "start", lambda *_: pytest.fail("somebody tells"))
    with Stages(quiet=True) as stages:
        stages.stage("running the front", 3)
        stages.say("a choice")
        stages.warn("skipped a.jpg\x1b[2J")
        stages.step()
    with LiveLine(quiet=True) as line:
        line.show("31 frames")
    assert pipe.getvalue() == "skipped a.jpg\\x1b[2J\n"


def test_a_live_line_is_repeated_from_time_to_time(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = errors_to(Pipe(), monkeypatch, 10.0)
    clock = iter([0.0, 9.0, 11.0, 11.0, 12.0])
    monkeypatch.setattr(showing.time, "monotonic", lambda: next(clock))
    with LiveLine() as line:
        for number in (9, 11, 12):
            line.show(f"{number} frames")
    assert pipe.getvalue() == "11 frames\n"


def test_on_a_terminal_lines_stand_above_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    terminal = errors_to(Pipe(terminal=True), monkeypatch)
    long = "word " * 60
    with Stages() as stages:
        stages.stage("running the [front]", 3)
        stages.say(long)
        note("[a note]")
        stages.step("[p3]")
        stages.say("done")
    shown = terminal.getvalue()
    assert f"{long}\n" in shown
    assert all(text in shown for text in ("[a note]", "running the [front]", "[p3]"))


def commands(group: Any, *names: str) -> dict[tuple[str, ...], Any]:
    found = {}
    for name, each in group.commands.items():
        found |= commands(each, *names, name) if hasattr(each, "commands") else {(*names, name): each}
    return found


def test_every_command_that_shows_progress_can_be_quiet() -> None:
    shows = re.compile(r"\b(Stages|LiveLine|progress)\(|_run\(|_measure\(|profile_of\(")
    showing = set()
    for names, each in commands(get_command(main.app)).items():
        source = inspect.getsource(inspect.unwrap(each.callback))
        if shows.search(source):
            showing.add(names)
        options = [option for parameter in each.params for option in parameter.opts]
        assert ("--quiet" in options) == bool(shows.search(source)), names
    assert {("calibrate",), ("train",), ("batch", "eval"), ("compare",), ("demo",), ("push",), ("extract",)} <= showing


def test_a_quiet_command_leaves_standard_error_empty(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = toy.write_labelled(tmp_path)
    data = ("-m", folder / "toy.toml", "-d", folder / "images")
    assert call("eval", *data, "--quiet") == 0
    assert call("extract", folder / "images" / "0.png", *data[:2], "-o", tmp_path / "out", "-q") == 0
    assert capsys.readouterr().err == ""
    assert call("compare", *data, "--anchor", "jpeg:quality=20,90", "--resamples", 0, "-o", tmp_path / "c", "-q") == 0
    assert all(line.startswith("beware: ") for line in capsys.readouterr().err.splitlines())


def test_a_command_whose_reader_leaves_ends_without_a_word(tmp_path: Path) -> None:
    network, images, clip = toy.write_toy(tmp_path), tmp_path / "images", tmp_path / "clip.midv"
    images.mkdir()
    cv2.imwrite(str(images / "0.png"), np.zeros((48, 64, 3), np.uint8))
    coder = ("--codec", "paper", "--symbols", 4, "--z", 1.5)
    assert call("video", "encode", images, "-m", network, *coder, "-o", clip, "-q") == 0
    for words in (("video", "decode", clip, "-m", network, "-q"), ("video", "info", clip, "--json"), ("codecs",)):
        reader, writer = os.pipe()
        os.close(reader)
        command = [sys.executable, "-m", "midstream", *map(str, words)]
        done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, check=False)
        os.close(writer)
        assert (done.returncode, done.stderr) == (1, b"")


def test_one_is_no_plural() -> None:
    assert [counted(count, "frame") for count in (0, 1, 2, 1000)] == ["0 frames", "1 frame", "2 frames", "1,000 frames"]


@pytest.mark.parametrize("begun", [True, False])
def test_an_interrupt_says_what_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], begun: bool
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    model = toy.write_toy(tmp_path)
    work = tmp_path / "w"
    if begun:
        work.mkdir()
    monkeypatch.setattr("midstream.calibration.whole.calibrated", interrupted)
    arguments = ("calibrate", "-m", model, "--images", tmp_path, "--work", work, "-o", tmp_path / "x.profile")
    assert call(*arguments) == 130
    kept = f"the same command goes on from {work}" if begun else "nothing is kept"
    assert capsys.readouterr().err.splitlines()[-1] == f"midstream: interrupted: {kept}"


def test_an_interrupt_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("midstream.data.load", interrupted)
    assert call("eval", "-m", toy.write_toy(tmp_path), "-d", tmp_path) == 130
    assert capsys.readouterr().err == "midstream: interrupted\n"


@pytest.mark.parametrize("columns", ["60", ""])
def test_a_table_in_a_pipe_is_as_wide_as_columns_says(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    console.print_table("", ["a", "b"], [["word " * 20, "1"]])
    widest = max(map(len, capsys.readouterr().out.splitlines()))
    assert widest <= 60 if columns else widest > 100


def test_a_title_does_not_drive_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    console.print_table("codec\np6\x1b[31mRED\x07\r", ["part"], [["header"]])
    shown = capsys.readouterr().out
    assert "p6\\x1b[31mRED\\x07\\r" in shown
    assert not {"\x1b", "\x07", "\r"} & set(shown)


class Interrupting:
    """An import that an interrupt ends."""

    def find_spec(self, name: str, *_: object) -> None:
        if name == "midstream.cli.main":
            raise KeyboardInterrupt


def test_an_interrupt_while_the_program_is_loaded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "midstream.cli.main")
    monkeypatch.delattr("midstream.cli.main", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Interrupting(), *sys.meta_path])
    with pytest.raises(SystemExit) as ended:
        program()
    assert ended.value.code == 130
    assert capsys.readouterr().err == "midstream: interrupted\n"
