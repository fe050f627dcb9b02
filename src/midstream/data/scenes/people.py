"""Persons and riders: flat figures of jointed limbs.

Own coordinates in cm: x across, y up; of a rider who is seen from a side z along in place of x.
"""

from __future__ import annotations

from dataclasses import dataclass

from midstream.data.scenes.bodies import Lighting
from midstream.data.scenes.cycles import seen_from_end
from midstream.data.scenes.dice import Dice
from midstream.data.scenes.geometry import Colour, Part, Shape, circle, limb, shaded, sideways, upright

#: Corners in the plane, colour, light.
_Piece = tuple[list[tuple[int, int]], Colour, int]
_SKINS: tuple[Colour, ...] = ((226, 178, 148), (196, 146, 112), (150, 104, 74), (98, 66, 48), (236, 194, 170))
_HAIRS: tuple[Colour, ...] = ((34, 26, 22), (82, 56, 36), (140, 104, 60), (150, 148, 146), (60, 30, 20))
_CLOTHES: tuple[Colour, ...] = (
    (34, 36, 44), (60, 64, 74), (150, 40, 40), (40, 66, 120), (206, 200, 188), (80, 96, 60), (190, 150, 50),
    (110, 60, 100), (62, 130, 130), (196, 96, 50), (220, 222, 226), (96, 84, 72), (26, 60, 50), (170, 110, 130),
)  # fmt: skip
_TROUSERS: tuple[Colour, ...] = ((30, 34, 46), (48, 62, 92), (70, 66, 60), (24, 24, 26), (120, 110, 92), (84, 40, 40))
_SHOES: Colour = (28, 24, 22)


def _tone(light: Lighting) -> int:
    """The light on a body, which has no sides."""
    return (light.left + light.right + 2 * light.end) // 4


