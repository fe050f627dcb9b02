"""A slow decoder of codec 2 of version 1, written after docs/format.md and docs/profile.md alone."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from tests.helpers.format_coefficients import (
    Group,
    Profile,
    Slots,
    coarser,
    element_type,
    few,
    grids_of,
    half,
    lone_group,
    read_profile,
    side,
)
from tests.helpers.format_decoder import CRCS, DTYPES, Array, Dense, Reader, check_crc, need, within
from tests.helpers.format_entropy import EntropyGroup
from tests.helpers.format_values import Place, dequantized, predicted_from_cells, restored

TABLES = [2048, 4096, 2048, 2048, 4096, 4096, 4096, 2048, 4096, 4096, 256]
BANDS = 6 * sum(TABLES[:10])
PLACES = BANDS + 6912
FIRST = [*(6 * sum(TABLES[:i]) for i in range(10)), PLACES + 4096]
SIGNS = FIRST[10] + 6 * 256
MODES = SIGNS + 1728
ESCAPES = MODES + 256
SLOTS = ESCAPES + 32
CARRIED = FIRST[10]
ALONE = {"signs": 6 * sum(TABLES[:7]), "bands": 6 * sum(TABLES[:7]) + 9216}
ALONE |= {"places": ALONE["bands"] + 768, "escapes": ALONE["bands"] + 768 + 512}
USUAL = [((1, 1), (-9, -2)), ((0.84, 0.5), (-7, -1)), ((0.97, 0.58), (-5, 5))]
KEPT = 8


@dataclass
class Coder:
    """What a group's stream begins or ends with: slots, weights of the mixer, numbers of updates."""

    slots: Slots
    weights: list[list[int]]
    updates: list[int]


@dataclass
class Ways:
    gains: Array  # float32 [G, K]
    scales: Array  # [G, K]


@dataclass
class Kept:
    """Of one group."""

    values: Array  # float32 [rows, columns, K]
    numbers: Array  # [rows, columns, K], within +-127
    classes: dict[Place, int]
    modes: dict[Place, int]


@dataclass
class Frame:
    number: int
    digest: int
    unit: int  # the exponent of what values are kept in
    key: bool
    profile: Profile
    sizes: dict[str, Place]
    dtypes: dict[str, np.dtype[Any]]
    groups: list[Kept]
    coders: list[Coder]  # of the first group or of all layers; none of a key, which hands nothing on


@dataclass
class Unit:
    step: int
    number: int
    key: bytes | None  # the profile's name
    sizes: list[Place]
    dtypes: list[np.dtype[Any]]
    distance: int
    digest: int  # of its reference
    own: int
    streams: list[bytes]


