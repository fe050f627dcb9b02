"""A slow reader of streams with an entropy model (profiles of version 4), written after docs/format.md alone."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

import numpy as np
from tests.helpers.format_decoder import Array, need
from tests.helpers.format_values import Place

EXPECTED = [1] * 10 + [
    2,
    5,
    9,
    15,
    24,
    35,
    50,
    68,
    89,
    115,
    145,
    180,
    222,
    272,
    330,
    400,
    482,
    580,
    695,
    833,
    996,
    1190,
]
BAND = 16
MAGNITUDES = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 16, 24, 40, 72]
AROUND = ((0, -1), (-1, 0), (-1, -1), (-1, 1))  # W, N, NW, NE


def e(x: int) -> int:
    """floor(8 log2(1 + x)), its fraction on a straight line."""
    y = int(np.float32(x + 1))
    a = y.bit_length() - 1
    return 8 * a + ((y << 3 >> a) & 7)


def lim(x: int) -> int:
    return min(max(x, -127), 127)


class Symbols:
    """Range asymmetric numeral systems."""

    def __init__(self, stream: bytes, states: int) -> None:
        need(len(stream) % 2 == 0, "a stream that is not of words")
        self.words = np.frombuffer(stream, "<u2").tolist()
        self.at = 0
        self.states = [self.word() << 16 | self.word() for _ in range(states)]

    def word(self) -> int:
        need(self.at < len(self.words), "a stream that is read beyond its end")
        self.at += 1
        return int(self.words[self.at - 1])

    def renew(self, lane: int, x: int) -> None:
        self.states[lane % len(self.states)] = x << 16 | self.word() if x < 1 << 15 else x

    def symbol(self, lane: int, row: Sequence[int]) -> int:
        x = self.states[lane % len(self.states)]
        p = x % 16384
        s = bisect_right(row, p) - 1
        self.renew(lane, (row[s + 1] - row[s]) * (x // 16384) + p - row[s])
        return s

    def number(self, lane: int, bits: int) -> int:
        x = self.states[lane % len(self.states)]
        self.renew(lane, x >> bits)
        return x % (1 << bits)

    def end(self) -> None:
        need(self.at == len(self.words), "what is left of the stream")
        need(all(x == 1 << 15 for x in self.states), "what is left of the states")


class Network:
    def __init__(self, tensors: dict[str, Array], name: str) -> None:
        bias, weights, out, rows = (tensors[f"entropy.{name}.{part}"] for part in ("bias", "weights", "out", "rows"))
        self.bias, self.weights, self.out = (each.astype(np.int64) for each in (bias, weights, out))
        self.rows = rows.tolist()

    def row(self, item: int, inputs: Sequence[int]) -> list[int]:
        """Which an item has."""
        units = np.maximum(self.bias[item] + np.array(inputs) @ self.weights, 0)
        number = int(self.out[:-1] @ (units // 16) + self.out[-1]) // 65536
        return list(self.rows[min(max(number, 0), len(self.rows) - 1)])


class EntropyGroup:
    """The stream of a group."""

    def __init__(self, stream: bytes, tensors: dict[str, Array], grid: Place) -> None:
        self.grid = grid
        self.symbols = Symbols(stream, 1 if grid[0] * grid[1] < 64 else 2)
        self.scales = tensors["scales"].tolist()
        self.count = len(self.scales)
        self.bands = -(-self.count // BAND)
        self.flags, self.values = Network(tensors, "flags"), Network(tensors, "values")
        self.importance_rows = tensors["entropy.importance.rows"].tolist()
        self.coefficients: dict[Place, list[int]] = {}
        self.near: dict[Place, list[int]] = {}  # magnitudes, 255 at the most, of whole bands

    def importance(self, classes: int) -> dict[Place, int]:
        out: dict[Place, int] = {}
        for y in range(self.grid[0]):
            for x in range(self.grid[1]):
                west, north = out.get((y, x - 1)), out.get((y - 1, x))
                west, north = west if west is not None else north or 0, north if north is not None else west or 0
                out[y, x] = self.symbols.symbol(x, self.importance_rows[8 * west + north])
                need(out[y, x] < classes, "a class that the profile does not have")
        return out

    def cells(self, classes: dict[Place, int], steps: dict[Place, int]) -> None:
        """The coefficients of each cell, whose class and step's index these are."""
        for place in sorted(classes):
            Cell(self, place, classes[place], steps[place]).read()
        self.symbols.end()


