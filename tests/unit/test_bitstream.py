"""Bitstream version 1: nothing damaged passes, nothing hostile is expensive, golden streams decode for ever."""

from __future__ import annotations

import contextlib
import json
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.helpers.damage import resealed
from tests.helpers.golden import PYRAMIDS, fingerprint

import midstream as ms
from midstream import _native
from midstream.codec.wire import Reader, rice, varint

GOLDEN = Path(__file__).parents[1] / "golden" / "v1"


def small(coder: str = "fast", **options: Any) -> bytes:
    rng = np.random.default_rng(3)
    fine = rng.normal(size=(3, 4, 4)).astype(np.float32)
    fine[1] = 0.5
    return ms.encode({"fine": fine, "coarse": rng.normal(size=(2, 2, 3)).astype(np.float16)}, coder=coder, **options)


STREAMS = {
    "fast": small(),
    "prefix": small("prefix"),
    "raw": small("raw", symbols=3),
    "dense": small("dense"),
    "dense, many symbols": small("dense", symbols=40),
    "range": small("fast", symbols=256),
    "lloyd-max": small("prefix", symbols=5, thresholds="lloyd-max"),
    "one symbol": small("raw", symbols=1),
}


def equal(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return list(a) == list(b) and all(a[n].dtype == b[n].dtype and np.array_equal(a[n], b[n]) for n in a)


@pytest.mark.parametrize("name", STREAMS)
def test_every_flipped_bit_is_detected_or_harmless(name: str) -> None:
    data, expected = STREAMS[name], ms.decode(STREAMS[name])
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            decoded = ms.decode(damaged)
        except ms.BitstreamError:
            continue
        assert equal(decoded, expected), f"bit {bit} changed the result unseen"


@pytest.mark.parametrize("name", STREAMS)
def test_every_truncation_is_a_truncated_error(name: str) -> None:
    data = STREAMS[name]
    for length in range(len(data)):
        for read in (ms.decode, ms.inspect):
            with pytest.raises(ms.TruncatedError):
                read(data[:length])
        with contextlib.suppress(ms.TruncatedError):  # a level is whole
            assert list(ms.decode(data[:length], partial=True)) == ["coarse"]
    with pytest.raises(ms.CorruptError, match="data follows the end"):
        ms.decode(data + b"\0")


@pytest.mark.parametrize("name", STREAMS)
def test_every_header_byte_with_a_right_checksum_is_handled(name: str) -> None:
    data = STREAMS[name]
    for at in range(8, struct.unpack_from("<H", data, 6)[0] - 4):
        for value in (0, 1, 2, 3, 7, 127, 128, 255, data[at] ^ 1, data[at] ^ 128):
            try:
                ms.decode(resealed(data, {at: value}))
            except ms.BitstreamError:
                continue


@pytest.mark.parametrize("name", STREAMS)
@given(data=st.data())
def test_chunks_with_a_right_checksum_are_handled(name: str, data: st.DataObject) -> None:
    stream = bytearray(STREAMS[name])
    info = ms.inspect(bytes(stream))
    at = info.header_bytes
    for level in reversed(info.levels):  # coarse first
        size = level.side_bytes + level.payload_bytes
        chunk = bytearray(stream[at : at + size])
        for _ in range(data.draw(st.integers(0, 3))):
            if chunk:
                chunk[data.draw(st.integers(0, size - 1))] = data.draw(st.integers(0, 255))
        stream[at : at + size + 4] = chunk + struct.pack("<I", _native.crc32c(bytes(chunk)))
        at += size + 4
    try:
        decoded = ms.decode(stream)
    except ms.CorruptError:
        return
    assert all(np.isfinite(values).all() for values in decoded.values())


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused(data: bytes) -> None:
    header = b"MIDS\1\0" + struct.pack("<H", 12 + len(data)) + data
    for stream in (data, b"MIDS\1\0" + data, header + struct.pack("<I", _native.crc32c(header))):
        with pytest.raises(ms.BitstreamError):
            ms.decode(stream)


def test_the_four_errors_are_told_apart() -> None:
    data = bytearray(STREAMS["fast"])
    with pytest.raises(ms.CorruptError, match="not a midstream bitstream"):
        ms.decode(b"PK\3\4" + data)
    with pytest.raises(ms.UnsupportedError, match="bitstream version 9; this release reads version 1"):
        ms.decode(data[:4] + b"\x09" + data[5:])
    with pytest.raises(ms.UnsupportedError, match="reserved"):
        ms.decode(resealed(bytes(data), {5: 1}))
    with pytest.raises(ms.UnsupportedError, match="codec number 77"):
        ms.decode(resealed(bytes(data), {8: 77}))
    with pytest.raises(ms.TruncatedError):
        ms.decode(b"")
    with pytest.raises(ms.InputError, match="a bitstream is bytes, not str"):
        ms.decode("MIDS")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (ms.Limits(elements=59), "60 elements; the limit is 59"),
        (ms.Limits(levels=1), "2 levels; the limit is 1"),
        (ms.Limits(channels=2), "3 channels; the limit is 2"),
        (ms.Limits(chunk_bytes=20), "the limit is 20"),
    ],
)
def test_limits(limits: ms.Limits, message: str) -> None:
    with pytest.raises(ms.LimitError, match=message):
        ms.decode(STREAMS["fast"], limits=limits)