def read_unit(data: bytes) -> Unit:
    need(data[:6] == b"MIDS\x01\0", "magic, version, reserved bits")
    size = int.from_bytes(data[6:8], "little")
    check_crc(data[: size - 4], data[size - 4 : size], "the header")
    reader = Reader(data[8 : size - 4])
    need(reader.bits(8) == 2, "codec is not 2", "unsupported")
    flags, step, number = reader.bits(8), reader.bits(8), reader.varint()
    need(flags in (0, 1, 3, 5, 7), "flags", "unsupported")
    need(number < 1 << 32, "frame number")
    key, sizes, dtypes, distance, digest = None, [], [], 0, 0
    if flags & 1:
        key = reader.take(8)
        count = reader.varint() if flags & 6 else 0
        sizes = [(side(reader), side(reader)) for _ in range(count)] if flags & 2 else []
        dtypes = [element_type(reader) for _ in range(count)] if flags & 4 else []
    else:
        distance = within(reader.varint(), 1, min(number, KEPT), "distance")
        digest = reader.bits(32)
    stream_sizes = [reader.varint() for _ in range(within(reader.varint(), 1, 16, "groups"))]
    reader.end()
    body = Reader(data[size:])
    streams = [body.take(each) for each in stream_sizes]
    check_crc(data[size : size + body.at // 8], body.take(4), "the chunk")
    body.end()
    own = reduce(lambda crc, byte: crc >> 8 ^ CRCS[(crc ^ byte) & 255], data[: size - 4] + data[size:-4], 0xFFFFFFFF)
    return Unit(step, number, key, sizes, dtypes, distance, digest, own ^ 0xFFFFFFFF, streams)


def usual_ways(scales: Array) -> Ways:
    v = np.clip((int(scales.max()) - scales.astype(np.float64)) / 30, 0, 1)
    gains = [a + (b - a) * v for (a, b), _ in USUAL]
    lower = [np.rint(a + (b - a) * v) for _, (a, b) in USUAL]
    return Ways(np.array(gains).astype(np.float32), scales.astype(int) + np.array(lower).astype(int))


def ways_of(profile: Profile, tensors: dict[str, Array]) -> Ways:
    if "frames" not in profile.about:
        return usual_ways(tensors["scales"])
    return Ways(tensors["frames.gains"].astype(np.float32), tensors["frames.scales"].astype(int))


class LaterSlots(Slots):
    """P and k of a state that was made of another one: -1 is a slot that nothing has seen."""

    def __init__(self, slots: Slots, places: Array) -> None:
        super().__init__(slots.chances, slots.counts)
        self.places = places

    def first(self, slot: int) -> list[int]:
        place = int(self.places[slot])
        return [1 << 21, 0] if place < 0 else super().first(place)


def first_coder(profile: Profile, tensors: dict[str, Array]) -> Coder:
    """The profile's."""
    if "frames" in profile.about:
        own = {name.removeprefix("frames."): each for name, each in tensors.items() if name.startswith("frames.state")}
        need(own["state.chances"].shape == (SLOTS,), "number of slots")
        weights = own["state.weights"].reshape(24, 24)[:, :23].tolist()
        return Coder(Slots(own["state.chances"], own["state.counts"]), weights, own["state.learnt"].tolist())
    places = np.full(SLOTS, -1)
    places[: FIRST[7]] = np.arange(FIRST[7])
    places[SIGNS:MODES] = ALONE["signs"] + np.arange(1728) // 3
    places[BANDS:PLACES] = ALONE["bands"] + np.arange(6912) // 9
    places[PLACES : FIRST[10]] = ALONE["places"] + np.arange(4096) % 512
    places[ESCAPES:SLOTS] = ALONE["escapes"] + np.arange(32)
    alone = tensors["state.weights"].reshape(24, 16).tolist()
    weights = [[*w[:14], *[12000, 6000] * 4, w[14]] for w in alone]
    slots = LaterSlots(Slots(tensors["state.chances"], tensors["state.counts"]), places)
    return Coder(slots, weights, tensors["state.learnt"].tolist())


class Later(Group):
    """The stream of a group that is predicted from the frame before."""

    FIRST, SIGNS, BANDS, PLACES, ESCAPES = FIRST, SIGNS, BANDS, PLACES, ESCAPES

    def __init__(
        self, stream: bytes, tensors: dict[str, Array], grid: Place, ways: Ways, before: Kept, begun: Coder
    ) -> None:
        Dense.__init__(self, stream, 1, [0])
        self.slots, self.weights, self.updates = begun.slots, begun.weights, begun.updates
        self.references = tensors["references"].tolist()
        self.all_scales = [tensors["scales"].tolist(), *ways.scales.tolist()]
        self.count, self.grid, self.before = len(self.all_scales[0]), grid, before
        self.magnitudes = abs(before.numbers)
        self.nothing = [0] * self.count
        self.coefficients: dict[Place, list[int]] = {}
        self.used: dict[tuple[int, int, int], int] = {}
        self.modes: dict[Place, int] = {}

    def place_slot(self, place: Place, slot: int) -> int:
        return self.before.classes[place] * 512 + slot

    def levels(self, step: int) -> list[int]:
        y, x = self.here
        west = self.modes.get((y, x - 1), 0)
        north = self.modes.get((y - 1, x), west)
        first = ((4 * west + north) * 4 + self.before.modes[self.here]) * 4
        mode = 0
        while mode < len(self.all_scales) - 1 and self.one(MODES + first + mode):
            mode += 1
        self.modes[self.here] = mode
        return [min(max((scale - step + 40) >> 1, 0), 31) for scale in self.all_scales[mode]]

    def whole(self) -> int:
        return min(half(int(self.magnitudes[self.here].sum()) % (1 << 16)), 15)

    def band_slot(self, band: slice, slot: int) -> int:
        total = int(self.magnitudes[self.here][band].sum())
        return slot * 9 + 3 * (0 if total == 0 else 1 if total < 3 else 2) + min(self.whole() // 4, 2)

    def sign_slot(self, k: int, around: int) -> int:
        was = self.before.numbers[self.here][k]
        return (min(k, 63) * 9 + around) * 3 + (1 if was > 0 else 2 if was < 0 else 0)

    def magnitude_at(self, dy: int, dx: int, k: int) -> int:
        y, x = self.here[0] + dy, self.here[1] + dx
        inside = 0 <= y < self.grid[0] and 0 <= x < self.grid[1]
        return int(self.magnitudes[y, x, k]) if inside else 0

    def contexts_of(self, k: int, levels: Sequence[int], near: Sequence[Sequence[int]], magnitudes: Sequence[int],
                    sums: tuple[int, int, int, int]) -> list[int]:  # fmt: skip
        alone = super().contexts_of(k, levels, near, magnitudes, sums)
        level, nearest, own = levels[k], alone[1] % 4, alone[0] // 4 % 16
        p = few(int(self.magnitudes[self.here][k]))
        beside = min(half(int(self.magnitudes[self.here][max(k - 8, 0) : k + 8].sum())), 15)
        right, south, left_below, right_below = (
            self.magnitude_at(dy, dx, k) for dy, dx in ((0, 1), (1, 0), (1, -1), (1, 1))
        )
        around = min(half(2 * right + 2 * south + left_below + right_below), 7)
        return [
            *alone,
            (16 * level + beside) * 4 + p,
            (16 * level + 4 * p + nearest) * 8 + around,
            (16 * self.whole() + own) * 16 + level // 2,
            4 * min(k, 63) + p,
        ]


def begun(profile: Profile, tensors: dict[str, Array], handed_on: Coder | None) -> Coder:
    own = first_coder(profile, tensors)
    if handed_on is None:
        return own
    later = {slot: each.copy() for slot, each in handed_on.slots.items() if slot >= CARRIED}
    own.slots.update(later)
    return Coder(own.slots, [each.copy() for each in handed_on.weights], handed_on.updates.copy())


def decoded_group(
    unit: Unit, number: int, frame: Frame, before: Frame | None, grid: Place
) -> tuple[Array, Kept, Coder | None]:
    """Components [rows, columns, K], what is kept of them, and what the coder has learnt."""
    profile = frame.profile
    tensors, places = profile.group(number), profile.about["places"]
    ways = ways_of(profile, tensors)
    if before is None:
        coder: Group | EntropyGroup = lone_group(profile, number, unit.streams[number], grid)
    else:
        handed_on = before.coders[number] if number < len(before.coders) else None
        state = begun(profile, tensors, handed_on)
        coder = Later(unit.streams[number], tensors, grid, ways, before.groups[number], state)
    if number < profile.about.get("layers", 1):
        classes = coder.importance(places["classes"])
    else:
        first = frame.groups[0]
        fine = first.numbers.shape[0], first.numbers.shape[1]
        classes = coarser(first.classes, fine, grid)
    steps = {place: unit.step + each * places["spacing"] for place, each in classes.items()}
    coder.cells(classes, steps)
    numbers = np.array([coder.coefficients[place] for place in steps]).reshape(*grid, -1)
    modes = coder.modes if isinstance(coder, Later) else dict.fromkeys(steps, 0)
    all_scales = np.array([tensors["scales"], *ways.scales]).astype(int)
    scales = np.array([all_scales[modes[place]] for place in steps]).reshape(*grid, -1)
    known: dict[Place, Array] = {}
    if before is not None:
        was = before.groups[number].values
        known = {place: ways.gains[mode - 1] * was[place] for place, mode in modes.items() if mode}
    index = np.array(list(steps.values())).reshape(grid)
    differences = dequantized(numbers, index, scales, tensors)
    values = predicted_from_cells(differences, tensors.get("neighbours"), known, profile.about["version"] >= 3)
    scaled = np.clip(np.rint(values * np.float32(2.0 ** (4 - frame.unit))), -32767, 32767)
    again = (scaled * np.float32(2.0 ** (frame.unit - 4))).astype(np.float32)
    kept = Kept(again, np.clip(numbers, -127, 127), classes, modes)
    learnt = Coder(coder.slots, coder.weights, coder.updates) if isinstance(coder, Later) else None
    return values, kept, learnt


class Decoder:
    """The units of one stream, one after another."""

    def __init__(self, profile: bytes) -> None:
        self.profile, self.frames = profile, dict[int, Frame]()

    def decode(self, data: bytes) -> dict[str, Array]:
        """Every level by its name: [C, H, W] in the level's element type."""
        with np.errstate(over="ignore", invalid="ignore"):
            unit = read_unit(data)
            before = self.reference(unit)
            frame = self.begin(unit, before)
            grids = grids_of(frame.profile.about, frame.sizes)
            found: list[Array] = []
            for number, grid in enumerate(grids):
                values, kept, coder = decoded_group(unit, number, frame, before, grid)
                found.append(values)
                frame.groups.append(kept)
                if coder is not None and number < frame.profile.about.get("layers", 1):
                    frame.coders.append(coder)
            out = restored(frame.profile, frame.sizes, frame.dtypes, found)
        self.keep(frame)
        return out

    def reference(self, unit: Unit) -> Frame | None:
        if unit.key is not None:
            return None
        before = self.frames.get(unit.number - unit.distance)
        need(before is not None and before.digest == unit.digest, "the reference", "missing reference")
        return before

    def begin(self, unit: Unit, before: Frame | None) -> Frame:
        if before is not None:
            profile, sizes, dtypes = before.profile, before.sizes, before.dtypes
            exponent = min(before.unit, (unit.step - 128) // 8)
        else:
            need(hashlib.sha256(self.profile).digest()[:8] == unit.key, "the profile is another")
            profile, exponent = read_profile(self.profile), (unit.step - 128) // 8
            order = profile.about["order"]
            need(all(len(each) in (0, len(order)) for each in (unit.sizes, unit.dtypes)), "levels")
            usual = [tuple(profile.level(name)["size"]) for name in order]
            sizes = dict(zip(order, unit.sizes or usual, strict=True))
            dtypes = dict(zip(order, unit.dtypes or [DTYPES[0]] * len(order), strict=True))
        need(len(unit.streams) == len(profile.about["groups"]), "groups")
        return Frame(unit.number, unit.own, exponent, before is None, profile, sizes, dtypes, [], [])

    def keep(self, frame: Frame) -> None:
        there = self.frames.get(frame.number)
        if frame.key and not (there is not None and there.digest == frame.digest):
            self.frames = {number: each for number, each in self.frames.items() if number < frame.number}
        self.frames[frame.number] = frame
        self.frames = dict(sorted(self.frames.items())[-KEPT:])
