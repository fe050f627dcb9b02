"""What vehicles are made of: side profiles drawn out across their width, patches on their faces, wheels, lamps.

Own coordinates: x across, y up, z along, the vehicle's front at +z; centimetres.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from midstream.data.scenes.dice import Dice
from midstream.data.scenes.geometry import Colour, Part, Point, Shape, circle, sideways

TYRE: Colour = (28, 28, 30)
PAINTS: tuple[Colour, ...] = (
    (200, 200, 204), (232, 232, 230), (30, 32, 36), (72, 76, 84), (120, 124, 130), (150, 26, 30), (26, 50, 112),
    (48, 92, 150), (30, 74, 54), (176, 150, 96), (96, 62, 40), (204, 160, 32), (186, 82, 24), (108, 128, 140),
    (62, 20, 36),
)  # fmt: skip


@dataclass(frozen=True)
class Lighting:
    """256ths of its colour that a side of a thing shows, and whether lamps are lit."""

    top: int
    left: int
    right: int
    end: int
    lamps: bool


#: Makes a thing that stands in such a light, turned by so many 64ths of a turn.
Builder = Callable[[Dice, Lighting, int], Shape]
#: Four corners, from the top left as seen, clockwise.
Quad = tuple[Point, Point, Point, Point]


def patch(quad: Quad, left: int, top: int, right: int, bottom: int) -> list[Point]:
    """The part of a quad (corners from the top left, clockwise) between 256ths of its width and height."""

    def at(u: int, v: int) -> Point:
        a, b, c, d = quad
        w = ((256 - u) * (256 - v), u * (256 - v), u * v, (256 - u) * v)
        return tuple((a[i] * w[0] + b[i] * w[1] + c[i] * w[2] + d[i] * w[3]) >> 16 for i in range(3))  # type: ignore[return-value]

    return [at(left, top), at(right, top), at(right, bottom), at(left, bottom)]


def board(left: int, right: int, top: int, bottom: int, z: int) -> list[Point]:
    """An upright rectangle across the vehicle."""
    return [(left, top, z), (right, top, z), (right, bottom, z), (left, bottom, z)]


class Body:
    """A side profile [(z, y, half width)] from the front's foot over the roof to the rear's foot, drawn out."""

    def __init__(self, profile: list[tuple[int, int, int]], light: Lighting) -> None:
        self.profile = profile
        self.light = light

    def strip(self, index: int) -> Quad:
        """The face across the width from corner `index` to the next."""
        (z1, y1, w1), (z2, y2, w2) = self.profile[index], self.profile[index + 1]
        quad: Quad = ((-w1, y1, z1), (w1, y1, z1), (w2, y2, z2), (-w2, y2, z2))
        return (quad[2], quad[3], quad[0], quad[1]) if index == 0 else quad

    def side(self, corners: list[int], right: bool) -> list[Point]:
        """The face along the length with these corners of the profile."""
        points = [((w if right else -w), y, z) for z, y, w in (self.profile[i] for i in corners)]
        return points[::-1] if right else points

    def sides(self) -> list[tuple[bool, int]]:
        """Left and right, each with the light that it shows."""
        return [(False, self.light.left), (True, self.light.right)]

    def face(self, points: list[Point] | Quad, colour: Colour, light: int) -> Part:
        """A part that is seen from outside only."""
        return Part(list(points), colour, light, faces=True)


def wheels(axles: list[int], radius: int, half_width: int, light: int, rim: Colour, right: bool) -> list[Part]:
    """Wheels on one side of a vehicle."""
    x, parts = half_width if right else -half_width, []
    for axle in axles:
        rings: list[tuple[int, Colour]] = [
            (radius + 6, (14, 14, 16)), (radius, TYRE), (radius * 150 >> 8, rim), (radius // 4, TYRE),
        ]  # fmt: skip
        for size, colour in rings:
            ring = sideways(circle(axle, radius, size), x)
            # `circle` runs clockwise with z to the right: as seen from +x.
            parts.append(Part(ring if right else ring[::-1], colour, light, faces=True))
    return parts


def end_tyres(half_width: int, z: int, radius: int, inward: int) -> list[Part]:
    """What is seen of the wheels below a bumper, and the dark between them."""
    parts = []
    for end in (1, -1):
        at = end * (z - inward)
        parts.append(Part(board(-half_width, half_width, radius, 14, at), (10, 10, 12)))
        for x in (-half_width, half_width - 20):
            parts.append(Part(board(x, x + 20, radius, 0, at), TYRE))
    return parts


def lamps(body: Body, strip: int, front: bool, top: int, bottom: int) -> list[Part]:
    """A pair of lamps on an end."""
    lit, dull = ((255, 246, 214), (206, 210, 214)) if front else ((244, 30, 22), (150, 22, 22))
    quad = body.strip(strip)
    return [
        Part(patch(quad, left, top, right, bottom), lit if body.light.lamps else dull, 256, faces=True)
        for left, right in ((8, 60), (196, 248))
    ]
