"""A slow decoder of codec 1 of version 1, written after docs/format.md and docs/profile.md alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from safetensors.numpy import load
from tests.helpers.format_decoder import FLOATS, LIMIT, Array, Dense, Reader, check_crc, need, within
from tests.helpers.format_entropy import EXPECTED, EntropyGroup
from tests.helpers.format_values import Place, components, restored

TABLES = [2048, 4096, 2048, 2048, 4096, 4096, 4096]  # contexts, of six decisions each
FIRST = [6 * sum(TABLES[:i]) for i in range(len(TABLES))]
SIGNS = 6 * sum(TABLES)
BANDS = SIGNS + 9216
PLACES = BANDS + 768
ESCAPES = PLACES + 512
SLOTS = ESCAPES + 32
DECISIONS = [0, 1, 2, 3, 3, 4, 4, 4, 4] + [5] * 12


@dataclass
class Profile:
    about: dict[str, Any]
    tensors: dict[str, Array]

    def group(self, number: int) -> dict[str, Array]:
        begin = f"{number}/"
        return {name.removeprefix(begin): values for name, values in self.tensors.items() if name.startswith(begin)}

    def level(self, name: str) -> dict[str, Any]:
        return next(level for group in self.about["groups"] for level in group["levels"] if level["name"] == name)


@dataclass
class Header:
    profile: Profile
    step: int
    sizes: dict[str, Place]
    dtypes: dict[str, np.dtype[Any]]
    streams: list[bytes]


def read_profile(data: bytes) -> Profile:
    size = int.from_bytes(data[:8], "little")
    about = json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["midstream"])
    need(about["version"] in (1, 2, 3, 4, 5), "version of the profile", "unsupported")
    return Profile(about, load(data))


def side(reader: Reader) -> int:
    return within(reader.varint(), 1, LIMIT, "height or width of a level")


def element_type(reader: Reader) -> np.dtype[Any]:
    number = reader.bits(8)
    need(number < len(FLOATS), f"element type {number}", "unsupported")
    return FLOATS[number]


def read_header(data: bytes, given: bytes | None) -> Header:
    need(data[:6] == b"MIDS\x01\0", "magic, version, reserved bits")
    size = int.from_bytes(data[6:8], "little")
    check_crc(data[: size - 4], data[size - 4 : size], "the header")
    reader = Reader(data[8 : size - 4])
    need(reader.bits(8) == 1, "codec is not 1", "unsupported")
    name, flags, step = reader.take(8), reader.bits(8), reader.bits(8)
    need(flags < 8, "flags", "unsupported")
    count = reader.varint() if flags & 6 else 0
    sizes = [(side(reader), side(reader)) for _ in range(count)] if flags & 2 else []
    dtypes = [element_type(reader) for _ in range(count)] if flags & 4 else []
    stream_sizes = [reader.varint() for _ in range(within(reader.varint(), 1, 16, "groups"))]
    profile_size = reader.varint() if flags & 1 else 0
    reader.end()
    body = Reader(data[size:])
    embedded, streams = body.take(profile_size), [body.take(size) for size in stream_sizes]
    check_crc(data[size : size + body.at // 8], body.take(4), "the body")
    body.end()
    file = embedded if flags & 1 else given
    need(file is not None and hashlib.sha256(file).digest()[:8] == name, "the profile is another")
    profile = read_profile(file or b"")
    order = profile.about["order"]
    need(count in (0, len(order)) and len(streams) == len(profile.about["groups"]), "levels and groups")
    need(len(order) <= 1 << 10, "levels", "limit")
    if not flags & 2:
        sizes = [tuple(profile.level(name)["size"]) for name in order]
    dtypes = dtypes or [FLOATS[0]] * len(order)
    return Header(profile, step, dict(zip(order, sizes, strict=True)), dict(zip(order, dtypes, strict=True)), streams)


def grid_of(levels: Sequence[dict[str, Any]], sizes: dict[str, Place]) -> Place:
    grids = {tuple(-(-size // level["ratio"]) for size in sizes[level["name"]]) for level in levels}
    need(len(grids) == 1, "levels of a group have other grids")
    rows, columns = grids.pop()
    return rows, columns


def usual_grid(levels: Sequence[dict[str, Any]]) -> Place:
    rows, columns = (max(-(-level["size"][i] // level["ratio"]) for level in levels) for i in (0, 1))
    return rows, columns


def half(x: int) -> int:
    length = x.bit_length()
    return 2 * length - 1 + (x >> (length - 2) & 1 if length > 1 else 0) if x else 0


def ratio(x: int, y: int) -> int:
    return min(max(min(half(x + 4), 63) - min(half(y + 4), 63) + 8, 0), 15)


def few(x: int) -> int:
    return min(x, 3)


class Slots(dict[int, list[int]]):
    """P and k of each slot; those that are not used need not be made."""

    def __init__(self, chances: Array, counts: Array) -> None:
        super().__init__()
        need(chances.shape == counts.shape, "number of slots")
        self.chances, self.counts = chances, counts

    def __missing__(self, slot: int) -> list[int]:
        self[slot] = self.first(slot)
        return self[slot]

    def first(self, slot: int) -> list[int]:
        return [64 * int(self.chances[slot]) + 32, int(self.counts[slot])]


class Group(Dense):
    """One arithmetic code over decisions: `dense`'s, with the profile's state."""

    FIRST, SIGNS, BANDS, PLACES, ESCAPES = FIRST, SIGNS, BANDS, PLACES, ESCAPES

    def __init__(self, stream: bytes, tensors: dict[str, Array], grid: Place) -> None:
        super().__init__(stream, 1, [0])
        need(tensors["state.chances"].shape == (SLOTS,), "number of slots")
        self.slots = Slots(tensors["state.chances"], tensors["state.counts"])
        self.weights = tensors["state.weights"].reshape(24, 16)[:, :15].tolist()
        self.updates = tensors["state.learnt"].tolist()
        self.here = (0, 0)
        self.scales, self.references = tensors["scales"].tolist(), tensors["references"].tolist()
        self.count, self.grid = len(self.scales), grid
        self.nothing = [0] * self.count
        self.coefficients: dict[Place, list[int]] = {}
        self.used: dict[tuple[int, int, int], int] = {}  # the decision about a band of a cell, by its first coefficient

    def one(self, slot: int) -> int:
        probability = self.slots[slot]
        bit = self.bit(min(max((probability[0] >> 10) * 16, 32), 65504))
        self.update(probability, bit)
        return bit

    def importance(self, classes: int) -> dict[Place, int]:
        out: dict[Place, int] = {}
        for y in range(self.grid[0]):
            for x in range(self.grid[1]):
                west, north = out.get((y, x - 1)), out.get((y - 1, x))
                west, north = west if west is not None else north or 0, north if north is not None else west or 0
                j = 0
                while j < classes - 1 and self.one(self.PLACES + self.place_slot((y, x), (8 * west + north) * 8 + j)):
                    j += 1
                out[y, x] = j
        return out

    # Where codec 2 does otherwise.
    def place_slot(self, place: Place, slot: int) -> int:
        return slot

    def band_slot(self, band: slice, slot: int) -> int:
        return slot

    def sign_slot(self, k: int, around: int) -> int:
        return min(k, 1023) * 9 + around

    def levels(self, step: int) -> list[int]:
        return [min(max((scale - step + 40) >> 1, 0), 31) for scale in self.scales]

    def cells(self, classes: dict[Place, int], steps: dict[Place, int]) -> None:
        """The coefficients of each cell, whose class and step's index these are."""
        for y in range(self.grid[0]):
            for x in range(self.grid[1]):
                self.cell(y, x, steps[y, x])
        need(not self.reader.rest() and self.value == self.low, "end of the arithmetic code")

    def cell(self, y: int, x: int, step: int) -> None:
        self.here = (y, x)
        levels = self.levels(step)
        around = [self.coefficients.get((y + dy, x + dx), self.nothing)
                  for dy, dx in ((0, -1), (-1, 0), (-1, -1), (-1, 1), (0, -2), (-2, 0))]  # fmt: skip
        near, magnitudes = [[min(abs(q), 255) for q in cell] for cell in around], [0] * self.count
        here = self.coefficients[y, x] = [0] * self.count
        sums, before = (0, 0, 0, 0), 1
        for first in range(0, self.count, 16):
            band = slice(first, first + 16)
            west, north = self.used.get((y, x - 1, first), 0), self.used.get((y - 1, x, first), 0)
            own = ratio(sums[0], sums[1])
            slot = ((levels[first] * 4 + own // 4) * 3 + west + north) * 2 + before
            before = self.one(self.BANDS + self.band_slot(band, slot))
            self.used[y, x, first] = before
            for k in range(self.count)[band]:
                if before:
                    here[k] = self.coefficient(k, levels, near, around, magnitudes, sums)
                    magnitudes[k] = min(abs(here[k]), 255)
                a, e, c, f = sums
                v, expected = 256 * magnitudes[k], EXPECTED[levels[k]]
                sums = (a + v - (a >> 4), e + expected - (e >> 4), c + v - (c >> 2), f + expected - (f >> 2))

    def coefficient(self, k: int, levels: Sequence[int], near: Sequence[Sequence[int]], around: Sequence[Sequence[int]],
                  magnitudes: Sequence[int], sums: tuple[int, int, int, int]) -> int:  # fmt: skip
        level = levels[k]
        contexts = self.contexts_of(k, levels, near, magnitudes, sums)
        magnitude = 0
        while magnitude <= 20:
            decision = DECISIONS[magnitude]
            seen = [self.slots[at + context * 6 + decision] for at, context in zip(self.FIRST, contexts, strict=True)]
            if not self.decide(4 * decision + level // 8, seen):
                break
            magnitude += 1
        if magnitude == 21:
            magnitude += self.escape()
        need(magnitude <= 1 << 20, "a magnitude")
        if magnitude:
            west, north = (0 if cell[k] == 0 else 1 if cell[k] > 0 else 2 for cell in around[:2])
            if self.one(self.SIGNS + self.sign_slot(k, 3 * west + north)):
                return -magnitude
        return magnitude

    def escape(self) -> int:
        length = 1
        while length < 22 and self.one(self.ESCAPES + length):
            length += 1
        need(length < 22, "an escape")
        number = 1
        for _ in range(length - 1):
            number = number << 1 | self.bit(32768)
        return number - 1

    def contexts_of(self, k: int, levels: Sequence[int], near: Sequence[Sequence[int]], magnitudes: Sequence[int],
                    sums: tuple[int, int, int, int]) -> list[int]:  # fmt: skip
        level, limited = levels[k], min(k, 1023)
        w, n, nw, ne, ww, nn = (cell[k] for cell in near)
        r1, r2 = (magnitudes[k - reference] if reference else 0 for reference in self.references[k])
        own, brief = ratio(sums[0], sums[1]), ratio(sums[2], sums[3])
        window = slice(max(k - 8, 0), k + 8)
        s = [sum(cell[window]) for cell in near[:4]]
        total = sum(EXPECTED[each] for each in levels[window])
        beside = ratio(64 * (2 * s[0] + 2 * s[1] + s[2] + s[3]), 3 * total // 2)
        closeness = min(half(2 * w + 2 * n + nw + ne), 7)
        return [
            (16 * level + own) * 4 + few(w + n),
            4 * limited + few(w + n),
            (32 * closeness + level) * 8 + beside // 2,
            64 * level + 16 * few(r1) + 4 * few(r2) + few(w + n),
            (16 * brief + own) * 16 + level // 2,
            sum(4**i * few(magnitude) for i, magnitude in enumerate((w, n, nw, ne, ww, nn))),
            4 * limited + own // 4,
        ]


def coarser(classes: dict[Place, int], fine: Place, grid: Place) -> dict[Place, int]:
    def below(i: int, h: int, size: int) -> range:
        return range(i * h // size, max(-(-(i + 1) * h // size) - 1, i * h // size) + 1)

    return {
        (y, x): min(classes[i, j] for i in below(y, fine[0], grid[0]) for j in below(x, fine[1], grid[1]))
        for y in range(grid[0])
        for x in range(grid[1])
    }


def grids_of(about: dict[str, Any], sizes: dict[str, Place]) -> list[Place]:
    grids = [grid_of(group["levels"], sizes) for group in about["groups"]]
    usual = [usual_grid(group["levels"]) for group in about["groups"]]
    for grid, its in zip(grids, usual, strict=True):
        near = (
            n <= max(2 * h * own // first + 1, own)
            for n, h, own, first in zip(grid, grids[0], its, usual[0], strict=True)
        )
        need(all(near), "a grid that is too large beside the first")
    need(len(set(grids[: about.get("layers", 1)])) == 1, "layers of other grids")
    return grids


def lone_group(profile: Profile, number: int, stream: bytes, grid: Place) -> Group | EntropyGroup:
    """The reader of a group's stream that follows no other frame."""
    made = EntropyGroup if profile.about["version"] >= 4 else Group
    return made(stream, profile.group(number), grid)


def decode_coefficients(header: Header) -> list[tuple[Array, Array]]:
    """Of each group the whole numbers [rows, columns, K] and the steps' indices [rows, columns]."""
    about, out = header.profile.about, []
    classes: dict[Place, int] = {}
    fine = (0, 0)
    grids = grids_of(about, header.sizes)
    for number, (stream, grid) in enumerate(zip(header.streams, grids, strict=True)):
        coder = lone_group(header.profile, number, stream, grid)
        if number < about.get("layers", 1):
            own = coder.importance(about["places"]["classes"])
        else:
            own = coarser(classes, fine, grid)
        if number == 0:
            fine, classes = grid, own
        steps = {place: header.step + each * about["places"]["spacing"] for place, each in own.items()}
        coder.cells(own, steps)
        numbers = np.array([coder.coefficients[place] for place in steps]).reshape(*grid, -1)
        out.append((numbers, np.array(list(steps.values())).reshape(grid)))
    return out


def decode(data: bytes, profile: bytes | None = None) -> dict[str, Array]:
    """Every level by its name: [C, H, W] in the level's element type. `profile` is the file, unless it is embedded."""
    with np.errstate(over="ignore", invalid="ignore"):
        header = read_header(data, profile)
        in_whole_numbers = header.profile.about["version"] >= 3
        groups = [
            components(header.profile.group(number), *found, in_whole_numbers)
            for number, found in enumerate(decode_coefficients(header))
        ]
        return restored(header.profile, header.sizes, header.dtypes, groups)
