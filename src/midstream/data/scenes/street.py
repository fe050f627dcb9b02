"""The street itself: sky, ground, road, markings, buildings with windows, and what stands along it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from midstream.data.scenes.bodies import Lighting
from midstream.data.scenes.canvas import Easel
from midstream.data.scenes.dice import Dice
from midstream.data.scenes.geometry import FAR, Colour, Part, Point, circle, limb, mixed, shaded, upright

#: Cityscapes' label ids of what is no instance.
ROAD, PAVEMENT, BUILDING, POLE, SIGN, VEGETATION, TERRAIN, SKY = 7, 8, 11, 17, 20, 21, 22, 23

#: Where people cross, beside the begin of a junction, cm.
CROSSING = -380

_FACADES: tuple[Colour, ...] = (
    (176, 160, 138), (150, 92, 72), (196, 190, 178), (128, 124, 122), (206, 178, 132), (118, 82, 66), (160, 168, 172),
    (90, 92, 98), (184, 146, 122), (214, 206, 190), (104, 110, 96), (142, 60, 50),
)  # fmt: skip
_ASPHALT: tuple[Colour, ...] = ((92, 92, 96), (74, 76, 80), (112, 110, 108), (100, 96, 92), (84, 88, 96))
_STONES: tuple[Colour, ...] = ((146, 140, 134), (124, 122, 122), (160, 148, 136), (132, 120, 112))
_LEAVES: tuple[Colour, ...] = ((52, 84, 36), (74, 98, 44), (40, 66, 36), (96, 104, 50), (128, 96, 40), (60, 92, 60))
_GRASS: tuple[Colour, ...] = ((84, 106, 52), (104, 112, 66), (70, 92, 48))


@dataclass(frozen=True)
class Street:
    """Where the ground's parts end, x in cm: the road lies from `left` to `right`, pavements up to the walls.

    Attributes:
        reach: how far the camera goes along it, cm.
        junction: from where to where (z) another street crosses it, with a crossing for people before it.
    """

    left: int
    right: int
    left_wall: int
    right_wall: int
    rails: int | None
    reach: int = 0
    junction: tuple[int, int] | None = None


def lay_out(dice: Dice) -> Street:
    """A street of two to five lanes, seen from one of the right ones."""
    left, right = -dice.between(320, 1000), dice.between(280, 620)
    rails = dice.between(left + 150, min(-150, left + 260)) if left < -600 and dice.chance(70) else None
    return Street(left, right, left - dice.between(220, 620), right + dice.between(220, 520), rails)


def paint_sky(canvas: Easel, dice: Dice) -> None:
    """From the zenith to the colour of the haze."""
    zenith: Colour = dice.pick(
        ((70, 118, 190), (120, 150, 196), (168, 176, 186), (196, 200, 206), (134, 140, 150), (90, 130, 180))
    )
    canvas.sky(zenith, SKY)


def paint_ground(canvas: Easel, dice: Dice, street: Street) -> None:
    """Pavements or grass, the road with its markings, patches, rails and crossings, all hazy by distance."""
    stone, asphalt = dice.pick(_STONES), shaded(dice.pick(_ASPHALT), dice.between(200, 290))
    _pavements(canvas, dice, street, stone)
    canvas.ground(_lane(street, street.left, street.right), asphalt, ROAD)
    for edge, side in ((street.left, -1), (street.right, 1)):
        canvas.ground(_lane(street, edge, edge + side * 14), shaded(stone, 300), PAVEMENT)
        canvas.ground(_lane(street, edge - side * 50, edge), shaded(asphalt, 226), None)
    if street.junction is not None:
        near, far = street.junction
        wide = [(street.left_wall - FAR, near), (street.right_wall + FAR, near)]
        canvas.ground([*wide, *((x, far) for x, _ in reversed(wide))], asphalt, ROAD)
        _zebra(canvas, street, near + CROSSING, (206, 206, 202))
    for _ in range(dice.between(2, 8) * (1 + street.reach // 4000)):
        x, z = dice.between(street.left, street.right - 150), dice.between(500, 4000 + street.reach)
        w, d = dice.between(60, 320), dice.between(60, 700)
        colour = shaded(asphalt, dice.pick((210, 226, 240, 276)))
        w = min(w, street.right - x)
        canvas.ground([(x, z), (x + w, z), (x + w + 10, z + d), (x - 8, z + d)], colour, None)
    if dice.chance(80):
        _markings(canvas, dice, street)
    if street.rails is not None:
        for x in (street.rails - 75, street.rails + 67):
            canvas.ground(_lane(street, x, x + 9), (66, 62, 60), None)
            canvas.ground(_lane(street, x + 3, x + 6), (150, 148, 146), None)
    canvas.mist()


def _pavements(canvas: Easel, dice: Dice, street: Street, stone: Colour) -> None:
    canvas.below(stone, PAVEMENT)
    for wall, side in ((street.left_wall, -1), (street.right_wall, 1)):
        if dice.chance(30):
            inner = wall - side * dice.between(0, 200)
            canvas.ground(_lane(street, inner, wall + side * 4000), dice.pick(_GRASS), TERRAIN)
    for z in range(400, 3000 + street.reach, dice.between(120, 300)):
        joint = shaded(stone, 226)
        canvas.ground(
            [(street.left_wall, z), (street.right_wall, z), (street.right_wall, z + 5), (street.left_wall, z + 5)],
            joint,
            None,
        )


def _lane(street: Street, left: int, right: int) -> list[tuple[int, int]]:
    far = FAR + street.reach
    return [(left, 150), (left, far), (right, far), (right, 150)]


def _markings(canvas: Easel, dice: Dice, street: Street) -> None:
    white = shaded(dice.pick(((226, 226, 222), (206, 206, 200), (216, 196, 120))), dice.between(190, 256))
    lanes = max((street.right - street.left) // dice.between(300, 380), 1)
    period, dash = dice.between(500, 1100), dice.between(180, 400)
    start = dice.below(period)
    for lane in range(1, lanes):
        x = street.left + (street.right - street.left) * lane // lanes
        if dice.chance(20):
            canvas.ground(_lane(street, x - 6, x + 6), white, None)
            continue
        for z in range(200 + start, 9000 + street.reach, period):
            canvas.ground([(x - 7, z), (x + 7, z), (x + 7, z + dash), (x - 7, z + dash)], white, None)
    if dice.chance(30):
        _zebra(canvas, street, dice.between(800, 2600), white)
    if dice.chance(25):
        x, z = dice.between(-80, 80), dice.between(700, 1600)
        canvas.ground([(x - 8, z), (x + 8, z), (x + 8, z + 250), (x - 8, z + 250)], white, None)
        canvas.ground([(x - 40, z + 250), (x + 40, z + 250), (x, z + 420)], white, None)


def _zebra(canvas: Easel, street: Street, z: int, white: Colour) -> None:
    for x in range(street.left + 40, street.right - 60, 100):
        canvas.ground([(x, z), (x + 50, z), (x + 50, z + 300), (x, z + 300)], white, None)


def paint_buildings(canvas: Easel, dice: Dice, street: Street, light: Lighting) -> None:
    """The end of the street, then a row of houses on each side from far to near, with gaps."""
    x, end = street.left_wall - 6000, 16000 + street.reach
    while x < street.right_wall + 6000:
        wide, high = dice.between(500, 1800), dice.between(300, 2200)
        wooded = dice.chance(35)
        colour = dice.pick(_LEAVES) if wooded else dice.pick(_FACADES)
        quad: list[Point] = [(x, high, end), (x + wide, high, end), (x + wide, 0, end), (x, 0, end)]
        canvas.walls([quad], [shaded(colour, light.end)], VEGETATION if wooded else BUILDING)
        x += wide
    for side, wall in ((-1, street.left_wall), (1, street.right_wall)):
        ends = [z := dice.between(0, 900)]
        while z < 13000 + street.reach:
            z += dice.between(700, 2200)
            ends.append(z)
        density = dice.pick((95, 85, 60, 30))
        for near, far in reversed(list(pairwise(ends))):
            if dice.chance(density) and not _in_junction(street, near, far):
                _house(canvas, dice, side, wall + side * dice.pick((0, 0, 0, 150, 400)), max(near, 170), far, light)


def _in_junction(street: Street, near: int, far: int) -> bool:
    return street.junction is not None and near < street.junction[1] and far > street.junction[0]


def _house(canvas: Easel, dice: Dice, side: int, x: int, near: int, far: int, light: Lighting) -> None:
    high, colour = dice.between(550, 2400), shaded(dice.pick(_FACADES), dice.between(200, 280))
    facing, end = light.right if side < 0 else light.left, light.end
    deep = x + side * dice.between(700, 1500)
    quads: list[list[Point]] = [
        [(x, high, near), (deep, high, near), (deep, 0, near), (x, 0, near)],
        [(x, high, near), (x, high, far), (x, 0, far), (x, 0, near)],
    ]
    colours = [shaded(colour, end), shaded(colour, facing)]
    band = dice.between(320, 420)
    if dice.chance(50):  # shops on the ground floor
        quads.append([(x, band, near), (x, band, far), (x, 0, far), (x, 0, near)])
        colours.append(shaded(dice.pick(_FACADES), facing * 180 >> 8))
    if dice.chance(60):  # cornice
        quads.append([(x, high, near), (x, high, far), (x, high - 50, far), (x, high - 50, near)])
        colours.append(shaded(colour, facing * 320 >> 8))
    glass = dice.pick(((50, 58, 68), (80, 94, 108), (36, 40, 46), (120, 136, 150)))
    storey, bay = dice.between(280, 360), dice.between(220, 420)
    wide, tall = bay * dice.between(90, 190) >> 8, storey * dice.between(110, 180) >> 8
    for z in range(near + bay // 3, far - wide, bay):
        if z < 260:
            continue
        for y in range(70, high - tall - 60, storey):
            lit = light.lamps and dice.chance(30)
            pane = (250, 214, 140) if lit else shaded(glass, dice.between(190, 380))
            quads.append([(x, y + tall, z), (x, y + tall, z + wide), (x, y, z + wide), (x, y, z)])
            colours.append(pane if lit else shaded(pane, facing))
    for u in range(x + side * 80, deep - side * wide, side * bay):
        for y in range(90, high - tall - 60, storey):
            quads.append(
                [(u, y + tall, near), (u + side * wide, y + tall, near), (u + side * wide, y, near), (u, y, near)]
            )
            colours.append(shaded(glass, end * dice.between(200, 330) >> 8))
    canvas.walls(quads, colours, BUILDING)


def tree(dice: Dice, light: Lighting) -> list[Part]:
    """A trunk, and leaves in clumps from the dark inside to the lit outside."""
    high, wide, green = dice.between(420, 1000), dice.between(110, 300), dice.pick(_LEAVES)
    trunk = max(high * dice.between(60, 120) >> 8, 150)
    parts = [
        Part(
            upright(limb((0, 0), (dice.between(-20, 20), trunk + 80), dice.between(20, 45), 16)),
            (62, 50, 42),
            light.end,
        )
    ]
    clumps = dice.between(7, 14)
    for clump in range(clumps):
        shade = 150 + 130 * clump // clumps
        radius = wide * dice.between(80, 150) >> 8
        x, y = dice.near(-wide, wide), dice.near(trunk, high)
        blob = [
            (px + dice.between(-radius // 4, radius // 4), py + dice.between(-radius // 4, radius // 4))
            for px, py in circle(x, y + radius // 3, radius)
        ]
        parts.append(Part(upright(blob), mixed(green, dice.pick(_LEAVES), dice.below(90)), shade * light.top >> 8))
    return parts


def pole(dice: Dice, light: Lighting) -> tuple[list[Part], int]:
    """A lamp post, a sign, a traffic light or a bollard, and its label."""
    grey = dice.pick(((110, 112, 114), (60, 64, 62), (150, 150, 148), (70, 60, 54)))
    kind = dice.below(4)
    if kind == 0:
        high, arm = dice.between(500, 800), dice.sign() * dice.between(60, 180)
        parts = [
            Part(upright(limb((0, 0), (0, high), 16, 9)), grey, light.end),
            Part(upright(limb((0, high), (arm, high + 20), 8, 8)), grey),
        ]
        parts.append(
            Part(upright(limb((arm, high + 20), (arm * 5 // 4, high + 18), 14, 12)), (200, 200, 190), light.top)
        )
        return parts, POLE
    if kind == 1:
        high = dice.between(210, 300)
        colour: Colour = dice.pick(((190, 30, 34), (30, 70, 160), (226, 190, 40), (226, 226, 226)))
        plate = circle(0, high, 32) if dice.chance(50) else [(-34, high - 30), (0, high + 34), (34, high - 30)]
        inner = [(x * 170 >> 8, high + ((y - high) * 170 >> 8)) for x, y in plate]
        return [
            Part(upright(limb((0, 0), (0, high), 7, 7)), grey, light.end),
            Part(upright(plate), colour, light.end),
            Part(upright(inner), (226, 226, 222), light.end),
        ], SIGN
    if kind == 2:
        high = dice.between(280, 380)
        parts = [Part(upright(limb((0, 0), (0, high), 12, 10)), grey, light.end)]
        parts.append(Part(upright([(-16, high), (16, high), (16, high - 90), (-16, high - 90)]), (26, 28, 28)))
        on = dice.below(3)
        for lamp, colour in enumerate(((240, 50, 40), (250, 190, 50), (60, 230, 130))):
            parts.append(Part(upright(circle(0, high - 15 - 30 * lamp, 11, 8)), colour if lamp == on else (48, 46, 44)))
        return parts, POLE
    high = dice.between(70, 110)
    return [
        Part(upright(limb((0, 0), (0, high), 18, 16)), grey, light.end),
        Part(upright(limb((0, high - 22), (0, high - 12), 17, 17)), (210, 206, 200), light.end),
    ], POLE
