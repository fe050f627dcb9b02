"""From the canvas to a frame: halving, texture, lens and exposure as of a photograph; noise of each frame's own."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from midstream.data.cityscapes import FIRST_INSTANCE
from midstream.data.scenes.canvas import Canvas
from midstream.data.scenes.dice import Dice
from midstream.data.scenes.motion.backdrop import Wall
from midstream.data.scenes.motion.texture import Anchor, Tiles, Viewpoint, texture
from midstream.data.scenes.photograph import TEXTURES, exposure, halved, soften

_SENSOR, _TILES = 11, 12
#: The first stream of noise: each frame has one of its own.
_NOISE = 1_000_000


class Sensor:
    """A clip's camera, but for where it is."""

    def __init__(self, seed: int, night: bool, values: NDArray[np.uint16], first: int) -> None:
        """Draw it.

        Args:
            seed: of the clip.
            night: whether there is little light.
            values: of each surface its label or instance; `first` is the first that is a thing's.
        """
        self._seed = seed
        dice = Dice(seed, _SENSOR)
        self._softness = dice.pick((0, 1, 1, 1, 2))
        self._curves = np.stack(exposure(dice, night), axis=-1).astype(np.uint8)[None]
        self._grain = dice.between(2, 12) + (6 if night else 0)
        self._amplitudes = _amplitudes(dice, values, first)
        self._tiles = Tiles(Dice(seed, _TILES))

    def photograph(
        self,
        canvas: Canvas,
        surfaces: NDArray[np.uint16],
        place: tuple[int, int],
        walls: list[Wall],
        anchors: dict[int, Anchor],
        number: int,
    ) -> NDArray[np.uint8]:
        """The image of frame `number`, uint8 RGB [H, W, 3]; arguments as those of `Viewpoint` and `texture`."""
        height, width = surfaces.shape
        view = Viewpoint(canvas.camera, *place, walls)
        added = texture(surfaces, view, anchors, self._tiles, self._amplitudes)
        light = halved(canvas.pixels).astype(np.int32)
        light += light * added[:, :, None] >> 8
        exposed = np.clip(light, 0, 255).astype(np.int16)
        for _ in range(self._softness):
            exposed = soften(exposed)
        shown = cv2.LUT(exposed.astype(np.uint8), self._curves).astype(np.int16)
        first, second = Dice(self._seed, _NOISE + number).noise(2, height, width, 3).astype(np.int16)
        shown += (first + second - 255) * self._grain >> 7
        return np.clip(shown, 0, 255).astype(np.uint8)


def _amplitudes(dice: Dice, values: NDArray[np.uint16], first: int) -> NDArray[np.int16]:
    """256ths of the brightness that each size of texture moves, int16 [3, surfaces]."""
    drawn = {label: [s * dice.between(90, 256) >> 8 for s in strengths] for label, strengths in TEXTURES.items()}
    out = np.zeros((3, len(values)), np.int16)
    for surface, value in enumerate(values.tolist()):
        if surface >= first and value >= FIRST_INSTANCE:
            out[:, surface] = [dice.between(8, 50), dice.between(8, 60), dice.between(8, 50)]
        else:
            out[:, surface] = drawn.get(value, [0, 0, 0])
    return out
