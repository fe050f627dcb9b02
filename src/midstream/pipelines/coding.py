"""Coding a network's pyramid with the project's own codecs: what is sent, with which profile, guided by what."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from midstream.codec.calibrated.coding import Analysed, analyse, encode_analysed
from midstream.codec.calibrated.options import CalibratedOptions
from midstream.codec.calibrated.profile import Profile
from midstream.codec.calibrated.transform import grid_of
from midstream.codec.codec import CodecOptions, decode, encode_with
from midstream.errors import InputError
from midstream.features import check_pyramid
from midstream.models import FloatPyramid, ProposingModel, SplitModel
from midstream.pipelines.levels import sent


def encode_features(
    model: SplitModel,
    pyramid: FloatPyramid,
    size: tuple[int, int],
    options: CodecOptions,
    threads: int | None = None,
) -> bytes:
    """The bitstream of what the network's front made of a picture of (height, width).

    Raises:
        InputError: as `encode`; a profile of another network.
    """
    if isinstance(options, CalibratedOptions):
        check_profile(model, options.profile)
        return encode_analysed(analysed_features(model, pyramid, size, options, threads), options)
    return encode_with(sent(model, pyramid), options, threads)


def analysed_features(
    model: SplitModel,
    pyramid: FloatPyramid,
    size: tuple[int, int],
    options: CalibratedOptions,
    threads: int | None = None,
) -> Analysed:
    """The pyramid's components and places, which no step changes: places by whom the options say."""
    levels, scores = sent(model, pyramid), None
    asked = options.places == "network" or (options.places == "auto" and isinstance(model, ProposingModel))
    if asked and options.profile.about.places.classes > 1:
        first = options.profile.groups[0].levels
        grid = grid_of(first, {part.about.name: levels[part.about.name].shape[1:] for part in first})
        scores = cell_scores(model, pyramid, size, grid)
    return analyse(check_pyramid(levels), options.profile, scores, threads)


def decode_features(data: bytes, options: CodecOptions, threads: int | None = None) -> FloatPyramid:
    """The levels that were sent, from the bitstream and the profile of the options. Raises as `decode`."""
    profile = options.profile if isinstance(options, CalibratedOptions) else None
    return decode(data, profile=profile, threads=threads)


def check_profile(model: SplitModel, profile: Profile) -> None:
    """Refuse a profile that was calibrated on another network, or on another cut of it. Raises InputError."""
    if profile.about.cut != model.fingerprint:
        raise InputError(
            f"the profile {profile.name} was made for {profile.about.network}, cut graph {profile.about.cut[:16]}; "
            f"this is {model.name}, cut graph {model.fingerprint[:16]}: calibrate it, or use the profile's network"
        )


def cell_scores(
    model: SplitModel, pyramid: FloatPyramid, size: tuple[int, int], grid: tuple[int, int]
) -> NDArray[np.float32]:
    """The best score of what the network sees in each cell of a grid over its input, [rows, columns]."""
    out = np.zeros(grid, np.float32)
    if isinstance(model, ProposingModel):
        found = model.candidates(pyramid)
        height, width = model.input_size(size)
        centres = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2
        scores = np.clip(found.scores.max(axis=1), 0, 1)
    else:
        seen = model.back(pyramid, size)
        (height, width), scores = size, np.clip(seen.scores, 0, 1)
        centres = (seen.boxes[:, :2] + seen.boxes[:, 2:]) / 2
    rows = np.clip(np.nan_to_num(centres[:, 1]) / height * grid[0], 0, grid[0] - 1).astype(np.intp)
    columns = np.clip(np.nan_to_num(centres[:, 0]) / width * grid[1], 0, grid[1] - 1).astype(np.intp)
    np.maximum.at(out, (rows, columns), scores)
    return out
