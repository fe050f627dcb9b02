"""Between the tensors of a cut and the levels [C, H, W] of a pyramid: batches, tokens, sequences, vectors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from midstream.errors import InputError
from midstream.layout import Layout, Tensor
from midstream.models.description import PyramidLevel


def level_names(level: PyramidLevel) -> tuple[str, ...]:
    """The levels of a pyramid that a tensor of the cut becomes: extra tokens are in one of their own."""
    return (level.name,) if level.axes is None else _layout(level).level_names


def to_levels(level: PyramidLevel, value: NDArray[Any]) -> dict[str, NDArray[np.float32]]:
    """A tensor of the graph as levels, float32.

    Raises:
        InputError: no batch of one, or axes that are not the tensor's.
    """
    shape = list(value.shape)
    if level.axes is None:
        if value.ndim < 2 or len(value) != 1:
            raise InputError(
                f"level '{level.name}' has shape {shape}, without a first axis of one for the batch: cut where there "
                "is one"
            )
        return {level.name: np.ascontiguousarray(np.asarray(value, np.float32)[0])}
    try:
        tensor = Tensor(np.asarray(value, np.float32), level.axes, grid=level.grid, extra=level.extra)
    except InputError as error:
        raise InputError(f"level '{level.name}' of shape {shape}: {error}") from error
    return dict(zip(level_names(level), (np.ascontiguousarray(each) for each in tensor.levels()), strict=True))


def to_value(level: PyramidLevel, pyramid: Mapping[str, Any]) -> NDArray[np.float32]:
    """What `to_levels` had, from a pyramid.

    Raises:
        InputError: a level is missing, or not of a shape that the tensor's can have.
    """
    for name in level_names(level):
        if name not in pyramid:
            raise InputError(f"the pyramid has no level '{name}'; it has {', '.join(pyramid)}")
    levels = [np.asarray(pyramid[name], np.float32) for name in level_names(level)]
    if level.axes is None:
        return levels[0][None]
    layout = _layout(level)
    if any(each.ndim != 3 for each in levels):
        raise InputError(f"level '{level.name}' has shape {list(levels[0].shape)}, expected [channels, height, width]")
    if fault := layout.fault([tuple(each.shape) for each in levels]):
        raise InputError(fault)
    return np.asarray(layout.array(levels))


def _layout(level: PyramidLevel) -> Layout:
    assert level.axes is not None
    return Layout(level.name, level.axes, extra=level.extra)
