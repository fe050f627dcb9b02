"""What --help shows: all that the source says, at any width of the terminal."""

from __future__ import annotations

import inspect
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from midstream.cli.main import app

#: So wide that each option stands in one line.
_WIDE = 1000
_BOX = "│╭╮╰╯─"


def _walk(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield path, command
    for name, child in getattr(command, "commands", {}).items():
        yield from _walk(child, (*path, name))


COMMANDS = dict(_walk(get_command(app)))


@cache
def _rendered(path: tuple[str, ...], width: int) -> str:
    done = CliRunner().invoke(app, [*path, "--help"], env={"COLUMNS": str(width)}, prog_name="midstream")
    assert done.exit_code == 0, done.output
    return done.output.translate(str.maketrans(dict.fromkeys(_BOX, " ")))


def _joined(text: str) -> str:
    return " ".join(text.split())


def _spelling(param: Any) -> str:
    if param.param_type_name == "argument":
        return f"{param.metavar or param.name} "
    return f"{param.opts[0]} "


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: " ".join(path) or "midstream")
def test_no_text_is_lost_between_source_and_terminal(path: tuple[str, ...]) -> None:
    command, shown = COMMANDS[path], _rendered(path, _WIDE)
    assert _joined(inspect.cleandoc(command.help)) in _joined(shown)
    for child in getattr(command, "commands", {}).values():
        assert _joined(child.help.split("\n\n")[0]) in _joined(shown)
    lines = [f"{_joined(line)} " for line in shown.splitlines()]
    for param in command.params:
        assert param.help, param.name
        found = [line for line in lines if _spelling(param) in line and _joined(param.help) in line]
        if getattr(param, "hidden", False):
            assert not found, param.name
            continue
        assert len(found) == 1, param.name
        assert _default(param) in found[0], param.name


def _default(param: Any) -> str:
    """What the line of an option must say of its default."""
    if isinstance(param.show_default, str):
        return f"[default: ({param.show_default})]"
    if param.default is None or param.required or not param.show_default or getattr(param, "is_flag", False):
        return ""
    return f"[default: {param.default}]"


def test_defaults_are_told_to_typer_and_not_written_into_the_help() -> None:
    """Rich takes `[default: 4]` within a help text for markup, and drops it."""
    for path, command in COMMANDS.items():
        for param in command.params:
            assert "[default" not in (param.help or ""), (path, param.name)


@pytest.mark.parametrize("width", [80, 100, 132])
def test_a_narrow_terminal_wraps_and_cuts_nothing(width: int) -> None:
    for path in COMMANDS:
        narrow, wide = (Counter(re.sub(r"\s", "", _rendered(path, each))) for each in (width, _WIDE))
        assert narrow == wide, path
