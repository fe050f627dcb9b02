"""Signed coefficients: whatever their size, they come back; damage is seen or gives other numbers."""

from __future__ import annotations

import contextlib
import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from midstream.codec.coefficients import decode_coefficients, encode_coefficients
from midstream.errors import CorruptError, InputError

CODERS = ["fast", "dense", "raw", "prefix"]
#: Of one fixed map in each coder: version 1 is frozen.
DIGESTS = {
    "fast": "62e2278b6a3798b1",
    "dense": "57547fb8635c61a8",
    "raw": "d0b0ede12f3d4df9",
    "prefix": "9df12bf18914711e",
}


@st.composite
def coefficients(draw: st.DrawFn) -> NDArray[np.int64]:
    shape = (draw(st.integers(1, 40)), draw(st.integers(1, 9)), draw(st.integers(1, 9)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    spread = draw(st.sampled_from([0.05, 0.5, 3.0, 50.0, 1e6]))
    values = np.rint(rng.laplace(scale=spread, size=shape)).astype(np.int64)
    if draw(st.booleans()):
        values.flat[draw(st.integers(0, values.size - 1))] = draw(st.sampled_from([2**31 - 1, -(2**31 - 1), 2000, -7]))
    return np.clip(values, -(2**31 - 1), 2**31 - 1)


@pytest.mark.parametrize("coder", CODERS)
@given(values=coefficients())
def test_round_trip(coder: str, values: NDArray[np.int64]) -> None:
    data = encode_coefficients(coder, values)
    np.testing.assert_array_equal(decode_coefficients(coder, data, values.shape, "x"), values)
    with pytest.raises(CorruptError):
        decode_coefficients(coder, data + b"\0", values.shape, "x")
    with pytest.raises(CorruptError):
        decode_coefficients(coder, data[:-1], values.shape, "x")


@pytest.mark.parametrize("coder", CODERS)
@given(values=coefficients(), data=st.data())
def test_damage(coder: str, values: NDArray[np.int64], data: st.DataObject) -> None:
    stream = bytearray(encode_coefficients(coder, values))
    stream[data.draw(st.integers(0, len(stream) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with contextlib.suppress(CorruptError):
        decoded = decode_coefficients(coder, bytes(stream), values.shape, "x")
        assert int(np.abs(decoded).max()) < 2**33


@pytest.mark.parametrize("coder", ["fast", "dense"])
def test_sparse_coefficients_take_little_more_than_their_entropy(coder: str) -> None:
    values = np.rint(np.random.default_rng(0).laplace(scale=0.4, size=(64, 26, 26))).astype(np.int64)
    _, counts = np.unique(values, return_counts=True)
    entropy = -(counts * np.log2(counts / values.size)).sum() / 8
    assert entropy < len(encode_coefficients(coder, values)) < 1.04 * entropy


@pytest.mark.parametrize(("coder", "digest"), DIGESTS.items())
def test_the_bytes_stay(coder: str, digest: str, simd_path: str) -> None:
    values = np.arange(40 * 7 * 9) ** 3 % 23 // 7 - 1
    values[::100] *= 1000
    values[1::301] *= -77
    data = encode_coefficients(coder, values.reshape(40, 7, 9))
    assert hashlib.sha256(data).hexdigest()[:16] == digest
    np.testing.assert_array_equal(decode_coefficients(coder, data, (40, 7, 9), "x").reshape(-1), values)


def test_what_cannot_be_coded_is_refused() -> None:
    beyond = (np.array([[[2**64 - 1]]], np.uint64), np.array([[[-(2**63)]]]), np.array([[[1.7]]]))
    for bad in (np.array([[[2**31]]]), np.zeros((0, 2, 2), int), np.zeros((2, 2), int), *beyond):
        with pytest.raises(InputError, match="coefficients are"):
            encode_coefficients("fast", bad)
