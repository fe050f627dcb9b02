"""The program `midstream`."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException

import midstream
from midstream import _native
from midstream.cli import options
from midstream.cli.commands import Commands
from midstream.cli.console import note
from midstream.errors import InputError, MidstreamError, OptionError

_USAGE_ERROR = 2
_INTERRUPTED = 130

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="A feature codec for machine vision: code a detector's feature pyramid instead of the image.",
)


def _version(show: bool) -> None:
    if show:
        print(midstream.__version__)
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = (
        False
    ),
) -> None:
    del version


def run() -> None:
    """Run the command line: 0 when done, 2 with one line on standard error for whatever the user can mend."""
    warnings.showwarning = lambda message, *_, **__: note(f"warning: {message}")
    try:
        _check_streams()
        _check_simd_path()
        code = app(standalone_mode=False)
        sys.stdout.flush()
    except (TyperException, MidstreamError) as error:
        message = " ".join(_message(error).split())
        if message:  # empty when the help has been shown in its place
            note(f"midstream: {message}")
        sys.exit(_USAGE_ERROR)
    except MemoryError:
        note("midstream: not enough memory")
        sys.exit(_USAGE_ERROR)
    except (KeyboardInterrupt, typer.Abort) as error:
        note(": ".join(["midstream: interrupted", *map(str, error.args)]))
        sys.exit(_INTERRUPTED)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python would flush once more at exit
        if isinstance(error, BrokenPipeError):  # the reader of a pipe has gone: leave quietly
            sys.exit(1)
        place = "" if error.filename is None else f"{error.filename}: "
        note(f"midstream: {place}{error.strerror or error}")
        sys.exit(_USAGE_ERROR)
    sys.exit(code if isinstance(code, int) else 0)


def _message(error: TyperException | MidstreamError) -> str:
    if isinstance(error, TyperException):
        return error.format_message()
    return error.spelled(options.spelled) if isinstance(error, OptionError) else str(error)


def _check_streams() -> None:
    """Put /dev/null where the shell has closed a stream, for Python has None there; results must go somewhere."""
    if sys.stdin is None:
        sys.stdin = Path(os.devnull).open()  # noqa: SIM115 (stays open)
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115
    if sys.stdout is None:
        raise InputError("standard output is closed: give one, such as >/dev/null")


def _check_simd_path() -> None:
    try:
        _native.simd_path()
    except ValueError as error:
        raise InputError(f"MIDSTREAM_SIMD: {error}") from error
