"""Coding what a network's front makes: what is sent, and guided by what."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from midstream.codec.api import decode, encode_levels
from midstream.codec.base import Codec, Hints
from midstream.errors import InputError
from midstream.features import Level, check_pyramid
from midstream.halves.levels import sent
from midstream.models import FloatPyramid, ProposingModel, SplitModel
from midstream.models.tasks.detection import scores_in_cells


@dataclass(frozen=True, eq=False)
class ReadyFrame:
    """What the front made of an image, not coded yet.

    Attributes:
        levels: those that are sent.
        hints: that the codec asks for.
        size: (height, width) of the image.
    """

    levels: list[Level]
    hints: Hints
    size: tuple[int, int]


def encode_features(
    model: SplitModel, pyramid: FloatPyramid, size: tuple[int, int], codec: Codec, threads: int | None = None
) -> bytes:
    """The bitstream of what the network's front made of an image of (height, width).

    Raises:
        InputError: as `encode`; a codec that is for another network.
    """
    codec.check_network(model.name, model.fingerprint)
    levels, hints = prepared(model, pyramid, size, codec)
    return encode_levels(codec, levels, hints, threads)


def prepared(
    model: SplitModel, pyramid: FloatPyramid, size: tuple[int, int], codec: Codec
) -> tuple[list[Level], Hints]:
    """The levels that are sent, and the hints that the codec asks for. Raises InputError."""
    levels = sent(model, pyramid)
    sizes = {name: (values.shape[1], values.shape[2]) for name, values in levels.items()}
    grid = codec.importance_grid(sizes)
    return check_pyramid(levels, maps=True), Hints(None if grid is None else cell_scores(model, pyramid, size, grid))


def decode_features(data: bytes, codec: Codec, threads: int | None = None) -> FloatPyramid:
    """The levels that were sent, from the bitstream and the codec's profile, if it has one. Raises as `decode`."""
    return decode(data, profile=codec.decoding_profile, threads=threads)


def cell_scores(
    model: SplitModel, pyramid: FloatPyramid, size: tuple[int, int], grid: tuple[int, int]
) -> NDArray[np.float32]:
    """The best score of what the network sees in each cell of a grid over its input, [rows, columns].

    Raises InputError for a task that looks nowhere.
    """
    if isinstance(model, ProposingModel) and model.proposes:
        found = model.candidates(pyramid)
        return scores_in_cells(found.boxes, found.scores.max(axis=1), model.input_size(size), grid)
    scores = model.task.importance(model.back(pyramid, size), size, grid)
    if scores is None:
        raise InputError(
            f"the task of {model.name}, {model.task.name}, does not say where it looks: leave --importance network out"
        )
    return scores
