"""Texture that stays with what it is on, however camera and things move.

Every surface has coordinates of its own, in steps of a quarter to a half of a pixel: so fine that where it is sampled
matters little from frame to frame. With distance they become coarser by octaves.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from midstream.data.scenes.canvas import FINER
from midstream.data.scenes.dice import Dice
from midstream.data.scenes.geometry import FAR, Camera
from midstream.data.scenes.motion.backdrop import ALONG, FIRST_WALL, Wall
from midstream.data.scenes.street import SKY

#: Side of a tile of noise, which repeats.
_TILE = 256
#: Coordinates count in 512ths of a pixel's step; of a scale they are between 128 and 255.
_LEAST_SCALE = 128
_CELLS = (1, 4, 16)
Ints = NDArray[np.int32]


@dataclass(frozen=True)
class Anchor:
    """Where a thing is in a frame, camera coordinates: pixels of the canvas of its place on the ground, and cm away."""

    x: int
    y: int
    away: int


class Tiles:
    """Noise of three sizes, int16 [size, 256 * 256] from -128 to 127."""

    def __init__(self, dice: Dice) -> None:
        layers = []
        for cell in _CELLS:
            noise = dice.noise(_TILE // cell, _TILE // cell).astype(np.int16) - 128
            noise = np.repeat(np.repeat(noise, cell, axis=0), cell, axis=1)
            size = max(cell, 2)
            padded = np.pad(noise, ((0, size), (0, size)), mode="wrap")
            sums = cv2.boxFilter(padded, cv2.CV_32S, (size, size), normalize=False, anchor=(0, 0))
            layers.append((sums[:_TILE, :_TILE] // (size * size) * (2 if cell == 1 else 1)).astype(np.int16).ravel())
        self.layers = layers


@dataclass(frozen=True)
class Viewpoint:
    """From where a frame is seen: the camera, where it is across the street and along it in cm, and what stands there.

    `walls` are numbered from `FIRST_WALL` on.
    """

    camera: Camera
    across: int
    along: int
    walls: list[Wall]


@dataclass(frozen=True)
class _Axes:
    """Of the pixels of an image, in pixels of the canvas from the vanishing point: `across` [W], `down` [H]."""

    across: Ints
    down: Ints

    @classmethod
    def of(cls, camera: Camera, shape: tuple[int, ...]) -> _Axes:
        height, width = shape
        return cls(
            np.arange(width, dtype=np.int32) * FINER - camera.centre,
            np.arange(height, dtype=np.int32) * FINER - camera.horizon,
        )


def texture(
    surfaces: NDArray[np.uint16],
    view: Viewpoint,
    anchors: dict[int, Anchor],
    tiles: Tiles,
    amplitudes: NDArray[np.int16],
) -> Ints:
    """256ths of the brightness to add, int32 [H, W].

    Args:
        surfaces: of each pixel, [H, W]: a label on the ground or in the sky, a wall from `FIRST_WALL` on, a thing.
        view: from where.
        anchors: of things, by number.
        tiles: of noise.
        amplitudes: [3, surfaces].
    """
    axes = _Axes.of(view.camera, surfaces.shape)
    u, v = _upright(surfaces, view, anchors, amplitudes.shape[1], axes)
    _on_ground(surfaces, view, axes, u, v)
    _on_walls(surfaces, view, axes, u, v)
    place = ((v & (_TILE - 1)) << 8) | (u & (_TILE - 1))
    total = np.zeros(surfaces.shape, np.int32)
    for layer, strengths in zip(tiles.layers, amplitudes, strict=True):
        total += layer[place].astype(np.int32) * strengths[surfaces]
    return total >> 8


def _scaled(away: int, focal: int) -> int:
    """A scale that is as the distance within an octave."""
    cm = max((away << 12) // focal, 1)  # of a pixel of the canvas, in 4096ths
    shift = cm.bit_length() - _LEAST_SCALE.bit_length()
    return cm >> shift if shift >= 0 else cm << -shift


def _upright(
    surfaces: NDArray[np.uint16], view: Viewpoint, anchors: dict[int, Anchor], count: int, axes: _Axes
) -> tuple[Ints, Ints]:
    """What is at one distance: things, walls across the street, the sky."""
    camera = view.camera
    table = np.zeros((3, count), np.int32)
    table[2] = _LEAST_SCALE
    for number, wall in enumerate(view.walls, start=FIRST_WALL):
        if wall.kind != ALONG and wall.at > view.along:
            away = wall.at - view.along
            scale = _scaled(away, camera.focal)
            table[:, number] = (-view.across * camera.focal // away, camera.height * camera.focal // away, scale)
    for number, anchor in anchors.items():
        scale = _scaled(anchor.away, camera.focal)
        table[:, number] = (anchor.x - camera.centre, anchor.y - camera.horizon, scale)
    x, y, scales = (row[surfaces] for row in table)
    return ((axes.across[None, :] - x) * scales) >> 10, ((axes.down[:, None] - y) * scales) >> 10


def _on_ground(surfaces: NDArray[np.uint16], view: Viewpoint, axes: _Axes, u: Ints, v: Ints) -> None:
    """Roads and pavements: every row has its distance."""
    camera = view.camera
    first = int(np.searchsorted(axes.down, 1))
    rows = axes.down[first:].tolist()
    if not rows:
        return
    reach = camera.height * camera.focal
    aways = [min(reach // row, 3 * FAR) for row in rows]
    scales = [_scaled(away, camera.focal) for away in aways]
    shifts = np.array([-view.across * camera.focal // away for away in aways], np.int32)
    own_u = ((axes.across[None, :] - shifts[:, None]) * np.array(scales, np.int32)[:, None]) >> 10
    own_v = np.array(
        [_steps(view.along + away, max(away // row, 1)) for away, row in zip(aways, rows, strict=True)], np.int32
    )
    ground = surfaces[first:] < SKY
    np.copyto(u[first:], own_u, where=ground)
    np.copyto(v[first:], np.broadcast_to(own_v[:, None], own_u.shape), where=ground)


def _on_walls(surfaces: NDArray[np.uint16], view: Viewpoint, axes: _Axes, u: Ints, v: Ints) -> None:
    """Walls along the street: every column has its distance."""
    camera, walls = view.camera, view.walls
    lengthwise = [number for number, wall in enumerate(walls, start=FIRST_WALL) if wall.kind == ALONG]
    if not lengthwise:
        return
    rank = np.full(FIRST_WALL + len(walls) + 1, -1, np.int32)
    rank[lengthwise] = np.arange(len(lengthwise))
    places = np.flatnonzero((surfaces >= FIRST_WALL) & (surfaces < FIRST_WALL + len(walls)))
    own = rank[surfaces.ravel()[places]]
    places, own = places[own >= 0], own[own >= 0]
    sides = np.array([(walls[number - FIRST_WALL].at - view.across) * camera.focal for number in lengthwise], np.int64)
    columns = np.where(axes.across == 0, 1, axes.across).astype(np.int64)
    aways = np.clip(sides[:, None] // columns[None, :], 1, 3 * FAR)
    scales = _scales(aways, camera.focal)
    steps = _steps_of(aways + view.along, np.maximum(aways // np.abs(columns)[None, :], 1))
    row, column = np.divmod(places, surfaces.shape[1])
    u.ravel()[places] = steps[own, column]
    v.ravel()[places] = (axes.down[row] * scales[own, column]) >> 10


def _scales(aways: NDArray[np.int64], focal: int) -> Ints:
    """`_scaled` of many."""
    cm = np.maximum((aways << 12) // focal, 1)
    return _octave(cm, _LEAST_SCALE)


def _octave(values: NDArray[np.int64], least: int) -> Ints:
    """Each shifted to at least `least` and less than twice that."""
    out = values.copy()
    for shift in range(24, 0, -1):
        large = out >= least << shift
        out[large] >>= shift
    while (small := out < least).any():
        out[small] <<= 1
    return out.astype(np.int32)


def _steps(cm: int, pixel: int) -> int:
    """A length in steps of a power of two of a cm that are a quarter to a half of `pixel` cm."""
    shift = pixel.bit_length() - 3
    return cm >> shift if shift >= 0 else cm << -shift


def _steps_of(cm: NDArray[np.int64], pixel: NDArray[np.int64]) -> Ints:
    """`_steps` of many."""
    out = np.zeros(cm.shape, np.int64)
    for length in range(1, 40):
        there = (pixel >= 1 << (length - 1)) & (pixel < 1 << length)
        if there.any():
            shift = length - 3
            out[there] = cm[there] >> shift if shift >= 0 else cm[there] << -shift
    return out.astype(np.int32)
