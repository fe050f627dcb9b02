"""Progress on the command line: bars and lines on standard error."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import rich.progress
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Task, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from midstream.cli import console
from midstream.cli.console import note, printable
from midstream.progress import Progress

#: Seconds between two lines about work that goes on, where there is no terminal to draw a bar on.
_PIPE_S = 10.0
#: Of a progress bar.
_COLUMNS = (
    TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
    TextColumn("left"), TimeRemainingColumn(), TextColumn("{task.fields[detail]}", markup=False),
)  # fmt: skip


class Stages(Progress):
    """Progress on standard error: a bar for each stage on a terminal, in a pipe a line every ten seconds.

    Where it is to be quiet there is neither, and of lines that stay only the warnings.
    """

    def __init__(self, quiet: bool = False) -> None:
        self._bar = rich.progress.Progress(*_COLUMNS, console=console.ERRORS, transient=True)
        self._quiet = quiet
        self._shown = console.ERRORS.is_terminal and not quiet
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
        self._live = Live(console=console.ERRORS, transient=True, auto_refresh=False)
        self._quiet = quiet
        self._shown = console.ERRORS.is_terminal and not quiet
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
