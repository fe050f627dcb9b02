"""What goes to the terminal: tables and JSON on standard output, progress and notes on standard error."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

import midstream.progress

if TYPE_CHECKING:
    from midstream.data.reading import Skipped

#: Exit code where all is done that can be, and some inputs failed.
SOME_FAILED = 1
#: Failures that are named; all are in the JSON or in a table.
SHOWN_FAILURES = 5
_ERRORS = Console(stderr=True)
#: Width of a table in a pipe, where there is no terminal to fit into.
_PIPE_WIDTH = 200
#: Seconds between two lines about work that goes on, where there is no terminal to draw a bar on.
_PIPE_S = 10.0
#: Of a progress bar.
_COLUMNS = (
    TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
    TextColumn("left"), TimeRemainingColumn(), TextColumn("{task.fields[detail]}", markup=False),
)  # fmt: skip


def note(text: str) -> None:
    """One line on standard error; above a bar, where there is one."""
    if _ERRORS.is_terminal:
        _ERRORS.print(Text(printable(text)), soft_wrap=True)
    else:
        sys.stderr.write(printable(text) + "\n")


def leave_with_skipped(skipped: Sequence[Skipped]) -> None:
    """Where pictures were skipped, (path, why) each: name the first on standard error and leave with SOME_FAILED."""
    if not skipped:
        return
    for _, why in skipped[:SHOWN_FAILURES]:
        note(f"skipped: {why}")
    note(f"{len(skipped):,} picture{'s' if len(skipped) > 1 else ''} skipped; --strict ends at the first")
    raise typer.Exit(SOME_FAILED)


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


class Stages(midstream.progress.Progress):
    """Progress on standard error: a bar for each stage on a terminal, in a pipe a line every ten seconds.

    Where it is to be quiet there is neither, and of lines that stay only the warnings.
    """

    def __init__(self, quiet: bool = False) -> None:
        self._bar = Progress(*_COLUMNS, console=_ERRORS, transient=True)
        self._quiet = quiet
        self._shown = _ERRORS.is_terminal and not quiet
        self._over = threading.Event()
        self._teller = threading.Thread(target=self._tell, daemon=True)

    def __enter__(self) -> Stages:
        if self._shown:
            self._bar.start()
        elif not self._quiet:
            self._teller.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        if self._shown:
            self._bar.stop()
        elif not self._quiet:
            self._teller.join()

    def stage(self, what: str, total: int | None = None) -> None:
        """Begin a stage of so many steps; None where nobody knows how many."""
        for task in self._bar.tasks:
            self._bar.remove_task(task.id)
        self._bar.add_task(printable(what), total=total, detail="")

    def step(self, detail: str = "") -> None:
        """One step is done; `detail` says of what."""
        for task in self._bar.tasks:
            self._bar.update(task.id, advance=1, detail=printable(detail))

    def say(self, text: str) -> None:
        """A line that stays."""
        if not self._quiet:
            self.warn(text)

    def warn(self, text: str) -> None:
        """A line that stays, wanted or not."""
        note(text)

    def _tell(self) -> None:
        """In a pipe, from a thread of its own: a step may take longer than the time between two lines."""
        while not self._over.wait(_PIPE_S):
            for task in self._bar.tasks:
                note(_line(task))


def _line(task: Task) -> str:
    """What a bar would show."""
    of = f" of {task.total:,.0f}" if task.total else ""
    done = f": {task.completed:,.0f}{of}" if task.completed else ""
    left = f"about {task.time_remaining:.0f} s left" if task.time_remaining else ""
    parts = [f"{task.elapsed or 0:.0f} s", left, task.fields["detail"]]
    return f"{task.description}{done} ({', '.join(filter(None, parts))})"


class LiveLine:
    """A line on standard error that changes; in a pipe a new line every ten seconds; none where it is to be quiet."""

    def __init__(self, quiet: bool = False) -> None:
        self._live = Live(console=_ERRORS, transient=True, auto_refresh=False)
        self._quiet = quiet
        self._shown = _ERRORS.is_terminal and not quiet
        self._next = time.monotonic() + _PIPE_S

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
        elif not self._quiet and time.monotonic() >= self._next:
            self._next = time.monotonic() + _PIPE_S
            note(text)


@contextmanager
def progress(what: str, total: int | None, quiet: bool = False) -> Iterator[Callable[[], None]]:
    """Work of a single stage; yields the function that says that one more of `total` is done."""
    with Stages(quiet) as stages:
        stages.stage(what, total)
        yield stages.step
