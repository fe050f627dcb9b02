"""Symbol coders: lossless for every alphabet, the same on every instruction set, a CorruptError on damaged data."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.helpers.toy import smooth_symbols

from midstream import _native
from midstream.codec.paper.symbols import CODERS, code_lengths, decode_maps, encode_maps
from midstream.errors import CorruptError

Symbols = NDArray[np.uint8]


@st.composite
def symbol_maps(draw: st.DrawFn) -> tuple[Symbols, int]:
    symbols = draw(st.one_of(st.integers(1, 16), st.sampled_from([17, 100, 255, 256])))
    channels = draw(st.sampled_from([1, 2, 5, 31, 32, 33, 64, 70]))
    shape = (channels, draw(st.integers(1, 20)), draw(st.integers(1, 40)))
    seed = draw(st.integers(0, 2**32))
    if draw(st.booleans()):
        return smooth_symbols(symbols, shape, seed), symbols
    rng = np.random.default_rng(seed)
    chances = rng.dirichlet(np.full(symbols, draw(st.sampled_from([0.02, 0.3, 1.0, 30.0]))))
    return rng.choice(symbols, shape, p=chances).astype(np.uint8), symbols


def encode(coder: str, values: Symbols, symbols: int) -> bytes:
    return bytes(encode_maps(coder, [values], symbols)[0])


def decode(coder: str, symbols: int, stream: bytes, shape: tuple[int, int, int]) -> Symbols:
    return decode_maps(coder, symbols, [stream], [shape[0]], shape[1:], "x")


@pytest.mark.parametrize("coder", CODERS)
@given(case=symbol_maps())
def test_round_trip(coder: str, case: tuple[Symbols, int]) -> None:
    values, symbols = case
    np.testing.assert_array_equal(decode(coder, symbols, encode(coder, values, symbols), values.shape), values)


@pytest.mark.parametrize("coder", CODERS)
@given(case=symbol_maps())
def test_every_path_gives_the_same_bytes_and_reads_them(coder: str, case: tuple[Symbols, int]) -> None:
    values, symbols = case
    before, streams = _native.simd_path(), set()
    try:
        for path in _native.simd_paths():
            _native.set_simd_path(path)
            streams.add(encode(coder, values, symbols))
            np.testing.assert_array_equal(decode(coder, symbols, min(streams), values.shape), values)
    finally:
        _native.set_simd_path(before)
    assert len(streams) == 1


@given(case=symbol_maps(), cut=st.integers(0, 70), seed=st.integers(0, 2**32))
def test_maps_together_give_the_streams_of_each_alone(case: tuple[Symbols, int], cut: int, seed: int) -> None:
    values, symbols = case
    other = np.random.default_rng(seed).integers(0, symbols, (cut + 1, *values.shape[1:])).astype(np.uint8)
    before = _native.simd_path()
    try:
        for path in _native.simd_paths():
            _native.set_simd_path(path)
            streams = [bytes(stream) for stream in encode_maps("fast", [values, other, values], symbols)]
            assert streams == [encode("fast", part, symbols) for part in (values, other, values)]
            parts = [len(values), len(other), len(values)]
            together = decode_maps("fast", symbols, streams, parts, values.shape[1:], "x")
            np.testing.assert_array_equal(together, np.concatenate([values, other, values]))
    finally:
        _native.set_simd_path(before)


@pytest.mark.parametrize("coder", CODERS)
@given(case=symbol_maps(), data=st.data())
def test_damage_is_a_corrupt_error_or_other_symbols_on_every_path(
    coder: str, case: tuple[Symbols, int], data: st.DataObject
) -> None:
    values, symbols = case
    stream = bytearray(encode(coder, values, symbols))
    if stream and data.draw(st.booleans()):
        for _ in range(data.draw(st.integers(1, 3))):
            stream[data.draw(st.integers(0, len(stream) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    elif stream:
        del stream[data.draw(st.integers(0, len(stream) - 1)) :]
    else:
        stream += b"\1"
    before, results = _native.simd_path(), []
    try:
        for path in _native.simd_paths():
            _native.set_simd_path(path)
            decoded = None
            with contextlib.suppress(CorruptError):
                decoded = decode(coder, symbols, bytes(stream), values.shape)
                assert decoded.max() < symbols
            results.append(None if decoded is None else decoded.tobytes())
    finally:
        _native.set_simd_path(before)
    assert len(set(results)) == 1


@given(st.binary(max_size=300), st.sampled_from([2, 3, 4, 7, 16, 256]), st.integers(1, 40))
def test_arbitrary_fast_streams_are_refused_alike(data: bytes, symbols: int, channels: int) -> None:
    before, results = _native.simd_path(), []
    try:
        for path in _native.simd_paths():
            _native.set_simd_path(path)
            decoded = _native.fast_decode([bytes([8]) + data], [channels], 9, 9, symbols)
            results.append(None if decoded is None else decoded.tobytes())
    finally:
        _native.set_simd_path(before)
    assert len(set(results)) == 1


@pytest.mark.parametrize("symbols", [2, 3, 4, 5, 8])
@pytest.mark.parametrize("coder", ["fast", "dense"])
def test_context_saves_bits(coder: str, symbols: int) -> None:
    values = smooth_symbols(symbols, (32, 40, 40))
    assert len(encode(coder, values, symbols)) < 0.88 * entropy(values) / 8


@pytest.mark.parametrize("coder", ["fast", "dense"])
def test_without_context_it_costs_little(coder: str) -> None:
    values = np.random.default_rng(0).choice(4, (32, 64, 64), p=[0.1, 0.5, 0.3, 0.1]).astype(np.uint8)
    assert entropy(values) / 8 * 0.999 < len(encode(coder, values, 4)) < 1.02 * entropy(values) / 8


def entropy(values: Symbols) -> float:
    """Bits that the symbols take without context."""
    chances = np.bincount(values.reshape(-1)) / values.size
    return float(-(chances[chances > 0] * np.log2(chances[chances > 0])).sum() * values.size)


def test_one_symbol_takes_two_bytes_in_fast() -> None:
    for symbols in (1, 4, 256):
        values = np.full((3, 5, 7), symbols - 1, np.uint8)
        assert encode("fast", values, symbols) == bytes([0, symbols - 1])
    assert _native.fast_decode([b"\0\4"], [3], 5, 7, 4) is None
    assert _native.fast_decode([b"\0\3\0"], [3], 5, 7, 4) is None


def test_misuse_of_fast_is_refused() -> None:
    ok = np.zeros((2, 3, 3), np.uint8)
    with pytest.raises(ValueError, match="outside the alphabet"):
        _native.fast_encode([ok + 4], 4)
    with pytest.raises(ValueError, match="height or width"):
        _native.fast_encode([ok, np.zeros((2, 3, 4), np.uint8)], 4)
    with pytest.raises(ValueError, match="alphabet"):
        _native.fast_encode([ok], 257)
    with pytest.raises(ValueError, match="none empty"):
        _native.fast_decode([b"\0\0"], [1, 1], 3, 3, 4)


def test_three_symbols_take_one_and_two_bits() -> None:
    assert sorted(code_lengths(np.array([5, 80, 15]))) == [1, 2, 2]
    assert code_lengths(np.array([5, 80, 15]))[1] == 1


@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=256).filter(any))
def test_code_lengths_are_complete_and_at_most_15(counts: list[int]) -> None:
    lengths = code_lengths(np.array(counts, np.int64))
    used = lengths[lengths > 0].astype(int)
    assert ((lengths > 0) == (np.array(counts) > 0)).all()
    assert used.max() <= 15
    assert sum(0.5**used) == (0.5 if len(used) == 1 else 1.0)


def test_code_lengths_are_optimal_where_the_limit_does_not_bind() -> None:
    counts = np.array([45, 13, 12, 16, 9, 5])
    assert int((code_lengths(counts) * counts).sum()) == 224  # the textbook example of Cormen et al., 16.3
