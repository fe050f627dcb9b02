"""Buses and trams: long boxes with a band of windows."""

from __future__ import annotations

from dataclasses import dataclass

from midstream.data.scenes.bodies import Body, Lighting, Quad, board, end_tyres, lamps, patch, wheels
from midstream.data.scenes.dice import Dice
from midstream.data.scenes.geometry import Colour, Part, Point, Shape, cosine, shaded, sideways

_LIVERIES: tuple[tuple[Colour, Colour], ...] = (
    ((186, 30, 34), (230, 226, 214)), ((226, 184, 40), (60, 60, 62)), ((230, 232, 232), (30, 90, 170)),
    ((36, 110, 80), (226, 226, 210)), ((40, 66, 140), (220, 222, 226)), ((226, 116, 30), (240, 240, 240)),
    ((110, 30, 90), (226, 220, 226)), ((70, 160, 170), (240, 244, 244)),
)  # fmt: skip
_GLASS: tuple[Colour, ...] = ((36, 44, 52), (58, 70, 80), (28, 34, 40))
_DARK: Colour = (40, 40, 42)


@dataclass(frozen=True)
class _Coach:
    """A bus, or a carriage of a tram.

    Attributes:
        centre, half: of its length; width, high, low: half its width, its roof and its lower edge above the ground.
        nose, tail: how far the front and the rear lean back.
        livery: main colour and trim.
        ends: whether the front and the rear are such, or face another carriage.
    """

    centre: int
    half: int
    width: int
    high: int
    low: int
    nose: int
    tail: int
    livery: tuple[Colour, Colour]
    windows: int
    ends: tuple[bool, bool] = (True, True)

    def parts(self, dice: Dice, light: Lighting) -> list[Part]:
        """All of it but wheels."""
        glass, width, high = dice.pick(_GLASS), self.width, self.high
        front, back = self.centre + self.half, self.centre - self.half
        profile = [
            (front, self.low, width), (front, 110, width), (front - self.nose, high, width - 8),
            (back + self.tail, high, width - 8), (back, 110, width), (back, self.low, width),
        ]  # fmt: skip
        body = Body(profile, light)
        parts = [*self._flanks(body, dice, glass), *self._ends(body, dice, glass)]
        return [*parts, body.face(body.strip(2), shaded(self.livery[0], 220), light.top)]

    def _flanks(self, body: Body, dice: Dice, glass: Colour) -> list[Part]:
        """The sides with trim, windows and two doors."""
        parts, (main, trim), high, low = [], self.livery, self.high, self.low
        sill, lintel = 256 * (high - 215) // (high - low) if high > 260 else 60, 256 * (high - 110) // (high - low)
        for right, shade in body.sides():
            parts.append(body.face(body.side([0, 1, 2, 3, 4, 5], right), main, shade))
            quad = self._side(right)
            parts.append(body.face(patch(quad, 0, 196, 256, 232), trim, shade))
            parts.append(body.face(patch(quad, 0, sill - 22, 256, lintel + 8), shaded(glass, 150), shade))
            for pane in range(self.windows):
                left, until = 256 * pane // self.windows + 4, 256 * (pane + 1) // self.windows - 4
                shine = shaded(glass, dice.between(220, 420))
                parts.append(body.face(patch(quad, left, sill - 16, until, lintel), shine, shade))
            for left in (52, 180):
                parts.append(body.face(patch(quad, left, sill - 10, left + 24, 246), shaded(glass, 190), shade))
                parts.append(body.face(patch(quad, left + 11, sill - 10, left + 13, 246), trim, shade))
        return parts

    def _side(self, right: bool) -> Quad:
        """What windows and doors are placed on: the side between the leaning ends, a centimetre out."""
        x = self.width + 1 if right else -self.width - 1
        a, b = self.centre + self.half - self.nose - 10, self.centre - self.half + self.tail + 10
        above: tuple[Point, Point] = ((x, self.high, a), (x, self.high, b))
        below: tuple[Point, Point] = ((x, self.low, b), (x, self.low, a))
        return (above[1], above[0], below[1], below[0]) if right else (*above, *below)

    def _ends(self, body: Body, dice: Dice, glass: Colour) -> list[Part]:
        """Front and rear with lamps, screen and sign."""
        parts, (main, trim), light = [], self.livery, body.light
        for strip, screen, seen, front in ((0, 1, self.ends[0], True), (4, 3, self.ends[1], False)):
            parts.append(body.face(body.strip(strip), main if seen else _DARK, light.end))
            if seen:
                parts.append(body.face(patch(body.strip(strip), 0, 120, 256, 190), trim, light.end))
                parts += lamps(body, strip, front, 60, 116)
            parts.append(body.face(body.strip(screen), main if seen else _DARK, light.end))
            if seen:
                parts.append(body.face(patch(body.strip(screen), 14, 62, 242, 244), shaded(glass, 280), 256))
                sign: Colour = (250, 180, 40) if light.lamps or dice.chance(50) else (30, 30, 32)
                parts.append(body.face(patch(body.strip(screen), 60, 14, 196, 50), sign, 256))
        return parts


def bus(dice: Dice, light: Lighting, yaw: int) -> Shape:
    """A city bus or a coach, some with two decks."""
    del yaw
    half, width = dice.between(440, 600), dice.between(118, 128)
    high = dice.between(285, 320) if dice.chance(85) else dice.between(400, 430)
    nose, livery, windows = dice.between(6, 24), dice.pick(_LIVERIES), dice.between(5, 8)
    coach = _Coach(0, half, width, high, 32, nose, 0, livery, windows)
    parts = [*end_tyres(width, half, 45, 60), *coach.parts(dice, light)]
    for right, shade in ((False, light.left), (True, light.right)):
        parts += wheels([half - 240, -half + 300], 48, width + 2, shade, (110, 110, 112), right)
    return Shape(parts, width, half)


def train(dice: Dice, light: Lighting, yaw: int) -> Shape:
    """A tram or a light train of two or three carriages with a pantograph; no wheels show."""
    carriages, length, width = dice.between(2, 3), dice.between(380, 520), dice.between(120, 132)
    high, nose, livery = dice.between(310, 350), dice.between(50, 130), dice.pick(_LIVERIES)
    half = carriages * length + (carriages - 1) * 25
    order = list(range(carriages))  # the first is the foremost
    if cosine(yaw) < 0:
        order.reverse()
    parts: list[Part] = []
    for index in order:
        centre = half - length - index * (2 * length + 50)
        ends = (index == 0, index == carriages - 1)
        if not ends[1]:
            joint = centre - length
            for x in (width - 14, 14 - width):
                fold = sideways([(joint, 40), (joint, high - 20), (joint - 50, high - 20), (joint - 50, 40)], x)
                parts.append(Part(fold, (48, 48, 52), light.left))
        coach = _Coach(centre, length, width, high, 24, nose, nose, livery, dice.between(5, 7), ends)
        parts += coach.parts(dice, light)
    for dx in (0, -70):
        rod = sideways([(20, high), (70 + dx, high + 60), (66 + dx, high + 62), (14, high)])
        parts.append(Part(rod, (50, 50, 52)))
    parts.append(Part(board(-60, 60, high + 60, high + 66, 30), (40, 40, 42)))
    return Shape(parts, width, half)
