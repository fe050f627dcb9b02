"""A slow decoder of version 1, written after docs/format.md alone. A ValueError begins with the document's kind."""

from __future__ import annotations

import math
import struct
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import reduce
from itertools import groupby, pairwise
from typing import Any

import ml_dtypes
import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
Shape = tuple[int, int, int]
Level = tuple[np.dtype[Any], Shape, int, int]  # element type, shape, side bytes, payload bytes
Parameters = tuple[int, int, int]  # number of symbols, coder, rule: values depend on no other
Maps = list[list[int]]  # the symbols of each channel, row by row

LIMIT = 1 << 24  # this reader's own, of elements and of reconstruction values: a few bytes may declare any number
F32, F16, BF16 = FLOATS = [np.dtype(np.float32), np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16)]
WHOLE = [np.dtype(np.int8), np.dtype(np.uint8)]
DTYPES = FLOATS + WHOLE
LARGEST = {F32: (2 - 2.0**-23) * 2.0**127, F16: 65504.0, BF16: (2 - 2.0**-7) * 2.0**127}
Z, EXPLICIT, UNIFORM, LLOYD_MAX, RANGE, OF_WHOLE = range(6)
CRCS = list(range(256))
for _ in range(8):
    CRCS = [crc >> 1 ^ 0x82F63B78 * (crc & 1) for crc in CRCS]


def need(ok: bool, reason: str, kind: str = "corrupt") -> None:
    if not ok:
        raise ValueError(f"{kind}: {reason}")


def within(value: int, low: int, high: int, reason: str) -> int:
    need(low <= value <= high, f"{reason} is {value}")
    return value


def crc_of(data: bytes) -> int:
    return reduce(lambda crc, byte: crc >> 8 ^ CRCS[(crc ^ byte) & 255], data, 0xFFFFFFFF) ^ 0xFFFFFFFF


def check_crc(data: bytes, stored: bytes, what: str) -> None:
    need(stored == struct.pack("<I", crc_of(data)), f"CRC-32C of {what}")


