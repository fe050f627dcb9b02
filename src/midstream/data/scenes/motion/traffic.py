"""Who drives in a clip: lanes along the street, the street that crosses it, what is parked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from midstream.data.scenes.bodies import Lighting
from midstream.data.scenes.dice import Dice
from midstream.data.scenes.geometry import TURN
from midstream.data.scenes.motion import MOST_FRAMES
from midstream.data.scenes.motion.actors import Actor, Look, cyclist, pedalling, still, vehicle
from midstream.data.scenes.motion.laws import Driver, Line, Track, drive
from midstream.data.scenes.street import CROSSING, Street

#: How often each is drawn in a lane, of their sum.
_SHARES = {"car": 56, "truck": 12, "bus": 12, "rider": 12}
_POOL = [name for name, share in _SHARES.items() for _ in range(share)]
_HALF, _QUARTER = TURN // 2, TURN // 4
#: What is nearer to the camera's own path, across, is only ever in front of it, cm.
BESIDE = 230
#: Between the middles of two vehicles side by side, cm.
_ROOM = 210
#: Frames for which traffic goes on before a clip begins.
WARM_UP = 150
_PARKED = ("car", "car", "car", "truck", "motorcycle")


@dataclass(frozen=True)
class Lane:
    """Of vehicles in one direction: `way` 1 is away from the camera. `slow` is for cyclists, `rails` for trams."""

    x: int
    way: int
    slow: bool = False
    rails: bool = False


@dataclass(frozen=True)
class Signals:
    """When traffic along the street waits, [from, until) in frames; the street that crosses it waits otherwise."""

    red: tuple[tuple[int, int], ...]

    def green(self) -> tuple[tuple[int, int], ...]:
        """When the other street waits."""
        ends = [-10_000, *(edge for pair in self.red for edge in pair), 10_000]
        return tuple((ends[i], ends[i + 1]) for i in range(0, len(ends), 2))


def lanes_of(dice: Dice, street: Street) -> list[Lane]:
    """Those that a street has room for; the camera's own is the first."""
    lanes = [Lane(0, 1)]
    if street.right >= 540 and dice.chance(50):
        lanes.append(Lane(310, 1))
    if dice.chance(45):
        lanes.append(Lane(street.right - 90, 1, slow=True))
    if street.rails is not None:
        lanes.append(Lane(street.rails, -1, rails=True))
        if street.rails < -580:
            lanes.append(Lane(-330, -1))
    elif street.left <= -400:
        lanes.append(Lane(max(street.left + 150, -330), -1))
        if street.left < -820:
            lanes.append(Lane(-640, -1))
        if street.left < -550 and dice.chance(45):
            lanes.append(Lane(street.left + 80, -1, slow=True))
    return lanes


