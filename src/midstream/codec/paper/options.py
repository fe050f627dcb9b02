"""The options of the codec `paper`, checked where they enter."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import pairwise
from typing import Any

import numpy as np

from midstream.codec.paper.quantize import MAX_SYMBOLS
from midstream.codec.paper.symbols import CODERS
from midstream.errors import InputError, OptionError, unknown

#: The z of the paper's Table 3 with the highest accuracy, for each n that the paper has.
BEST_Z = {3: 1.0, 4: 1.5}
DEFAULT_SYMBOLS = 4
DEFAULT_CODER = "fast"
_LARGEST_FLOAT32 = float(np.finfo(np.float32).max)
_SMALLEST_FLOAT32 = float(np.finfo(np.float32).tiny)


class Rule(IntEnum):
    """Where the thresholds come from; the values are the bitstream's."""

    z = 0
    explicit = 1
    uniform = 2
    lloyd_max = 3
    range = 4

    @property
    def label(self) -> str:
        """As the options spell it."""
        return self.name.replace("_", "-")


#: What `thresholds` may be, besides a list of numbers.
NAMED_THRESHOLDS = (Rule.uniform.label, Rule.lloyd_max.label, Rule.range.label)


@dataclass(frozen=True)
class PaperOptions:
    """A complete choice: number of symbols, rule for the thresholds, coder.

    Attributes:
        symbols: n, 1 to 256.
        rule: where the thresholds come from.
        parameter: z for Rule.z, the step for Rule.uniform.
        thresholds: for Rule.explicit.
        coder: one of CODERS.
    """

    symbols: int
    rule: Rule
    coder: str
    parameter: float | None = None
    thresholds: tuple[float, ...] = field(default=())

    def describe(self) -> dict[str, Any]:
        """The options as `encode` takes them, for results and reports."""
        chosen: dict[str, Any] = {"thresholds": self.rule.label}
        if self.rule is Rule.z:
            chosen = {"z": self.parameter}
        elif self.rule is Rule.uniform:
            chosen["step"] = self.parameter
        elif self.rule is Rule.explicit:
            chosen = {"thresholds": list(self.thresholds)}
        return {"codec": "paper", "symbols": self.symbols, **chosen, "coder": self.coder}


def paper_options(
    symbols: int | None = None,
    z: float | None = None,
    thresholds: str | Sequence[float] | None = None,
    step: float | None = None,
    coder: str = DEFAULT_CODER,
) -> PaperOptions:
    """Check the options and fill in what is not given.

    Without z and thresholds: the paper's best z for n = 3 and n = 4, the 8-bit conversion's `range` for n = 256,
    `lloyd-max` for any other n.

    Raises:
        InputError: a value that cannot be used; the message says which are valid.
    """
    if coder not in CODERS:
        raise unknown("coder", str(coder), CODERS)
    explicit = None if thresholds is None or isinstance(thresholds, str) else _numbers(thresholds)
    if symbols is None:
        symbols = DEFAULT_SYMBOLS if explicit is None else len(explicit) + 1
    symbols = _count(symbols)
    if z is not None and thresholds is not None:
        raise OptionError("give either `z` or `thresholds`, not both")
    if step is not None and (explicit is not None or thresholds != Rule.uniform.label):
        raise OptionError("`step` belongs to `thresholds`='uniform'")
    if explicit is not None:
        return PaperOptions(symbols, Rule.explicit, coder, thresholds=_explicit(symbols, explicit))
    if thresholds is not None:
        return _named(symbols, str(thresholds), step, coder)
    if z is None and symbols not in BEST_Z:
        return _named(symbols, (Rule.range if symbols == MAX_SYMBOLS else Rule.lloyd_max).label, None, coder)
    if symbols not in BEST_Z:
        raise OptionError(
            f"`z` is defined for 3 and 4 symbols, not {symbols}: give `thresholds`, a list or one of "
            f"{', '.join(NAMED_THRESHOLDS)}"
        )
    return PaperOptions(symbols, Rule.z, coder, parameter=_positive("z", BEST_Z[symbols] if z is None else z))


def _named(symbols: int, name: str, step: float | None, coder: str) -> PaperOptions:
    if name not in NAMED_THRESHOLDS:
        raise InputError(
            f"unknown thresholds '{name}'; valid: {', '.join(NAMED_THRESHOLDS)}, or {symbols - 1} increasing numbers"
        )
    rule = Rule[name.replace("-", "_")]
    if rule is Rule.uniform:
        if step is None:
            raise OptionError("`thresholds`='uniform' needs a `step`, in standard deviations")
        return PaperOptions(symbols, rule, coder, parameter=_positive("step", step))
    if rule is Rule.range and symbols < 2:
        raise OptionError("`thresholds`='range' needs at least 2 symbols")
    return PaperOptions(symbols, rule, coder)


def _count(value: Any) -> int:
    try:
        count = operator.index(value)  # numpy's integers, too
    except TypeError:
        count = 0
    if not 1 <= count <= MAX_SYMBOLS:
        raise OptionError(f"`symbols` is a whole number from 1 to {MAX_SYMBOLS}, not {value!r}")
    return count


def _positive(what: str, value: Any) -> float:
    try:
        number = math.nan if isinstance(value, str) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not _SMALLEST_FLOAT32 <= number <= _LARGEST_FLOAT32:
        raise OptionError(f"`{what}` is a positive number of standard deviations, not {value!r}")
    return number


def _explicit(symbols: int, values: Sequence[float]) -> tuple[float, ...]:
    if len(values) != symbols - 1:
        raise InputError(f"{symbols} symbols need {symbols - 1} thresholds, not {len(values)}")
    if not all(math.isfinite(t) and abs(t) <= _LARGEST_FLOAT32 for t in values):
        raise OptionError("`thresholds` must be finite")
    if any(b <= a for a, b in pairwise(np.asarray(values, np.float32))):  # the bitstream holds them as float32
        raise OptionError(f"`thresholds` must increase: {', '.join(f'{t:g}' for t in values)}")
    return tuple(values)


def _numbers(thresholds: Any) -> list[float]:
    try:
        return [float(t) for t in thresholds]
    except (TypeError, ValueError) as error:
        raise InputError(
            f"thresholds are increasing numbers or one of {', '.join(NAMED_THRESHOLDS)}, not {thresholds!r}"
        ) from error
