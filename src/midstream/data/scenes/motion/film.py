"""The frames of a clip."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from midstream.data.scenes import SIZE
from midstream.data.scenes.canvas import FINER, Canvas, Face
from midstream.data.scenes.cast import Thing, far_to_near
from midstream.data.scenes.dice import Dice
from midstream.data.scenes.geometry import NEAREST
from midstream.data.scenes.light import shade, shade_street
from midstream.data.scenes.motion import FRAMES, MOST_FRAMES
from midstream.data.scenes.motion.actors import Actor
from midstream.data.scenes.motion.backdrop import FIRST_WALL, Backdrop
from midstream.data.scenes.motion.sensor import Sensor
from midstream.data.scenes.motion.texture import Anchor
from midstream.data.scenes.motion.world import Instance, build, instances
from midstream.data.scenes.scene import check, without_specks
from midstream.data.scenes.street import paint_buildings, paint_ground, paint_sky
from midstream.errors import InputError

_BACKDROP = 10
#: Nothing farther away is shown, cm.
_FARTHEST = 14_000
#: What is farther away than in any single scene is `far`, cm.
_FAR = 6_000
#: Left, top, width, height in pixels.
Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class FilmObject:
    """An object in a frame.

    Attributes:
        object: which one.
        box: of all of it that is within the image, hidden or not.
        area: pixels of it within the image, hidden or not.
        visible: the box of what is seen of it, that of its mask; None where nothing is.
        pixels: of its mask.
        far: so far away that no network is held to find it, nor blamed for it: as a crowd in COCO's sense.
    """

    object: Instance
    box: Box
    area: int
    visible: Box | None
    pixels: int
    far: bool

    @property
    def hidden(self) -> int:
        """Thousandths of it that other things hide."""
        return 1000 - 1000 * self.pixels // self.area


@dataclass(frozen=True)
class FilmFrame:
    """An image, uint8 RGB [H, W, 3]; `instance_ids`, uint16 [H, W], as of a single scene; objects by track."""

    image: NDArray[np.uint8]
    instance_ids: NDArray[np.uint16]
    objects: tuple[FilmObject, ...]


@dataclass
class _Placed(Thing):
    """An actor in a frame, from the camera; `first` is the surface of its first layer."""

    actor: Actor | None = None
    first: int = 0
    pose: int = 0


@dataclass(frozen=True)
class _Cover:
    """All of an object that is within the image: box and pixels."""

    box: Box
    area: int
    far: bool


class Film:
    """The clip of a seed. Every frame can be had by itself, and is the same whatever was asked for before."""

    def __init__(self, seed: int, size: tuple[int, int] = SIZE) -> None:
        """Draw the world.

        Args:
            seed: from 0; neighbouring seeds have nothing in common, nor have a seed's clip and its single scene.
            size: (height, width), each 32 to 4096.

        Raises:
            InputError: a negative seed or a size out of range.
        """
        check(seed, size)
        self.size = size
        world = build(seed, size)
        self._world, self._backdrop = world, Backdrop()
        dice = Dice(seed, _BACKDROP)
        paint_sky(self._backdrop, dice)
        paint_ground(self._backdrop, dice, world.street)
        shade_street(self._backdrop, dice, world.street, world.sun)
        paint_buildings(self._backdrop, dice, world.street, world.light)
        self._planes = self._backdrop.planes
        self._instances = instances(world.actors)
        first = FIRST_WALL + len(self._planes)
        self._firsts = (first + np.cumsum([0, *(len(actor.layers) for actor in world.actors)])).tolist()
        self._values = self._table(first)
        self._sensor = Sensor(seed, world.night, self._values, first)
        self._margins = self._widest()
        self._painted: tuple[int, Canvas] | None = None

    @property
    def camera(self) -> str:
        """How it moves: still, turning, driving, in hand."""
        return self._world.eye.kind

    def frames(self, count: int = FRAMES) -> Iterator[FilmFrame]:
        """The first so many, at most `MOST_FRAMES`."""
        return map(self.frame, range(count))

    def frame(self, number: int) -> FilmFrame:
        """One of them, from 0 on. Raises InputError for one that no clip has."""
        if not 0 <= number < MOST_FRAMES:
            raise InputError(f"there is no frame {number}: a clip has {MOST_FRAMES} at most")
        along = self._world.eye.along(number)
        canvas = self._canvas(number, along)
        things = self._things(number, along)
        for thing in things:
            shade(self._own(canvas, thing, along), thing, self._world.sun)
        covers: dict[int, _Cover] = {}
        anchors: dict[int, Anchor] = {}
        for thing in things:
            self._paint(self._own(canvas, thing, along), canvas, thing, covers, anchors)
        surfaces = np.ascontiguousarray(canvas.labels[::FINER, ::FINER])
        ids = without_specks(self._values[surfaces])
        image = self._sensor.photograph(canvas, surfaces, (self._world.eye.x, along), self._planes, anchors, number)
        return FilmFrame(image, ids, tuple(self._seen(ids, covers)))

    def _table(self, first: int) -> NDArray[np.uint16]:
        """Of each surface the value in `instance_ids`."""
        labels = [layer.label for actor in self._world.actors for layer in actor.layers]
        own = [label if there is None else there.value for there, label in zip(self._instances, labels, strict=True)]
        table = np.arange(first + len(own), dtype=np.uint16)
        table[FIRST_WALL:first] = [plane.label for plane in self._planes]
        table[first:] = own
        return table

    def _widest(self) -> tuple[int, int]:
        """How far the camera turns to either side, and up or down, in pixels of the canvas; even numbers."""
        eye, height = self._world.eye, self.size[0]
        far = [sum(each.most(height) for each in swings) for swings in (eye.sideways, eye.up)]
        return far[0] + far[0] % 2, far[1] + far[1] % 2

    def _canvas(self, number: int, along: int) -> Canvas:
        """With the street on it."""
        height, width = self.size
        eye, (across, down) = self._world.eye, self._margins
        if self._painted is None or self._painted[0] != along:
            camera = replace(eye.camera, centre=eye.camera.centre + across, horizon=eye.camera.horizon + down)
            wide = Canvas.blank(height + down, width + across, camera, self._world.air)
            self._backdrop.paint(wide, eye.x, along)
            self._painted = along, wide
        wide, camera = self._painted[1], eye.seen(number, height)
        left = across - camera.centre + eye.camera.centre
        top = down - camera.horizon + eye.camera.horizon
        rows, columns = slice(top, top + FINER * height), slice(left, left + FINER * width)
        return Canvas(wide.pixels[rows, columns].copy(), wide.labels[rows, columns].copy(), camera, self._world.air)

    def _things(self, number: int, along: int) -> list[_Placed]:
        """What may be seen, in the order of painting."""
        found = []
        eye, width = self._world.eye, self.size[1]
        for actor, first in zip(self._world.actors, self._firsts, strict=False):
            x, z, pose = actor.at(number)
            x, z = x - eye.x, z - along
            far = z + actor.reach[1]
            if far <= NEAREST or z > _FARTHEST:
                continue
            # Twice the image's width takes in all that a camera turned by half of it can see.
            if (abs(x) - actor.reach[0]) * eye.camera.focal > 2 * FINER * width * far:
                continue
            found.append(_Placed(x, z, actor.yaw, [], actor.reach, actor.reach, actor, first, pose))
        return far_to_near(found)

    def _own(self, canvas: Canvas, thing: _Placed, along: int) -> Canvas:
        """Where a thing can be seen at all: one in another street is hidden by the houses at its corners."""
        street, eye = self._world.street, self._world.eye
        assert thing.actor is not None
        if not thing.actor.crossing or street.junction is None:
            return canvas
        corner = street.junction[0] - along
        if corner <= NEAREST:
            return canvas
        world = np.array([(street.left_wall - eye.x, 0, corner), (street.right_wall - eye.x, 0, corner)], np.int64)
        left, right = (min(max(int(x), 0), canvas.labels.shape[1]) for x in canvas.camera.project(world)[:, 0])
        return canvas.window(left, max(left, right))

    def _paint(
        self,
        own: Canvas,
        canvas: Canvas,
        thing: _Placed,
        covers: dict[int, _Cover],
        anchors: dict[int, Anchor],
    ) -> None:
        """All layers of a thing, and what they cover if nothing hides them."""
        assert thing.actor is not None
        x, y = canvas.camera.project(np.array([(thing.x, 0, thing.z)], np.int64))[0].tolist()
        for surface, layer in enumerate(thing.actor.layers, start=thing.first):
            faces = canvas.seen(layer.solid(thing.pose), thing.yaw, thing.x, thing.z)
            anchors[surface] = Anchor(x, y, max(thing.z, NEAREST))
            if layer.name and (cover := _cover(faces, canvas.labels.shape, thing.z > _FAR)) is not None:
                covers[surface] = cover
            if own.labels.size:
                shift = np.array([own.camera.centre - canvas.camera.centre, 0], np.int32)
                own.paint([(corners + shift, colour, solid) for corners, colour, solid in faces], surface)

    def _seen(self, ids: NDArray[np.uint16], covers: dict[int, _Cover]) -> Iterator[FilmObject]:
        first = self._firsts[0]
        for surface in sorted(covers):
            instance, cover = self._instances[surface - first], covers[surface]
            assert instance is not None
            left, top, width, height = cover.box
            mask = ids[top : top + height, left : left + width] == instance.value
            pixels = int(mask.sum())
            inner = _box(mask) if pixels else None
            visible = None if inner is None else (inner[0] + left, inner[1] + top, inner[2], inner[3])
            yield FilmObject(instance, cover.box, cover.area, visible, pixels, cover.far)


def _box(mask: NDArray[np.bool_]) -> Box | None:
    """Of what is set."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    left, top = int(columns[0]), int(rows[0])
    return left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top


def _cover(faces: list[Face], shape: tuple[int, ...], far: bool) -> _Cover | None:
    """What faces cover of an image; `shape` is the canvas's."""
    solid = [corners for corners, _, is_solid in faces if is_solid]
    if not solid:
        return None
    corners = np.concatenate(solid)
    left, top = (max(int(v), 0) // FINER * FINER for v in corners.min(axis=0))
    right, bottom = (min(int(v) + 1, most) for v, most in zip(corners.max(axis=0), shape[1::-1], strict=True))
    if left >= right or top >= bottom:
        return None
    mask = np.zeros((bottom - top, right - left), np.uint8)
    for each in solid:
        cv2.fillConvexPoly(mask, each - np.array([left, top], np.int32), 1)
    mask = mask[::FINER, ::FINER]
    inner = _box(mask != 0)
    if inner is None:
        return None
    return _Cover((inner[0] + left // FINER, inner[1] + top // FINER, inner[2], inner[3]), int(mask.sum()), far)
