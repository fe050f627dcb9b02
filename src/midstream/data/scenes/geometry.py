"""Points and polygons in whole centimetres, and the camera that sees them.

World: x to the right of the camera, y up from the ground, z away from the camera. All arithmetic is on integers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from numpy.typing import NDArray

#: Steps of a full turn.
TURN = 64
_ONE = 4096
# No entry is within 1e-3 of a half, so that every C library rounds to the same table.
_COSINE = tuple(round(math.cos(2 * math.pi * step / TURN) * _ONE) for step in range(TURN))
#: Nothing nearer is drawn at its true distance.
NEAREST = 150
#: Where a street ends.
FAR = 30000
_FARTHEST_PIXEL = 8000

Colour = tuple[int, int, int]
Point = tuple[int, int, int]


def cosine(step: int) -> int:
    """4096 times the cosine of `step` 64ths of a turn."""
    return _COSINE[step % TURN]


def sine(step: int) -> int:
    """4096 times the sine of `step` 64ths of a turn."""
    return _COSINE[(step - TURN // 4) % TURN]


@dataclass(slots=True)
class Part:
    """A flat polygon of an object.

    Attributes:
        points: corners (x, y, z) in cm from the object's own origin on the ground.
        colour: before light and haze; None for a part of the mask that is not painted (between the spokes of a wheel).
        light: 256ths of the colour that it shows, for the side that it faces.
        solid: whether it is of the object's mask.
        faces: seen only when its corners run clockwise in the image.
    """

    points: Sequence[Point]
    colour: Colour | None
    light: int = 256
    solid: bool = True
    faces: bool = False


@dataclass(slots=True)
class Shape:
    """An object in its own coordinates: parts in the order of painting, and the ground that it stands on."""

    parts: list[Part]
    half_width: int
    half_length: int
    shadow: list[tuple[int, int]] = field(default_factory=list)


@dataclass(frozen=True)
class Camera:
    """A pinhole camera that looks along z: `focal` in pixels, height above ground in cm, the vanishing point."""

    focal: int
    height: int
    centre: int
    horizon: int

    def project(self, world: NDArray[np.int64]) -> NDArray[np.int32]:
        """[n, 3] in cm -> [n, 2] pixels (x, y)."""
        depth = np.maximum(world[:, 2], NEAREST)
        across = (2 * world[:, 0] * self.focal + depth) // (2 * depth) + self.centre
        down = (2 * (self.height - world[:, 1]) * self.focal + depth) // (2 * depth) + self.horizon
        pixels = np.clip(np.stack((across, down), axis=1), -_FARTHEST_PIXEL, _FARTHEST_PIXEL)
        return np.asarray(pixels, np.int32)

    def row(self, depth: int) -> int:
        """The row where the ground is `depth` cm away."""
        return self.horizon + self.height * self.focal // max(depth, NEAREST)


def place(points: NDArray[np.int64], yaw: int, x: int, z: int) -> NDArray[np.int64]:
    """Own coordinates [n, 3] -> world: turned by `yaw` 64ths of a turn about the upright axis, moved to (x, z)."""
    c, s = cosine(yaw), sine(yaw)
    across = (points[:, 0] * c + points[:, 2] * s + _ONE // 2) // _ONE + x
    away = (points[:, 2] * c - points[:, 0] * s + _ONE // 2) // _ONE + z
    return np.stack((across, points[:, 1], away), axis=1)


@cache
def _unit(corners: int) -> tuple[tuple[int, int], ...]:
    return tuple((cosine(-i * TURN // corners), sine(-i * TURN // corners)) for i in range(corners))


def circle(x: int, y: int, radius: int, corners: int = 16) -> list[tuple[int, int]]:
    """Corners of a regular polygon, clockwise seen from the front with y up."""
    return [(x + radius * c // _ONE, y + radius * s // _ONE) for c, s in _unit(corners)]


def limb(start: tuple[int, int], end: tuple[int, int], first: int, last: int) -> list[tuple[int, int]]:
    """A tapering bar between two points, `first` and `last` wide at its ends."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    length = max(math.isqrt(dx * dx + dy * dy), 1)
    ax, ay = -dy * first // (2 * length), dx * first // (2 * length)
    bx, by = -dy * last // (2 * length), dx * last // (2 * length)
    return [
        (start[0] + ax, start[1] + ay), (end[0] + bx, end[1] + by),
        (end[0] - bx, end[1] - by), (start[0] - ax, start[1] - ay),
    ]  # fmt: skip


def upright(points: Iterable[tuple[int, int]], z: int = 0) -> list[Point]:
    """(x, y) on the plane that faces the camera."""
    return [(x, y, z) for x, y in points]


def sideways(points: Iterable[tuple[int, int]], x: int = 0) -> list[Point]:
    """(z, y) on the plane along the object's length."""
    return [(x, y, z) for z, y in points]


def shaded(colour: Colour, light: int) -> Colour:
    """The colour times `light` 256ths."""
    r, g, b = colour
    return min(r * light >> 8, 255), min(g * light >> 8, 255), min(b * light >> 8, 255)


def mixed(colour: Colour, other: Colour, share: int) -> Colour:
    """`share` 256ths of `other`, the rest of `colour`."""
    (r, g, b), (x, y, z), rest = colour, other, 256 - share
    return (r * rest + x * share) >> 8, (g * rest + y * share) >> 8, (b * rest + z * share) >> 8
