"""Who and what is in a scene, where it stands, and in which order it must be painted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

from midstream.data.cityscapes import CLASSES, FIRST_INSTANCE
from midstream.data.scenes.bodies import Builder, Lighting
from midstream.data.scenes.cars import car
from midstream.data.scenes.coaches import bus, train
from midstream.data.scenes.cycles import bicycle, motorcycle
from midstream.data.scenes.dice import Dice
from midstream.data.scenes.geometry import TURN, Camera, Part, Shape, cosine, sine
from midstream.data.scenes.people import person, rider
from midstream.data.scenes.street import VEGETATION, Street, pole, tree
from midstream.data.scenes.trucks import truck

#: How often each is drawn, of their sum; Cityscapes' rare classes are made less rare.
_SHARES = {"person": 26, "rider": 18, "car": 26, "truck": 8, "bus": 8, "train": 6, "motorcycle": 6, "bicycle": 7}
_QUARTER, _HALF = TURN // 4, TURN // 2


@dataclass
class Thing:
    """An object in its place.

    Attributes:
        layers: what is painted one after the other, each with its own label.
        reach: half its extent across and along the street, cm.
        throws: half the width and length of its shadow, None for what throws none.
    """

    x: int
    z: int
    yaw: int
    layers: list[tuple[list[Part], int]]
    reach: tuple[int, int]
    throws: tuple[int, int] | None = field(default=None)

    def overlaps(self, other: Thing) -> bool:
        """Whether the grounds that they stand on do."""
        return (
            abs(self.x - other.x) < self.reach[0] + other.reach[0]
            and abs(self.z - other.z) < self.reach[1] + other.reach[1]
        )


_Thing = TypeVar("_Thing", bound=Thing)


class Cast:
    """Draws the objects of one scene; instances of a class are numbered from 0 in the order of drawing."""

    def __init__(self, dice: Dice, street: Street, camera: Camera, light: Lighting, size: tuple[int, int]) -> None:
        self.dice = dice
        self.street = street
        self.camera = camera
        self.light = light
        self.size = size
        self.things: list[Thing] = []
        self._counts = dict.fromkeys(CLASSES, 0)

    def fill(self) -> list[Thing]:
        """All objects of the scene, in the order of painting."""
        dice = self.dice
        pool = [name for name, share in _SHARES.items() for _ in range(share)]
        for _ in range(dice.between(5, 12)):
            self._try(dice.pick(pool))
        for _ in range(dice.between(1, 7)):
            self._furniture()
        return far_to_near(self.things)

    def label(self, name: str) -> int:
        """Of a new instance of a class."""
        number = self._counts[name]
        self._counts[name] += 1
        return CLASSES[name] * FIRST_INSTANCE + number

    def _try(self, name: str) -> None:
        for _ in range(6):
            x, z, yaw = self._spot(name)
            if not self._in_sight(x, z):
                continue
            shape, layers = self._build(name, yaw)
            thing = Thing(x, z, yaw, [], reach_of(shape, yaw), (shape.half_width, shape.half_length))
            if not any(thing.overlaps(other) for other in self.things):
                thing.layers = [(parts, self.label(layer)) for parts, layer in layers]
                self.things.append(thing)
                return

    def _in_sight(self, x: int, z: int) -> bool:
        """Whether the middle of it projects into the image, or not far beside it."""
        across = self.camera.centre + x * self.camera.focal // z
        margin = self.size[1] // 16
        return -margin <= across < 2 * self.size[1] + margin

    def _spot(self, name: str) -> tuple[int, int, int]:
        """Place and direction: (x, z, yaw)."""
        dice, street = self.dice, self.street
        if name in ("person", "bicycle", "motorcycle"):
            z = distance(dice, 550, 3200 if name == "person" else 2400)
            side = dice.sign()
            edge, wall = (street.left, street.left_wall) if side < 0 else (street.right, street.right_wall)
            x = edge + side * dice.between(30, max(abs(wall - edge) - 30, 40))
            if name == "person" and dice.chance(25):
                x = dice.between(street.left, street.right)
            if name == "motorcycle" and dice.chance(50):
                x = edge - side * dice.between(40, 120)
            return x, z, dice.pick((_QUARTER, -_QUARTER, _QUARTER + dice.between(-9, 9), dice.below(TURN)))
        if name == "rider":
            x = dice.between(street.left + 60, street.right - 60)
            z = distance(dice, 650, 2800)
            yaw = dice.pick(
                (
                    0,
                    _HALF,
                    dice.between(-3, 3),
                    _HALF + dice.between(-6, 6),
                    _QUARTER + dice.between(-8, 8),
                    -_QUARTER + dice.between(-8, 8),
                )
            )
            return x, z, yaw
        if name == "train":
            x = (
                street.rails
                if street.rails is not None
                else dice.between(street.left + 150, max(street.left + 160, -250))
            )
            z = distance(dice, 2000, 5200)
            if dice.chance(20):
                return dice.between(-500, 500), z, _QUARTER * dice.sign()
            return x, z, dice.pick((0, _HALF))
        big = name in ("truck", "bus")
        z = distance(dice, 1400 if big else 850, 4200)
        if dice.chance(18):  # crossing, or turning
            return dice.between(-700, 700), z, dice.sign() * _QUARTER + dice.between(-5, 5)
        if not big and dice.chance(45):  # parked
            side = dice.sign()
            x = (street.left if side < 0 else street.right) - side * dice.between(100, 125)
            return x, z, dice.pick((0, _HALF)) + dice.between(-1, 1)
        x = dice.between(street.left + 160, street.right - 150)
        return x, z, (_HALF if x < -130 else 0) + dice.pick((0, 0, dice.between(-3, 3)))

    def _build(self, name: str, yaw: int) -> tuple[Shape, list[tuple[list[Part], str]]]:
        """The shape that stands on the ground, and the layers with the classes that they are of."""
        dice, light = self.dice, self.light
        if name != "rider":
            shape = _BUILDERS[name](dice, light, yaw)
            return shape, [(shape.parts, name)]
        motor = dice.chance(35)
        mount = (motorcycle if motor else bicycle)(dice, light, yaw)
        on_top = rider(dice, light, yaw, motor=motor)
        return mount, [(mount.parts, "motorcycle" if motor else "bicycle"), (on_top.parts, "rider")]

    def _furniture(self) -> None:
        """A tree or a pole, without an instance."""
        dice, street = self.dice, self.street
        side = dice.sign()
        x = (street.left if side < 0 else street.right) + side * dice.between(30, 220)
        z = distance(dice, 700, 5000)
        if dice.chance(45):
            parts, label = tree(dice, self.light), VEGETATION
        else:
            parts, label = pole(dice, self.light)
        thing = Thing(x, z, 0, [(parts, label)], (20, 20), (18, 18))
        if not any(thing.overlaps(other) for other in self.things):
            self.things.append(thing)


#: All but riders, who come with what they ride.
_BUILDERS: dict[str, Builder] = {
    "person": person, "car": car, "truck": truck, "bus": bus, "train": train, "motorcycle": motorcycle,
    "bicycle": bicycle,
}  # fmt: skip


def distance(dice: Dice, near: int, far: int) -> int:
    """cm; evenly in what it does to the size in the image, which puts many far and few near."""
    share = dice.below(1025)
    # Halfway between even in the distance and even in its inverse.
    even = near + (far - near) * share // 1024
    inverse = near * far * 1024 // (far * 1024 - (far - near) * share)
    return (even + inverse) // 2


def reach_of(shape: Shape, yaw: int) -> tuple[int, int]:
    """Half the extent of a thing across and along the street."""
    c, s = abs(cosine(yaw)), abs(sine(yaw))
    across = (shape.half_width * c + shape.half_length * s) >> 12
    along = (shape.half_width * s + shape.half_length * c) >> 12
    return across + 10, along + 20


def far_to_near(things: list[_Thing]) -> list[_Thing]:
    """Order of painting: of two objects, the one that can hide the other comes later.

    Where they do not overlap along the street the nearer one hides; side by side, the one nearer to the line of sight.
    """
    order: list[_Thing] = []
    rest = sorted(things, key=lambda thing: -thing.z)
    while rest:
        first = next((t for t in rest if not any(_hides(t, other) for other in rest if other is not t)), rest[0])
        rest.remove(first)
        order.append(first)
    return order


def _hides(one: Thing, other: Thing) -> bool:
    """Whether `one` can hide `other`."""
    if one.z + one.reach[1] <= other.z - other.reach[1]:
        return True
    if other.z + other.reach[1] <= one.z - one.reach[1]:
        return False
    return abs(one.x) < abs(other.x)
