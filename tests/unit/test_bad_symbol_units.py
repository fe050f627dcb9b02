"""Units of `paper` in a stream that are damaged or hostile, and such states: an error with a name, or a frame."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import midstream as ms
from midstream import _native
from midstream.codec.api import declaration
from midstream.codec.base import Declaration
from midstream.codec.chain import MOST_FRAMES
from midstream.codec.paper.intervals import IntervalMeans
from midstream.codec.paper.normalize import CodedStatistics
from midstream.codec.wire import Reader, rice, varint
from midstream.errors import BitstreamError, CorruptError, InputError, LimitError, TruncatedError, UnsupportedError

RULE: dict[str, Any] = {"symbols": 6, "thresholds": "lloyd-max"}
LIMITS = ms.Limits(elements=1 << 12)


def clip(count: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(3)
    still = {"a": rng.normal(size=(5, 8, 9)), "b": rng.normal(size=(3, 3, 2))}
    out = []
    for number in range(count):
        frame = {name: (v + 0.1 * rng.normal(size=v.shape)).astype(np.float32) for name, v in still.items()}
        frame["b"][1] = 0.5
        if number == 2:
            frame["a"][3] = -1
        out.append(frame)
    return out


FRAMES = clip(4)
_encoder = ms.StreamEncoder("paper", coder="dense", **RULE)
#: A key and three frames that follow it.
UNITS = [_encoder.encode(frame) for frame in FRAMES]
KINDS = {"key": 0, "first": 1, "with another constant channel": 2, "third": 3}


def ready(number: int, limits: ms.Limits = LIMITS) -> ms.StreamDecoder:
    """A decoder of what comes before a unit."""
    decoder = ms.StreamDecoder(limits=limits)
    for unit in UNITS[:number]:
        decoder.decode(unit)
    return decoder


def with_sum(data: bytes) -> bytes:
    return data + _native.crc32c(data).to_bytes(4, "little")


def parts_of(number: int) -> tuple[bytes, bytes]:
    """A unit's fields behind the codec's number, and its chunk."""
    unit = UNITS[number]
    size = int.from_bytes(unit[6:8], "little")
    return unit[9 : size - 4], unit[size:-4]


def unit_of(fields: bytes, chunk: bytes) -> bytes:
    return with_sum(b"MIDS\1\0" + (13 + len(fields)).to_bytes(2, "little") + b"\3" + fields) + with_sum(chunk)


@pytest.mark.parametrize("number", KINDS.values(), ids=KINDS)
def test_every_prefix_is_truncated_and_every_byte_matters(number: int) -> None:
    decoder, unit = ready(number), UNITS[number]
    assert (ms.inspect(unit).to_dict()["key"]) == (number == 0)
    for size in range(len(unit)):
        with pytest.raises(TruncatedError):
            decoder.decode(unit[:size])
    with pytest.raises(CorruptError, match="data follows"):
        decoder.decode(unit + b"\0")
    for at in range(len(unit)):
        for change in (1, 0x80):
            damaged = bytes([*unit[:at], unit[at] ^ change, *unit[at + 1 :]])
            for read in (decoder.decode, ms.inspect):
                with pytest.raises(BitstreamError):
                    read(damaged)
    decoder.decode(unit)


@pytest.mark.parametrize("number", KINDS.values(), ids=KINDS)
def test_damage_behind_right_checksums_is_an_error_or_a_frame(number: int) -> None:
    fields, chunk = parts_of(number)
    state, decoded = ready(number).state(), 0
    for at in range(len(fields) + len(chunk)):
        for change in (1, 0x55, 0xFF):
            both = bytearray(fields + chunk)
            both[at] ^= change
            decoder = ms.StreamDecoder(limits=LIMITS)
            decoder.restore(state)
            try:
                back = decoder.decode(unit_of(bytes(both[: len(fields)]), bytes(both[len(fields) :])))
            except BitstreamError:
                assert decoder.state() == state
                continue
            decoded += 1
            assert all(np.isfinite(values).all() for values in back.values())
            ms.StreamDecoder().restore(decoder.state())
    assert decoded > 8


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 1 << 12), st.integers(1, 255)), min_size=1, max_size=6))
def test_a_stream_of_which_much_is_damaged(changes: list[tuple[int, int, int]]) -> None:
    parts = [parts_of(number) for number in range(4)]
    chunks = [bytearray(chunk) for _, chunk in parts]
    for number, at, change in changes:
        chunks[number][at % len(chunks[number])] ^= change
    decoder = ms.StreamDecoder(limits=LIMITS)
    for (fields, _), chunk in zip(parts, chunks, strict=True):
        try:
            back = decoder.decode(unit_of(fields, bytes(chunk)))
        except BitstreamError:
            continue
        assert all(np.isfinite(values).all() for values in back.values())


def test_what_a_header_may_not_say() -> None:
    (key, begun), (later, chunk) = parts_of(0), parts_of(1)
    assert unit_of(later, chunk) == UNITS[1]
    digest, behind = later[3:7], later[7:]  # flags, number 1, distance 1, digest; levels and thresholds
    missing = ms.MissingReferenceError

    def refused(kind: type[Exception], fields: bytes, match: str, number: int = 1, chunk: bytes = chunk) -> None:
        decoder = ready(number)
        with pytest.raises(kind, match=match):
            decoder.decode(unit_of(fields, chunk))

    for flags in (2, 3, 0x80):
        refused(UnsupportedError, bytes([flags]) + later[1:], "unknown flags")
    for number, distance in ((1, 0), (1, 2), (0, 1), (20, 9), (MOST_FRAMES, 1)):
        refused(CorruptError, b"\0" + varint(number) + varint(distance) + digest + behind, "frame ")
    refused(CorruptError, b"\1" + varint(MOST_FRAMES) + key[2:], "frame number", 0, begun)
    refused(missing, b"\0\2\1" + digest + behind, "refers to frame 1, which was not decoded")
    refused(missing, b"\0\1\1\0\0\0\0" + behind, "is another one here")
    refused(CorruptError, later[:7] + b"\0", "no levels", chunk=b"")
    refused(LimitError, later[:7] + varint(1 << 11), "levels; the limit", chunk=b"")
    refused(CorruptError, later[:7] + b"\1" + varint(len(chunk)) + b"\0" + later[-20:], "1 levels where the frame")
    refused(CorruptError, later + b"\0", "bytes too many")
    refused(CorruptError, later[:-1], "where 19 are left")
    refused(CorruptError, later[:-4] + later[-8:-4], "do not increase")
    refused(CorruptError, later[:-4] + np.float32(np.nan).tobytes(), "not finite")
    for coder in (0, 2, 3):
        refused(UnsupportedError, key[:-22] + bytes([coder]) + key[-21:], "in a stream", 0, begun)
    refused(UnsupportedError, key[:-22] + b"\4" + key[-21:], "coder number 4", 0, begun)


def test_limits_count_all_levels_of_every_unit() -> None:
    elements = sum(values.size for values in FRAMES[0].values())
    decoder = ready(1)
    with pytest.raises(LimitError, match=f"{elements} elements; the limit is {elements - 1}"):
        decoder.decode(UNITS[1], limits=ms.Limits(elements=elements - 1), levels=["b"])
    with pytest.raises(LimitError, match="48 reconstruction values; the limit is 47"):
        decoder.decode(UNITS[1], limits=ms.Limits(values=47))
    with pytest.raises(LimitError, match="chunk"):
        decoder.decode(UNITS[1], limits=ms.Limits(chunk_bytes=len(UNITS[1]) - 1))
    decoder.decode(UNITS[1], limits=ms.Limits(elements=elements, values=48, chunk_bytes=len(UNITS[1])))
    shapes = {name: values.shape for name, values in FRAMES[0].items()}
    assert declaration(UNITS[0]) == Declaration("paper", False, shapes, unit=True)
    assert declaration(UNITS[1]) == Declaration("paper", False, None, unit=True)
    with pytest.raises(LimitError, match="elements"):
        declaration(UNITS[0], limits=ms.Limits(elements=10))


def test_differences_of_numbers_stay_in_range() -> None:
    """However often a hostile stream adds to them."""
    most, one = np.array([(1 << 61) - 1]), np.array([1])
    before = CodedStatistics(np.array([4]), most, 2)
    means = IntervalMeans(before, np.zeros(1, np.float16), 3, most[None])
    for scale, offset, refinement, why in (
        (-4, 0, 0, "standard deviation out of range"),
        (1 << 24, 0, 0, "standard deviation out of range"),
        (0, 1, 0, "malformed"),
        (0, 0, 1, "malformed"),
    ):
        data = b"\0\0" + b"".join(rice(each * one) for each in (scale, offset, refinement))
        with pytest.raises(CorruptError, match=why):
            IntervalMeans.read_after(Reader(data, "it"), means)
    found = IntervalMeans.read_after(Reader(b"\0\0" + rice(-3 * one) + rice(-most) + rice(-most), "it"), means)
    assert (found.statistics.scale, found.statistics.offset, found.refinement) == (1, 0, 0)


def state_of(frame: bytes) -> bytes:
    own = varint(len(frame)) + frame
    return with_sum(b"MIDSTAT\1\3" + varint(len(own)) + own)


def memory(number: int = 3) -> bytes:
    sequence = ready(number)._sequences[3]
    return bytes(sequence._kept[number - 1].pack())  # type: ignore[attr-defined]


def test_a_state_goes_on_where_it_was() -> None:
    decoder, other = ready(3), ms.StreamDecoder()
    other.restore(decoder.state())
    assert other.state() == decoder.state()
    one, two = decoder.decode(UNITS[3]), other.decode(UNITS[3])
    assert all(one[name].tobytes() == two[name].tobytes() for name in one)


def test_a_state_with_any_byte_changed_and_right_checksums_is_refused_or_decodes() -> None:
    state, refused = state_of(memory()), 0
    for at in range(8, len(state) - 4):
        decoder = ms.StreamDecoder()
        try:
            decoder.restore(with_sum(bytes([*state[:at], state[at] ^ (1 + at % 255), *state[at + 1 : -4]])))
            back = decoder.decode(UNITS[3])
        except (BitstreamError, InputError):
            refused += 1
            continue
        assert all(np.isfinite(values).all() for values in back.values())
    assert refused > 100
    for size in range(len(memory())):
        with pytest.raises(InputError, match="state"):
            ms.StreamDecoder().restore(state_of(memory()[:size]))
    with pytest.raises(InputError, match="too many"):
        ms.StreamDecoder().restore(state_of(memory() + b"\0"))


def test_a_state_that_declares_more_than_it_holds_is_refused_before_anything_is_made() -> None:
    head = varint(0) + bytes(4) + varint(1) + b"\1a\0" + varint(1 << 40) * 3 + b"\0\0" + varint(3) + bytes([3, 1, 4])
    with pytest.raises(InputError, match="symbols are missing"):
        ms.StreamDecoder().restore(state_of(head + bytes(100)))
