"""Things of a clip: what each looks like in every pose, and where it is in every frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from midstream.data.scenes.bodies import Lighting
from midstream.data.scenes.canvas import Solid
from midstream.data.scenes.cars import car
from midstream.data.scenes.cast import reach_of
from midstream.data.scenes.coaches import bus, train
from midstream.data.scenes.cycles import bicycle, motorcycle
from midstream.data.scenes.dice import Dice
from midstream.data.scenes.geometry import TURN, Shape, cosine
from midstream.data.scenes.motion.laws import Track
from midstream.data.scenes.people import Step, person, rider
from midstream.data.scenes.trucks import truck

#: Of a walker's two steps, and of a turn of the pedals.
POSES = 8
_STRIDE, _STANDING = 27, 5
#: How far one gets with two steps or a turn of the pedals, cm.
_CYCLE = {"person": 140, "rider": 480}
_VEHICLES = {"car": car, "truck": truck, "bus": bus, "train": train, "motorcycle": motorcycle, "bicycle": bicycle}


@dataclass(frozen=True)
class Layer:
    """What is painted in one go.

    Attributes:
        name: its class; empty for what is no instance.
        make: its faces in a pose.
        poses: how many it has.
        label: of what is no instance.
    """

    name: str
    make: Callable[[int], Solid]
    poses: int = 1
    label: int = 0
    _made: dict[int, Solid] = field(default_factory=dict)

    def solid(self, pose: int) -> Solid:
        """Its faces in a pose; of one pose, in any."""
        pose = min(pose, self.poses - 1)
        if pose not in self._made:
            self._made[pose] = self.make(pose)
        return self._made[pose]


@dataclass(frozen=True)
class Actor:
    """A thing of a clip.

    Attributes:
        layers: one after the other, all in the same place.
        reach: half its extent across and along the street, cm.
        yaw: 64ths of a turn.
        x, z: of each frame, cm in the street; one value for what stands still.
        pose: of each frame.
        crossing: whether it comes from the street that crosses this one, whose houses hide it.
    """

    layers: list[Layer]
    reach: tuple[int, int]
    yaw: int
    x: Track
    z: Track
    pose: Track
    crossing: bool = False

    def at(self, frame: int) -> tuple[int, int, int]:
        """x, z and pose."""
        return tuple(int(track[frame if len(track) > 1 else 0]) for track in (self.x, self.z, self.pose))  # type: ignore[return-value]


def still(value: int) -> Track:
    """Of what stays as it is."""
    return np.array([value], np.int64)


@dataclass(frozen=True)
class Look:
    """What something looks like: its layers, and half its width and length in cm."""

    layers: list[Layer]
    shape: Shape

    def placed(self, yaw: int, x: Track, z: Track, pose: Track, crossing: bool = False) -> Actor:
        """The thing in its places."""
        return Actor(self.layers, reach_of(self.shape, yaw), yaw, x, z, pose, crossing=crossing)


def of_shape(shape: Shape, name: str, label: int = 0) -> Look:
    """Something of one pose."""
    return Look([Layer(name, lambda _: Solid.of(shape.parts), label=label)], shape)


def vehicle(name: str, dice: Dice, light: Lighting, yaw: int) -> Look:
    """Of one pose."""
    return of_shape(_VEHICLES[name](dice, light, yaw), name)


def cyclist(seed: tuple[int, int], light: Lighting, yaw: int, motor: bool) -> Look:
    """A rider and what is ridden; `seed` are the dice's, which every pose throws anew."""
    name = "motorcycle" if motor else "bicycle"
    mount = _VEHICLES[name](Dice(*seed), light, yaw)

    def seat(pose: int) -> Solid:
        dice = Dice(*seed)
        _VEHICLES[name](dice, light, yaw)
        pedal = 8 + (8 * cosine(TURN * pose // POSES) >> 12)
        return Solid.of(rider(dice, light, yaw, motor=motor, pedal=pedal).parts)

    layers = [*of_shape(mount, name).layers, Layer("rider", seat, 1 if motor else POSES)]
    return Look(layers, mount)


def walker(seed: tuple[int, int], light: Lighting) -> Look:
    """Somebody on foot: poses of walking to the right, then those to the left, then standing, to each side."""

    def figure(pose: int) -> Shape:
        side, phase = divmod(pose, POSES)
        if side > 1:
            return person(Dice(*seed), light, 0, Step(_STANDING, 1 - 2 * phase))
        return person(Dice(*seed), light, 0, Step(_STRIDE * cosine(TURN * phase // POSES) >> 12, 1 - 2 * side))

    layer = Layer("person", lambda pose: Solid.of(figure(pose).parts), 2 * POSES + 2)
    return Look([layer], figure(2 * POSES))


def walking(x: Track, way: Track, facing: int) -> Track:
    """Poses of a walker, by the way so far; where x does not change, it looks where it did."""
    moved = np.diff(way, append=way[-1]) > 0
    sides = np.sign(np.diff(x, append=x[-1]))
    for frame, side in enumerate(sides.tolist()):
        facing = side or facing
        sides[frame] = facing
    left = sides < 0
    phase = way * POSES // _CYCLE["person"] % POSES
    return np.where(moved, phase + POSES * left, 2 * POSES + left).astype(np.int64)


def pedalling(way: Track) -> Track:
    """Poses of a cyclist."""
    return way * POSES // _CYCLE["rider"] % POSES