def _head(dice: Dice, x: int, y: int, radius: int, skin: Colour, light: int, side: bool) -> list[_Piece]:
    """A head of this radius with hair."""
    hair = dice.pick(_HAIRS)
    pieces = [([(px, y + (py - y) * 5 // 4) for px, py in circle(x, y, radius)], skin, light)]
    shift = -radius // 3 if side else 0
    crown = [(px + shift, y + radius // 4 + (py - y)) for px, py in circle(x, y, radius) if py >= y]
    pieces.append((crown, hair, light))
    if dice.chance(35):  # seen from behind, or long hair
        pieces.append(([(px + shift, y + (py - y)) for px, py in circle(x, y, radius * 240 >> 8)], hair, light - 20))
    return pieces


@dataclass(frozen=True)
class Step:
    """How somebody is seen who walks: the stride in 256ths of the height, and to which side of the image (-1, 1)."""

    stride: int
    facing: int


class _Walker:
    """Someone on foot: sizes in cm, colours, and the pieces drawn one after the other."""

    def __init__(self, dice: Dice, light: Lighting, step: Step | None) -> None:
        self.dice, self.tone, self.above = dice, _tone(light), light.top
        self.high = dice.between(90, 140) if dice.chance(18) else dice.between(155, 192)
        self.stride, build = dice.between(-30, 30), dice.between(210, 300)
        self.toe = 10 if self.stride >= 0 or step is not None else -10
        if step is not None:
            self.stride = step.stride
        coat, self.legs, self.skin = dice.pick(_CLOTHES), dice.pick(_TROUSERS), dice.pick(_SKINS)
        self.coat = shaded(coat, dice.between(200, 300))
        self.hip, self.shoulder = self.high * 125 >> 8, self.high * 208 >> 8
        self.wide = (self.high * 33 >> 8) * build >> 8
        self.lean = dice.between(-3, 3)
        self.thick = (self.high * 24 >> 8) * build >> 8

    def leg(self, end: int, shade: int) -> list[_Piece]:
        """From the hip to the shoe; `end` is how far the foot is, in 256ths of the height."""
        foot = (end * self.high >> 8, 4)
        start = (self.wide // 3 if end > 0 else -self.wide // 3, self.hip)
        knee = ((start[0] + foot[0]) // 2 + (abs(end) >> 3), self.hip * 135 >> 8)
        toe = self.toe
        return [
            (limb(start, knee, self.thick + 3, self.thick - 1), self.legs, shade),
            (limb(knee, foot, self.thick, self.thick * 160 >> 8), self.legs, shade),
            (limb((foot[0] - toe // 3, 4), (foot[0] + toe, 3), 9, 7), _SHOES, self.tone),
        ]

    def trunk(self) -> list[_Piece]:
        """The far arm, a coat or a skirt, the neck and the head."""
        dice, tone, wide, lean, hip, shoulder = self.dice, self.tone, self.wide, self.lean, self.hip, self.shoulder
        far, arm = dice.between(-26, 26), self.thick * 190 >> 8
        behind = limb((lean - wide, shoulder - 6), (far - wide, hip - 2), arm, arm * 190 >> 8)
        hem, flare, waist = hip - dice.between(0, 36), wide + dice.between(-3, 6), wide * 230 >> 8
        middle = (hip + shoulder) // 2
        coat = [
            (lean - wide, shoulder), (lean + wide, shoulder), (waist, middle), (flare, hem), (-flare, hem),
            (-wide * 230 >> 8, middle),
        ]  # fmt: skip
        pieces = [(behind, self.coat, tone * 190 >> 8), (coat, self.coat, tone)]
        if dice.chance(40):  # an open jacket, or a pattern
            band = wide // 3
            front = [(lean - band, shoulder), (lean + band, shoulder), (band, hem + 4), (-band, hem + 4)]
            pieces.append((front, dice.pick(_CLOTHES), tone))
        neck = limb((lean, shoulder - 4), (lean, (self.high * 222 >> 8) + 4), 13, 12)
        pieces.append((neck, self.skin, tone * 220 >> 8))
        top, radius = self.high - (self.high * 19 >> 8), self.high * 16 >> 8
        return pieces + _head(dice, lean, top, radius, self.skin, tone, dice.chance(50))

    def near_arm(self) -> list[_Piece]:
        """An arm, and in a third of all cases what is carried."""
        wide, hip, shoulder, arm = self.wide, self.hip, self.shoulder, self.thick * 190 >> 8
        hand = (wide + self.dice.between(-20, 30) // 2, hip - 4)
        elbow, shade = (wide + 4, (hip + shoulder) // 2), self.tone * 236 >> 8
        return [
            (limb((self.lean + wide - 2, shoulder - 6), elbow, arm, arm), self.coat, shade),
            (limb(elbow, hand, arm, arm * 180 >> 8), self.coat, shade),
            (circle(hand[0], hand[1] - 4, 6, 8), self.skin, self.tone),
            *self._carried(hand[0]),
        ]

    def _carried(self, hand: int) -> list[_Piece]:
        """A bag, a backpack, an umbrella, or nothing."""
        kind, wide, hip, shoulder = self.dice.below(10), self.wide, self.hip, self.shoulder
        if kind > 2:
            return []
        colour = self.dice.pick(_CLOTHES)
        if kind == 0:
            bag = [(hand - 14, hip - 10), (hand + 14, hip - 10), (hand + 16, hip - 42), (hand - 16, hip - 42)]
            return [(bag, colour, self.tone)]
        if kind == 1:
            pack = [(4 - wide, shoulder + 2), (wide - 4, shoulder + 2), (wide - 2, hip + 8), (2 - wide, hip + 8)]
            return [(pack, colour, self.tone)]
        stick = limb((wide, shoulder - 20), (wide, self.high + 20), 3, 3)
        roof = [p for p in circle(wide // 2, self.high + 8, 55) if p[1] >= self.high + 8]
        return [(stick, (40, 40, 40), 256), (roof, colour, self.above)]


def person(dice: Dice, light: Lighting, yaw: int, step: Step | None = None) -> Shape:
    """Someone who stands or walks, with a coat, a skirt, a bag, a backpack or an umbrella; a fifth are children.

    Of a clip, `step` has what else is drawn.
    """
    del yaw
    walker = _Walker(dice, light, step)
    pieces = [*walker.leg(-walker.stride, walker.tone * 200 >> 8), *walker.leg(walker.stride, walker.tone)]
    pieces += [*walker.trunk(), *walker.near_arm()]
    facing = dice.sign() if step is None else step.facing
    parts = [Part(upright((facing * x, y) for x, y in points), colour, shade) for points, colour, shade in pieces]
    return Shape(parts, 28, 20)


def rider(dice: Dice, light: Lighting, yaw: int, *, motor: bool, pedal: int | None = None) -> Shape:
    """Someone astride a two-wheeler of the same place and `yaw`; of a clip, `pedal` (0 to 16) says how high one is."""
    coat, legs, skin = shaded(dice.pick(_CLOTHES), dice.between(200, 300)), dice.pick(_TROUSERS), dice.pick(_SKINS)
    tone, from_end = _tone(light), seen_from_end(yaw)
    helmet = dice.pick(_CLOTHES) if motor or dice.chance(60) else None
    lift = dice.between(0, 16)
    lift = lift if pedal is None else pedal
    pieces, neck = (_from_end if from_end else _from_side)(dice, motor, lift, (coat, legs), tone)
    x, y = neck[0] + 3, neck[1] + 16
    pieces.append((limb(neck, (x, y), 11, 11), skin, tone * 220 >> 8))
    if helmet is None:
        pieces += _head(dice, x, y, 11, skin, tone, True)
    else:
        pieces.append((circle(x, y, 12), skin, tone))
        pieces.append(([p for p in circle(x, y, 14) if p[1] >= y - (8 if motor else -2)], helmet, light.top))
        if motor:
            pieces.append((limb((x + 2, y), (x + 13, y), 8, 8), (30, 34, 40), 256))
    flat = upright if from_end else sideways
    return Shape([Part(flat(points), colour, shade) for points, colour, shade in pieces], 28, 60)


#: Of a rider: pieces without the head, and where the neck begins.
_Seat = tuple[list[_Piece], tuple[int, int]]
_RIDING_SHOES: Colour = (26, 24, 24)


def _from_end(dice: Dice, motor: bool, lift: int, clothes: tuple[Colour, Colour], tone: int) -> _Seat:
    """Both legs at the sides, arms to the handlebar."""
    (coat, legs), seat, outward = clothes, 84 if motor else 94, 20 if motor else 12
    pieces: list[_Piece] = []
    for sign, up in ((-1, lift), (1, 16 - lift)):
        knee = (sign * (outward + 6), seat - 30 + up // 2)
        pieces.append((limb((sign * 10, seat + 2), knee, 18, 15), legs, tone))
        pieces.append((limb(knee, (sign * outward, 22 + up), 14, 10), legs, tone * 220 >> 8))
        pieces.append((limb((sign * outward, 24 + up), (sign * outward, 16 + up), 10, 12), _RIDING_SHOES, tone))
    top = seat + dice.between(48, 58)
    trunk = [(-21, top), (21, top), (18, seat + 16), (14, seat - 4), (-14, seat - 4), (-18, seat + 16)]
    pieces.append((trunk, coat, tone))
    for sign in (-1, 1):
        pieces.append((limb((sign * 20, top - 4), (sign * 30, top - 28), 12, 11), coat, tone * 230 >> 8))
        pieces.append((limb((sign * 30, top - 28), (sign * 26, 108), 10, 9), coat, tone * 230 >> 8))
    return pieces, (0, top)


def _from_side(dice: Dice, motor: bool, lift: int, clothes: tuple[Colour, Colour], tone: int) -> _Seat:
    """Bent forward, the legs one behind the other; a third with a backpack."""
    (coat, legs), hip, reach = clothes, (-22, 84 if motor else 94), 36
    top = hip[1] + dice.between(44, 54)
    neck = (dice.between(-8, 16), top)
    pieces: list[_Piece] = []
    for up, shade in ((16 - lift, tone * 190 >> 8), (lift, tone)):
        foot = (-14 + up if not motor else 6, 20 + up)
        knee = ((hip[0] + foot[0]) // 2 + 28, (hip[1] + foot[1]) // 2 + 12)
        pieces.append((limb(hip, knee, 19, 15), legs, shade))
        pieces.append((limb(knee, foot, 14, 10), legs, shade))
        pieces.append((limb((foot[0] - 5, foot[1]), (foot[0] + 14, foot[1] - 2), 10, 7), _RIDING_SHOES, shade))
    (x, _), (left, low) = neck, hip
    back = [(left - 13, low - 4), (x - 16, top - 6), (x + 4, top + 2), (x + 12, top - 10), (left + 14, low + 2)]
    pieces.append((back, coat, tone))
    if dice.chance(30):
        pack = [(x - 30, top - 4), (x - 12, top), (left - 6, low + 14), (left - 24, low + 16)]
        pieces.append((pack, dice.pick(_CLOTHES), tone))
    elbow = ((x + reach) // 2 - 2, (top + 100) // 2 - 8)
    pieces.append((limb((x, top - 6), elbow, 13, 11), coat, tone * 226 >> 8))
    pieces.append((limb(elbow, (reach, 106), 11, 9), coat, tone * 226 >> 8))
    return pieces, neck
