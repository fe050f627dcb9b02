"""A slow decoder of units of codec 3, written after docs/format.md alone, as format_decoder.py is."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from tests.helpers import format_decoder as one
from tests.helpers.format_decoder import F16, F32, RANGE, Array, Dense, Level, Maps, Parameters, Reader, Shape, need

KEPT = 8
DENSE, LLOYD_MAX = 1, one.LLOYD_MAX


@dataclass
class Stream:
    """What goes on in the next frame of one stream: the channels that have symbols, order, references of channels."""

    channels: list[int]
    order: list[int]
    references: list[int]


@dataclass
class Kept:
    """One level of a frame: numbers are [C, H, W]."""

    symbols: Array
    other: Array
    changes: Array
    streams: dict[int, Stream] = field(default_factory=dict)
    scales: list[int] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    refinements: list[int] = field(default_factory=list)
    precision: int = 0
    bits: int = 0
    constant: frozenset[int] = frozenset()


@dataclass
class Frame:
    number: int
    digest: int
    levels: dict[str, Level]
    parameters: Parameters
    kept: dict[str, Kept]


class Decoder:
    def __init__(self) -> None:
        self.frames: dict[int, Frame] = {}

    def decode(self, data: bytes) -> dict[str, Array]:
        """Every level by its name: [C, H, W] in the level's element type."""
        reader, at = one.open_header(data, 3)
        flags = reader.bits(8)
        need(flags < 2, "flags", "unsupported")
        number = reader.varint()
        need(number < 1 << 32, "number")
        before = None
        levels: dict[str, Level] = {}
        if flags:
            levels = one.read_levels(reader, len(one.FLOATS))
            sizes = [each[2:] for each in levels.values()]
        else:
            distance = reader.varint()
            need(1 <= distance <= min(number, 8), "distance")
            digest = reader.bits(32)
            count = one.within(reader.varint(), 1, 1 << 10, "number of levels")
            sizes = [(reader.varint(), reader.varint()) for _ in range(count)]
        total = at + sum(map(sum, sizes)) + 4
        need(len(data) >= total, "chunk", "truncated")
        need(len(data) == total, "bytes are left behind the chunk")
        if not flags:
            before = self.frames.get(number - distance)
            need(before is not None and before.digest == digest, "the reference", "missing reference")
            assert before is not None
            need(len(sizes) == len(before.levels), "levels")
            levels = {n: (*lv[:2], *size) for (n, lv), size in zip(before.levels.items(), sizes, strict=True)}
        parameters = one.read_parameters(reader) if before is None else rest_of(reader, before.parameters)
        need(parameters[1] == DENSE and parameters[2] != one.OF_WHOLE, "coder or rule", "unsupported")
        need(sum(c * max(h * w, parameters[0]) for _, (c, h, w), *_ in levels.values()) <= one.LIMIT, "limit", "limit")
        one.check_crc(data[at:-4], data[-4:], "the chunk")
        chunk, out = Reader(data[at:-4]), {}
        own = one.crc_of(data[: at - 4] + data[at:-4])
        frame = Frame(number, own, levels, parameters, {})
        for name, (dtype, shape, *parts) in levels.items():
            side, payload = map(chunk.take, parts)
            then = None if before is None else before.kept[name]
            out[name], frame.kept[name] = decode_level(Reader(side), Reader(payload), dtype, shape, parameters, then)
        self.keep(frame, bool(flags))
        return out

    def keep(self, frame: Frame, key: bool) -> None:
        there = self.frames.get(frame.number)
        if key and not (there is not None and there.digest == frame.digest):
            self.frames = {number: each for number, each in self.frames.items() if number < frame.number}
        self.frames[frame.number] = frame
        self.frames = dict(sorted(self.frames.items())[-KEPT:])


def rest_of(reader: Reader, parameters: Parameters) -> Parameters:
    thresholds = reader.floats(F32, parameters[0] - 1) if parameters[2] == LLOYD_MAX else []
    need(all(low < high for low, high in pairwise(thresholds)), "thresholds do not increase")
    reader.end()
    return parameters


