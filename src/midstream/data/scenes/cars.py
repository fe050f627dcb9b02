"""Saloons, hatchbacks, estates, off-roaders and vans."""

from __future__ import annotations

from midstream.data.scenes.bodies import PAINTS, Body, Lighting, Quad, end_tyres, lamps, patch, wheels
from midstream.data.scenes.dice import Dice
from midstream.data.scenes.geometry import Colour, Part, Shape, shaded

_SALOON, _HATCHBACK, _ESTATE, _OFF_ROADER, _VAN = range(5)
_GLASS: tuple[Colour, ...] = ((34, 42, 50), (54, 66, 78), (24, 28, 34), (84, 98, 108))
_RIMS: tuple[Colour, ...] = ((150, 152, 156), (96, 98, 102), (40, 40, 42))


def car(dice: Dice, light: Lighting, yaw: int) -> Shape:
    """A car of one of five kinds."""
    del yaw
    paint, glass, kind = shaded(dice.pick(PAINTS), dice.between(200, 290)), dice.pick(_GLASS), dice.below(5)
    body = _body(dice, light, kind)
    half, low, width = body.profile[0]
    parts = [*end_tyres(width, half, low + 12, 40), *_flanks(body, dice, paint), *_ends(body, paint)]
    parts += _cabin(body, dice, kind, paint, glass)
    return Shape(parts, width, half)


def _body(dice: Dice, light: Lighting, kind: int) -> Body:
    half, width = dice.between(180, 235), dice.between(82, 95)
    belt, roof = dice.between(84, 98), dice.between(138, 152)
    hood, slope = dice.between(78, 115), dice.between(50, 85)
    backs = ((dice.between(40, 70), dice.between(50, 80)), (4, dice.between(25, 50)), (3, 18), (4, 16), (2, 8))
    trunk, rear = backs[kind]
    if kind == _OFF_ROADER:
        belt, roof = belt + 18, roof + dice.between(22, 36)
    if kind == _VAN:
        hood, slope, belt, roof = dice.between(30, 60), dice.between(60, 80), 110, dice.between(185, 220)
        half += 20
    top = width - dice.between(10, 18)
    low = dice.between(22, 32) + (8 if kind == _OFF_ROADER else 0)
    profile = [
        (half, low, width), (half, belt - 22, width), (half - hood, belt, width), (half - hood - slope, roof, top),
        (-half + trunk + rear, roof - 3, top), (-half + trunk, belt + 4, width), (-half, belt - 4, width),
        (-half, low, width),
    ]  # fmt: skip
    return Body(profile, light)


def _flanks(body: Body, dice: Dice, paint: Colour) -> list[Part]:
    """The sides below the windows, sills and wheels."""
    parts = []
    half, _, width = body.profile[0]
    for right, shade in body.sides():
        parts.append(body.face(body.side([0, 1, 2, 5, 6, 7], right), paint, shade))
        sill = body.side([0, 7], right)
        parts.append(body.face([*sill, *((x, y + 12, z) for x, y, z in sill[::-1])][::-1], shaded(paint, 90), shade))
        axles = [half - dice.between(66, 80), -half + dice.between(66, 84)]
        parts += wheels(axles, dice.between(30, 35), width, shade, dice.pick(_RIMS), right)
    return parts


def _ends(body: Body, paint: Colour) -> list[Part]:
    """Front and rear with grille, lamps and plate, hood and boot."""
    light = body.light
    front, rear = body.strip(0), body.strip(6)
    return [
        body.face(front, paint, light.end),
        body.face(patch(front, 60, 40, 196, 130), (22, 22, 24), 256),
        *lamps(body, 0, True, 20, 90),
        body.face(rear, paint, light.end),
        *lamps(body, 6, False, 10, 90),
        body.face(patch(rear, 90, 90, 166, 140), (226, 226, 214), light.end),
        body.face(body.strip(1), paint, light.top),
        body.face(body.strip(5), paint, light.top),
    ]


def _cabin(body: Body, dice: Dice, kind: int, paint: Colour, glass: Colour) -> list[Part]:
    """What is above the belt: side windows, screens, roof."""
    parts, light = [], body.light
    for right, shade in body.sides():
        parts.append(body.face(body.side([2, 3, 4, 5], right), shaded(paint, 220), shade))
        cabin = body.side([2, 3, 4, 5], right)
        quad: Quad = (cabin[1], cabin[2], cabin[3], cabin[0])
        panes = 1 if kind == _VAN and dice.chance(60) else 3 if kind in (_ESTATE, _OFF_ROADER) else 2
        # A van with one pane has it beside the driver.
        first, last = (20, 236) if kind != _VAN or panes > 1 else ((20, 110) if not right else (146, 236))
        for pane in range(panes):
            left = first + (last - first) * pane // panes + 5
            until = first + (last - first) * (pane + 1) // panes - 5
            parts.append(body.face(patch(quad, left, 24, until, 226), glass, shade))
    shine = shaded(glass, dice.between(256, 420))
    screen, window = body.strip(2), body.strip(4)
    return [
        *parts,
        body.face(screen, shaded(paint, 160), light.end),
        body.face(patch(screen, 16, 16, 240, 244), shine, 256),
        body.face(window, shaded(paint, 200), light.end),
        body.face(patch(window, 20, 20, 236, 220), shaded(glass, 300), light.end),
        body.face(body.strip(3), paint, light.top + 20),
    ]
