"""Bicycles, motorcycles and scooters, flat along their length when seen from a side, across when seen from an end.

Own coordinates in cm: x across, y up, z along, the front at +z.
"""

from __future__ import annotations

from midstream.data.scenes.bodies import Lighting
from midstream.data.scenes.dice import Dice
from midstream.data.scenes.geometry import (
    TURN,
    Colour,
    Part,
    Shape,
    circle,
    cosine,
    limb,
    shaded,
    sideways,
    sine,
    upright,
)

_FRAMES: tuple[Colour, ...] = (
    (170, 30, 30), (30, 60, 130), (40, 40, 42), (200, 200, 204), (36, 110, 70), (220, 160, 30),
)  # fmt: skip
_TYRE: Colour = (26, 26, 28)
_BASKETS: tuple[Colour, ...] = ((96, 74, 48), (60, 60, 62))


def seen_from_end(yaw: int) -> bool:
    """Whether the length of a thing turned so is mostly hidden: less than 25 degrees off the line of sight."""
    return abs(sine(yaw)) < sine(TURN * 25 // 360)


def _wheel(z: int, radius: int, spokes: bool, light: Lighting) -> list[Part]:
    """Of a bicycle, or of something heavier."""
    disc = sideways(circle(z, radius, radius))
    if not spokes:
        return [Part(disc, _TYRE), Part(sideways(circle(z, radius, radius * 150 >> 8)), (112, 114, 118), light.left)]
    parts = [Part(disc, None)]  # the mask holds what is seen between the spokes, as annotators draw it
    ring = circle(z, radius, radius)
    inner = circle(z, radius, radius - 4)
    for i in range(len(ring)):
        j = (i + 1) % len(ring)
        parts.append(Part(sideways([ring[i], ring[j], inner[j], inner[i]]), _TYRE))
    for spoke in range(0, len(ring), 4):
        parts.append(Part(sideways(limb((z, radius), ring[spoke], 2, 1)), (130, 130, 134), 256, solid=False))
    return parts


def bicycle(dice: Dice, light: Lighting, yaw: int) -> Shape:
    """A bicycle: diamond or step-through frame, handlebar, saddle, some with a basket or a carrier."""
    colour, shade = dice.pick(_FRAMES), (light.left + light.right) // 2
    if seen_from_end(yaw):
        return _bicycle_from_end(dice, colour, shade)
    parts = [*_wheel(-52, 33, True, light), *_wheel(52, 33, True, light)]
    crank, seat, head = (-8, 30), (-22, 84), (36, 86)
    parts.append(Part(sideways([(-52, 36), seat, head, (50, 36), crank]), None))
    for start, end in (
        (crank, seat),
        (crank, head),
        (seat if dice.chance(60) else (-14, 58), head),
        ((-52, 33), crank),
        ((-52, 33), (seat[0], 76)),
        (head, (52, 33)),
    ):
        parts.append(Part(sideways(limb(start, end, 5, 4)), colour, shade))
    parts.append(Part(sideways(limb(head, (34, 102), 4, 4)), (60, 60, 62)))
    parts.append(Part(sideways(limb((28, 106), (44, 102), 6, 5)), (30, 30, 32)))
    parts.append(Part(sideways(limb((-34, 94), (-10, 92), 8, 5)), (24, 22, 22)))
    parts.append(Part(sideways(circle(crank[0], crank[1], 9, 8)), (40, 40, 42)))
    if dice.chance(35):
        parts.append(Part(sideways([(40, 96), (64, 96), (60, 74), (42, 74)]), dice.pick(_BASKETS), shade))
    if dice.chance(35):
        parts.append(Part(sideways([(-80, 74), (-30, 74), (-30, 69), (-80, 69)]), (40, 40, 42), shade))
    return Shape(parts, 24, 86)


def _bicycle_from_end(dice: Dice, colour: Colour, shade: int) -> Shape:
    parts = [Part(upright([(-4, 68), (4, 68), (4, 0), (-4, 0)]), _TYRE)]
    parts.append(Part(upright([(-3, 96), (3, 96), (3, 40), (-3, 40)]), colour, shade))
    parts.append(Part(upright(limb((-28, 104), (28, 104), 6, 6)), (50, 50, 52), shade))
    parts.append(Part(upright(limb((-15, 30), (15, 26), 5, 5)), (30, 30, 30)))
    if dice.chance(40):
        parts.append(
            Part(
                upright([(-18, 100), (18, 100), (14, 76), (-14, 76)]),
                dice.pick(_BASKETS),
                shade,
            )
        )
    else:
        parts.append(Part(upright([(-9, 96), (9, 96), (7, 88), (-7, 88)]), (24, 24, 24), shade))
    return Shape(parts, 26, 80)


def motorcycle(dice: Dice, light: Lighting, yaw: int) -> Shape:
    """A motorcycle or a scooter."""
    colour = shaded(dice.pick(_FRAMES), dice.between(200, 300))
    shade = (light.left + light.right) // 2
    lamp: Colour = (255, 244, 206) if light.lamps or dice.chance(40) else (180, 184, 188)
    if seen_from_end(yaw):
        return _motorcycle_from_end(dice, colour, shade, lamp, cosine(yaw) < 0)
    scooter = dice.chance(40)
    radius = 24 if scooter else 31
    parts = [*_wheel(-64, radius, False, light), *_wheel(66, radius, False, light)]
    if scooter:
        for corners in (
            [(-88, 60), (-70, 82), (-6, 80), (2, 40), (4, 22), (-40, 22)],
            [(-6, 42), (32, 34), (56, 26), (0, 20)],
            [(32, 36), (44, 92), (54, 92), (56, 26)],
        ):
            parts.append(Part(sideways(corners), colour, shade))
        parts.append(Part(sideways([(-80, 92), (-10, 90), (-6, 80), (-76, 80)]), (30, 28, 28), shade))
    else:
        parts.append(Part(sideways([(-34, 28), (-30, 58), (26, 58), (34, 30), (10, 20)]), (64, 64, 68), shade))
        parts.append(Part(sideways([(-10, 60), (-12, 86), (12, 98), (40, 88), (44, 70)]), colour, shade))
        parts.append(Part(sideways([(-92, 88), (-84, 80), (-10, 66), (-8, 84), (-50, 86)]), (26, 24, 24), shade))
        parts.append(Part(sideways(limb((-64, 31), (-20, 40), 8, 10)), (90, 90, 94), shade))
        parts.append(Part(sideways(limb((-90, 36), (-10, 30), 9, 7)), (150, 150, 154), shade))
    parts.append(Part(sideways(limb((66, radius), (44, 100), 7, 7)), (110, 110, 114), shade))
    parts.append(Part(sideways(limb((44, 102), (28, 108), 6, 6)), (28, 28, 30), shade))
    parts.append(Part(sideways(circle(54, 88, 9, 8)), lamp))
    parts.append(Part(sideways(limb((50, radius * 2 + 8), (84, radius * 2 - 2), 5, 4)), colour, shade))
    parts.append(Part(sideways(circle(-90, 78, 5, 8)), (190, 24, 22)))
    return Shape(parts, 30, 100)


def _motorcycle_from_end(dice: Dice, colour: Colour, shade: int, lamp: Colour, front: bool) -> Shape:
    parts = [Part(upright([(-8, 62), (8, 62), (8, 0), (-8, 0)]), _TYRE)]
    parts.append(Part(upright([(-22, 52), (22, 52), (16, 26), (-16, 26)]), (62, 62, 66), shade))
    parts.append(Part(upright([(-17, 100), (17, 100), (22, 70), (12, 46), (-12, 46), (-22, 70)]), colour, shade))
    parts.append(Part(upright(limb((-36, 106), (36, 106), 6, 6)), (36, 36, 38), shade))
    for x in (-32, 32):
        parts.append(Part(upright(circle(x, 116, 8, 8)), (44, 46, 50), shade))
    parts.append(Part(upright(circle(0, 88, 11 if front else 8, 8)), lamp if front else (200, 26, 22)))
    if front and dice.chance(50):
        parts.append(Part(upright([(-13, 122), (13, 122), (17, 100), (-17, 100)]), (96, 112, 122), shade))
    return Shape(parts, 32, 100)
