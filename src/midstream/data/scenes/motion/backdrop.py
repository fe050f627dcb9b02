"""A street that is painted again and again, from wherever the camera is: its polygons, recorded once."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from midstream.data.scenes.canvas import Canvas
from midstream.data.scenes.geometry import NEAREST, Colour, Point, mixed

#: A wall along the street, or one across it.
ALONG, ACROSS = range(2)
#: The first number of a wall's surface; those below are labels, of what is no wall.
FIRST_WALL = 1000


@dataclass(frozen=True)
class Wall:
    """A plane: at which x (`ALONG`) or z (`ACROSS`) in cm, and the label of what is in it."""

    kind: int
    at: int
    label: int


@dataclass
class _Polygons:
    """Those between two other steps; triangles have their last corner twice.

    Attributes:
        corners: [n, 4, 3] in the world.
        colours: before haze.
        surfaces: what they are of; None for what lies on another surface.
        hazy: whether each gets haze by its own distance, as walls do.
    """

    corners: list[list[Point]] = field(default_factory=list)
    colours: list[Colour] = field(default_factory=list)
    surfaces: list[int | None] = field(default_factory=list)
    hazy: bool = False
    world: NDArray[np.int64] | None = None

    def paint(self, canvas: Canvas, x: int, z: int) -> None:
        if not self.corners:
            return
        if self.world is None:
            self.world = np.array(self.corners, np.int64)
        moved = self.world - np.array([x, 0, z], np.int64)
        near = moved[:, :, 2]
        pixels = canvas.camera.project(moved.reshape(-1, 3)).reshape(-1, 4, 2)
        low, high = pixels.min(axis=1), pixels.max(axis=1)
        height, width = canvas.labels.shape
        seen = (near.max(axis=1) > NEAREST) & (high[:, 0] >= 0) & (high[:, 1] >= 0)
        seen &= (low[:, 0] < width) & (low[:, 1] < height)
        places = np.flatnonzero(seen).tolist()
        depths = (near.sum(axis=1) // 4).tolist()
        air, share = canvas.air.colour, canvas.air.share
        for place in places:
            colour, surface = self.colours[place], self.surfaces[place]
            if self.hazy:
                colour = mixed(colour, air, share(max(depths[place], 0)))
            cv2.fillConvexPoly(canvas.pixels, pixels[place], colour)
            if surface is not None:
                cv2.fillConvexPoly(canvas.labels, pixels[place], surface)


@dataclass
class _Sky:
    zenith: Colour
    label: int

    def paint(self, canvas: Canvas, x: int, z: int) -> None:
        del x, z
        canvas.sky(self.zenith, self.label)


@dataclass
class _Below:
    colour: Colour
    label: int

    def paint(self, canvas: Canvas, x: int, z: int) -> None:
        del x, z
        canvas.below(self.colour, self.label)


class _Mist:
    def paint(self, canvas: Canvas, x: int, z: int) -> None:
        del x, z
        canvas.mist()


@dataclass
class _Shadow:
    corners: list[tuple[int, int]]
    light: int

    def paint(self, canvas: Canvas, x: int, z: int) -> None:
        canvas.shadow([(there - x, away - z) for there, away in self.corners], self.light)


class Backdrop:
    """An easel that remembers."""

    def __init__(self) -> None:
        self._steps: list[_Polygons | _Sky | _Below | _Mist | _Shadow] = []
        self._numbers: dict[Wall, int] = {}

    @property
    def planes(self) -> list[Wall]:
        """Of the walls, numbered from `FIRST_WALL` on."""
        return list(self._numbers)

    def paint(self, canvas: Canvas, x: int, z: int) -> None:
        """All of it as a camera at (x, z) sees it; labels are surfaces."""
        for step in self._steps:
            step.paint(canvas, x, z)

    def sky(self, zenith: Colour, label: int) -> None:
        """As `Canvas` has it."""
        self._steps.append(_Sky(zenith, label))

    def below(self, colour: Colour, label: int) -> None:
        """As `Canvas` has it."""
        self._steps.append(_Below(colour, label))

    def mist(self) -> None:
        """As `Canvas` has it."""
        self._steps.append(_Mist())

    def shadow(self, corners: list[tuple[int, int]], light: int) -> None:
        """As `Canvas` has it."""
        self._steps.append(_Shadow(corners, light))

    def ground(self, corners: list[tuple[int, int]], colour: Colour, label: int | None) -> None:
        """As `Canvas` has it."""
        points: list[Point] = [(x, 0, z) for x, z in corners]
        points += points[-1:] * (4 - len(points))
        self._add(points, colour, label, hazy=False)

    def walls(self, quads: list[list[Point]], colours: list[Colour], label: int) -> None:
        """As `Canvas` has it; what lies within an earlier one of the same plane is of its surface already."""
        outer: list[tuple[int, list[Point]]] = []
        for quad, colour in zip(quads, colours, strict=True):
            surface = self._surface(quad, label)
            inside = any(number == surface and _within(quad, other) for number, other in outer)
            self._add(quad, colour, None if inside else surface, hazy=True)
            if not inside:
                outer.append((surface, quad))

    def _add(self, points: list[Point], colour: Colour, surface: int | None, hazy: bool) -> None:
        last = self._steps[-1] if self._steps else None
        if not isinstance(last, _Polygons) or last.hazy != hazy:
            last = _Polygons(hazy=hazy)
            self._steps.append(last)
        last.corners.append(points)
        last.colours.append(colour)
        last.surfaces.append(surface)

    def _surface(self, quad: list[Point], label: int) -> int:
        along = len({x for x, _, _ in quad}) == 1
        wall = Wall(ALONG, quad[0][0], label) if along else Wall(ACROSS, quad[0][2], label)
        return self._numbers.setdefault(wall, FIRST_WALL + len(self._numbers))


def _within(quad: list[Point], other: list[Point]) -> bool:
    return all(
        min(p[axis] for p in other) <= min(p[axis] for p in quad)
        and max(p[axis] for p in quad) <= max(p[axis] for p in other)
        for axis in range(3)
    )
