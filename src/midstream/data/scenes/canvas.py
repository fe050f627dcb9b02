"""What scenes are painted on: pixels and labels at twice the image's size in each direction.

Polygons are filled by OpenCV without smoothing, at whole pixels, which is integer arithmetic; smooth edges come from
the halving. `fillConvexPoly` fills, which takes what every row crosses twice: `fillPoly` draws other edges in
OpenCV 5 than in OpenCV 4.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from midstream.data.scenes.geometry import FAR, Camera, Colour, Part, Point, mixed, place, shaded

#: Pixels of the canvas a pixel of the image, each way.
FINER = 2
#: A polygon in pixels of the canvas, its colour if it is painted, and whether it is of the object's mask.
Face = tuple[NDArray[np.int32], Colour | None, bool]


@dataclass(frozen=True)
class Air:
    """What lies between the camera and things: `haze` is the share in 256ths that it takes of the colour at 100 m."""

    colour: Colour
    haze: int

    def share(self, depth: int) -> int:
        """256ths of haze at a distance in cm; saturates as 1 - 1 / (1 + d) does."""
        thick = self.haze * depth
        return 256 * thick // (thick + 256 * 10000)


@dataclass(frozen=True)
class Solid:
    """Parts of an object with all their corners in one array, `points` [n, 3]; those of a part end before `ends`."""

    parts: list[Part]
    points: NDArray[np.int64]
    ends: list[int]

    @classmethod
    def of(cls, parts: list[Part]) -> Solid:
        """Of the parts in the order of painting."""
        points = np.array([point for part in parts for point in part.points], np.int64)
        return cls(parts, points, np.cumsum([len(part.points) for part in parts]).tolist())


class Easel(Protocol):
    """What a street is painted on."""

    def sky(self, zenith: Colour, label: int) -> None: ...  # noqa: D102
    def below(self, colour: Colour, label: int) -> None: ...  # noqa: D102
    def mist(self) -> None: ...  # noqa: D102
    def ground(self, corners: list[tuple[int, int]], colour: Colour, label: int | None) -> None: ...  # noqa: D102
    def walls(self, quads: list[list[Point]], colours: list[Colour], label: int) -> None: ...  # noqa: D102
    def shadow(self, corners: list[tuple[int, int]], light: int) -> None: ...  # noqa: D102


@dataclass(frozen=True)
class Canvas:
    """uint8 `pixels` [2 H, 2 W, 3] in RGB and uint16 `labels` [2 H, 2 W]."""

    pixels: NDArray[np.uint8]
    labels: NDArray[np.uint16]
    camera: Camera
    air: Air

    @classmethod
    def blank(cls, height: int, width: int, camera: Camera, air: Air) -> Canvas:
        """For an image of this size."""
        shape = (FINER * height, FINER * width)
        return cls(np.zeros((*shape, 3), np.uint8), np.zeros(shape, np.uint16), camera, air)

    def window(self, left: int, right: int) -> Canvas:
        """Some of its columns: what is painted there is painted here."""
        camera = replace(self.camera, centre=self.camera.centre - left)
        return Canvas(self.pixels[:, left:right], self.labels[:, left:right], camera, self.air)

    def fill(self, corners: NDArray[np.int32], colour: Colour | None, label: int | None) -> None:
        """Fill a polygon given in pixels of the canvas."""
        if colour is not None:
            cv2.fillConvexPoly(self.pixels, corners, colour)
        if label is not None:
            cv2.fillConvexPoly(self.labels, corners, label)

    def sky(self, zenith: Colour, label: int) -> None:
        """From the zenith to the colour of the haze at the horizon."""
        rows = max(min(self.camera.horizon + 8, len(self.pixels)), 1)
        share = np.arange(rows, dtype=np.int64)[:, None] * 256 // rows
        top, low = np.array(zenith, np.int64), np.array(self.air.colour, np.int64)
        colours = ((top * (256 - share) + low * share) >> 8).astype(np.uint8)
        self.pixels[:rows] = np.tile(colours, self.pixels.shape[1]).reshape(rows, -1, 3)
        self.labels[:rows] = label

    def below(self, colour: Colour, label: int) -> None:
        """All that lies below the horizon."""
        rows = self._ground_row()
        self.pixels[rows:], self.labels[rows:] = colour, label

    def mist(self) -> None:
        """Haze over the ground, by the distance of its rows."""
        rows, height = self._ground_row(), len(self.pixels)
        if rows >= height:
            return
        camera, air = self.camera, self.air
        depths = (camera.height * camera.focal // max(row - camera.horizon, 1) for row in range(rows, height))
        share = np.array([air.share(min(depth, FAR * 3)) for depth in depths], np.uint16)[:, None]
        below = self.pixels[rows:].reshape(height - rows, -1)
        haze = np.tile(np.array(air.colour, np.uint16), self.pixels.shape[1])
        below[:] = (below * (256 - share) + haze * share) >> 8

    def _ground_row(self) -> int:
        return max(min(self.camera.horizon, len(self.pixels)), 0)

    def ground(self, corners: list[tuple[int, int]], colour: Colour, label: int | None) -> None:
        """A polygon (x, z) on the ground."""
        world = np.array([(x, 0, z) for x, z in corners], np.int64)
        self.fill(self.camera.project(world), colour, label)

    def walls(self, quads: list[list[Point]], colours: list[Colour], label: int) -> None:
        """Four-cornered polygons in the world, each hazy by its own mean distance."""
        if not quads:
            return
        world = np.array(quads, np.int64).reshape(-1, 3)
        depths = (world[:, 2].reshape(-1, 4).sum(axis=1) // 4).tolist()
        corners = self.camera.project(world).reshape(-1, 4, 2)
        for own, colour, depth in zip(corners, colours, depths, strict=True):
            self.fill(own, mixed(colour, self.air.colour, self.air.share(depth)), label)

    def shadow(self, corners: list[tuple[int, int]], light: int) -> None:
        """Leave `light` 256ths of what lies in a polygon (x, z) on the ground."""
        corners_px = self.camera.project(np.array([(x, 0, z) for x, z in corners], np.int64))
        height, width = self.labels.shape
        left, top = (int(v) for v in corners_px.min(axis=0))
        right, bottom = (int(v) + 1 for v in corners_px.max(axis=0))
        left, top, right, bottom = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
        if left >= right or top >= bottom:
            return
        mask = np.zeros((bottom - top, right - left), np.uint8)
        cv2.fillConvexPoly(mask, corners_px - np.array([left, top], np.int32), 1)
        region = self.pixels[top:bottom, left:right]
        dark = (region.astype(np.uint16) * light >> 8).astype(np.uint8)
        np.copyto(region, dark, where=mask[:, :, None] != 0)

    def seen(self, solid: Solid, yaw: int, x: int, z: int) -> list[Face]:
        """The faces of an object at (x, z), turned by `yaw`, that look this way, in the order of painting."""
        pixels = self.camera.project(place(solid.points, yaw, x, z))
        share, start, faces = self.air.share(max(z, 0)), 0, []
        for part, end in zip(solid.parts, solid.ends, strict=True):
            corners = pixels[start:end]
            start = end
            if part.faces and not _clockwise(corners):
                continue
            colour = part.colour
            if colour is not None:
                colour = mixed(shaded(colour, part.light), self.air.colour, share)
            faces.append((corners, colour, part.solid))
        return faces

    def paint(self, faces: list[Face], label: int) -> None:
        """What `seen` gives."""
        for corners, colour, solid in faces:
            self.fill(corners, colour, label if solid else None)


def _clockwise(corners: NDArray[np.int32]) -> bool:
    """Whether the corners run clockwise as seen, by the sign of the area; y runs down."""
    points = corners.tolist()
    area = 0
    for (x1, y1), (x2, y2) in zip(points, points[1:] + points[:1], strict=True):
        area += x1 * y2 - x2 * y1
    return area > 0