# Little-endian numbers fill bytes from the lowest bit as well, so one reader is enough.
class Reader:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def bits(self, width: int) -> int:
        start, self.at = self.at, self.at + width
        need(self.at <= 8 * len(self.data), "a field goes past the end")
        window = int.from_bytes(self.data[start >> 3 : (self.at + 7) >> 3], "little")
        return window >> (start & 7) & ((1 << width) - 1)

    def take(self, size: int) -> bytes:
        """Whole bytes; bits that remain in the byte before are zero."""
        need(self.bits(-self.at % 8) == 0, "unused bits are set")
        return self.bits(8 * size).to_bytes(size, "little")

    def rest(self) -> bytes:
        return self.take(len(self.data) - (self.at + 7) // 8)

    def end(self) -> None:
        need(not self.rest(), "bytes are left behind the last field")

    def varint(self) -> int:
        groups = [self.bits(8)]
        while groups[-1] > 127:
            groups.append(self.bits(8))
            need(groups[-1] > 0 and len(groups) <= 9, "a varint is too long")
        return sum((group & 127) << 7 * place for place, group in enumerate(groups))

    def floats(self, dtype: np.dtype[Any], count: int) -> list[float]:
        bits = np.frombuffer(self.take(count * dtype.itemsize), f"<u{dtype.itemsize}").astype(f"=u{dtype.itemsize}")
        infinite = np.array(np.inf, dtype).view(bits.dtype)  # NaNs have these bits set, too
        need(not bool((bits & infinite == infinite).any()), "a float is infinite or NaN")
        return bits.view(dtype).astype(np.float64).tolist()  # type: ignore[no-any-return]


def open_header(data: bytes, codec: int) -> tuple[Reader, int]:
    """A reader at the codec's own fields and the size of the header."""
    need(data[:4] == b"MIDS"[: len(data)], "magic")
    need(data[4:5] in (b"", b"\x01"), "version is not 1", "unsupported")
    size = int.from_bytes(data[6:8], "little")
    need(len(data) >= max(size, 8), "header", "truncated")
    need(size >= 12, "header size")
    check_crc(data[: size - 4], data[size - 4 : size], "the header")
    need(data[5] == 0, "reserved bits", "unsupported")
    reader = Reader(data[8 : size - 4])
    need(reader.bits(8) == codec, f"codec is not {codec}", "unsupported")
    return reader, size


def read_levels(reader: Reader, types: int = len(DTYPES)) -> dict[str, Level]:
    levels: dict[str, Level] = {}
    for _ in range(within(reader.varint(), 1, 1 << 10, "number of levels")):
        raw = reader.take(within(reader.bits(8), 1, 255, "size of a name"))
        name = raw.decode(errors="replace")
        need(name.encode() == raw and name not in levels, "a name is not UTF-8 or comes twice")
        element = reader.bits(8)
        need(element < types, f"element type {element}", "unsupported")
        shape = (reader.varint(), reader.varint(), reader.varint())
        need(0 not in shape, "a level is empty")
        levels[name] = DTYPES[element], shape, reader.varint(), reader.varint()
    return levels


def read_parameters(reader: Reader) -> Parameters:
    n, coder, rule = reader.bits(8) + 1, reader.bits(8), reader.bits(8)
    sizes = {Z: 1, EXPLICIT: n - 1, UNIFORM: 1, LLOYD_MAX: n - 1, RANGE: 0, OF_WHOLE: 0}
    need(coder < len(CODERS), f"coder {coder}", "unsupported")
    need(rule in sizes, f"threshold rule {rule}", "unsupported")
    fits = {Z: n in (3, 4), RANGE: n > 1, OF_WHOLE: n == 256}
    need(fits.get(rule, True), f"{n} symbols of rule {rule}")
    floats = reader.floats(F32, sizes[rule])
    need(rule not in (Z, UNIFORM) or floats[0] > 0, "the parameter is not positive")
    need(all(low < high for low, high in pairwise(floats)), "thresholds do not increase")
    reader.end()
    return n, coder, rule


def read_constants(reader: Reader, dtype: np.dtype[Any], channels: int) -> dict[int, float]:
    count = within(reader.varint(), 0, channels, "number of constant channels")
    which = [c for c in range(channels) if count == channels or (count and reader.bits(1))]
    need(len(which) == count, "constant channels are not as many as said")
    return dict(zip(which, reader.floats(dtype, count), strict=True))


def read_block(reader: Reader, count: int) -> list[int]:
    low = within(reader.bits(8), 0, 61, "low bits of a block")
    block, numbers = Reader(reader.take(reader.varint())), []
    for _ in range(count):
        high = next(i for i in range(25) if i == 24 or not block.bits(1))
        number = high << low | block.bits(low) if high < 24 else block.bits(64)
        need(number < 1 << 62 and (high < 24 or number >> low >= 24), "a number of a block")
        numbers.append(-(number >> 1) - 1 if number & 1 else number >> 1)
    block.end()
    return numbers


def range_values(reader: Reader, dtype: np.dtype[Any], channels: int, n: int) -> list[list[float]]:
    bounds = list(zip(reader.floats(dtype, channels), reader.floats(dtype, channels), strict=True))
    need(all(low < high for low, high in bounds), "low is not below high")
    return [[low + s / (n - 1) * (high - low) for s in range(n)] for low, high in bounds]


def scaled_values(reader: Reader, _: np.dtype[Any], channels: int, n: int) -> list[list[float]]:
    means = reader.floats(F16, n)
    precision = within(reader.bits(8), 1, 16, "precision")
    largest = 0x7F7FFFFF >> (23 - precision)
    base = within(reader.varint(), 1, largest, "base")
    scales = [within(base + number, 1, largest, "scale") for number in read_block(reader, channels)]
    offsets = read_block(reader, channels)
    bits = within(reader.bits(8), 0, 16, "refinement bits")
    refinements = read_block(reader, channels * n) if bits else [0] * (channels * n)
    values = []
    for c in range(channels):
        std = struct.unpack("<f", struct.pack("<I", scales[c] << (23 - precision)))[0]
        mean = offsets[c] * std * 2.0**-precision
        values.append([mean + std * (means[s] + refinements[c * n + s] * 2.0**-bits) for s in range(n)])
    return values


def everywhere(symbol: int, shape: Shape) -> Maps:
    return [[symbol] * (shape[1] * shape[2]) for _ in range(shape[0])]


def decode_raw(data: bytes, shape: Shape, n: int) -> Maps:
    reader, width = Reader(data), (n - 1).bit_length()
    maps = [[reader.bits(width) for _ in range(shape[1] * shape[2])] for _ in range(shape[0])]
    reader.end()
    need(max(map(max, maps)) < n, "a symbol is too large")
    return maps


def decode_prefix(data: bytes, shape: Shape, n: int) -> Maps:
    table = Reader(data)
    used = sorted((length, symbol) for symbol in range(n) if (length := table.bits(4)))
    # Codes fill bytes from the highest bit: with every byte turned round they are read like all else.
    reader = Reader(bytes(int(f"{byte:08b}"[::-1], 2) for byte in table.rest()))
    if len(used) == 1:
        need(used[0][0] == 1 and not reader.rest(), "a stream of one symbol")
        return everywhere(used[0][1], shape)
    need(sum(1 << (15 - length) for length, _ in used) == 1 << 15, "the code is not complete")
    symbols, following = {}, 0
    for length, symbol in used:
        symbols[1 << length | following >> (15 - length)] = symbol  # a one before the code tells its length
        following += 1 << (15 - length)
    maps = everywhere(0, shape)
    for cells in maps:
        for place in range(len(cells)):
            code = 1
            while code not in symbols:
                code = code << 1 | reader.bits(1)
            cells[place] = symbols[code]
    reader.end()
    return maps


class Fast:
    def __init__(self, data: bytes, lanes: int, n: int) -> None:
        self.reader, left = Reader(data), max(1, (n - 1).bit_length())
        self.precision = within(self.reader.bits(8), 4, 12, "precision of the tables")
        self.digits: list[tuple[int, int, list[list[int]]]] = []  # shift, width, frequencies of each context
        while left:
            width = min(2, left)
            left -= width
            count = 1 << width if self.digits else ((n - 1) >> left) + 1
            has = self.reader.bits(16)
            self.digits.append((left, width, [self.table(count) if has >> k & 1 else [4096] for k in range(16)]))
        self.reader.take(0)
        self.states = [within(self.reader.bits(32), 1 << 15, (1 << 31) - 1, "a state") for _ in range(lanes)]

    def table(self, count: int) -> list[int]:
        left, table = 1 << self.precision, []
        for _ in range(count - 1):
            table.append(self.reader.bits(left.bit_length()))
            left -= table[-1]
            need(left >= 0, "a frequency is too large")
        return [frequency << (12 - self.precision) for frequency in [*table, left]]

    def digit(self, lane: int, table: Sequence[int]) -> int:
        state = self.states[lane]
        rest, digit = state & 4095, 0
        while rest >= table[digit]:
            rest -= table[digit]
            digit += 1
        state = table[digit] * (state >> 12) + rest
        self.states[lane] = state if state >= 1 << 15 else state << 16 | self.reader.bits(16)
        return digit

    def place(self, maps: Maps, place: int, row: int) -> list[int]:
        beside, symbols = [neighbours(cells, place, row) for cells in maps], [0] * len(maps)
        for i, (shift, width, tables) in enumerate(self.digits):
            for lane, (west, north) in enumerate(beside):
                prefix = symbols[lane]
                near = min(max(((west + north + 1) // 2 >> shift) - (prefix << width), 0), 3)
                context = near + 4 * (prefix & 3) if i else (west >> shift) + 4 * (north >> shift)
                symbols[lane] = prefix << width | self.digit(lane, tables[context])
        return symbols


def neighbours(cells: Sequence[int], place: int, row: int) -> tuple[int, int]:
    north = cells[place - row] if place >= row else cells[place - 1] if place else 0
    return cells[place - 1] if place % row else north, north


def decode_fast(data: bytes, shape: Shape, n: int) -> Maps:
    if data[:1] == b"\0":
        need(len(data) == 2 and data[1] < n, "a stream of one symbol")
        return everywhere(data[1], shape)
    coder, maps = Fast(data, min(32, shape[0]), n), everywhere(0, shape)
    for first in range(0, shape[0], 32):
        bundle = maps[first : first + 32]
        for place in range(shape[1] * shape[2]):
            symbols = coder.place(bundle, place, shape[2])
            need(max(symbols) < n, "a symbol is too large")
            for cells, symbol in zip(bundle, symbols, strict=True):
                cells[place] = symbol
    # The last bundle leaves the states of lanes that it does not have alone: this holds before it, too.
    need(all(state == 1 << 15 for state in coder.states), "a state at the end")
    coder.reader.end()
    return maps


# The document's table: no value of the formula is near to a half.
LOGISTIC = [round(65536 / (1 + math.exp((16 - i) / 2))) for i in range(33)]
SQUASH = [(LOGISTIC[v >> 7] * (128 - (v & 127)) + LOGISTIC[(v >> 7) + 1] * (v & 127) + 64) >> 7 for v in range(1, 4096)]
STRETCH = [min(bisect_left(SQUASH, 16 * p + 8) - 2047, 2047) for p in range(4096)]


class Dense:
    def __init__(self, data: bytes, n: int, order: Sequence[int]) -> None:
        self.reader, self.low, self.high, self.order = Reader(data), 0, 0xFFFFFFFF, order
        self.value = int.from_bytes(self.reader.take(4), "big")
        # Probabilities and how often they were updated: of the seven contexts, then of the escapes.
        self.tables = [defaultdict[int, list[int]](lambda: [1 << 21, 0]) for _ in range(8)]
        self.weights = [[12000, 6000] * 7 + [0] for _ in range(min(len(order) - 1, 15))]
        self.updates = [0] * len(self.weights)
        self.coarse = [s if n <= 4 else s * 4 // n for s in range(n)]
        self.fine = [s if n <= 16 else s * 16 // n for s in range(n)]

    def bit(self, p: int) -> int:
        middle = self.low + ((self.high - self.low) * p >> 16)
        bit = int(self.value <= middle)
        self.low, self.high = (self.low, middle) if bit else (middle + 1, self.high)
        while self.low >> 24 == self.high >> 24:
            self.low, self.high = self.low << 8 & 0xFFFFFFFF, self.high << 8 & 0xFFFFFFFF | 255
            self.value = self.value << 8 & 0xFFFFFFFF | self.reader.bits(8)
        return bit

    def update(self, probability: list[int], bit: int) -> None:
        p, count = probability
        moved = (((1 << 22) - 1 if bit else 0) - p) * (131072 // (2 * count + 3)) >> 16
        probability[:] = p + moved, min(count + 1, 255)

    def decide(self, decision: int, seen: Sequence[list[int]]) -> int:
        inputs = [x for p, k in seen for x in (STRETCH[p >> 10], STRETCH[p >> 10] * min(k, 32) >> 5)] + [256]
        weights = self.weights[decision]
        total = sum(x * w >> 8 for x, w in zip(inputs, weights, strict=True)) >> 8
        p = min(max(SQUASH[min(max(total, -2047), 2047) + 2047], 32), 65504)
        bit = self.bit(p)
        error = ((bit << 16) - p) * (3 + 1024 // (32 + self.updates[decision])) >> 4
        moved = [w + (x * error + 8192 >> 14) for x, w in zip(inputs, weights, strict=True)]
        self.weights[decision] = [min(max(w, -(1 << 19)), 1 << 19) for w in moved]
        self.updates[decision] = min(self.updates[decision] + 1, 4096)
        for probability in seen:
            self.update(probability, bit)
        return bit

    def symbol(self, contexts: Sequence[int], order: Sequence[int]) -> int:
        for decision in range(len(self.weights)):
            if self.decide(decision, [self.tables[i][context << 4 | decision] for i, context in enumerate(contexts)]):
                return order[decision]
        if len(self.weights) == len(order) - 1:
            return order[-1]
        node = 1
        while node < 256:
            probability = self.tables[7][node]
            bit = self.bit(min(max((probability[0] >> 10) * 16, 32), 65504))
            self.update(probability, bit)
            node = node << 1 | bit
        need(node - 256 + 15 < len(order), "an escape is too large")
        return order[node - 256 + 15]

    def contexts(self, own: Sequence[Sequence[int]], other: Sequence[Sequence[int]], c: int, x: int) -> list[int]:
        """Own rows from the second above to the current one, and the referenced ones from that above to that below."""
        q, f, channel = self.coarse, self.fine, c & 255
        top, above, here = own
        w, n, nw, ne, ww = q[here[x - 1]], q[above[x]], q[above[x - 1]], q[above[x + 1]], q[here[x - 2]]
        nn, nne, nnw = q[top[x]], q[top[x + 1]], q[top[x - 1]]
        same, around = self.order[0], 0
        if other:
            over, beside, under = other
            same = beside[x]
            around = q[beside[x - 1]] | q[over[x]] << 2 | q[beside[x + 1]] << 4 | q[under[x]] << 6
        near = [w | n << 2 | nw << 4 | ne << 6 | ww << 8 | nn << 10, channel << 4 | w << 2 | n]
        referenced = [q[same] | around << 2 | w << 10 | n << 12, channel << 4 | f[same], channel]
        far = [ne | nne << 2 | nn << 4 | nnw << 6 | n << 8 | w << 10, f[here[x - 1]] | f[above[x]] << 4 | f[same] << 8]
        return near + referenced + far


def decode_dense(data: bytes, shape: Shape, n: int) -> Maps:
    reader, (channels, height, width) = Reader(data), shape
    order = list(reader.take(reader.bits(8) + 1))
    need(max(order) < n and len(set(order)) == len(order), "order of the symbols")
    if len(order) == 1:
        reader.end()
        return everywhere(order[0], shape)
    references = [reader.bits(min(channels - 1, 255).bit_length()) for _ in range(channels)]
    need(all(reference <= c for c, reference in enumerate(references)), "a reference")
    model = Dense(reader.rest(), n, order)
    # The likeliest symbol lies around: two rows above and one below, two columns on both sides.
    padded = [[[order[0]] * (width + 4) for _ in range(height + 3)] for _ in range(channels)]
    for c, (rows, reference) in enumerate(zip(padded, references, strict=True)):
        for y in range(2, height + 2):
            other = padded[c - reference][y - 1 : y + 2] if reference else []
            for x in range(2, width + 2):
                rows[y][x] = model.symbol(model.contexts(rows[y - 2 : y + 1], other, c, x), order)
    need(not model.reader.rest() and model.value == model.low, "end of the arithmetic code")
    return [[symbol for row in rows[2:-1] for symbol in row[2:-2]] for rows in padded]


CODERS: list[Callable[[bytes, Shape, int], Maps]] = [decode_fast, decode_dense, decode_raw, decode_prefix]


def decode_maps(coder: int, part: bytes, shape: Shape, n: int, whole: bool) -> Maps:
    if not (whole and CODERS[coder] is decode_dense):
        return CODERS[coder](part, shape, n)
    halves = decode_dense(part, (2 * shape[0], *shape[1:]), 16)
    pairs = zip(halves[0::2], halves[1::2], strict=True)
    return [[upper << 4 | lower for upper, lower in zip(*pair, strict=True)] for pair in pairs]


def decode_level(reader: Reader, packed: Reader, dtype: np.dtype[Any], shape: Shape, parameters: Parameters) -> Array:
    (n, coder, rule), (channels, height, width) = parameters, shape
    whole = dtype in WHOLE
    n = 256 if whole else n
    constants = {} if whole else read_constants(reader, dtype, channels)
    out = np.empty((channels, height * width), dtype)
    for c, constant in constants.items():
        out[c] = constant
    size = 32 * -(-(1 << 18) // (32 * height * width))
    varying = [c for c in range(channels) if c not in constants]
    streams = [list(group) for _, group in groupby(varying, key=lambda c: c // size)]
    if varying:
        if whole:
            values = iter([np.arange(256).astype(np.uint8) ^ np.uint8(128 * (dtype.kind == "i"))] * channels)
        else:
            exact = (range_values if rule == RANGE else scaled_values)(reader, dtype, len(varying), n)
            # Rounded to f32 first, then to the element type.
            values = iter(np.clip(np.array(exact), -LARGEST[dtype], LARGEST[dtype]).astype(F32).astype(dtype))
        sizes = [reader.varint() for _ in streams[1:]]
        for stream, part in zip(streams, [*map(packed.take, sizes), packed.rest()], strict=True):
            maps = decode_maps(coder, part, (len(stream), height, width), n, whole)
            for c, symbols in zip(stream, maps, strict=True):
                out[c] = next(values)[symbols].view(dtype)
    need(not reader.rest() and not packed.rest(), "bytes are left in a chunk")
    return out.reshape(shape)


def decode(data: bytes) -> dict[str, Array]:
    """Every level by its name, in the order of the header: [C, H, W] in the level's element type."""
    reader, at = open_header(data, 0)
    levels = read_levels(reader)
    total = at + sum(side + payload + 4 for _, _, side, payload in levels.values())
    need(len(data) >= total, "chunks", "truncated")
    need(len(data) == total, "bytes are left behind the last chunk")
    parameters = read_parameters(reader)
    need(all(each[0] in WHOLE for each in levels.values()) == (parameters[2] == OF_WHOLE), "rule of the element types")
    need(sum(c * max(h * w, parameters[0]) for _, (c, h, w), *_ in levels.values()) <= LIMIT, "elements", "limit")
    chunks, decoded = Reader(data[at:]), {}
    later_first = list(levels.items())[::-1]
    for name, (dtype, shape, *sizes) in sorted(later_first, key=lambda item: item[1][1][1] * item[1][1][2]):
        side, payload = map(chunks.take, sizes)
        check_crc(side + payload, chunks.take(4), f"level {name!r}")
        decoded[name] = decode_level(Reader(side), Reader(payload), dtype, shape, parameters)
    return {name: decoded[name] for name in levels}
