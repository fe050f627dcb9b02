"""The camera of a clip: standing, turning, driving in a lane, or in somebody's hand."""

from __future__ import annotations

from dataclasses import dataclass, replace

from midstream.data.scenes.dice import Dice
from midstream.data.scenes.geometry import TURN, Camera, cosine
from midstream.data.scenes.motion.laws import Track, swing

STILL, TURNING, DRIVING, IN_HAND = "still", "turning", "driving", "in hand"
#: How often each is drawn, of a hundred.
_KINDS = (STILL,) * 40 + (TURNING,) * 15 + (DRIVING,) * 30 + (IN_HAND,) * 15
_COSINES = tuple(cosine(step) for step in range(TURN))


@dataclass(frozen=True)
class _Swing:
    """A movement to and fro: how far, in 1024ths of the image's height; in how many frames; from which 256th on."""

    far: int
    period: int
    phase: int

    def most(self, height: int) -> int:
        """At the most, in pixels of the canvas."""
        return (self.far * height >> 9) + 1

    def at(self, frame: int, height: int) -> int:
        """In pixels of the canvas."""
        return swing(frame, self.period, self.phase, _COSINES) * self.far * height >> 21


@dataclass(frozen=True)
class Eye:
    """Where the camera is and where it looks, by frame.

    Attributes:
        kind: one of those above.
        camera: as it looks when nothing moves it.
        x: across the street, cm.
        z: along it, [frames] or of one value.
        sideways, up: what turns it.
    """

    kind: str
    camera: Camera
    x: int
    z: Track
    sideways: tuple[_Swing, ...]
    up: tuple[_Swing, ...]

    def along(self, frame: int) -> int:
        """Where it is along the street."""
        return int(self.z[frame if len(self.z) > 1 else 0])

    def seen(self, frame: int, height: int) -> Camera:
        """The camera as it looks in a frame of an image of this height."""
        return replace(
            self.camera,
            centre=self.camera.centre + sum(each.at(frame, height) for each in self.sideways),
            horizon=self.camera.horizon + sum(each.at(frame, height) for each in self.up),
        )


def draw_kind(dice: Dice) -> str:
    """Of a clip's camera."""
    return dice.pick(_KINDS)


def swings(kind: str, dice: Dice) -> tuple[tuple[_Swing, ...], tuple[_Swing, ...]]:
    """What turns a camera of a kind, sideways and up."""

    def one(least: int, most: int, quickest: int, slowest: int) -> _Swing:
        return _Swing(dice.between(least, most), dice.between(quickest, slowest), dice.below(256))

    if kind == TURNING:
        return (one(200, 700, 120, 320),), (one(0, 30, 150, 400),)
    if kind == DRIVING:
        return (one(1, 3, 30, 70), one(2, 8, 110, 230)), (one(1, 4, 8, 16), one(2, 8, 40, 90))
    if kind == IN_HAND:
        return (one(4, 14, 18, 40), one(20, 80, 90, 200)), (one(3, 9, 12, 26), one(6, 24, 60, 150))
    return (), ()
