"""What goes to the terminal: tables and JSON on standard output, notes on standard error."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from midstream.data.reading import Skipped

#: Exit code where all is done that can be, and some inputs failed.
SOME_FAILED = 1
#: Failures that are named; all are in the JSON or in a table.
SHOWN_FAILURES = 5
#: Standard error.
ERRORS = Console(stderr=True)
#: Width of a table in a pipe, where there is no terminal to fit into.
_PIPE_WIDTH = 200


def note(text: str) -> None:
    """One line on standard error; above a bar, where there is one."""
    if ERRORS.is_terminal:
        ERRORS.print(Text(printable(text)), soft_wrap=True)
    else:
        sys.stderr.write(printable(text) + "\n")


def leave_with_skipped(skipped: Sequence[Skipped]) -> None:
    """Where images were skipped, (path, why) each: name the first on standard error and leave with SOME_FAILED."""
    if not skipped:
        return
    for _, why in skipped[:SHOWN_FAILURES]:
        note(f"skipped: {why}")
    note(f"{len(skipped):,} image{'s' if len(skipped) > 1 else ''} skipped; --strict ends at the first")
    raise typer.Exit(SOME_FAILED)


def quiet_grpc() -> None:
    """Keep gRPC's core from writing to standard error beside this program, unless the user asks for it."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")


def printable(text: str) -> str:
    """The text without control characters: names out of a bitstream must not drive the terminal."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def say(text: str) -> None:
    """A line on standard output, whatever names of other people's are in it."""
    print(printable(text))


def print_json(value: Any) -> None:
    """A JSON document on standard output."""
    sys.stdout.write(json.dumps(value, indent=2, allow_nan=False) + "\n")


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> None:
    """A table on standard output; the first `left` columns are text, the others numbers."""
    table = Table()
    for i, column in enumerate(columns):
        table.add_column(escape(column), justify="left" if i < left else "right", overflow="fold")
    for row in rows:
        lines = ([escape(printable(line)) for line in cell.split("\n")] for cell in row)
        table.add_row(*("\n".join(cell) for cell in lines))
    console = Console()
    if not console.is_terminal and not os.environ.get("COLUMNS", "").isdigit():
        console = Console(width=_PIPE_WIDTH)
    if title:
        console.print(
            "\n".join(escape(printable(line)) for line in title.split("\n")),
            style="italic",
            highlight=False,
            soft_wrap=True,
        )  # however narrow the table is
    console.print(table)
