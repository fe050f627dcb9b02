"""Who may write where: one at a time, nobody for ever, and nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO

import pytest

from midstream import files, locks
from midstream.errors import InputError
from midstream.files import Temporary, check_writable, locked, own_folder, write_bytes

HOLD = (
    "import sys, pathlib; from midstream.files import {0}\n"
    "with {0}({1}):\n print('has it', flush=True); sys.stdin.read()"
)
HALF = (
    "import sys, pathlib; from midstream.files import Temporary; t = Temporary(pathlib.Path({0!r})); "
    "t.path.write_bytes(b'half'); print('has it', flush=True); sys.stdin.read()"
)


class Other:
    """Another process that runs `code` until it is told to end, or is killed."""

    def __init__(self, code: str) -> None:
        self.process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.out.readline() == b"has it\n"

    @property
    def out(self) -> IO[bytes]:
        assert self.process.stdout is not None
        return self.process.stdout

    def end(self, number: int | None = None) -> None:
        if number is not None:
            self.process.send_signal(number)
        self.process.communicate()


def holding_file(path: Path) -> Other:
    return Other(HOLD.format("locked", repr(str(path))))


def holding_folder(path: Path) -> Other:
    return Other(HOLD.format("own_folder", f"pathlib.Path({str(path)!r})"))


def take_file(path: Path) -> None:
    with locked(path):
        path.write_text("mine")


def take_folder(path: Path) -> None:
    with own_folder(path):
        (path / "x").write_text("mine")


@pytest.mark.parametrize(("hold", "take"), [(holding_file, take_file), (holding_folder, take_folder)])
@pytest.mark.parametrize("number", [None, signal.SIGKILL])
def test_the_second_is_refused_until_the_first_has_ended(
    tmp_path: Path, hold: Callable[[Path], Other], take: Callable[[Path], None], number: int | None
) -> None:
    target = tmp_path / "out"
    other = hold(target)
    with pytest.raises(InputError, match=rf"out: process {other.process.pid} on \S+ is writing to it: wait for that"):
        take(target)
    other.end(number)
    take(target)
    assert not [path for path in tmp_path.rglob("*") if path.name.endswith("lock")]


def test_a_folder_that_was_made_for_nothing_is_removed(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    for name, left in (("there", True), ("new", False)):
        with pytest.raises(InputError, match="nothing"), own_folder(tmp_path / name):
            raise InputError("nothing to write")
        assert (tmp_path / name).exists() == left


def test_a_link_is_the_file_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "file")
    with (
        locked(tmp_path / "file"),
        pytest.raises(InputError, match="is writing"),
        locked(tmp_path / "link"),
    ):
        pass


def test_a_whole_file_does_not_replace_one_that_is_being_written(tmp_path: Path) -> None:
    other = holding_file(tmp_path / "lines")
    (tmp_path / "lines").write_bytes(b"first\n")
    for refused in (lambda: write_bytes(str(tmp_path / "lines"), b""), lambda: check_writable(str(tmp_path / "lines"))):
        with pytest.raises(InputError, match="is writing to it"):
            refused()
    assert (tmp_path / "lines").read_bytes() == b"first\n"
    other.end()
    write_bytes(str(tmp_path / "lines"), b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["lines"]


def test_one_waits_for_the_other(tmp_path: Path) -> None:
    other = holding_file(tmp_path / "x")
    order: list[str] = []

    def wait() -> None:
        with locked(tmp_path / "x", wait=True):
            order.append("second")

    thread = threading.Thread(target=wait)
    thread.start()
    order.append("first")
    other.end()
    thread.join(60)
    assert order == ["first", "second"]
    assert not list(tmp_path.iterdir())


def test_what_is_written_as_it_is_has_no_lock(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in ("-", "/dev/null", str(tmp_path / "pipe")):
        with locked(path), locked(path):
            pass
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]


def test_a_link_in_the_place_of_a_lock_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    (tmp_path / ".x.lock").symlink_to(tmp_path / "precious")
    with pytest.raises(InputError, match=r"x: cannot be written: \.x\.lock"), locked(tmp_path / "x"):
        pass
    assert (tmp_path / "precious").read_text() == "precious"


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("precious")])
def test_what_is_no_file_in_the_place_of_a_lock_is_refused(tmp_path: Path, make: Callable[[Path], None]) -> None:
    (tmp_path / "precious").write_text("precious")
    make(tmp_path / ".x.lock")
    target = str(tmp_path / "x")
    for refused in (
        lambda: take_file(tmp_path / "x"),
        lambda: write_bytes(target, b""),
        lambda: check_writable(target),
    ):
        with pytest.raises(InputError, match=r"x: cannot be written: \.x\.lock: [^\n]+$") as caught:
            refused()
        assert "precious" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "\x1b[2J", "process 1 on a\nroot:x:0:0", "process 1 on a b"])
def test_only_a_name_of_our_own_form_is_repeated(tmp_path: Path, text: str) -> None:
    other = holding_file(tmp_path / "x")
    (tmp_path / ".x.lock").write_text(text)
    with pytest.raises(InputError, match=r"x: another process is writing to it"):
        take_file(tmp_path / "x")
    other.end()


def test_many_threads_write_one_at_a_time(tmp_path: Path) -> None:
    inside: list[int] = []
    most: list[int] = []

    def work() -> None:
        for _ in range(20):
            with locked(tmp_path / "x", wait=True):
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert most == [1] * 160
    assert not list(tmp_path.iterdir())


def test_what_a_killed_process_left_is_removed_by_the_next_writer(tmp_path: Path) -> None:
    killed, alive = (Other(HALF.format(str(tmp_path / name))) for name in ("a", "b"))
    killed.end(signal.SIGKILL)
    (tmp_path / ".0123456789abcdef.tmp.mp4").write_bytes(b"of a film")
    (tmp_path / ".mine.tmp").write_bytes(b"not ours")
    files._remove_left.cache_clear()
    write_bytes(str(tmp_path / "c"), b"c")
    left = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert left.pop("c") == b"c"
    assert left.pop(".mine.tmp") == b"not ours"
    assert list(left.values()) == [b"half"]  # of the one that is alive
    alive.end()


def test_what_others_put_there_is_not_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = ".00000000000000{}.tmp"
    paths = [tmp_path / name.format(number) for number in range(10, 14)]
    os.mkfifo(paths[0])
    paths[1].symlink_to(paths[3])
    paths[2].mkdir()
    paths[3].write_bytes(b"protected")
    paths[3].chmod(0o444)
    for other in (name.format(14) + ".bak", name.format(15) + ".mp4\n", name.format(0)):
        (tmp_path / other).write_bytes(b"other")
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    (tmp_path / name.format(16)).write_bytes(b"of another user")
    there = {path.name for path in tmp_path.iterdir()}
    files._remove_left.cache_clear()
    write_bytes(str(tmp_path / "x"), b"x")
    assert {path.name for path in tmp_path.iterdir()} == {*there, "x"}
    monkeypatch.undo()
    files._remove_left.cache_clear()
    write_bytes(str(tmp_path / "x"), b"x")
    assert {path.name for path in tmp_path.iterdir()} == {*there, "x"} - {name.format(16)}


def test_without_locks_files_are_written_and_nothing_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object) -> bool:
        raise OSError(95, "Operation not supported")

    for module in (files, locks):
        monkeypatch.setattr(module, "lock", none)
    (tmp_path / ".0123456789abcdef.tmp").write_bytes(b"perhaps of another")
    files._remove_left.cache_clear()
    with locked(tmp_path / "x"), own_folder(tmp_path / "folder"):
        write_bytes(str(tmp_path / "y"), b"y")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".0123456789abcdef.tmp", "y"]


def test_a_temporary_file_that_is_swept_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def swept(file: int, wait: bool = False) -> bool:
        calls.append(file)
        if len(calls) == 1:  # the other has locked, removed and closed it
            next(tmp_path.iterdir()).unlink()
        return len(calls) != 2  # and has the next one locked

    monkeypatch.setattr(locks, "lock", swept)
    temporary = Temporary(tmp_path / "x")
    assert len(calls) == 3
    temporary.path.write_bytes(b"x")
    temporary.keep()
    temporary.close()
    assert (tmp_path / "x").read_bytes() == b"x"
