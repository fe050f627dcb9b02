"""One scene from one seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from midstream.data.cityscapes import FIRST_INSTANCE
from midstream.data.scenes import SIZE
from midstream.data.scenes.canvas import Canvas, Solid
from midstream.data.scenes.cast import Cast
from midstream.data.scenes.dice import Dice
from midstream.data.scenes.geometry import Camera
from midstream.data.scenes.light import shade, shade_street, weather
from midstream.data.scenes.photograph import develop
from midstream.data.scenes.street import lay_out, paint_buildings, paint_ground, paint_sky
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
    check(seed, size)
    height, width = size
    dice = Dice(seed, _STREET)
    night = dice.chance(10)
    camera = Camera(
        focal=height * 44 // 10,
        height=dice.between(125, 230),
        centre=width + dice.between(-width // 5, width // 5),
        horizon=height * dice.between(76, 104) // 100,
    )
    air, light, sun = weather(dice, night)
    street = lay_out(dice)
    canvas = Canvas.blank(height, width, camera, air)
    paint_sky(canvas, dice)
    paint_ground(canvas, dice, street)
    shade_street(canvas, dice, street, sun)
    paint_buildings(canvas, dice, street, light)
    things = Cast(Dice(seed, _CAST), street, camera, light, size).fill()
    for thing in things:
        shade(canvas, thing, sun)
    for thing in things:
        for parts, label in thing.layers:
            canvas.paint(canvas.seen(Solid.of(parts), thing.yaw, thing.x, thing.z), label)
    image, labels = develop(canvas, Dice(seed, _CAMERA), night)
    return Scene(image, without_specks(labels))


def check(seed: int, size: tuple[int, int]) -> None:
    """Refuse what no scene has. Raises InputError."""
    if seed < 0:
        raise InputError(f"the seed of a scene is a whole number from 0, not {seed}")
    height, width = size
    if not (_SMALLEST <= height <= _LARGEST and _SMALLEST <= width <= _LARGEST):
        raise InputError(f"a scene is {_SMALLEST} to {_LARGEST} pixels wide and high, not {width}x{height}")


def without_specks(labels: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Instances of which next to nothing is seen become what annotators leave out: static things, id 4."""
    counts = np.bincount(labels.ravel())
    values = np.arange(len(counts))
    limit = _SPECK * labels.size // (SIZE[0] * SIZE[1])
    specks = (values >= FIRST_INSTANCE) & (counts > 0) & (counts < limit)
    if not specks.any():
        return labels
    return np.where(specks, 4, values).astype(np.uint16)[labels]
