"""All that is in a clip, from its seed: street, weather, camera, and who moves how."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from midstream.data.cityscapes import CLASSES, FIRST_INSTANCE
from midstream.data.scenes.bodies import Lighting
from midstream.data.scenes.canvas import Air
from midstream.data.scenes.dice import Dice
from midstream.data.scenes.geometry import TURN, Camera, Shape
from midstream.data.scenes.light import Sun, weather
from midstream.data.scenes.motion import MOST_FRAMES
from midstream.data.scenes.motion.actors import Actor, of_shape, still, vehicle
from midstream.data.scenes.motion.eye import DRIVING, IN_HAND, Eye, draw_kind, swings
from midstream.data.scenes.motion.laws import FINE, Driver, Track, per_frame
from midstream.data.scenes.motion.people import People, draw_signals
from midstream.data.scenes.motion.traffic import BESIDE, WARM_UP, Lane, Signals, Vehicles, in_junction, lanes_of
from midstream.data.scenes.street import VEGETATION, Street, lay_out, pole, tree

#: Streams of the dice; those of single scenes are 0 to 2.
_WORLD, _MOVERS = 8, 9
#: Behind the camera and ahead of it there is traffic, cm; oncoming vehicles come from farther away.
_BEHIND, _AHEAD, _FARTHER = 30_000, 12_000, 28_000
#: Half the length of the camera's own vehicle.
_OWN_HALF = 220


@dataclass(frozen=True)
class Instance:
    """An object of a clip: `track` from 1 on over all classes, `value` as in Cityscapes' instanceIds files."""

    track: int
    value: int
    name: str


@dataclass(frozen=True)
class World:
    """A clip's street and all that is in it."""

    street: Street
    night: bool
    air: Air
    light: Lighting
    sun: Sun
    eye: Eye
    actors: list[Actor]


def build(seed: int, size: tuple[int, int]) -> World:
    """The world of a seed, seen in images of this (height, width); it is the same for any number of frames."""
    dice = Dice(seed, _WORLD)
    night = dice.chance(10)
    height, width = size
    camera = Camera(
        focal=height * 44 // 10,
        height=dice.between(125, 230),
        centre=width + width * dice.between(-50, 50) // 256,
        horizon=height * dice.between(76, 104) // 100,
    )
    air, light, sun = weather(dice, night)
    street, kind = lay_out(dice), draw_kind(dice)
    signals = Signals(())
    if dice.chance(55):
        near = dice.between(1500, 6000 if kind == DRIVING else 3200)
        street = replace(street, junction=(near, near + dice.between(700, 1000)))
        signals = draw_signals(dice, MOST_FRAMES)
    x, path = _stand(kind, dice, street)
    sideways, up = swings(kind, dice)
    lanes = lanes_of(dice, street)
    dice = Dice(seed, _MOVERS)
    traffic = Vehicles(seed, dice, street, light, signals)
    actors: list[Actor] = []
    if kind == DRIVING:
        own = Driver.of(0, _OWN_HALF, dice.between(500, 1300))
        actors, path = traffic.before(lanes[0], dice.between(900, 2600), _AHEAD, own)
        lanes = lanes[1:]
    traffic.street = street = replace(street, reach=int(path[-1]))
    eye = Eye(kind, camera, x, path, sideways, up)
    actors += [actor for lane in lanes for actor in _lane(traffic, lane, eye)]
    actors += traffic.across()
    actors += traffic.parked([*lanes, Lane(x, 1)])
    actors += People(traffic, x).all()
    actors += _left(traffic, x)
    actors += _furniture(dice, street, light, x)
    return World(street, night, air, light, sun, eye, actors)


def instances(actors: list[Actor]) -> list[Instance | None]:
    """Of each layer of each actor, in order; None of what is no instance."""
    counts = dict.fromkeys(CLASSES, 0)
    found: list[Instance | None] = []
    track = 0
    for layer in (layer for actor in actors for layer in actor.layers):
        if not layer.name:
            found.append(None)
            continue
        track += 1
        found.append(Instance(track, CLASSES[layer.name] * FIRST_INSTANCE + counts[layer.name], layer.name))
        counts[layer.name] += 1
    return found


def _stand(kind: str, dice: Dice, street: Street) -> tuple[int, Track]:
    """Where the camera is across the street, and along it."""
    if kind == IN_HAND:
        step = dice.pick((0, per_frame(dice.between(60, 130))))
        return street.right + dice.between(60, 160), np.arange(MOST_FRAMES, dtype=np.int64) * step // FINE
    if kind == DRIVING or dice.chance(40):
        return 0, still(0)
    return street.right - dice.between(-120, 50), still(0)


def _lane(traffic: Vehicles, lane: Lane, eye: Eye) -> list[Actor]:
    """Vehicles that come from behind are beside the camera, not in its place."""
    ahead = traffic.street.reach + _AHEAD
    if abs(lane.x - eye.x) < BESIDE:
        return traffic.along(lane, 1000, ahead) if lane.way > 0 else []
    if eye.kind == DRIVING:
        return traffic.along(lane, -_AHEAD, ahead + (_FARTHER if lane.way < 0 else 0))
    if lane.way > 0:
        return traffic.along(lane, -_BEHIND, ahead, WARM_UP)
    return traffic.along(lane, 600, ahead + _FARTHER, WARM_UP)


def _left(traffic: Vehicles, x: int) -> Iterator[Actor]:
    """Bicycles and motorcycles that stand on the pavements, not in the way of a camera at `x`."""
    dice, street = traffic.dice, traffic.street
    for _ in range(dice.between(1, 5) * (1 + street.reach // 5000)):
        side, name = dice.sign(), dice.pick(("bicycle", "bicycle", "motorcycle"))
        at = (street.left if side < 0 else street.right) + side * dice.between(60, 200)
        z, yaw = dice.between(650, 2600 + street.reach), TURN // 4 * dice.sign() + dice.between(-7, 7)
        if abs(at - x) > 150 and not in_junction(street, z, z):
            yield vehicle(name, dice, traffic.light, yaw).placed(yaw, still(at), still(z), still(0))


def _furniture(dice: Dice, street: Street, light: Lighting, x: int) -> Iterator[Actor]:
    """Trees and poles on the pavements, not in the way of a camera at `x`."""
    for _ in range(dice.between(2, 8) * (1 + street.reach // 5000)):
        side = dice.sign()
        at = (street.left if side < 0 else street.right) + side * dice.between(30, 220)
        z = dice.between(700, 5000 + street.reach)
        parts, label = (tree(dice, light), VEGETATION) if dice.chance(45) else pole(dice, light)
        if abs(at - x) > 110 and not in_junction(street, z, z):
            look = of_shape(Shape(parts, 18, 18), "", label)
            yield look.placed(0, still(at), still(z), still(0))
