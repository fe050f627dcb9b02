"""Who walks in a clip: along the pavements, across at a crossing; who stands."""

from __future__ import annotations

from collections.abc import Iterator

from midstream.data.scenes.dice import Dice
from midstream.data.scenes.motion import MOST_FRAMES
from midstream.data.scenes.motion.actors import Actor, still, walker, walking
from midstream.data.scenes.motion.laws import Leg, per_frame, walk
from midstream.data.scenes.motion.traffic import Signals, Vehicles
from midstream.data.scenes.street import CROSSING, Street

#: What walks towards a standing camera passes it at least so far beside it, cm.
_BESIDE = 170
_SLOWEST, _FASTEST = 85, 165


class People:
    """Draws those on foot."""

    def __init__(self, traffic: Vehicles, eye_x: int) -> None:
        self.traffic, self.eye_x = traffic, eye_x
        self.dice: Dice = traffic.dice
        self.street: Street = traffic.street

    def all(self) -> Iterator[Actor]:
        """Along first, then those that cross."""
        dice, street = self.dice, self.street
        for _ in range(dice.between(4, 10) * (1 + street.reach // 5000)):
            yield self._along()
        if street.junction is not None:
            for first, last in self.traffic.signals.red:
                if last > 0 and first < MOST_FRAMES:
                    for _ in range(dice.between(2, 5)):
                        yield self._across(first, last)

    def _pavement(self, side: int) -> int:
        """An x on it, cm."""
        street = self.street
        edge, wall = (street.left, street.left_wall) if side < 0 else (street.right, street.right_wall)
        return edge + side * self.dice.between(40, max(abs(wall - edge) - 40, 50))

    def _along(self) -> Actor:
        dice = self.dice
        side, z = dice.sign(), dice.between(550, 4200 + self.street.reach)
        x = self._pavement(side)
        if abs(x - self.eye_x) < _BESIDE:
            x = self.eye_x + side * _BESIDE
        facing, way = dice.sign(), dice.sign()
        if dice.chance(15):
            return self._placed([], x, z, facing)
        speed = way * per_frame(dice.between(_SLOWEST, _FASTEST))
        first = dice.below(MOST_FRAMES)
        if dice.chance(35):
            pause = dice.between(20, 120)
            legs = [Leg(first, 0, speed), Leg(pause, 0, 0), Leg(MOST_FRAMES, 0, speed)]
        else:
            legs = [Leg(MOST_FRAMES, dice.between(-8, 8), speed)]
        return self._placed(legs, x, z, facing)

    def _across(self, red: int, green: int) -> Actor:
        """Waits at the kerb, crosses when the cars have stopped, goes on along the other pavement."""
        dice, street = self.dice, self.street
        assert street.junction is not None
        side = dice.sign()
        begin, end = (street.left - 60, street.right + 60) if side < 0 else (street.right + 60, street.left - 60)
        speed = per_frame(dice.between(110, _FASTEST))
        needed = abs(end - begin) * 256 // speed
        start = red + dice.between(30, max(green - red - needed, 60))
        z = street.junction[0] + CROSSING + dice.between(30, 270)
        legs = [
            Leg(max(start, 0), 0, 0),
            Leg(max(needed + min(start, 0), 0), -side * speed, 0),
            Leg(MOST_FRAMES, 0, dice.sign() * speed),
        ]
        if start < 0:
            begin += -side * speed * min(-start, needed) // 256
        return self._placed(legs, begin, z, -side)

    def _placed(self, legs: list[Leg], x: int, z: int, facing: int) -> Actor:
        look = walker(self.traffic.next_seed(), self.traffic.light)
        if not legs:
            return look.placed(0, still(x), still(z), walking(still(x), still(0), facing))
        xs, zs, way = walk(x, z, legs, MOST_FRAMES)
        return look.placed(0, xs, zs, walking(xs, way, facing))


def draw_signals(dice: Dice, frames: int) -> Signals:
    """Of a junction."""
    at, red = dice.between(-220, 60), []
    while at < frames:
        until = at + dice.between(230, 320)
        red.append((at, until))
        at = until + dice.between(150, 260)
    return Signals(tuple(red))
