"""What goes to the terminal: tables and JSON on standard output, progress and notes on standard error."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

_ERRORS = Console(stderr=True)
#: Width of a table in a pipe, where there is no terminal to fit into.
_PIPE_WIDTH = 200
#: Of a progress bar.
_COLUMNS = (
    TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("left"),
    TimeRemainingColumn(),
)  # fmt: skip


def note(text: str) -> None:
    """One line on standard error."""
    sys.stderr.write(printable(text) + "\n")


def quiet_grpc() -> None:
    """Keep gRPC's core from writing to standard error beside this program, unless the user asks for it."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")


def printable(text: str) -> str:
    """The text without control characters: names out of a bitstream must not drive the terminal."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def print_json(value: Any) -> None:
    """A JSON document on standard output."""
    sys.stdout.write(json.dumps(value, indent=2, allow_nan=False) + "\n")


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> None:
    """A table on standard output; the first `left` columns are text, the others numbers."""
    table = Table(title=escape(title), title_justify="left")
    for i, column in enumerate(columns):
        table.add_column(escape(column), justify="left" if i < left else "right", overflow="fold")
    for row in rows:
        lines = ([escape(printable(line)) for line in cell.split("\n")] for cell in row)
        table.add_row(*("\n".join(cell) for cell in lines))
    console = Console()
    if not console.is_terminal:
        console = Console(width=_PIPE_WIDTH)
    console.print(table)


class Stages:
    """A bar for each stage of long work on a terminal; in a pipe a line on standard error for what is worth one."""

    def __init__(self) -> None:
        self._bar = Progress(*_COLUMNS, TextColumn("{task.fields[detail]}"), console=_ERRORS, transient=True)
        self._shown = _ERRORS.is_terminal
        self._task: TaskID | None = None

    def __enter__(self) -> Stages:
        if self._shown:
            self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._shown:
            self._bar.stop()

    def stage(self, what: str, total: int) -> None:
        """Begin a stage of so many steps."""
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(what, total=total, detail="")

    def step(self, detail: str = "") -> None:
        """One step is done; `detail` says of what."""
        if self._task is not None:
            self._bar.update(self._task, advance=1, detail=escape(detail))

    def say(self, text: str) -> None:
        """A line that stays."""
        if self._shown:
            self._bar.console.print(escape(printable(text)), highlight=False)
        else:
            note(text)


class LiveLine:
    """A line on standard error that changes; in a pipe a new line from time to time."""

    _PIPE_S = 10.0

    def __init__(self) -> None:
        self._live = Live(console=_ERRORS, transient=True, auto_refresh=False)
        self._shown = _ERRORS.is_terminal
        self._next = time.monotonic() + self._PIPE_S

    def __enter__(self) -> LiveLine:
        if self._shown:
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._shown:
            self._live.stop()

    def show(self, text: str) -> None:
        """What is to be read there now."""
        if self._shown:
            self._live.update(Text(printable(text), no_wrap=True, overflow="ellipsis"), refresh=True)
        elif time.monotonic() >= self._next:
            self._next = time.monotonic() + self._PIPE_S
            note(text)

    def say(self, text: str) -> None:
        """A line that stays."""
        if self._shown:
            self._live.console.print(escape(printable(text)), highlight=False)
        else:
            note(text)


@contextmanager
def progress(what: str, total: int | None) -> Iterator[Callable[[], None]]:
    """A bar with the time left on a terminal, nothing in a pipe; yields the function that advances it by one.

    A `total` of None is one that is not known.
    """
    if not _ERRORS.is_terminal:
        yield lambda: None
        return
    with Progress(*_COLUMNS, console=_ERRORS, transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda: bar.advance(task)
