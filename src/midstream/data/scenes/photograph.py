"""From the canvas to a photograph: halving, texture, lens, exposure, sensor noise. Integers throughout."""

from __future__ import annotations

from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from midstream.data.cityscapes import CLASSES, FIRST_INSTANCE
from midstream.data.scenes import street
from midstream.data.scenes.canvas import FINER, Canvas
from midstream.data.scenes.dice import Dice

_Int = TypeVar("_Int", np.int16, np.int32)
#: 256ths of the brightness that texture moves: of single pixels, of 4 x 4 and of 16 x 16.
TEXTURES = {
    street.ROAD: (60, 44, 40), street.PAVEMENT: (72, 60, 40), street.BUILDING: (50, 40, 50), street.POLE: (30, 20, 20),
    street.SIGN: (20, 10, 20), street.VEGETATION: (150, 170, 60), street.TERRAIN: (110, 110, 60),
    street.SKY: (4, 10, 34),
}  # fmt: skip
_CELLS = (1, 4, 16)


def develop(canvas: Canvas, dice: Dice, night: bool) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
    """The image, uint8 RGB [H, W, 3], and its labels, uint16 [H, W]."""
    labels = np.ascontiguousarray(canvas.labels[::FINER, ::FINER])
    light = halved(canvas.pixels).astype(np.int32)
    height, width = labels.shape
    texture = np.repeat(_texture(labels, dice), 3, axis=1).reshape(light.shape)
    light += light * texture >> 8
    np.clip(light, 0, 255, out=light)
    for _ in range(dice.pick((0, 1, 1, 1, 2))):
        light = soften(light)
    exposed = np.empty(light.shape, np.int16)
    for channel, table in enumerate(exposure(dice, night)):
        exposed[:, :, channel] = table[light[:, :, channel]]
    grain = dice.between(2, 12) + (6 if night else 0)
    first, second = dice.noise(2, height, width, 3).astype(np.int16)
    exposed += (first + second - 255) * grain >> 7
    return np.clip(exposed, 0, 255).astype(np.uint8), labels


def halved(pixels: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """The mean of two by two pixels."""
    fine = pixels.astype(np.uint16)
    rows = fine[0::FINER] + fine[1::FINER]
    return ((rows[:, 0::FINER] + rows[:, 1::FINER] + 2) >> 2).astype(np.uint16)


def _texture(labels: NDArray[np.uint16], dice: Dice) -> NDArray[np.int32]:
    """int32 [H, W], 256ths of the brightness to add."""
    height, width = labels.shape
    strengths = np.zeros((len(_CELLS), (max(CLASSES.values()) + 1) * FIRST_INSTANCE), np.int16)
    for label, strength in TEXTURES.items():
        share = dice.between(90, 256)
        strengths[:, label] = [s * share >> 8 for s in strength]
    for label in np.unique(labels[labels >= FIRST_INSTANCE]).tolist():
        strengths[:, label] = [dice.between(8, 50), dice.between(8, 60), dice.between(8, 50)]
    total = np.zeros((height, width), np.int32)
    for cell, amplitudes in zip(_CELLS, strengths, strict=True):
        noise = dice.noise(-(-height // cell), -(-width // cell)).astype(np.int16) - 128
        if cell > 1:
            noise = np.repeat(np.repeat(noise, cell, axis=0), cell, axis=1)[:height, :width]
        total += _sums(noise, cell) // (cell * cell) * amplitudes[labels]
    return total >> 8


def _sums(values: NDArray[np.int16], size: int) -> NDArray[np.int32]:
    """Sums over `size` x `size` neighbours, the edge repeated: whole numbers, so exact however they are added up."""
    return cv2.boxFilter(values, cv2.CV_32S, (size, size), normalize=False, borderType=cv2.BORDER_REPLICATE)  # type: ignore[return-value]


def soften(light: NDArray[_Int]) -> NDArray[_Int]:
    """The kernel 1 2 1 both ways, the edge repeated."""
    padded = np.pad(light, ((1, 1), (0, 0), (0, 0)), mode="edge")
    light = (padded[:-2] + 2 * padded[1:-1] + padded[2:] + 2) >> 2
    padded = np.pad(light, ((0, 0), (1, 1), (0, 0)), mode="edge")
    return (padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:] + 2) >> 2


def exposure(dice: Dice, night: bool) -> list[NDArray[np.int16]]:
    """Per colour the value of each of 256 brightnesses: gain, tint, contrast about the middle grey."""
    gain = dice.between(140, 200) if night else dice.between(190, 330)
    contrast, warmth = dice.between(200, 310), dice.between(-22, 22)
    values = np.arange(256, dtype=np.int64)
    tables = []
    for tint in (warmth, 0, -warmth):
        bright = values * gain * (256 + tint) >> 16
        tables.append(np.clip(((bright - 100) * contrast >> 8) + 100, 0, 255).astype(np.int16))
    return tables
