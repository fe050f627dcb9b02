"""The coder `dense`: lossless, as its document says, and denser than what knows no context."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.helpers import format_decoder
from tests.helpers.toy import smooth_symbols

from midstream import _native

Symbols = NDArray[np.uint8]


def by_the_document(values: Symbols, symbols: int, order: Symbols, references: Symbols) -> Symbols:
    """What a decoder written after the document makes of the stream with this table."""
    width = min(len(values) - 1, 255).bit_length()
    packed = _native.pack(references, width) if width else b""
    payload = _native.dense_encode(values, symbols, order, references)
    stream = bytes([len(order) - 1]) + order.tobytes() + packed + payload
    maps = format_decoder.decode_dense(stream, values.shape, symbols)
    return np.array(maps, np.uint8).reshape(values.shape)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Symbols, int, Symbols, Symbols]:
    symbols = draw(st.sampled_from([2, 3, 4, 5, 8, 16, 17, 40, 256]))
    shape = (draw(st.integers(1, 4)), draw(st.integers(1, 7)), draw(st.integers(1, 7)))
    values = smooth_symbols(symbols, shape, draw(st.integers(0, 2**32)))
    occurring = np.unique(values)
    order = np.array(draw(st.permutations(occurring.tolist())), np.uint8)
    references = np.array([draw(st.integers(0, c)) for c in range(shape[0])], np.uint8)
    return values, symbols, order, references


@given(cases())
def test_any_order_and_references_round_trip(case: tuple[Symbols, int, Symbols, Symbols]) -> None:
    values, symbols, order, references = case
    data = _native.dense_encode(values, symbols, order, references)
    decoded = _native.dense_decode(data, *values.shape, symbols, order, references)
    assert decoded is not None
    np.testing.assert_array_equal(decoded, values)
    assert _native.dense_decode(data + b"\0", *values.shape, symbols, order, references) is None
    assert _native.dense_decode(data[:-1], *values.shape, symbols, order, references) is None


@settings(max_examples=25)
@given(cases())
def test_the_document_is_enough_for_a_decoder(case: tuple[Symbols, int, Symbols, Symbols]) -> None:
    values, symbols, order, references = case
    if len(order) == 1:
        return
    np.testing.assert_array_equal(by_the_document(values, symbols, order, references), values)


def test_a_larger_map_agrees_with_the_document() -> None:
    values = smooth_symbols(4, (6, 24, 24))
    order, references = np.array([1, 2, 0, 3], np.uint8), _native.dense_references(values, 4)
    assert references.tolist()[1::2] == [1, 1, 1]  # the copies find their originals
    np.testing.assert_array_equal(by_the_document(values, 4, order, references), values)


@given(st.binary(max_size=60), st.integers(2, 20))
def test_arbitrary_payloads_end(data: bytes, symbols: int) -> None:
    order = np.arange(symbols, dtype=np.uint8)
    decoded = _native.dense_decode(data, 3, 40, 40, symbols, order, np.array([0, 1, 2], np.uint8))
    assert decoded is None or decoded.max() < symbols


def test_misuse_is_refused() -> None:
    values = smooth_symbols(4, (2, 4, 4))
    order, none = np.arange(4, dtype=np.uint8), np.zeros(2, np.uint8)
    for bad_order, references in (
        (np.array([0, 0], np.uint8), none),
        (np.array([4], np.uint8), none),
        (np.zeros(0, np.uint8), none),
        (order, np.array([1, 0], np.uint8)),
        (order, np.zeros(3, np.uint8)),
    ):
        with pytest.raises(ValueError, match="dense"):
            _native.dense_encode(values, 4, bad_order, references)
    with pytest.raises(ValueError, match="not in the order"):
        _native.dense_encode(values, 4, np.array([0], np.uint8), none)