def decode_level(
    reader: Reader, packed: Reader, dtype: Any, shape: Shape, parameters: Parameters, before: Kept | None
) -> tuple[Array, Kept]:
    (n, _, rule), (channels, height, width) = parameters, shape
    constants = one.read_constants(reader, dtype, channels)
    out, symbols = np.empty((channels, height * width), dtype), np.zeros((channels, height * width), int)
    for c, constant in constants.items():
        out[c] = constant
    nothing = np.zeros(shape, int)
    kept = Kept(symbols.reshape(shape), nothing, nothing, constant=frozenset(constants))
    size = 32 * -(-(1 << 18) // (32 * height * width))
    groups: dict[int, list[int]] = {}
    for c in range(channels):
        if c not in constants:
            groups.setdefault(c // size, []).append(c)
    if groups:
        count = channels - len(constants)
        exact = (
            one.range_values(reader, dtype, count, n) if rule == RANGE else values_of(reader, count, n, kept, before)
        )
        largest = one.LARGEST[dtype]
        values = iter(np.clip(np.array(exact), -largest, largest).astype(F32).astype(dtype))
        sizes = [reader.varint() for _ in list(groups)[1:]]
        for (group, own), part in zip(groups.items(), [*map(packed.take, sizes), packed.rest()], strict=True):
            maps, kept.streams[group] = decode_stream(part, own, group, shape, n, before)
            for c, numbers in zip(own, maps, strict=True):
                symbols[c], out[c] = numbers, next(values)[numbers]
    need(not reader.rest() and not packed.rest(), "bytes are left in a chunk")
    if before is not None:
        changed = kept.symbols != before.symbols
        classes = np.array([s if n <= 4 else s * 4 // n for s in range(n)])
        kept.other = np.where(changed, classes[before.symbols], before.other)
        kept.changes = (2 * before.changes + changed) % 8
    return out.reshape(shape), kept


def values_of(reader: Reader, count: int, n: int, kept: Kept, before: Kept | None) -> list[list[float]]:
    kind = 0 if before is None else one.within(reader.bits(8), 0, 1, "kind of a reconstruction")
    means = reader.floats(F16, n)
    if kind == 0:
        kept.precision = one.within(reader.bits(8), 1, 16, "precision")
        base = one.within(reader.varint(), 1, 0x7F7FFFFF >> (23 - kept.precision), "base")
        kept.scales = [base + number for number in one.read_block(reader, count)]
        kept.offsets = one.read_block(reader, count)
        kept.bits = one.within(reader.bits(8), 0, 16, "refinement bits")
        kept.refinements = one.read_block(reader, count * n) if kept.bits else [0] * (count * n)
    else:
        assert before is not None
        need(kept.constant == before.constant, "differences to other channels")
        kept.precision, kept.bits = before.precision, before.bits
        kept.scales = added(reader, before.scales)
        kept.offsets = added(reader, before.offsets)
        kept.refinements = added(reader, before.refinements) if kept.bits else before.refinements
    values = []
    for c, (scale, offset) in enumerate(zip(kept.scales, kept.offsets, strict=True)):
        one.within(scale, 1, 0x7F7FFFFF >> (23 - kept.precision), "scale")
        std = struct.unpack("<f", struct.pack("<I", scale << (23 - kept.precision)))[0]
        fine = kept.refinements[c * n : c * n + n]
        mean = offset * std * 2.0**-kept.precision
        values.append([mean + std * (m + r * 2.0**-kept.bits) for m, r in zip(means, fine, strict=True)])
    return values


def added(reader: Reader, before: list[int]) -> list[int]:
    out = [a + b for a, b in zip(before, one.read_block(reader, len(before)), strict=True)]
    need(all(-(1 << 61) <= number < 1 << 61 for number in out), "a number of a block")
    return out


def decode_stream(
    data: bytes, own: list[int], group: int, shape: Shape, n: int, before: Kept | None
) -> tuple[Maps, Stream]:
    reader = Reader(data)
    then = None if before is None else before.streams.get(group)
    goes_on = then is not None and then.channels == own
    if goes_on:
        assert then is not None
        order, references = then.order + list(reader.take(reader.varint())), then.references
    else:
        order, references = list(reader.take(reader.bits(8) + 1)), [0] * len(own)
    need(max(order) < n and len(set(order)) == len(order), "order of the symbols")
    if not goes_on and len(order) > 1:
        references = [reader.bits(min(len(own) - 1, 255).bit_length()) for _ in own]
        need(all(reference <= c for c, reference in enumerate(references)), "a reference")
    stream, three = Stream(own, order, references), (len(own), *shape[1:])
    if len(order) == 1:
        reader.end()
        return one.everywhere(order[0], three), stream
    if before is None:
        return one.decode_dense(data, three, n), stream
    return Predicted(reader.rest(), n, stream, before).maps(shape[1], shape[2]), stream


class Predicted(Dense):
    def __init__(self, data: bytes, n: int, stream: Stream, before: Kept) -> None:
        super().__init__(data, n, stream.order)
        self.few, self.stream = n <= 4, stream
        self.before = [self.framed(before.symbols[c], stream.order[0]) for c in stream.channels]
        self.past = [self.framed(before.other[c] + 4 * before.changes[c], 0) for c in stream.channels]

    @staticmethod
    def framed(values: Array, fill: int) -> list[list[int]]:
        """With two more rows and columns on all sides."""
        return np.pad(values, 2, constant_values=fill).tolist()  # type: ignore[no-any-return]

    def maps(self, height: int, width: int) -> Maps:
        empty = np.zeros((height, width), int) + self.order[0]
        self.now = [self.framed(empty, self.order[0]) for _ in self.stream.channels]
        for c, rows in enumerate(self.now):
            for y in range(2, height + 2):
                for x in range(2, width + 2):
                    t = self.before[c][y][x]
                    first = t if t in self.order else self.order[0]
                    order = [first, *(s for s in self.order if s != first)]
                    rows[y][x] = self.symbol(self.at(c, y, x), order)
        need(not self.reader.rest() and self.value == self.low, "end of the arithmetic code")
        return [[symbol for row in rows[2:-2] for symbol in row[2:-2]] for rows in self.now]

    def at(self, c: int, y: int, x: int) -> list[int]:
        q, f, now, then, past = self.coarse, self.fine, self.now[c], self.before[c], self.past[c]
        back = self.stream.references[c]
        likeliest, channel = self.order[0], c & 255
        r = self.now[c - back][y][x] if back else likeliest
        rt = self.before[c - back][y][x] if back else likeliest
        east, south = (self.now[c - back][y][x + 1], self.now[c - back][y + 1][x]) if back else (0, 0)
        beside = q[east] + 4 * q[south] if back else 0

        def d(down: int, right: int) -> int:
            return int(now[y + down][x + right] != then[y + down][x + right])

        t, w, n, h = then[y][x], now[y][x - 1], now[y - 1][x], past[y][x]
        around = q[t] + 4 * q[then[y][x + 1]] + 16 * q[then[y + 1][x]]
        third = around + 64 * q[then[y + 1][x + 1]] + 256 * q[then[y + 1][x - 1]] + 1024 * q[w] + 4096 * q[n]
        fifth = q[t] + 4 * q[w] + 16 * q[n] + 64 * q[r] + 256 * q[rt] + 1024 * beside
        if not self.few:
            third = f[t] + 16 * f[r] + 256 * f[rt] + 4096 * q[w]
            fifth = f[t] + 16 * f[w] + 256 * f[n] + 4096 * q[r]
        changed = 4 * d(0, -1) + 8 * d(-1, 0) + 16 * d(-1, 1) + 32 * d(-1, -1) + 64 * int(r != rt)
        changed += 128 * d(0, -2) + 256 * d(-2, 0)
        recent = 128 * (past[y][x + 1] // 4 % 4) + 512 * (past[y + 1][x] // 4 % 4)
        return [
            q[t] + 4 * q[r] + 16 * q[rt] + 64 * channel,
            q[n] + 4 * q[w] + 16 * q[t] + 64 * channel,
            around + 64 * q[then[y][x - 1]] + 256 * q[then[y - 1][x]] + 1024 * q[w] + 4096 * q[n],
            third,
            q[t] + changed + 512 * h,
            fifth,
            q[t] + 4 * h + recent + 2048 * d(0, -1) + 4096 * d(-1, 0),
        ]
