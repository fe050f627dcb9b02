"""The command line's reference as Markdown, made from the Typer application itself when the site is built."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from typer.main import get_command

from midstream.cli.main import app

_INTRODUCTION = """\
# The command line

Every command explains itself with `--help`; this page shows the same texts. A command exits with 0 when it is done,
with 1 when it is done but some inputs failed, and with 2 and one line on standard error when it could not do what was
asked. Where the reader of a pipe leaves (`| head -1`), a command ends at once, with 1 and without a word.
"""


def markdown() -> str:
    """The whole page."""
    return "\n".join([_INTRODUCTION, *(_section(path, command) for path, command in _walk(get_command(app), ()))])


def _walk(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, child in getattr(command, "commands", {}).items():
        yield (*path, name), child
        yield from _walk(child, (*path, name))


def _section(path: tuple[str, ...], command: Any) -> str:
    lines = [f"{'#' * (len(path) + 1)} midstream {' '.join(path)}", ""]
    arguments = [param for param in command.params if param.param_type_name == "argument"]
    if not hasattr(command, "commands"):
        lines += [" ".join(["    midstream", *path, "[OPTIONS]", *map(_value, arguments)]), ""]
    lines += [_prose(command.help), "", *_table("Argument", arguments)]
    panels: dict[str, list[Any]] = {}
    for param in command.params:
        if param.param_type_name != "argument" and not param.hidden:
            panels.setdefault(param.rich_help_panel or "Option", []).append(param)
    for panel, options in panels.items():
        lines += _table(panel, options)
    return "\n".join(lines)


def _prose(text: str) -> str:
    """A help text with its examples as code."""
    paragraphs = []
    for paragraph in text.split("\n\n"):
        example = re.fullmatch(r"Example: (midstream .*)", paragraph)
        paragraphs.append(f"    {example[1]}" if example else _escaped(paragraph))
    return "\n\n".join(paragraphs)


def _table(title: str, params: list[Any]) -> list[str]:
    if not params:
        return []
    rows = [f"| {_names(param)} | {_escaped(param.help)}{_default(param)} |" for param in params]
    return [f"| {title} | |", "|---|---|", *rows, ""]


def _names(param: Any) -> str:
    if param.param_type_name == "argument":
        return f"`{_value(param)}`"
    names = ", ".join(f"`{name}`" for name in [*param.opts, *param.secondary_opts])
    return names if param.is_flag else f"{names} `{_value(param)}`"


def _value(param: Any) -> str:
    return str(param.metavar or param.name.upper()).strip("{}").replace("|", "\\|")


def _default(param: Any) -> str:
    if param.required:
        return " *Required.*"
    if isinstance(param.show_default, str):
        return f" Default: {param.show_default}."
    if param.default is None or callable(param.default) or not param.show_default or getattr(param, "is_flag", False):
        return ""
    return f" Default: `{param.default}`."


def _escaped(text: str) -> str:
    """Text in which Markdown and HTML see nothing of their own."""
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", " ".join(text.split()))
