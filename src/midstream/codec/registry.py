"""The codecs that there are: this project's, a package each in `midstream.codec`, and those of other packages."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import warnings
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from typing import Any

from midstream import codec as package
from midstream.codec.base import Codec
from midstream.errors import InputError, OptionError, UnsupportedError, unknown

#: Entry points of it name a subclass of `Codec`: `mine = "my_package:MyCodec"`.
GROUP = "midstream.codecs"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._-]*")
#: Numbers from here on are for codecs of other packages (docs/format.md).
FIRST_FOREIGN = 128


@cache
def _own() -> dict[str, type[Codec]]:
    rooms = [module.name for module in pkgutil.iter_modules(package.__path__) if module.ispkg]
    inside = [vars(importlib.import_module(f"{package.__name__}.{room}")).values() for room in rooms]
    found = [each for values in inside for each in values if isinstance(each, type) and issubclass(each, Codec)]
    return {each.name: each for each in sorted(found, key=lambda each: each.number)}


@cache
def _foreign() -> tuple[dict[str, type[Codec]], list[str]]:
    """Those of other packages, and what is wrong with the others: one that is broken must not stop the rest."""
    found: dict[str, type[Codec]] = {}
    faults = []
    for point in sorted(metadata.entry_points(group=GROUP), key=lambda each: each.name):
        try:
            each = _loaded(point)
            known = {**_own(), **found}
            if each.name in known or any(each.number == other.number for other in known.values()):
                raise InputError(f"{_where(point)}: the name '{each.name}' or the number {each.number} is taken")
            found[each.name] = each
        except InputError as error:
            faults.append(str(error))
            warnings.warn(str(error), RuntimeWarning, stacklevel=2)
    return found, faults


def codecs() -> dict[str, type[Codec]]:
    """All codecs by name: this project's in the order of their numbers, then those of other packages.

    Warns once (RuntimeWarning) about each entry point that does not load, is no codec, or takes the name or number of
    another, and leaves it out.
    """
    return {**_own(), **_foreign()[0]}


def _loaded(point: metadata.EntryPoint) -> type[Codec]:
    try:
        loaded = point.load()
    except (Exception, SystemExit) as error:  # whatever happens in somebody else's package
        raise InputError(f"{_where(point)} does not load: {type(error).__name__}: {error}") from error
    if not (isinstance(loaded, type) and issubclass(loaded, Codec)) or inspect.isabstract(loaded):
        raise InputError(f"{_where(point)} is no subclass of midstream.Codec with all that a codec has")
    lacking = [key for key in ("name", "number", "capabilities", "decoder") if not hasattr(loaded, key)]
    if lacking or not isinstance(loaded.name, str) or not _NAME.fullmatch(loaded.name):
        raise InputError(f"{_where(point)} has no {lacking[0] if lacking else 'name of letters, digits, + - . and _'}")
    if type(loaded.number) is not int:
        raise InputError(f"{_where(point)}: its number is no whole number")
    if not FIRST_FOREIGN <= loaded.number <= 0xFF:
        raise InputError(f"{_where(point)}: its number {loaded.number} is not from {FIRST_FOREIGN} to 255")
    return loaded


def _where(point: metadata.EntryPoint) -> str:
    origin = f" of the package {point.dist.name}" if point.dist is not None else ""
    return f"the codec {point.value}{origin}"


def codec_named(name: str) -> type[Codec]:
    """The codec of this name. Raises InputError."""
    if not isinstance(name, str):
        raise InputError(f"a codec is a midstream.Codec or the name of one, not {type(name).__name__}")
    known = _own() if name in _own() else codecs()
    if name not in known:
        raise InputError("; ".join([str(unknown("codec", str(name), known)), *_foreign()[1]]))
    return known[name]


def codec_numbered(number: int) -> type[Codec]:
    """The codec whose bitstreams, or units of streams, have this number. Raises UnsupportedError."""
    for known in (_own, codecs):
        for each in known().values():
            if number in (each.number, each.stream_number):
                return each
    reasons = [f"codec number {number}; this release knows {', '.join(codecs())}", *_foreign()[1]]
    raise UnsupportedError("; ".join(reasons))


def _whose(codec: type[Codec], options: Mapping[str, Any]) -> str:
    """What to say of the first option that another codec has."""
    for key in options:
        if key not in codec.model_fields:
            having = next((each.name for each in codecs().values() if key in each.model_fields), None)
            return "" if having is None else f"; `codec` {having} has it"
    return ""


def make_codec(codec: str | Codec, options: Mapping[str, Any]) -> Codec:
    """A codec from its name and its options, which may be text; options of None are not given.

    Raises:
        InputError: an unknown codec or option, or a value that it does not take; the message says which it does.
    """
    given = {key: value for key, value in options.items() if value is not None}
    if not isinstance(codec, Codec):
        kind = codec_named(codec)
        # A flag that is off asks for nothing, of a codec without it either.
        asked = {key: value for key, value in given.items() if value is not False or key in kind.model_fields}
        try:
            return kind(**asked)
        except OptionError as error:
            raise OptionError(error.text + _whose(kind, asked)) from error
    if given:
        raise OptionError(f"`{next(iter(given))}` goes with the name of a codec: a {type(codec).__name__} has its own")
    return codec
