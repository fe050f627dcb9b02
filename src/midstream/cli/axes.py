"""--axes, --grid and --extra: what the axes of a file's arrays are."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from midstream.errors import InputError, unknown
from midstream.layout import Tensor

#: Of a number of tokens.
_MOST_DIGITS = 9


def with_axes(
    pyramid: Mapping[str, NDArray[Any]], axes: Sequence[str], grid: Sequence[str], extra: Sequence[str]
) -> dict[str, Any]:
    """The arrays, each whose axes are given as a Tensor.

    Args:
        pyramid: level name -> array.
        axes, grid, extra: as the options have them, for all arrays or, behind a name and a colon, for one.

    Raises:
        InputError: an array that is not there, or what does not fit one.
    """
    named = {option: _by_name(option, given, pyramid) for option, given in _options(axes, grid, extra).items()}
    out: dict[str, Any] = {}
    for name, values in pyramid.items():
        own = {option: found.get(name, found.get("")) for option, found in named.items()}
        if own["--axes"] is None:
            if any(own.values()):
                raise InputError(f"level '{name}': --grid and --extra go with --axes, such as --axes 1NC")
            out[name] = values
            continue
        rows_columns = None if own["--grid"] is None else [_whole("--grid", part) for part in own["--grid"].split("x")]
        more = 0 if own["--extra"] is None else _whole("--extra", own["--extra"])
        try:
            out[name] = Tensor(values, own["--axes"], grid=rows_columns, extra=more)
        except InputError as error:
            raise InputError(f"level '{name}': {error}") from error
    return out


def _options(axes: Sequence[str], grid: Sequence[str], extra: Sequence[str]) -> dict[str, Sequence[str]]:
    return {"--axes": axes, "--grid": grid, "--extra": extra}


def _by_name(option: str, given: Sequence[str], names: Collection[str]) -> dict[str, str]:
    """What is given by the name of the array; by an empty one for all others."""
    out: dict[str, str] = {}
    for each in given:
        name, _, value = each.rpartition(":")
        if name and name not in names:
            raise unknown(f"level in {option}", name, names)
        if name in out:
            raise InputError(f"{option} is given twice for " + (f"level '{name}'" if name else "all levels"))
        out[name] = value
    return out


def _whole(option: str, text: str) -> int:
    if not text.isdecimal() or len(text) > _MOST_DIGITS:
        raise InputError(f"{option} {text[:20]!r}: expected a whole number, in --grid ROWSxCOLUMNS such as 14x14")
    return int(text)
