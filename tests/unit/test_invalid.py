"""Every sentence of docs/format.md that calls something invalid, as a bitstream with right checksums."""

from __future__ import annotations

import struct

import numpy as np
import pytest

import midstream as ms
from midstream import _native
from midstream.codec.wire import rice, varint

Z, EXPLICIT, UNIFORM, LLOYD_MAX, RANGE, WHOLE = range(6)
OF_WHOLE = bytes([255, 2, WHOLE])


def sealed(data: bytes) -> bytes:
    return data + struct.pack("<I", _native.crc32c(data))


def level(
    name: bytes = b"x", dtype: int = 0, shape: tuple[int, ...] = (1, 2, 2), side: int = 0, payload: int = 0
) -> bytes:
    return bytes([len(name)]) + name + bytes([dtype]) + b"".join(varint(n) for n in (*shape, side, payload))


def parameters(symbols: int = 4, coder: int = 2, rule: int = Z, rest: bytes = struct.pack("<f", 1.5)) -> bytes:
    return bytes([symbols - 1, coder, rule]) + rest


def stream(levels: list[bytes], chunks: list[bytes], params: bytes, size: int | None = None) -> bytes:
    body = b"\0" + varint(len(levels)) + b"".join(levels) + params
    header = b"MIDS\1\0" + struct.pack("<H", size if size is not None else 12 + len(body)) + body
    return sealed(header) + b"".join(sealed(chunk) for chunk in chunks)


def one(side: bytes, payload: bytes = b"", params: bytes = parameters(), shape: tuple[int, ...] = (1, 2, 2)) -> bytes:
    return stream([level(shape=shape, side=len(side), payload=len(payload))], [side + payload], params)


def whole(side: bytes = b"", payload: bytes = bytes(4), params: bytes = OF_WHOLE, dtype: int = 3) -> bytes:
    return stream([level(dtype=dtype, side=len(side), payload=len(payload))], [side + payload], params)


def layout(name: bytes = b"x", axes: bytes = b"NC", rest: bytes = b"\0") -> bytes:
    return bytes([len(name)]) + name + bytes([len(axes)]) + axes + rest


def laid_out(
    layouts: bytes, levels: tuple[bytes, ...] = (level(shape=(4, 2, 2), dtype=4, payload=16),), codec: int = 0
) -> bytes:
    """Whole numbers in levels [4, 2, 2], or others of as many elements, behind layouts."""
    body = b"\4" + layouts + bytes([codec]) + varint(len(levels)) + b"".join(levels) + OF_WHOLE
    chunks = b"".join(sealed(bytes(16)) for _ in levels)
    return sealed(b"MIDS\1\0" + struct.pack("<H", 12 + len(body)) + body) + chunks


def halves(*values: float) -> bytes:
    return np.array(values, "<f2").tobytes()


def numbers(*values: int) -> bytes:
    return rice(np.array(values, np.int64))


def side(
    means: bytes = halves(-2, -0.5, 0.5, 2), precision: int = 2, base: int = 500, scales: bytes = numbers(0),
    offsets: bytes = numbers(0), bits: int = 0, refinement: bytes = b"",
) -> bytes:  # fmt: skip
    """Side information of one channel that is not constant, without the symbol table."""
    return b"\0" + means + bytes([precision]) + varint(base) + scales + offsets + bytes([bits]) + refinement


RAW = bytes([0b11_10_01_00])
FAST, DENSE, _, PREFIX = (parameters(coder=coder) for coder in range(4))
THREE = {"means": halves(-1, 0, 1)}
LARGEST_SCALE = 0x7F7FFFFF >> 21
RICE_U_2_62 = bytes([61]) + varint(8) + (0b11 | 0 << 2).to_bytes(8, "little")  # two ones, a zero: u = 2 * 2^61
ESCAPE_OF_6 = bytes([0, 11]) + ((1 << 24) - 1 | 6 << 24).to_bytes(11, "little")
ESCAPE_OF_2_62 = bytes([0, 11]) + ((1 << 24) - 1 | 1 << 86).to_bytes(11, "little")


