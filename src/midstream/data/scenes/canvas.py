"""What scenes are painted on: pixels and labels at twice the image's size in each direction.

Polygons are filled by OpenCV without smoothing, at whole pixels, which is integer arithmetic; smooth edges come from
the halving. `fillConvexPoly` fills, which takes what every row crosses twice: `fillPoly` draws other edges in
OpenCV 5 than in OpenCV 4.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from midstream.data.scenes.geometry import Camera, Colour, Part, Point, mixed, place, shaded

#: Pixels of the canvas a pixel of the image, each way.
FINER = 2


@dataclass(frozen=True)
class Air:
    """What lies between the camera and things: `haze` is the share in 256ths that it takes of the colour at 100 m."""

    colour: Colour
    haze: int

    def share(self, depth: int) -> int:
        """256ths of haze at a distance in cm; saturates as 1 - 1 / (1 + d) does."""
        thick = self.haze * depth
        return 256 * thick // (thick + 256 * 10000)


class Canvas:
    """uint8 `pixels` [2 H, 2 W, 3] in RGB and uint16 `labels` [2 H, 2 W]."""

    def __init__(self, height: int, width: int, camera: Camera, air: Air) -> None:
        self.pixels = np.zeros((FINER * height, FINER * width, 3), np.uint8)
        self.labels = np.zeros((FINER * height, FINER * width), np.uint16)
        self.camera = camera
        self.air = air

    def fill(self, corners: NDArray[np.int32], colour: Colour | None, label: int | None) -> None:
        """Fill a polygon given in pixels of the canvas."""
        if colour is not None:
            cv2.fillConvexPoly(self.pixels, corners, colour)
        if label is not None:
            cv2.fillConvexPoly(self.labels, corners, label)

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

    def paint(self, parts: list[Part], yaw: int, x: int, z: int, label: int) -> None:
        """An object at (x, z), turned by `yaw`."""
        own = np.array([point for part in parts for point in part.points], np.int64)
        pixels = self.camera.project(place(own, yaw, x, z))
        share = self.air.share(z)
        ends = np.cumsum([len(part.points) for part in parts]).tolist()
        for part, end in zip(parts, ends, strict=True):
            corners = pixels[end - len(part.points) : end]
            if part.faces and not _clockwise(corners):
                continue
            colour = part.colour
            if colour is not None:
                colour = mixed(shaded(colour, part.light), self.air.colour, share)
            self.fill(corners, colour, label if part.solid else None)


def _clockwise(corners: NDArray[np.int32]) -> bool:
    """Whether the corners run clockwise as seen, by the sign of the area; y runs down."""
    points = corners.tolist()
    area = 0
    for (x1, y1), (x2, y2) in zip(points, points[1:] + points[:1], strict=True):
        area += x1 * y2 - x2 * y1
    return area > 0