class Vehicles:
    """Draws what drives and what is parked."""

    def __init__(self, seed: int, dice: Dice, street: Street, light: Lighting, signals: Signals) -> None:
        self.seed, self.dice, self.street, self.light, self.signals = seed, dice, street, light, signals
        #: Between two vehicles of a lane, cm.
        self.apart = (1100, 2600) if dice.chance(50) else (2500, 8000)
        self._drawn = 0

    def next_seed(self) -> tuple[int, int]:
        """Of the dice of a thing with poses."""
        self._drawn += 1
        return self.seed, 1000 + self._drawn

    def lines(self, way: int) -> list[Line]:
        """Where a lane along the street stops, in its own way."""
        if self.street.junction is None:
            return []
        near, far = self.street.junction
        return [Line(near + CROSSING if way > 0 else -far, self.signals.red)]

    def along(self, lane: Lane, first: int, last: int, before: int = 0) -> list[Actor]:
        """The vehicles of a lane that begin between z = `first` and `last`, so many frames before the clip."""
        looks, drivers = self._begin(lane, first, last)
        tracks = drive(drivers, self.lines(lane.way), MOST_FRAMES, before)
        return [_moving(lane, *each) for each in zip(looks, tracks, strict=True)]

    def before(self, lane: Lane, first: int, last: int, own: Driver) -> tuple[list[Actor], Track]:
        """The vehicles in front of the camera's own, and where this is."""
        looks, drivers = self._begin(lane, first, last)
        tracks = drive([*drivers, own], self.lines(lane.way), MOST_FRAMES)
        return [_moving(lane, *each) for each in zip(looks, tracks[:-1], strict=True)], tracks[-1]

    def _begin(self, lane: Lane, first: int, last: int) -> tuple[list[Look], list[Driver]]:
        dice, looks, drivers = self.dice, [], []
        for at in self._places(lane, first, last):
            look = self._look(lane, 0 if lane.way > 0 else _HALF)
            looks.append(look)
            speed = dice.between(330, 620) if lane.slow else dice.between(700, 1400)
            drivers.append(Driver.of(lane.way * at, look.shape.half_length, speed))
        return looks, drivers

    def _places(self, lane: Lane, first: int, last: int) -> list[int]:
        """z in cm, the foremost first."""
        least, most = (4 * a for a in self.apart) if lane.rails or lane.slow else self.apart
        places, at = [], first + self.dice.below(least)
        while at < last:
            places.append(at)
            at += self.dice.between(least, most) + (2000 if lane.rails else 400)
        return places[::-1] if lane.way > 0 else places

    def _look(self, lane: Lane, yaw: int) -> Look:
        if lane.slow:
            return cyclist(self.next_seed(), self.light, yaw, motor=False)
        name = "train" if lane.rails else self.dice.pick(_POOL)
        if name == "rider":
            return cyclist(self.next_seed(), self.light, yaw, motor=self.dice.chance(70))
        return vehicle(name, self.dice, self.light, yaw)

    def across(self) -> Iterator[Actor]:
        """The vehicles of the street that crosses this one."""
        if self.street.junction is None:
            return
        near, far = self.street.junction
        for z, way in ((near + (far - near) // 4, 1), (near + 3 * (far - near) // 4, -1)):
            edge = self.street.left if way > 0 else -self.street.right
            yaw, lane = _QUARTER * way, Lane(0, 1)
            looks, drivers = [], []
            for at in self._places(lane, -16000, edge - 700):
                looks.append(self._look(lane, yaw))
                speed = self.dice.between(600, 1100)
                drivers.append(Driver.of(at, looks[-1].shape.half_length, speed))
            tracks = drive(drivers, [Line(edge - 60, self.signals.green())], MOST_FRAMES, WARM_UP)
            for look, track in zip(looks, tracks, strict=True):
                yield look.placed(yaw, way * track, still(z), _poses(look, track), crossing=True)

    def parked(self, lanes: Sequence[Lane]) -> Iterator[Actor]:
        """Beside the lanes, and the camera as one, where there is room."""
        dice, street = self.dice, self.street
        for side, edge in ((-1, street.left), (1, street.right)):
            x = edge - side * 115
            if any(abs(x - lane.x) < _ROOM for lane in lanes) or dice.chance(35):
                continue
            z = 600 + dice.below(2500)
            while z < street.reach + 6000:
                look = vehicle(dice.pick(_PARKED), dice, self.light, _HALF if side < 0 else 0)
                half = look.shape.half_length
                if not in_junction(street, z - half, z + half):
                    yield look.placed(_HALF if side < 0 else 0, still(x), still(z), still(0))
                z += 2 * half + dice.between(80, 2500)


def in_junction(street: Street, near: int, far: int) -> bool:
    """Whether something between these z would stand in a junction, or where people cross before it."""
    return street.junction is not None and near < street.junction[1] + 200 and far > street.junction[0] + CROSSING - 150


def _moving(lane: Lane, look: Look, way: Track) -> Actor:
    return look.placed(0 if lane.way > 0 else _HALF, still(lane.x), lane.way * way, _poses(look, way))


def _poses(look: Look, way: Track) -> Track:
    return pedalling(way - way[0]) if look.layers[-1].poses > 1 else still(0)
