"""What the header of `paper` says of the quantiser, and how it follows from the options."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from itertools import pairwise
from typing import Any

import numpy as np

from midstream.codec.paper import quantize
from midstream.codec.paper.symbols import CODERS
from midstream.codec.wire import Reader, write_elements
from midstream.errors import UnsupportedError
from midstream.features import DTYPES

#: The z of the paper's Table 3 with the highest accuracy, for each n that the paper has.
BEST_Z = {3: 1.0, 4: 1.5}


class Rule(IntEnum):
    """Where the thresholds come from; the values are the bitstream's."""

    z = 0
    explicit = 1
    uniform = 2
    lloyd_max = 3
    range = 4
    whole = 5

    @property
    def label(self) -> str:
        """As the options spell it."""
        return self.name.replace("_", "-")


#: What `thresholds` may be, besides a list of numbers.
NAMED_THRESHOLDS = (Rule.uniform.label, Rule.lloyd_max.label, Rule.range.label)


@dataclass(frozen=True)
class Parameters:
    """Number of symbols, rule for the thresholds, coder.

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
        """The options that these follow from, for results and reports."""
        if self.rule is Rule.whole:
            return {"coder": self.coder}
        chosen: dict[str, Any] = {"thresholds": self.rule.label}
        if self.rule is Rule.z:
            chosen = {"z": self.parameter}
        elif self.rule is Rule.uniform:
            chosen["step"] = self.parameter
        elif self.rule is Rule.explicit:
            chosen = {"thresholds": list(self.thresholds)}
        return {"symbols": self.symbols, **chosen, "coder": self.coder}

    def fixed_thresholds(self) -> Sequence[float]:
        """In the normalised domain; none for Rule.range, and for Rule.lloyd_max none before they are fitted."""
        match self.rule:
            case Rule.z:
                return quantize.z_thresholds(self.symbols, self.parameter or 0.0)
            case Rule.uniform:
                return quantize.uniform_thresholds(self.symbols, self.parameter or 0.0)
            case _:
                return self.thresholds

    def write(self, thresholds: Sequence[float]) -> bytes:
        """For the header, with the thresholds that were used."""
        head = bytes([self.symbols - 1, CODERS.index(self.coder), self.rule])
        if self.rule in (Rule.z, Rule.uniform):
            return head + struct.pack("<f", self.parameter)
        return head + write_elements(np.asarray(thresholds, np.float32), DTYPES["float32"])


def read_parameters(data: bytes, *, whole: bool = False) -> Parameters:
    """The codec's parameters from the header; of Rule.lloyd_max the thresholds, too; Rule.whole where `whole` can be.

    Raises:
        CorruptError, UnsupportedError.
    """
    reader = Reader(data, "header")
    symbols, coder, rule = reader.u8() + 1, reader.u8(), reader.u8()
    if coder >= len(CODERS):
        raise UnsupportedError(f"coder number {coder}; this release knows {', '.join(CODERS)}")
    if rule not in set(Rule) or (rule == Rule.whole and not whole):
        raise UnsupportedError(f"threshold rule number {rule}")
    options = Parameters(symbols, Rule(rule), CODERS[coder])
    if options.rule in (Rule.z, Rule.uniform):
        options = replace(options, parameter=reader.f32())
    elif options.rule not in (Rule.range, Rule.whole):
        options = replace(options, thresholds=tuple(float(t) for t in reader.elements(DTYPES["float32"], symbols - 1)))
    reader.end()
    _check_parameters(options, reader)
    return options


def _check_parameters(options: Parameters, reader: Reader) -> None:
    if options.rule is Rule.z and options.symbols not in BEST_Z:
        raise reader.corrupt(f"thresholds by z for {options.symbols} symbols")
    if options.rule is Rule.range and options.symbols < 2:
        raise reader.corrupt("a range for one symbol")
    if options.rule is Rule.whole and options.symbols != quantize.MAX_SYMBOLS:
        raise reader.corrupt(f"whole numbers of {options.symbols} symbols")
    if options.parameter is not None and options.parameter <= 0:
        raise reader.corrupt("a threshold parameter that is not positive")
    if any(b <= a for a, b in pairwise(options.thresholds)):
        raise reader.corrupt("thresholds that do not increase")
