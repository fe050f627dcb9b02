"""One scene from one seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from midstream.data.cityscapes import FIRST_INSTANCE
from midstream.data.scenes import SIZE
from midstream.data.scenes.bodies import Lighting
from midstream.data.scenes.canvas import Air, Canvas
from midstream.data.scenes.cast import Cast, Thing
from midstream.data.scenes.dice import Dice
from midstream.data.scenes.geometry import Camera
from midstream.data.scenes.photograph import develop
from midstream.data.scenes.street import Street, lay_out, paint_buildings, paint_ground, paint_sky
from midstream.errors import InputError

_SMALLEST, _LARGEST = 32, 4096
#: Pixels below which an instance is not labelled, at the default size.
_SPECK = 24
_STREET, _CAST, _CAMERA = range(3)


@dataclass(frozen=True)
class Scene:
    """An image, uint8 RGB [H, W, 3], and `instance_ids`, uint16 [H, W], values as in Cityscapes' instanceIds files."""

    image: NDArray[np.uint8]
    instance_ids: NDArray[np.uint16]


def generate(seed: int, size: tuple[int, int] = SIZE) -> Scene:
    """The scene of a seed.

    Args:
        seed: from 0; neighbouring seeds have nothing in common.
        size: (height, width), each 32 to 4096. The same seed shows the same things at another size of the same shape,
            up to rounding and texture.

    Raises:
        InputError: a negative seed or a size out of range.
    """
    if seed < 0:
        raise InputError(f"the seed of a scene is a whole number from 0, not {seed}")
    height, width = size
    if not (_SMALLEST <= height <= _LARGEST and _SMALLEST <= width <= _LARGEST):
        raise InputError(f"a scene is {_SMALLEST} to {_LARGEST} pixels wide and high, not {width}x{height}")
    dice = Dice(seed, _STREET)
    night = dice.chance(10)
    camera = Camera(
        focal=height * 44 // 10,
        height=dice.between(125, 230),
        centre=width + dice.between(-width // 5, width // 5),
        horizon=height * dice.between(76, 104) // 100,
    )
    air, light, sun = _weather(dice, night)
    street = lay_out(dice)
    canvas = Canvas(height, width, camera, air)
    paint_sky(canvas, dice)
    paint_ground(canvas, dice, street)
    _shade_street(canvas, dice, street, sun)
    paint_buildings(canvas, dice, street, light)
    things = Cast(Dice(seed, _CAST), street, camera, light, size).fill()
    for thing in things:
        _shade(canvas, thing, sun)
    for thing in things:
        for parts, label in thing.layers:
            canvas.paint(parts, thing.yaw, thing.x, thing.z, label)
    image, labels = develop(canvas, Dice(seed, _CAMERA), night)
    return Scene(image, _without_specks(labels))


@dataclass(frozen=True)
class _Sun:
    """Where shadows fall, in 256ths of a thing's height across, and how dark: 256ths of the light that is left."""

    across: int
    left: int


def _weather(dice: Dice, night: bool) -> tuple[Air, Lighting, _Sun]:
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
    return Air(colour, haze), light, _Sun(-side * dice.between(0, 200), 190 if overcast else dice.between(96, 150))


def _shade_street(canvas: Canvas, dice: Dice, street: Street, sun: _Sun) -> None:
    """The shadow of one side's houses on the road."""
    if sun.left > 160 or dice.chance(40):
        return
    reach = dice.between(100, 900)
    x = street.left_wall + reach if sun.across > 0 else street.right_wall - reach
    edge = street.left_wall - 3000 if sun.across > 0 else street.right_wall + 3000
    near, far = dice.between(150, 1500), dice.between(2000, 12000)
    canvas.shadow([(edge, near), (x, near), (x, far), (edge, far)], sun.left + 30)


def _shade(canvas: Canvas, thing: Thing, sun: _Sun) -> None:
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


def _without_specks(labels: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Instances of which next to nothing is seen become what annotators leave out: static things, id 4."""
    counts = np.bincount(labels.ravel())
    values = np.arange(len(counts))
    limit = _SPECK * labels.size // (SIZE[0] * SIZE[1])
    specks = (values >= FIRST_INSTANCE) & (counts > 0) & (counts < limit)
    if not specks.any():
        return labels
    return np.where(specks, 4, values).astype(np.uint16)[labels]
