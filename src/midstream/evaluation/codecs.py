"""Codecs by functions of an earlier release; `midstream.Paper` and `midstream.Calibrated` are the same."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from midstream.codec.base import Codec
from midstream.codec.calibrated.profile import Profile
from midstream.codec.registry import make_codec


def paper_options(
    symbols: int | None = None,
    z: float | None = None,
    thresholds: str | Sequence[float] | None = None,
    step: float | None = None,
    coder: str | None = None,
) -> Codec:
    """`midstream.Paper` with these options. Raises InputError."""
    return make_codec("paper", {"symbols": symbols, "z": z, "thresholds": thresholds, "step": step, "coder": coder})


def calibrated_options(
    profile: Profile | str | Path | None,
    quality: int | None = None,
    max_bytes: int | None = None,
    max_loss: float | None = None,
    embed: bool = False,
    places: str | None = None,
) -> Codec:
    """`midstream.Calibrated` with these options; `places` is its `importance`. Raises InputError."""
    options = {"profile": profile, "quality": quality, "max_bytes": max_bytes, "max_loss": max_loss}
    return make_codec("calibrated", {**options, "embed": embed, "importance": places})
