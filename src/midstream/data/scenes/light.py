"""Light and shade over a street: haze, the sun, lamps, shadows."""

from __future__ import annotations

from dataclasses import dataclass

from midstream.data.scenes.bodies import Lighting
from midstream.data.scenes.canvas import Air, Easel
from midstream.data.scenes.cast import Thing
from midstream.data.scenes.dice import Dice
from midstream.data.scenes.street import Street


@dataclass(frozen=True)
class Sun:
    """Where shadows fall, in 256ths of a thing's height across, and how dark: 256ths of the light that is left."""

    across: int
    left: int


def weather(dice: Dice, night: bool) -> tuple[Air, Lighting, Sun]:
    """Drawn; at night lamps are lit."""
    haze = dice.pick((20, 40, 60, 90, 140, 240, 420))
    grey = dice.between(150, 225)
    colour = (grey + dice.between(-12, 16), grey, grey + dice.between(-8, 26))
    overcast = night or dice.chance(45)
    contrast = dice.between(5, 30) if overcast else dice.between(40, 90)
    side = dice.sign()
    light = Lighting(
        top=256 + contrast // 2,
        left=256 - side * contrast,
        right=256 + side * contrast,
        end=256 - dice.between(0, 60),
        lamps=night or dice.chance(15),
    )
    if night:
        colour = (70, 72, 84)
    return Air(colour, haze), light, Sun(-side * dice.between(0, 200), 190 if overcast else dice.between(96, 150))


def shade_street(canvas: Easel, dice: Dice, street: Street, sun: Sun) -> None:
    """The shadow of one side's houses on the road."""
    if sun.left > 160 or dice.chance(40):
        return
    reach = dice.between(100, 900)
    x = street.left_wall + reach if sun.across > 0 else street.right_wall - reach
    edge = street.left_wall - 3000 if sun.across > 0 else street.right_wall + 3000
    near, far = dice.between(150, 1500), dice.between(2000, 12000)
    canvas.shadow([(edge, near), (x, near), (x, far), (edge, far)], sun.left + 30)


def shade(canvas: Easel, thing: Thing, sun: Sun) -> None:
    """What a thing throws on the ground."""
    if thing.throws is None:
        return
    across, along = thing.reach
    shift = sun.across * min(across, 120) >> 8
    x, z = thing.x, thing.z
    corners = [
        (x - across, z - along),
        (x + across, z - along),
        (x + across + shift, z + along),
        (x - across + shift, z + along),
    ]
    canvas.shadow(corners, sun.left)
