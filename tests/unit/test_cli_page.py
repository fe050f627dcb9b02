"""The page about the command line is made of the application: no command or option is missing from it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.helpers.loading import load_script
from typer.main import get_command

from midstream.cli.main import app

PAGE: str = load_script(Path(__file__).parents[2] / "docs" / "cli_page.py").markdown()


def commands(command: Any, path: str = "midstream") -> Iterator[tuple[str, Any]]:
    for name, child in getattr(command, "commands", {}).items():
        yield f"{path} {name}", child
        yield from commands(child, f"{path} {name}")


def test_every_command_has_a_section_with_all_its_options() -> None:
    sections = dict(re.findall(r"^#+ (midstream .*)\n((?:(?!#).*\n?)*)", PAGE, re.MULTILINE))
    known = dict(commands(get_command(app)))
    assert set(sections) == set(known)
    for path, command in known.items():
        for param in command.params:
            for option in param.opts if param.param_type_name == "option" and not param.hidden else []:
                assert f"`{option}`" in sections[path], (path, option)


def test_help_is_shown_without_being_taken_for_markdown() -> None:
    assert r"\[C, H, W\]" in PAGE
    for line in PAGE.splitlines():
        if line.startswith("|"):
            assert len(re.findall(r"(?<!\\)\|", line)) == 3, line
