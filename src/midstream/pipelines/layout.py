"""A pyramid as one image: the channels of a level side by side in rows, the levels below each other."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Place:
    """Where a level is: `across` channels in a row, from the row `top` on."""

    top: int
    across: int
    shape: tuple[int, ...]

    @property
    def rows(self) -> int:
        """How many rows of channels there are."""
        return -(-self.shape[0] // self.across)


def places(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Place]:
    """The layout of levels of these shapes [C, H, W]: about as many channels across as down on the widest level, and
    on the others as many as fit into its width."""
    width = max(math.ceil(math.sqrt(shape[0])) * shape[2] for shape in shapes.values())
    out, top = {}, 0
    for name, shape in shapes.items():
        out[name] = Place(top, min(width // shape[2], shape[0]), shape)
        top += out[name].rows * shape[1]
    return out


def tile(maps: Mapping[str, NDArray[Any]], at: Mapping[str, Place], fill: int) -> NDArray[Any]:
    """The image, [height, width], both even; what no channel covers is `fill`."""
    height = max(place.top + place.rows * place.shape[1] for place in at.values())
    width = max(place.across * place.shape[2] for place in at.values())
    first = next(iter(maps.values()))
    image = np.full((height + height % 2, width + width % 2), fill, first.dtype)
    for name, place in at.items():
        for channel, values in enumerate(maps[name]):
            image[_window(place, channel)] = values
    return image


def untile(image: NDArray[Any], at: Mapping[str, Place]) -> dict[str, NDArray[Any]]:
    """The channels of all levels back, [C, H, W] each."""
    return {
        name: np.stack([image[_window(place, channel)] for channel in range(place.shape[0])])
        for name, place in at.items()
    }


def _window(place: Place, channel: int) -> tuple[slice, slice]:
    _, height, width = place.shape
    row, column = divmod(channel, place.across)
    top, left = place.top + row * height, column * width
    return slice(top, top + height), slice(left, left + width)
