"""The codec `paper` and its options."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Self

import numpy as np
from pydantic import Field, model_validator

from midstream.codec.base import MOST_SHOWN, NO_HINTS, Capabilities, Codec, Decoder, Hints, Shown, checked_by, in_words
from midstream.codec.paper.coding import begin_levels
from midstream.codec.paper.decoder import PaperDecoder
from midstream.codec.paper.frames import PaperFrames
from midstream.codec.paper.header import NUMBER
from midstream.codec.paper.integers import check_options, is_whole, whole_parameters
from midstream.codec.paper.parameters import BEST_Z, NAMED_THRESHOLDS, Parameters, Rule
from midstream.codec.paper.quantize import MAX_SYMBOLS
from midstream.codec.paper.symbols import CODERS
from midstream.codec.paper.unit_decoder import PaperUnitDecoder
from midstream.codec.paper.units import CODER, STREAM_NUMBER
from midstream.codec.sequence import SequenceEncoder
from midstream.errors import InputError, OptionError, unknown
from midstream.features import Level

DEFAULT_SYMBOLS = 4
DEFAULT_CODER = "fast"
_LARGEST_FLOAT32 = float(np.finfo(np.float32).max)
_SMALLEST_FLOAT32 = float(np.finfo(np.float32).tiny)


def _count(value: Any) -> int:
    try:
        count = int(value) if isinstance(value, str) else operator.index(value)  # numpy's integers, too
    except (TypeError, ValueError):
        count = 0
    if isinstance(value, bool) or not 1 <= count <= MAX_SYMBOLS:
        raise OptionError(f"`symbols` is a whole number from 1 to {MAX_SYMBOLS}, not {in_words(value)}")
    return count


def _positive(what: str) -> Callable[[Any], float]:
    def check(value: Any) -> float:
        try:
            number = math.nan if isinstance(value, bool | bytes) else float(value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if not _SMALLEST_FLOAT32 <= number <= _LARGEST_FLOAT32:
            raise OptionError(f"`{what}` is a positive number of standard deviations, not {in_words(value)}")
        return number

    return check


def _thresholds(value: Any) -> str | tuple[float, ...]:
    """A name, or numbers: text has commas between them, or slashes where commas are between points of a curve."""
    if isinstance(value, str) and value in NAMED_THRESHOLDS:
        return value
    try:
        if isinstance(value, bytes):
            raise TypeError
        return tuple(float(each) for each in (re.split("[,/]", value) if isinstance(value, str) else value))
    except (TypeError, ValueError, OverflowError) as error:
        valid = ", ".join(NAMED_THRESHOLDS)
        if isinstance(value, str):
            text = f"unknown `thresholds` {in_words(value)}; valid: {valid}, or increasing numbers separated by commas"
        else:
            text = f"`thresholds` are increasing numbers or one of {valid}, not {in_words(value)}"
        raise OptionError(text) from error


def _coder(value: Any) -> str:
    if not isinstance(value, str) or value not in CODERS:
        raise unknown("coder", str(value)[:MOST_SHOWN], CODERS)
    return str(value)


def _explicit(symbols: int, values: Sequence[float]) -> tuple[float, ...]:
    if len(values) != symbols - 1:
        raise InputError(f"{symbols} symbols need {symbols - 1} thresholds, not {len(values)}")
    if not all(math.isfinite(t) and abs(t) <= _LARGEST_FLOAT32 for t in values):
        raise OptionError("`thresholds` must be finite")
    if any(b <= a for a, b in pairwise(np.asarray(values, np.float32))):  # the bitstream holds them as float32
        raise OptionError(f"`thresholds` must increase: {', '.join(f'{t:g}' for t in values)}")
    return tuple(values)


class Paper(Codec):
    """Few symbols a channel, as in the founding paper: normalise, quantise, reconstruct. Self-contained.

    >>> data = ms.encode(pyramid, ms.Paper(symbols=4, z=1.5, coder="dense"))

    Without z and thresholds: the paper's best z for n = 3 and n = 4, the 8-bit conversion's `range` for n = 256,
    `lloyd-max` for any other n.
    """

    name: ClassVar[str] = "paper"
    number: ClassVar[int] = NUMBER
    stream_number: ClassVar[int | None] = STREAM_NUMBER
    capabilities: ClassVar[Capabilities] = Capabilities(
        partial=True, state=True, devices=("cpu", "cuda"), integers=True
    )
    decoder: ClassVar[Decoder] = PaperDecoder()

    symbols: Annotated[
        int | None,
        checked_by(_count),
        Shown(default=str(DEFAULT_SYMBOLS), metavar="N"),
        Field(description="Number of symbols (intervals) n, 1 to 256; one more than a list of thresholds has."),
    ] = None
    z: Annotated[
        float | None,
        checked_by(_positive("z")),
        Shown(default="the paper's best, 1.0 and 1.5", metavar="Z"),
        Field(description="The paper's threshold in standard deviations: -z, z for 3 symbols, -z, 0, z for 4."),
    ] = None
    thresholds: Annotated[
        str | tuple[float, ...] | None,
        checked_by(_thresholds),
        Shown(metavar="T"),
        Field(
            description="Instead of z: n - 1 increasing numbers (-1,0,1), uniform (with a step), lloyd-max (fitted to "
            "each image) or range (uniform over each channel's range; with 256 symbols the 8-bit conversion)."
        ),
    ] = None
    step: Annotated[
        float | None,
        checked_by(_positive("step")),
        Shown(metavar="STEP"),
        Field(description="Distance between uniform thresholds, in standard deviations."),
    ] = None
    coder: Annotated[
        str,
        checked_by(_coder),
        Shown(metavar="CODER"),
        Field(
            description="How symbols are written: fast (near memory speed), dense (the fewest bytes; about 70 ns an "
            "element for 3 and 4 symbols, 500 for 256; in a stream it looks at the frame before), raw (fixed width) or "
            "prefix (a Huffman code)."
        ),
    ] = DEFAULT_CODER

    @model_validator(mode="after")
    def _belong_together(self) -> Self:
        _ = self.parameters
        return self

    @property
    def parameters(self) -> Parameters:
        """What the options come to, with all that was not given."""
        explicit = self.thresholds if isinstance(self.thresholds, tuple) else None
        symbols = self.symbols or (DEFAULT_SYMBOLS if explicit is None else _count(len(explicit) + 1))
        if self.z is not None and self.thresholds is not None:
            raise OptionError("give either `z` or `thresholds`, not both")
        if self.step is not None and self.thresholds != Rule.uniform.label:
            raise OptionError("`step` belongs to `thresholds`='uniform'")
        if explicit is not None:
            return Parameters(symbols, Rule.explicit, self.coder, thresholds=_explicit(symbols, explicit))
        if self.thresholds is not None:
            return self._named(symbols, str(self.thresholds))
        if self.z is None and symbols not in BEST_Z:
            return self._named(symbols, (Rule.range if symbols == MAX_SYMBOLS else Rule.lloyd_max).label)
        if symbols not in BEST_Z:
            raise OptionError(
                f"`z` is defined for 3 and 4 symbols, not {symbols}: give `thresholds`, a list or one of "
                f"{', '.join(NAMED_THRESHOLDS)}"
            )
        return Parameters(symbols, Rule.z, self.coder, parameter=BEST_Z[symbols] if self.z is None else self.z)

    def _named(self, symbols: int, name: str) -> Parameters:
        rule = Rule[name.replace("-", "_")]
        if rule is Rule.uniform:
            if self.step is None:
                raise OptionError("`thresholds`='uniform' needs a `step`, in standard deviations")
            return Parameters(symbols, rule, self.coder, parameter=self.step)
        if rule is Rule.range and symbols < 2:
            raise OptionError("`thresholds`='range' needs at least 2 symbols")
        return Parameters(symbols, rule, self.coder)

    @property
    def coder_name(self) -> str:
        """See Codec."""
        return self.coder

    def describe(self) -> dict[str, Any]:
        """See Codec: what was given, and what the other options are because of it."""
        return {"codec": self.name, **self.parameters.describe()}

    def encode(self, levels: Sequence[Level], hints: Hints = NO_HINTS, threads: int | None = None) -> bytes:
        """See Codec; takes no hints."""
        return self.begin(levels, hints, threads)()

    def begin(
        self, levels: Sequence[Level], hints: Hints = NO_HINTS, threads: int | None = None
    ) -> Callable[[], bytes]:
        """See Codec; normalises and quantises on the levels' device."""
        del hints
        return begin_levels(levels, self._parameters_for(levels), threads)

    def _parameters_for(self, levels: Sequence[Level]) -> Parameters:
        """With which levels are coded. Raises OptionError: a quantiser's, for levels that are not quantised."""
        if not all(map(is_whole, levels)):
            return self.parameters
        check_options(list(self.given()), self.symbols)
        return whole_parameters(self.coder)

    def sequence(self) -> SequenceEncoder:
        """See Codec: with the coder `dense`, frames look at those before them."""
        return PaperFrames(self, self.parameters) if self.coder == CODER else super().sequence()

    @classmethod
    def decoder_numbered(cls, number: int) -> Decoder:
        """See Codec."""
        return PaperUnitDecoder() if number == cls.stream_number else cls.decoder
