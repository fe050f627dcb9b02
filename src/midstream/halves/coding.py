"""Coding what a network's front makes: what is sent, and guided by what."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from midstream.codec.api import decode, encode_levels
from midstream.codec.base import Codec, Hints, ImportanceGrid
from midstream.errors import InputError
from midstream.features import Level, check_pyramid
from midstream.halves.levels import sent
from midstream.halves.shares import level_shares
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
    wanted = codec.importance_grid(sizes)
    scores = None if wanted is None else map_scores(model, pyramid, size, wanted)
    return check_pyramid(levels, maps=True), Hints(scores)


def decode_features(data: bytes, codec: Codec, threads: int | None = None) -> FloatPyramid:
    """The levels that were sent, from the bitstream and the codec's profile, if it has one. Raises as `decode`."""
    return decode(data, profile=codec.decoding_profile, threads=threads)


def map_scores(
    model: SplitModel, pyramid: FloatPyramid, size: tuple[int, int], wanted: ImportanceGrid
) -> NDArray[np.float32]:
    """The best score of what the network sees in each cell of a grid over its input, [maps, rows, columns].

    Of several maps, a map has what depends on its levels: candidates count by as much as they move with these levels,
    beside the levels that move them most (`level_shares`).

    Raises InputError for a task that looks nowhere.
    """
    if isinstance(model, ProposingModel) and model.proposes:
        found = model.candidates(pyramid)
        scores, area = found.scores.max(axis=1), model.input_size(size)
        if len(wanted.maps) == 1:
            return scores_in_cells(found.boxes, scores, area, wanted.size)[None]
        shares = level_shares(model, pyramid)
        own = [np.max([shares[name] for name in names], axis=0) for names in wanted.maps]
        if len(scores) != len(own[0]):  # a graph that gives as many as it finds
            own = [np.ones_like(scores)] * len(own)
        return np.stack([scores_in_cells(found.boxes, scores * share, area, wanted.size) for share in own])
    found_scores = model.task.importance(model.back(pyramid, size), size, wanted.size)
    if found_scores is None:
        raise InputError(
            f"the task of {model.name}, {model.task.name}, does not say where it looks: leave --importance network out"
        )
    return np.broadcast_to(found_scores, (len(wanted.maps), *wanted.size))