def test_the_element_limit_counts_what_is_decoded() -> None:
    assert list(ms.decode(STREAMS["fast"], levels=["coarse"], limits=ms.Limits(elements=12))) == ["coarse"]


def hostile(channels: int, height: int, width: int, side: bytes, payload: bytes = b"") -> bytes:
    numbers = (channels, height, width, len(side), len(payload))
    body = b"\0\1\1x\0" + b"".join(varint(number) for number in numbers)
    body += b"\3\0\0" + struct.pack("<f", 1.5)  # 4 symbols, fast, z
    header = b"MIDS\1\0" + struct.pack("<H", 8 + len(body) + 4) + body
    chunk = side + payload
    return b"".join(part + struct.pack("<I", _native.crc32c(part)) for part in (header, chunk))


@pytest.mark.parametrize("shape", [(1, 1 << 20, 1 << 20), (1 << 16, 1 << 31, 1 << 31), (1, 1 << 14, (1 << 14) + 1)])
def test_a_huge_declaration_costs_nothing(shape: tuple[int, int, int]) -> None:
    flat = varint(shape[0])  # every channel constant
    tracemalloc.start()
    with pytest.raises(ms.LimitError, match="elements; the limit is"):
        ms.decode(hostile(*shape, flat))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


@pytest.mark.parametrize(
    "side",
    [
        b"\2",  # more constant channels than channels
        b"\1",  # a constant channel without its value
        b"\1\0\0\x80\x7f",  # a constant that is infinite
        b"\0" + bytes(8),  # ends within the statistics
    ],
)
def test_impossible_side_information_is_corrupt(side: bytes) -> None:
    with pytest.raises(ms.CorruptError, match="level 'x'"):
        ms.decode(hostile(1, 2, 2, side))


@given(st.integers(0, 2**63 - 1))
def test_varint_round_trip(value: int) -> None:
    reader = Reader(varint(value), "x")
    assert reader.varint() == value
    reader.end()


@pytest.mark.parametrize("data", [b"\x80\x00", b"\xff" * 10, b"\x80"])
def test_bad_varints_are_corrupt(data: bytes) -> None:
    with pytest.raises(ms.CorruptError):
        Reader(data, "x").varint()


@given(st.lists(st.integers(-(2**61), 2**61 - 1) | st.integers(-9, 9), min_size=1, max_size=40))
def test_rice_block_round_trip(values: list[int]) -> None:
    reader = Reader(rice(np.array(values, np.int64)), "x")
    assert reader.rice(len(values)).tolist() == values
    reader.end()


def golden_streams() -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = json.loads((GOLDEN / "index.json").read_text())
    return entries


@pytest.mark.parametrize("entry", golden_streams(), ids=lambda entry: entry["file"])
def test_golden_streams_decode_as_ever(entry: dict[str, Any], simd_path: str) -> None:
    decoded = ms.decode((GOLDEN / entry["file"]).read_bytes())
    assert {name: fingerprint(values) for name, values in decoded.items()} == entry["levels"]


@pytest.mark.parametrize("entry", golden_streams(), ids=lambda entry: entry["file"])
def test_golden_streams_are_still_written(entry: dict[str, Any], simd_path: str) -> None:
    assert ms.encode(PYRAMIDS[entry["pyramid"]](), **entry["options"]) == (GOLDEN / entry["file"]).read_bytes()
