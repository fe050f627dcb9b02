"""The codec `calibrated` and its options."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, ClassVar, Literal, Self, get_args

import numpy as np
from pydantic import Field, GetPydanticSchema, WithJsonSchema, model_validator
from pydantic_core import core_schema

from midstream.codec.base import (
    MOST_SHOWN,
    NO_HINTS,
    Capabilities,
    Codec,
    Decoder,
    Hints,
    ImportanceGrid,
    Shown,
    checked_by,
    in_words,
)
from midstream.codec.calibrated.coding import Analysed, analyse, code
from midstream.codec.calibrated.decoder import CalibratedDecoder
from midstream.codec.calibrated.document import QUALITIES
from midstream.codec.calibrated.profile import Profile
from midstream.codec.calibrated.rate import code_within, finest_step
from midstream.codec.calibrated.stream import NUMBER, STREAM_NUMBER
from midstream.codec.calibrated.transform import grid_of
from midstream.codec.sequence import SequenceEncoder
from midstream.errors import OptionError, unknown
from midstream.features import DeviceLevel, Level

DEFAULT_QUALITY = 60
ImportanceSource = Literal["probe", "network"]
IMPORTANCE_SOURCES: tuple[ImportanceSource, ...] = get_args(ImportanceSource)


def _share(value: Any) -> float:
    """Of 1, or as text in percent, too."""
    try:
        if isinstance(value, str):
            return float(value.removesuffix("%")) / (100 if value.endswith("%") else 1)
    except ValueError:
        return math.nan
    known = isinstance(value, int | float | np.floating) and not isinstance(value, bool)
    return float(value) if known and -1 < value < 2 else math.nan  # a float has no room for every whole number


def _loss(value: Any) -> float:
    share = _share(value)
    if not 0 < share < 1:
        raise OptionError(
            f"`max_loss` is a share of the accuracy above 0 and below 1, such as 1% or 0.01, not {in_words(value)}"
        )
    return share


def _whole(what: str, least: int, most: int | None = None) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        try:
            number = int(value) if isinstance(value, str) else operator.index(value)  # numpy's integers, too
        except (TypeError, ValueError):
            number = least - 1
        if isinstance(value, bool) or number < least or (most is not None and number > most):
            upper = f" to {most}" if most is not None else " or more"
            raise OptionError(f"`{what}` is a whole number, {least}{upper}, not {in_words(value)}")
        return number

    return check


def _source(value: Any) -> str:
    if not isinstance(value, str) or value not in IMPORTANCE_SOURCES:
        raise unknown("source of the importance map", str(value)[:MOST_SHOWN], IMPORTANCE_SOURCES)
    return str(value)


def _schema_of_profile(_source: Any, _handler: Any) -> core_schema.CoreSchema:
    """As an object or the name of its file; in results by its own name."""
    return core_schema.no_info_plain_validator_function(
        Profile.of, serialization=core_schema.plain_serializer_function_ser_schema(lambda profile: profile.name)
    )


class Calibrated(Codec):
    """Fitted to one network by `midstream calibrate`, and far smaller.

    >>> data = ms.encode(pyramid, ms.Calibrated(profile="picodet.profile", quality=60))
    """

    name: ClassVar[str] = "calibrated"
    number: ClassVar[int] = NUMBER
    stream_number: ClassVar[int | None] = STREAM_NUMBER
    capabilities: ClassVar[Capabilities] = Capabilities(profile=True, state=True, devices=("cpu", "cuda"))
    decoder: ClassVar[Decoder] = CalibratedDecoder()
    targets: ClassVar[tuple[str, ...]] = ("quality", "max_bytes", "max_loss")

    profile: Annotated[
        Profile,
        GetPydanticSchema(_schema_of_profile),
        WithJsonSchema({"type": "string", "format": "path"}),
        Shown(metavar="FILE", file=True),
        Field(description="The network's profile, from 'midstream calibrate'; - for standard input."),
    ]
    quality: Annotated[
        int | None,
        checked_by(_whole("quality", QUALITIES[0], QUALITIES[-1])),
        Shown(default=str(DEFAULT_QUALITY), metavar="Q"),
        Field(description="1 to 100: the same number means about the same relative loss of accuracy on every network."),
    ] = None
    max_bytes: Annotated[
        int | None,
        checked_by(_whole("max_bytes", 1)),
        Shown(metavar="BYTES"),
        Field(description="Instead of a quality: a hard cap on the bytes of each bitstream."),
    ] = None
    max_loss: Annotated[
        float | None,
        checked_by(_loss),
        Shown(metavar="SHARE"),
        Field(
            description="Instead of a quality: the most that the accuracy may suffer, such as 1% or 0.01, by the "
            "calibration's own estimate."
        ),
    ] = None
    embed: Annotated[bool, Field(description="Put the profile into the bitstream.")] = False
    importance: Annotated[
        ImportanceSource,
        checked_by(_source),
        Shown(metavar="SOURCE", old=("places",)),
        Field(
            description="Where the importance map comes from, which spends the bits where the network looks: probe "
            "(the profile's own guess from the features) or network (a run of its back, in commands that have the "
            "network, as eval, push and video encode do, and encode does not: an upper bound, for research, since a "
            "device that can do this needs no server)."
        ),
    ] = "probe"

    @model_validator(mode="before")
    @classmethod
    def _has_a_profile(cls, options: Any) -> Any:
        if isinstance(options, Mapping) and options.get("profile") is None:
            raise OptionError(
                "the codec calibrated needs a `profile` of the network: make one with 'midstream calibrate'"
            )
        return options

    @model_validator(mode="after")
    def _has_one_target(self) -> Self:
        if sum(getattr(self, target) is not None for target in self.targets) > 1:
            raise OptionError("give one of `quality`, `max_bytes` and `max_loss`")
        return self

    @property
    def coder_name(self) -> str:
        """See Codec."""
        return "coefficients"

    @property
    def decoding_profile(self) -> Profile:
        """See Codec."""
        return self.profile

    @property
    def profile_name(self) -> str:
        """See Codec."""
        return "" if self.embed else self.profile.name

    def describe(self) -> dict[str, Any]:
        """See Codec; the profile by its hash, and of the targets the one that counts."""
        chosen = {"quality": self.quality, "max_bytes": self.max_bytes, "max_loss": self.max_loss}
        target = {key: value for key, value in chosen.items() if value is not None} or {"quality": DEFAULT_QUALITY}
        about = {"codec": self.name, "profile": self.profile.name, **target}
        return {**about, "embed": self.embed, "importance": self.importance}

    def check_network(self, network: str, cut: str) -> None:
        """See Codec."""
        self.profile.check_network(network, cut)

    def importance_grid(self, sizes: Mapping[str, tuple[int, int]]) -> ImportanceGrid | None:
        """See Codec."""
        if self.importance != "network" or self.profile.about.importance.classes == 1:
            return None
        first = self.profile.groups[0].levels
        grid = grid_of(first, {part.about.name: sizes[part.about.name] for part in first})
        return ImportanceGrid(grid, self.profile.about.map_levels)

    def encode(self, levels: Sequence[Level], hints: Hints = NO_HINTS, threads: int | None = None) -> bytes:
        """See Codec; without scores as a hint, the probe tells where the network looks."""
        return self._coded(hints.beside, self._analysed(levels, hints, threads))

    def begin(
        self, levels: Sequence[Level], hints: Hints = NO_HINTS, threads: int | None = None
    ) -> Callable[[], bytes]:
        """See Codec; the transform is done on the levels' device."""
        if isinstance(levels[0], DeviceLevel):
            return partial(self._coded, hints.beside, self._analysed(levels, hints, threads))
        return partial(self.encode, levels, hints, threads)

    def _coded(self, more: int, analysed: Analysed) -> bytes:
        """The bitstream; a cap holds for it and `more` bytes."""
        if self.max_bytes is None:
            return code(analysed, self._step(), embed=self.embed)
        beside = len(self.profile.data) if self.embed else 0
        at = partial(code, analysed, embed=self.embed)
        return code_within(at, self.max_bytes - more, self.profile, finest_step(analysed), beside, trimmed=at)

    def sequence(self) -> SequenceEncoder:
        """See Codec."""
        from midstream.codec.temporal.frames import TemporalFrames  # which is made of this package's parts

        if self.embed:
            raise OptionError("`embed`: units of a stream do not hold the profile; its receiver has to have it")
        return TemporalFrames(self._analysed, self._step(), self.max_bytes)

    def quality_of(self, step: int) -> int | None:
        """See Codec."""
        return self.profile.quality_of(step)

    @classmethod
    def decoder_numbered(cls, number: int) -> Decoder:
        """See Codec."""
        from midstream.codec.temporal.decoder import TemporalDecoder

        return TemporalDecoder() if number == cls.stream_number else cls.decoder

    def _analysed(self, levels: Sequence[Level], hints: Hints, threads: int | None) -> Analysed:
        if self.importance == "network" and hints.scores is None and self.profile.about.importance.classes > 1:
            raise OptionError(
                "`importance` 'network' needs the network's scores, and no network is at hand here: leave "
                "it out, or use a command that has one: eval, push, video encode, batch"
            )
        return analyse(levels, self.profile, hints.scores, threads)

    def _step(self) -> int:
        """Of the quality or the loss that is asked for."""
        if self.max_loss is not None:
            return self.profile.step_for_loss(self.max_loss)
        return self.profile.step_of(DEFAULT_QUALITY if self.quality is None else self.quality)
