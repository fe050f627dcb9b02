"""A decoder of `dense` payloads in plain Python, written after docs/format.md, to hold the native one against."""

from __future__ import annotations

from collections.abc import Sequence

LOGISTIC = [
    22, 36, 60, 98, 162, 267, 439, 720, 1179, 1921, 3108, 4971, 7812, 11955, 17625, 24743, 32768, 40793, 47911, 53581,
    57724, 60565, 62428, 63615, 64357, 64816, 65097, 65269, 65374, 65438, 65476, 65500, 65514,
]  # fmt: skip


def squash(d: int) -> int:
    d = min(max(d, -2047), 2047) + 2048
    i, part = d >> 7, d & 127
    return (LOGISTIC[i] * (128 - part) + LOGISTIC[i + 1] * part + 64) >> 7


def stretch_table() -> list[int]:
    table, d = [], -2047
    for p in range(4096):
        while d < 2047 and squash(d) < 16 * p + 8:
            d += 1
        table.append(d)
    return table


STRETCH = stretch_table()


class Arithmetic:
    def __init__(self, data: bytes) -> None:
        self.data, self.at, self.low, self.high = data, 4, 0, 0xFFFFFFFF
        self.value = int.from_bytes(data[:4], "big")

    def bit(self, p: int) -> int:
        middle = self.low + ((self.high - self.low) * p >> 16)
        bit = int(self.value <= middle)
        if bit:
            self.high = middle
        else:
            self.low = middle + 1
        while self.low >> 24 == self.high >> 24:
            self.low = self.low << 8 & 0xFFFFFFFF
            self.high = self.high << 8 & 0xFFFFFFFF | 255
            self.value = self.value << 8 & 0xFFFFFFFF | self.data[self.at]
            self.at += 1
        return bit


class Probability:
    def __init__(self) -> None:
        self.p, self.count = 1 << 21, 0

    def update(self, bit: int) -> None:
        self.p += (((1 << 22) - 1 if bit else 0) - self.p) * (131072 // (2 * self.count + 3)) >> 16
        self.count = min(self.count + 1, 255)


class Mixer:
    def __init__(self) -> None:
        self.weights, self.times = [12000, 6000] * 7 + [0], 0

    def decide(self, coder: Arithmetic, seen: Sequence[Probability]) -> int:
        inputs = []
        for probability in seen:
            stretched = STRETCH[probability.p >> 10]
            inputs += [stretched, stretched * min(probability.count, 32) >> 5]
        inputs.append(256)
        total = sum(x * w >> 8 for x, w in zip(inputs, self.weights, strict=True))
        p = min(max(squash(total >> 8), 32), 65504)
        bit = coder.bit(p)
        step = 3 + 1024 // (32 + self.times)
        self.times = min(self.times + 1, 4096)
        error = ((bit << 16) - p) * step >> 4
        moved = [w + (x * error + (1 << 13) >> 14) for x, w in zip(inputs, self.weights, strict=True)]
        self.weights = [min(max(w, -(1 << 19)), 1 << 19) for w in moved]
        for probability in seen:
            probability.update(bit)
        return bit


class Maps:
    """Symbols [C][H][W], the likeliest one wherever nothing is."""

    def __init__(self, shape: tuple[int, int, int], alphabet: int, fill: int) -> None:
        self.channels, self.height, self.width = shape
        self.alphabet, self.fill = alphabet, fill
        self.cells = [[[fill] * self.width for _ in range(self.height)] for _ in range(self.channels)]

    def at(self, c: int, y: int, x: int) -> int:
        return self.cells[c][y][x] if 0 <= y < self.height and 0 <= x < self.width else self.fill

    def coarse(self, c: int, y: int, x: int) -> int:
        return self.at(c, y, x) if self.alphabet <= 4 else self.at(c, y, x) * 4 // self.alphabet

    def fine(self, c: int, y: int, x: int) -> int:
        return self.at(c, y, x) if self.alphabet <= 16 else self.at(c, y, x) * 16 // self.alphabet

    def contexts(self, c: int, y: int, x: int, reference: int) -> list[int]:
        w, n, nw, ne = (self.coarse(c, y + dy, x + dx) for dy, dx in ((0, -1), (-1, 0), (-1, -1), (-1, 1)))
        ww, nn, nne, nnw = (self.coarse(c, y + dy, x + dx) for dy, dx in ((0, -2), (-2, 0), (-2, 1), (-2, -1)))
        outside = (c, -1, -1)
        place = (c - reference, y, x) if reference else outside
        beside = [(c - reference, y + dy, x + dx) for dy, dx in ((0, -1), (-1, 0), (0, 1), (1, 0))]
        around = sum(self.coarse(*there) << 2 * i for i, there in enumerate(beside)) if reference else 0
        same, channel = self.fine(*place), c & 255
        return [
            w | n << 2 | nw << 4 | ne << 6 | ww << 8 | nn << 10,
            channel << 4 | w << 2 | n,
            self.coarse(*place) | around << 2 | w << 10 | n << 12,
            channel << 4 | same,
            channel,
            ne | nne << 2 | nn << 4 | nnw << 6 | n << 8 | w << 10,
            self.fine(c, y, x - 1) | self.fine(c, y - 1, x) << 4 | same << 8,
        ]


class Model:
    def __init__(self, data: bytes, order: Sequence[int]) -> None:
        self.coder, self.order = Arithmetic(data), order
        self.mixers = [Mixer() for _ in range(min(len(order) - 1, 15))]
        self.tables: list[dict[int, Probability]] = [{} for _ in range(7)]
        self.escapes = [Probability() for _ in range(256)]

    def symbol(self, contexts: Sequence[int]) -> int:
        for decision, mixer in enumerate(self.mixers):
            keys = enumerate(context * 16 + decision for context in contexts)
            if mixer.decide(self.coder, [self.tables[i].setdefault(key, Probability()) for i, key in keys]):
                return self.order[decision]
        if len(self.mixers) == len(self.order) - 1:
            return self.order[-1]
        node = 1
        for _ in range(8):
            probability = self.escapes[node]
            bit = self.coder.bit(min(max((probability.p >> 10) * 16, 32), 65504))
            probability.update(bit)
            node = node * 2 + bit
        return self.order[node - 256 + 15]


def decode(
    data: bytes, shape: tuple[int, int, int], alphabet: int, order: Sequence[int], references: Sequence[int]
) -> list[list[list[int]]]:
    """Symbols [C][H][W]."""
    maps, model = Maps(shape, alphabet, order[0]), Model(data, order)
    for c, channel in enumerate(maps.cells):
        for y, row in enumerate(channel):
            for x in range(len(row)):
                row[x] = model.symbol(maps.contexts(c, y, x, references[c]))
    assert model.coder.at == len(data)
    assert model.coder.value == model.coder.low
    return maps.cells