def dense_payload() -> bytes:
    """Four symbols of one channel, of 0 and 1."""
    symbols = np.array([0, 1, 1, 0], np.uint8).reshape(1, 2, 2)
    return _native.dense_encode(symbols, 4, np.array([0, 1], np.uint8), np.zeros(1, np.uint8))


FOUR = level(shape=(4, 2, 2), dtype=4, payload=16)
FIVE = struct.pack("<ffff", 1, 2, 3, 4)


def bits(*fields: tuple[int, int]) -> bytes:
    """(value, width) from the lowest bit up."""
    number = used = 0
    for value, width in fields:
        number |= value << used
        used += width
    return number.to_bytes((used + 7) // 8, "little")


def fast(
    frequencies: tuple[int, int] = (8, 8), states: bytes | None = None, words: bool = True, beyond: int = 0
) -> bytes:
    """Four times the symbol 0 where 0 and 1 are equally likely: four bits, which the state holds."""
    first, second = frequencies
    head = bits((4, 8), (1, 16), (first, 5), (second, (16 - first).bit_length()), (beyond, 7))
    if not words:
        return head + struct.pack("<I", 0x8000)
    return head + (struct.pack("<I", 0x8000 << 4) if states is None else states)


def coded_5() -> bytes:
    """A fast stream whose table says that the last digit of 4 is 1: symbol 5 of an alphabet of 5."""
    first = [(1, 16), (0, 5), (0, 5)]  # values 0, 1, 2 of the first digit: always 2
    context = 2 << 2  # digit 2 before it, and the neighbours' mean below
    return bits((4, 8), *first, (1 << context, 16), (0, 5)) + struct.pack("<I", 0x8000)


BEYOND_5 = coded_5()


def groups(side_sizes: bytes = varint(2)) -> bytes:
    """Two groups, of 32 channels and of one, by one row of 8,192: symbol 3 everywhere."""
    count = 33
    head = b"\0" + halves(-2, -0.5, 0.5, 2) + b"\2" + varint(500) + numbers(*[0] * count) * 2 + b"\0"
    side_information = head + side_sizes
    header = [level(shape=(count, 1, 8192), side=len(side_information), payload=4)]
    return stream(header, [side_information + b"\0\3\0\3"], FAST)


GROUPS = groups()


def two_sides() -> bytes:
    return b"\0" + halves(-2, -0.5, 0.5, 2) + b"\2" + varint(500) + numbers(0, 0) + numbers(0, 0) + b"\0"


def test_the_streams_below_are_valid_but_for_what_they_test() -> None:
    assert ms.decode(one(side(), RAW))["x"].shape == (1, 2, 2)
    assert ms.decode(one(side(bits=3, refinement=numbers(0, 1, -1, 0)), RAW))
    assert ms.decode(one(side(), b"\x22\x22" + b"\x1b", PREFIX))
    assert ms.decode(one(side(), b"\x01\x00" + b"", PREFIX))
    assert ms.decode(one(side(), fast(), FAST))
    assert ms.decode(one(side(), b"\0\3", FAST))
    assert ms.decode(GROUPS)
    assert ms.decode(one(b"\1" + struct.pack("<f", 1)))
    assert ms.decode(one(b"\0" + struct.pack("<ff", 0, 1), b"\0\1\2\3", parameters(256, 2, RANGE, b"")))
    assert ms.decode(one(b"\1\2" + struct.pack("<f", 1) + side()[1:], RAW, shape=(2, 2, 2)))
    assert ms.decode(one(side(), b"\1\0\1" + dense_payload(), DENSE))
    assert ms.decode(one(side(), b"\0\2" + b"", DENSE))
    for params in (parameters(3, rule=Z), parameters(rule=UNIFORM), parameters(2, rule=EXPLICIT)):
        ms.inspect(one(b"\1" + struct.pack("<f", 1), b"", params))


CORRUPT: dict[str, bytes] = {
    "header size below the smallest": sealed(b"MIDS\1\0" + struct.pack("<H", 8)),
    "no levels": stream([], [], parameters()),
    "a level without a name": stream([level(b"")], [b""], parameters()),
    "a name that is not UTF-8": stream([level(b"\xff")], [b""], parameters()),
    "two levels of one name": stream([level(), level()], [b"", b""], parameters()),
    "no channels": stream([level(shape=(0, 2, 2))], [b""], parameters()),
    "no rows": stream([level(shape=(1, 0, 2))], [b""], parameters()),
    "data after the parameters": one(side(), RAW, parameters() + b"\0"),
    "parameters that end early": one(side(), RAW, parameters()[:-1]),
    "z for 5 symbols": one(side(), RAW, parameters(5)),
    "z of 0": one(side(), RAW, parameters(rest=struct.pack("<f", 0))),
    "a negative step": one(side(), RAW, parameters(rule=UNIFORM, rest=struct.pack("<f", -1))),
    "z that is not finite": one(side(), RAW, parameters(rest=struct.pack("<f", np.nan))),
    "thresholds that do not increase": one(side(), RAW, parameters(3, 2, EXPLICIT, struct.pack("<ff", 1, 1))),
    "an infinite threshold": one(side(), RAW, parameters(3, 2, EXPLICIT, struct.pack("<ff", 1, np.inf))),
    "a range for one symbol": one(b"\0" + struct.pack("<ff", 0, 1), b"", parameters(1, 2, RANGE, b"")),
    "more constants than channels": one(b"\2" + bytes(8)),
    "fewer constants than marked": one(b"\1\3" + struct.pack("<f", 1), shape=(2, 2, 2)),
    "a constant beyond the channels": one(b"\1\4" + struct.pack("<f", 1) + side()[1:], RAW, shape=(2, 2, 2)),
    "a constant that is not finite": one(b"\1" + struct.pack("<f", np.inf)),
    "a payload where all is constant": one(b"\1" + struct.pack("<f", 1), b"\0"),
    "side information after the constants": one(b"\1" + struct.pack("<f", 1) + b"\0"),
    "an empty range": one(b"\0" + struct.pack("<ff", 1, 1), bytes(4), parameters(256, 2, RANGE, b"")),
    "a mean that is not finite": one(side(halves(0, 0, 0, np.inf)), RAW),
    "precision 0": one(side(precision=0), RAW),
    "precision 17": one(side(precision=17), RAW),
    "a base of 0": one(side(base=0, scales=numbers(5)), RAW),
    "a base beyond float32": one(side(base=LARGEST_SCALE + 1, scales=numbers(-5)), RAW),
    "a scale of 0": one(side(base=5, scales=numbers(-5)), RAW),
    "a scale beyond float32": one(side(base=LARGEST_SCALE, scales=numbers(1)), RAW),
    "17 bits of refinement": one(side(bits=17, refinement=numbers(0, 0, 0, 0)), RAW),
    "a refinement that is too short": one(side(bits=3, refinement=b"\0\1\xff"), RAW),
    "a block with k of 62": one(side(scales=bytes([62, 8]) + bytes(8)), RAW),
    "a block with fewer bits than numbers": one(side(offsets=bytes([0, 0])), RAW),
    "a block with a byte too many": one(side(offsets=bytes([0, 2, 0, 0])), RAW),
    "a block with bits behind its end": one(side(offsets=bytes([0, 1, 2])), RAW),
    "a number of 2^62": one(side(offsets=RICE_U_2_62), RAW),
    "an escape that is not needed": one(side(offsets=ESCAPE_OF_6), RAW),
    "an escaped number of 2^62": one(side(offsets=ESCAPE_OF_2_62), RAW),
    "raw: a payload that is too short": one(side(), b""),
    "raw: a payload that is too long": one(side(), RAW + b"\0"),
    "raw: bits behind the symbols": one(side(), b"\xff", shape=(1, 1, 3)),
    "raw: a symbol outside the alphabet": one(side(**THREE), b"\xff", parameters(3)),
    "raw: a table": one(side() + b"\0", RAW),
    "prefix: no symbol": one(side(), b"\0\0" + b"", PREFIX),
    "prefix: a payload where one symbol occurs": one(side(), b"\1\0" + b"\0", PREFIX),
    "prefix: one symbol with a longer code": one(side(), b"\2\0" + b"", PREFIX),
    "prefix: an incomplete code": one(side(), b"\x22\x02" + b"\x1b", PREFIX),
    "prefix: too many codes": one(side(), b"\x11\x11" + b"\x1b", PREFIX),
    "prefix: a length for no symbol": one(side(**THREE), b"\x21\x22" + b"\x00", parameters(3, 1)),
    "prefix: the data ends early": one(side(), b"\x33\x21" + b"\xff", PREFIX),
    "prefix: a byte too many": one(side(), b"\x22\x22" + b"\x1b\0", PREFIX),
    "prefix: bits behind the symbols": one(side(), b"\x22\x22" + b"\x1b", PREFIX, shape=(1, 1, 3)),
    "fast: an empty stream": one(side(), b"", FAST),
    "fast: precision 3": one(side(), b"\3" + fast()[1:], FAST),
    "fast: precision 13": one(side(), b"\x0d" + fast()[1:], FAST),
    "fast: frequencies beyond the sum": one(side(), fast(frequencies=(9, 8)), FAST),
    "fast: tables that end early": one(side(), fast()[:4], FAST),
    "fast: bits behind the tables": one(side(), fast(beyond=1), FAST),
    "fast: no states": one(side(), fast(states=b""), FAST),
    "fast: a state below the smallest": one(side(), fast(states=struct.pack("<I", 0x7FFF)), FAST),
    "fast: a state of 32 bits": one(side(), fast(states=struct.pack("<I", 0x80008000)), FAST),
    "fast: half a word": one(side(), fast() + b"\0", FAST),
    "fast: words are left": one(side(), fast() + b"\0\0", FAST),
    "fast: words that end early": one(side(), fast(words=False), FAST),
    "fast: another last state": one(side(), fast(states=struct.pack("<I", (0x8000 << 4) + 1)), FAST),
    "fast: one symbol outside the alphabet": one(side(), b"\0\4", FAST),
    "fast: more than one symbol": one(side(), b"\0\3\0", FAST),
    "fast: symbols outside the alphabet": one(side(halves(*range(5))), BEYOND_5, parameters(5, 0, EXPLICIT, FIVE)),
    "streams of more bytes than there are": groups(side_sizes=varint(99)),
    "a size of a stream that is missing": groups(side_sizes=b""),
    "a size of a stream too many": groups(side_sizes=varint(2) + varint(2)),
    "whole numbers by another rule": whole(params=parameters()),
    "floats by the rule of whole numbers": one(side(), RAW, OF_WHOLE),
    "whole numbers of 255 symbols": whole(params=bytes([254, 2, WHOLE])),
    "whole numbers with constants": whole(side=b"\0"),
    "whole numbers that end early": whole(payload=bytes(3)),
    "no layouts": laid_out(varint(0)),
    "layouts that end early": laid_out(varint(2) + layout()),
    "layouts of layouts": laid_out(varint(1) + layout(), codec=4),
    "a layout without a name": laid_out(varint(1) + layout(name=b"")),
    "a layout whose name is not UTF-8": laid_out(varint(1) + layout(name=b"\xff")),
    "a layout without axes": laid_out(varint(1) + layout(axes=b"", rest=b"")),
    "a layout without channels": laid_out(varint(1) + layout(axes=b"N")),
    "a layout of other axes": laid_out(varint(1) + layout(axes=b"XC", rest=b"")),
    "a layout of rows alone": laid_out(varint(1) + layout(axes=b"HC", rest=b"")),
    "a layout of one axis twice": laid_out(varint(1) + layout(axes=b"NCC")),
    "a layout of nine axes": laid_out(varint(1) + layout(axes=b"1111111NC")),
    "a layout of a map": laid_out(varint(1) + layout(axes=b"CHW", rest=b"")),
    "no heads": laid_out(varint(1) + layout(axes=b"GNC", rest=b"\0\0")),
    "heads that channels do not divide into": laid_out(varint(1) + layout(axes=b"GNC", rest=b"\3\0")),
    "a layout of another level": laid_out(varint(1) + layout(name=b"y")),
    "two layouts of one level": laid_out(varint(2) + layout() + layout()),
    "a sequence of two rows": laid_out(varint(1) + layout(axes=b"TC", rest=b"")),
    "a vector of positions": laid_out(varint(1) + layout(axes=b"C", rest=b"")),
    "extra tokens without a level": laid_out(varint(1) + layout(rest=b"\1")),
    "extra tokens of another number": laid_out(
        varint(1) + layout(rest=b"\3"), (FOUR, level(b"x+extra", 4, (4, 1, 4), payload=16))
    ),
    "extra tokens of another type": laid_out(
        varint(1) + layout(rest=b"\4"), (FOUR, level(b"x+extra", 3, (4, 1, 4), payload=16))
    ),
    "extra tokens with a name that is too long": laid_out(
        varint(1) + layout(name=b"x" * 250, rest=b"\1"), (level(b"x" * 250, 4, (4, 2, 2), payload=16),)
    ),
    "dense: more symbols than there are": one(side(), b"\4\0\1\2\3\4" + bytes(4), DENSE),
    "dense: a symbol twice": one(side(), b"\1\2\2" + bytes(4), DENSE),
    "dense: a symbol outside the alphabet": one(side(), b"\1\0\4" + bytes(4), DENSE),
    "dense: a payload where one symbol occurs": one(side(), b"\0\2" + b"\0", DENSE),
    "dense: no payload": one(side(), b"\1\0\1" + b"", DENSE),
    "dense: the payload ends early": one(side(), b"\1\0\1" + dense_payload()[:-1], DENSE),
    "dense: a byte too many": one(side(), b"\1\0\1" + dense_payload() + b"\0", DENSE),
    "dense: another last value": one(side(), b"\1\0\1" + dense_payload()[:-1] + b"\1", DENSE),
    "dense: a reference to itself and before": one(two_sides(), b"\1\0\1\3" + bytes(4), DENSE, (2, 2, 2)),
    "dense: bits behind the references": one(two_sides(), b"\1\0\1\xf0" + bytes(4), DENSE, (2, 2, 2)),
}  # fmt: skip


@pytest.mark.parametrize("name", CORRUPT)
def test_what_is_invalid_is_corrupt(name: str) -> None:
    with pytest.raises(ms.CorruptError):
        ms.decode(CORRUPT[name])


UNSUPPORTED = {
    "element type 5": stream([level(dtype=5)], [b""], parameters()),
    "coder 4": one(side(), RAW, parameters(coder=4)),
    "rule 6": one(side(), RAW, parameters(rule=6)),
    "layouts of an unknown codec": laid_out(varint(1) + layout(), codec=99),
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_what_is_unknown_is_unsupported(name: str) -> None:
    with pytest.raises(ms.UnsupportedError):
        ms.decode(UNSUPPORTED[name])


def test_what_is_valid_beside_that() -> None:
    assert ms.decode(whole())["x"].tolist() == [[[-128, -128], [-128, -128]]]
    extra = level(b"x+extra", 4, (4, 1, 4), payload=16)
    assert ms.decode(laid_out(varint(1) + layout()))["x"].shape == (4, 4)
    assert ms.decode(laid_out(varint(1) + layout(rest=b"\4"), (FOUR, extra)))["x"].shape == (8, 4)
    assert ms.decode(laid_out(varint(1) + layout(axes=b"1CNG", rest=b"\2\0")))["x"].shape == (1, 2, 4, 2)


def test_of_two_levels_of_one_size_the_later_comes_first() -> None:
    pyramid = {name: np.full((1, side, side), side, np.float32) for name, side in (("a", 2), ("b", 2), ("large", 4))}
    pyramid["b"] += 1
    data = ms.encode(pyramid)
    chunk = 1 + 4 + 4  # one constant channel, its value, the checksum
    values = [struct.unpack_from("<f", data, len(data) - (3 - i) * chunk + 1)[0] for i in range(3)]
    assert values == [3.0, 2.0, 4.0]


def test_reconstruction_values_are_limited_before_they_are_made() -> None:
    wide = stream([level(shape=(1 << 16, 1, 1), side=1)], [b"\0"], parameters(256, 2, RANGE, b""))
    with pytest.raises(ms.LimitError, match="16777216 reconstruction values; the limit is 4194304"):
        ms.decode(wide)