class Cell:
    def __init__(self, group: EntropyGroup, place: Place, importance: int, step: int) -> None:
        self.group, self.importance = group, importance
        padded = group.bands * BAND
        nothing = [0] * padded
        self.beside = [scale - step for scale in group.scales]
        levels = [min(max((each + 40) >> 1, 0), 31) for each in self.beside]
        self.expected = [EXPECTED[level] for level in levels] + [0] * (padded - group.count)
        self.of_bands = [sum(self.band(self.expected, b)) for b in range(group.bands)]
        y, x = place
        self.around = [group.near.get((y + dy, x + dx), nothing) for dy, dx in AROUND]
        self.here = group.coefficients[place] = [0] * group.count
        self.magnitudes = group.near[place] = [0] * padded

    @staticmethod
    def band(values: Sequence[int], b: int) -> Sequence[int]:
        return values[b * BAND : (b + 1) * BAND]

    def read(self) -> None:
        flags = self.flags()
        a = c = total = expected = before = 0
        for b, flag in enumerate(flags):
            if flag:
                last = [
                    lim(e(a + 8) - e(c + 8)),
                    lim(e(256 * total + 256) - e(expected + 256)),
                    lim(e(before)),
                    8 * self.importance,
                    8 * (b + 1 < len(flags) and flags[b + 1]),
                    lim(e(64 * sum(flags))),
                    lim(e(64 * sum(flags[b:]))),
                ]
                self.values(b, last)
            before = sum(self.band(self.magnitudes, b))
            total, expected = total + before, expected + self.of_bands[b]
            a, c = a // 2 + 64 * before, c // 2 + self.of_bands[b] // 4

    def flags(self) -> list[int]:
        flags: list[int] = []
        usual = 0
        for b, expected in enumerate(self.of_bands):
            inputs = [
                lim(e(expected // 4)),
                *(lim(e(sum(self.band(cell, b)))) for cell in self.around),
                lim(e(64 * sum(flags) + 32) - e(usual + 32)),
                *(8 * flags[b - i] if b >= i else 0 for i in (1, 2, 3)),
                8 * self.importance,
            ]
            flags.append(self.group.symbols.symbol(b, self.group.flags.row(b, inputs)))
            usual += 64 * expected // (256 + expected)
        return flags

    def values(self, b: int, last: Sequence[int]) -> None:
        found = range(self.group.count)[b * BAND : (b + 1) * BAND]
        rows = [self.group.values.row(k, [*self.inputs(k), *last]) for k in found]
        for k, row in zip(found, rows, strict=True):
            self.here[k] = self.magnitude(k % BAND, row)
        some = [k for k in found if self.here[k]]
        for lane, part in enumerate((some[:8], some[8:])):
            signs = self.group.symbols.number(lane, len(part)) if part else 0
            for i, k in enumerate(part):
                self.here[k] *= -1 if signs >> i & 1 else 1
        for k in found:
            self.magnitudes[k] = min(abs(self.here[k]), 255)

    def inputs(self, k: int) -> list[int]:
        window = slice(max(k - 8, 0), k + 8)
        w, n, nw, ne = (sum(cell[window]) for cell in self.around)
        usual = 3 * sum(self.expected[window]) // 4
        return [
            min(max(self.beside[k], -64), 63),
            *(e(cell[k]) for cell in self.around),
            lim(e(32 * (2 * w + 2 * n + nw + ne)) - e(usual)),
        ]

    def magnitude(self, lane: int, row: Sequence[int]) -> int:
        symbols = self.group.symbols
        s = symbols.symbol(lane, row)
        magnitude = MAGNITUDES[s]
        if 10 <= s < 15:
            magnitude += symbols.number(lane, s - 9)
        elif s == 15:
            magnitude += self.escape(lane)
        need(magnitude <= 1 << 20, "a magnitude")
        return magnitude

    def escape(self, lane: int) -> int:
        symbols = self.group.symbols
        ones = 0
        while symbols.number(lane, 1):
            ones += 1
            need(ones <= 21, "an escape")
        number, left = 1, ones + 6
        while left:
            bits = min(left, 8)
            number, left = number << bits | symbols.number(lane, bits), left - bits
        return number - 64
