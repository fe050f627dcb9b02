"""Symbol coders: lossless for every alphabet, and never more than a CorruptError on damaged data."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from midstream.codec.symbols import CODERS, code_lengths, decode_symbols, encode_symbols, rans_frequencies
from midstream.codec.wire import Reader
from midstream.errors import CorruptError


@st.composite
def symbol_maps(draw: st.DrawFn) -> tuple[NDArray[np.uint8], int]:
    symbols = draw(st.one_of(st.integers(1, 16), st.sampled_from([17, 100, 255, 256])))
    shape = (draw(st.integers(1, 5)), draw(st.integers(1, 9)), draw(st.integers(1, 9)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    skew = draw(st.sampled_from([0.02, 0.3, 1.0, 30.0]))
    chances = rng.dirichlet(np.full(symbols, skew))
    return rng.choice(symbols, shape, p=chances).astype(np.uint8), symbols


@pytest.mark.parametrize("coder", CODERS)
@given(case=symbol_maps())
def test_round_trip(coder: str, case: tuple[NDArray[np.uint8], int]) -> None:
    values, symbols = case
    table, payload = encode_symbols(coder, values, symbols)
    reader = Reader(table, "table")
    assert (decode_symbols(coder, symbols, reader, payload, values.shape) == values).all()
    reader.end()


@pytest.mark.parametrize("coder", CODERS)
@given(case=symbol_maps(), data=st.data())
def test_damage_is_a_corrupt_error_or_other_symbols(
    coder: str, case: tuple[NDArray[np.uint8], int], data: st.DataObject
) -> None:
    values, symbols = case
    parts = [bytearray(part) for part in encode_symbols(coder, values, symbols)]
    part = parts[data.draw(st.integers(0, 1))]
    if part and data.draw(st.booleans()):
        part[data.draw(st.integers(0, len(part) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    elif part:
        del part[data.draw(st.integers(0, len(part) - 1)) :]
    else:
        part += b"\1"
    with contextlib.suppress(CorruptError):
        reader = Reader(bytes(parts[0]), "table")
        decoded = decode_symbols(coder, symbols, reader, bytes(parts[1]), values.shape)
        assert decoded.shape == values.shape


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


@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=256).filter(any))
def test_frequencies_sum_to_the_scale(counts: list[int]) -> None:
    frequencies = rans_frequencies(np.array(counts, np.int64))
    assert int(frequencies.sum()) == 1 << 14
    assert ((frequencies > 0) == (np.array(counts) > 0)).all()


def test_rans_is_within_a_thousandth_of_the_entropy() -> None:
    chances = np.array([0.02, 0.5, 0.4, 0.08])
    values = np.random.default_rng(0).choice(4, (1, 1000, 1000), p=chances).astype(np.uint8)
    actual = np.bincount(values.reshape(-1)) / values.size
    entropy = -(actual * np.log2(actual)).sum()
    assert 8 * len(encode_symbols("rans", values, 4)[1]) / values.size == pytest.approx(entropy, rel=1e-3)
