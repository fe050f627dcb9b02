"""Trucks: a cab and what it carries, a box or an open bed with a load."""

from __future__ import annotations

from midstream.data.scenes.bodies import PAINTS, TYRE, Body, Lighting, Quad, board, lamps, patch, wheels
from midstream.data.scenes.dice import Dice
from midstream.data.scenes.geometry import Colour, Part, Shape, cosine, shaded, sideways

_LOADS: tuple[Colour, ...] = ((120, 96, 66), (150, 146, 140), (88, 74, 60), (170, 140, 90))
#: Height of the bed above the ground.
_LOW = 70


def truck(dice: Dice, light: Lighting, yaw: int) -> Shape:
    """A truck of two axles or three."""
    paint, cargo = dice.pick(PAINTS), dice.pick(((226, 226, 222), (150, 150, 146), *PAINTS))
    width, half = dice.between(108, 125), dice.between(300, 460)
    high, cab_length = dice.between(220, 275), dice.between(150, 200)
    start = half - cab_length
    cab = _cab(light, paint, (half, start, width, high))
    open_bed = dice.chance(30)
    top = dice.between(130, 175) if open_bed else high + dice.between(30, 90)
    profile = [(start - 15, _LOW, width), (start - 15, top, width), (-half, top, width), (-half, _LOW, width)]
    box = Body(profile, light)
    parts = [*_below(width, half), *_flanks(box, dice, cargo, half, start)]
    rear = box.strip(2)
    parts += [
        box.face(rear, shaded(cargo, 230), light.end),
        box.face(patch(rear, 124, 10, 132, 246), shaded(cargo, 120), light.end),
        box.face(patch(rear, 0, 236, 256, 256), (40, 40, 42), 256),
        *lamps(box, 2, False, 238, 254),
    ]
    if open_bed:
        heap = dice.pick(_LOADS)
        for at in (start - 60, (start - half) // 2, -half + 60):
            peak, edge = top + dice.between(20, 70), width - 10
            ridge = [(-edge, top, at), (-width // 3, peak, at), (width // 3, peak - 8, at), (edge, top, at)]
            parts.append(Part(ridge, heap, light.end))
    else:
        parts.append(box.face(box.strip(1), cargo, light.top))
    away = cosine(yaw) > 0
    return Shape([*cab, *parts] if away else [*parts, *cab], width, half)


def _cab(light: Lighting, paint: Colour, sizes: tuple[int, int, int, int]) -> list[Part]:
    half, start, width, high = sizes
    profile = [
        (half, 45, width - 6), (half, 135, width - 6), (half - 25, high, width - 10), (start + 10, high, width - 10),
        (start + 10, 45, width - 6),
    ]  # fmt: skip
    cab, parts = Body(profile, light), []
    for right, shade in cab.sides():
        parts.append(cab.face(cab.side([0, 1, 2, 3, 4], right), paint, shade))
        x = width - 6 if right else 6 - width
        pane = sideways([(half - 14, 145), (half - 34, high - 25), (start + 60, high - 25), (start + 60, 145)], x)
        parts.append(cab.face(pane[::-1] if right else pane, (40, 50, 58), shade))
    front, screen = cab.strip(0), cab.strip(1)
    return [
        *parts,
        cab.face(front, paint, light.end),
        cab.face(patch(front, 60, 60, 196, 190), (26, 26, 28), 256),
        *lamps(cab, 0, True, 150, 220),
        cab.face(screen, shaded(paint, 180), light.end),
        cab.face(patch(screen, 14, 20, 242, 220), (52, 64, 74), 256),
        cab.face(cab.strip(2), paint, light.top),
    ]


def _below(width: int, half: int) -> list[Part]:
    """The dark under the bed and the rear wheels, as seen from behind."""
    dark = Part(board(8 - width, width - 8, _LOW, 20, 30 - half), (14, 14, 16))
    return [dark, *(Part(board(x, x + 40, _LOW, 0, 28 - half), TYRE) for x in (-width, width - 40))]


def _flanks(box: Body, dice: Dice, cargo: Colour, half: int, start: int) -> list[Part]:
    """The sides of the box with stripes and ribs, the frame below them, the wheels."""
    parts: list[Part] = []
    ribs, stripe, width = dice.below(9), dice.pick(PAINTS), box.profile[0][2]
    for right, shade in box.sides():
        x = width - 20 if right else 20 - width
        under = sideways([(start, 25), (start, _LOW), (-half + 40, _LOW), (-half + 40, 25)], x)
        parts.append(box.face(under[::-1] if right else under, (20, 20, 22), 256))
        side = box.side([0, 1, 2, 3], right)
        parts.append(box.face(side, cargo, shade))
        quad: Quad = (side[1], side[2], side[3], side[0])
        if dice.chance(50):
            parts.append(box.face(patch(quad, 24, 60, 232, 150), stripe, shade))
        for rib in range(ribs):
            u = 256 * (rib + 1) // (ribs + 1)
            parts.append(box.face(patch(quad, u - 3, 0, u + 3, 256), shaded(cargo, 200), shade))
        axles = [half - 85, -half + 90, *([-half + 190] if half > 390 else [])]
        parts += wheels(axles, 46, width, shade, (120, 120, 120), right)
    return parts
