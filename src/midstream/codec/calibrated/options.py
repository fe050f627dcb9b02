"""The options of the codec `calibrated`, checked where they enter."""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from midstream.codec.calibrated.document import QUALITIES
from midstream.codec.calibrated.profile import Profile
from midstream.errors import OptionError, unknown

DEFAULT_QUALITY = 60
PlaceSource = Literal["auto", "probe", "network"]
PLACE_SOURCES: tuple[PlaceSource, ...] = get_args(PlaceSource)


@dataclass(frozen=True)
class Target:
    """What to aim at; exactly one is set.

    Attributes:
        quality: 1 to 100.
        max_bytes: of the whole bitstream.
        max_loss: estimated relative loss of accuracy, 0 to 1.
    """

    quality: int | None = None
    max_bytes: int | None = None
    max_loss: float | None = None

    @classmethod
    def of(cls, quality: int | None, max_bytes: int | None, max_loss: float | None) -> Target:
        """One of them, or the default quality. Raises InputError for two, or one out of range."""
        if sum(value is not None for value in (quality, max_bytes, max_loss)) > 1:
            raise OptionError("give one of `quality`, `max_bytes` and `max_loss`")
        if max_loss is not None:
            share = _number(max_loss)
            if not 0 < share < 1:
                raise OptionError(f"`max_loss` is a share of the accuracy above 0 and below 1, not {max_loss}")
            return cls(max_loss=share)
        if max_bytes is not None:
            return cls(max_bytes=_whole("max_bytes", max_bytes, 1, None))
        wanted = DEFAULT_QUALITY if quality is None else quality
        return cls(quality=_whole("quality", wanted, QUALITIES[0], QUALITIES[-1]))

    def describe(self) -> dict[str, Any]:
        """What is set, for results and reports."""
        chosen = {"quality": self.quality, "max_bytes": self.max_bytes, "max_loss": self.max_loss}
        return {key: value for key, value in chosen.items() if value is not None}


def _number(value: Any) -> float:
    known = isinstance(value, int | float | np.floating) and not isinstance(value, bool)
    return float(value) if known and -1 < value < 2 else math.nan  # a float has no room for every whole number


def _whole(what: str, value: Any, least: int, most: int | None) -> int:
    try:
        number = least - 1 if isinstance(value, bool) else operator.index(value)  # numpy's integers, too
    except TypeError:
        number = least - 1
    if number < least or (most is not None and number > most):
        upper = f" to {most}" if most is not None else " or more"
        raise OptionError(f"`{what}` is a whole number, {least}{upper}, not {value!r}")
    return number


@dataclass(frozen=True)
class CalibratedOptions:
    """A complete choice.

    Attributes:
        profile: of the network.
        target: what to aim at.
        embed: put the profile into the stream.
        places: who says where the network sees something: the profile's `probe`, or the `network` itself, which costs a
            run of its back and saves some bytes (docs/method.md); `auto` is the network where it is at hand and shows
            its scores before suppression, else the probe.
    """

    profile: Profile
    target: Target
    embed: bool = False
    places: PlaceSource = "auto"

    @property
    def coder(self) -> str:
        """The coder's name, for reports."""
        return "components"

    def describe(self) -> dict[str, Any]:
        """The options, for results and reports; the profile by its hash."""
        chosen = {"codec": "calibrated", "profile": self.profile.name, **self.target.describe()}
        return {**chosen, "embed": self.embed, "places": self.places}


def calibrated_options(
    profile: Profile | str | Path | None,
    quality: int | None = None,
    max_bytes: int | None = None,
    max_loss: float | None = None,
    embed: bool = False,
    places: str = PLACE_SOURCES[0],
) -> CalibratedOptions:
    """Check the options; a profile may be named by its file.

    Raises:
        InputError: a value that cannot be used, or no profile; the message says which are valid.
    """
    if profile is None:
        raise OptionError("the codec calibrated needs a `profile` of the network: make one with 'midstream calibrate'")
    loaded = Profile.of(profile)
    if places not in PLACE_SOURCES:
        raise unknown("source of places", str(places), PLACE_SOURCES)
    return CalibratedOptions(loaded, Target.of(quality, max_bytes, max_loss), bool(embed), places)
