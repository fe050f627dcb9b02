"""The options of all codecs on the command line, from the fields of their models: one decorator, no list."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from midstream.cli.console import note
from midstream.cli.options import spelled
from midstream.codec.api import DEFAULT_CODEC
from midstream.codec.base import Codec, Shown
from midstream.codec.registry import codec_named, codecs, make_codec
from midstream.errors import InputError
from midstream.files import STANDARD

_CODEC = "codec"
_PANEL = "Codec"


def takes_codec(
    *, without: Collection[str] = (), default: str = DEFAULT_CODEC
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Replaces a command's parameter `codec: Codec` by --codec and the options of every codec.

    Args:
        without: options that the command has itself.
        default: the codec where none is named, unless the options that are given are another's.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        signature, hints = inspect.signature(command), get_type_hints(command, include_extras=True)
        added = _parameters({*without, *signature.parameters, "help"} - {_CODEC}, default)
        parameters = []
        for name, each in signature.parameters.items():
            parameters += added if name == _CODEC else [each.replace(kind=each.KEYWORD_ONLY, annotation=hints[name])]

        @wraps(command)
        def wrapped(**given: Any) -> None:
            options = {each.name: given.pop(each.name) for each in added}
            source = given.get("source")
            name = options.pop(_CODEC) or _meant(options, default)
            command(**given, codec=_chosen(name, options, source if isinstance(source, str) else ""))

        wrapped.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        wrapped.__annotations__ = {each.name: each.annotation for each in parameters}
        return wrapped

    return decorate


def _parameters(taken: Collection[str], default: str) -> list[inspect.Parameter]:
    """--codec, and each option once, of whichever codecs have it; none by a name that the command has itself."""
    known = codecs()
    text, shown_default = f"The codec: {', '.join(known)}.", f"{default}, or the one whose options are given"
    option = typer.Option("--codec", help=text, show_default=shown_default, rich_help_panel=_PANEL)
    out = [_parameter(_CODEC, Annotated[str | None, option], None)]
    seen = {*taken, _CODEC}
    for codec in known.values():
        shown = codec.shown()
        for key, field in codec.model_fields.items():
            if key in seen:
                continue
            seen.add(key)
            flag = field.annotation is bool
            option = typer.Option(
                f"{spelled(key)}/{spelled(f'no_{key}')}" if flag and field.default is True else spelled(key),
                help=field.description,
                show_default=_default(field.default, shown[key]),
                rich_help_panel=f"{_PANEL} {codec.name}",
                metavar=None if flag else shown[key].metavar or key.upper(),
            )
            out.append(_parameter(key, Annotated[(bool if flag else str) | None, option], None))
            for old in [each for each in shown[key].old if each not in seen]:
                seen.add(old)
                hidden = typer.Option(spelled(old), help=f"Now {spelled(key)}.", hidden=True)
                out.append(_parameter(old, Annotated[str | None, hidden], None))
    return out


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _default(value: Any, shown: Shown) -> str | bool:
    if shown.default is not None:
        return shown.default
    return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else False


def _meant(options: Mapping[str, Any], default: str) -> str:
    """The codec that has all options that are given: the usual one, or the first other one, or none but the usual."""
    given = {key for key, value in options.items() if value is not None}
    for name in dict.fromkeys([default, *codecs()]):
        kind = codec_named(name)
        if given <= {*kind.model_fields, *(old for each in kind.shown().values() for old in each.old)}:
            return name
    return default


def _chosen(name: str, options: Mapping[str, Any], source: str) -> Codec:
    """The codec from text. Raises InputError."""
    given = {key: value for key, value in options.items() if value is not None}
    kind = codec_named(name)
    for key, shown in kind.shown().items():
        for old in shown.old:
            if old in given:
                note(f"{spelled(old)} is now {spelled(key)}; the next release no longer knows the earlier name")
        if shown.file and key in given:
            check_file(spelled(key), given[key], source)
    return make_codec(name, kind.by_present_names(given))


def check_file(option: str, value: str | None, source: str = "") -> None:
    """Refuse what cannot be a file, or is standard input where `source` is that, too. Raises InputError."""
    if value == STANDARD == source:
        raise InputError(f"standard input (-) is given twice, for the input and for {option}")
    if value is not None and (not value or Path(value).is_dir()):
        raise InputError(f"{option} '{value}': the name of a file is needed")
