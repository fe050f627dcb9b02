"""The native kernels against numpy, on every instruction set of this machine."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from midstream import _native

SIZES = [1, 2, 15, 16, 17, 255, 4095, 4096, 4097, 9001]


@pytest.mark.parametrize("size", SIZES)
def test_statistics(simd_path: str, size: int) -> None:
    x = np.random.default_rng(size).normal(3, 2, (3, size)).astype(np.float32)
    mean, std, low, high = _native.channel_statistics(x)
    exact = x.astype(np.longdouble)
    np.testing.assert_allclose(mean, exact.mean(1).astype(float), rtol=1e-14, atol=1e-14)
    np.testing.assert_allclose(std, exact.std(1).astype(float), rtol=1e-13, atol=1e-13)
    assert (low == x.min(1)).all()
    assert (high == x.max(1)).all()


@pytest.mark.parametrize("size", SIZES)
def test_statistics_are_the_same_bits_on_every_path(size: int) -> None:
    x = (np.random.default_rng(size).normal(size=(4, size)) * [[1e-3], [1], [1e6], [1e30]]).astype(np.float32)
    before, results = _native.simd_path(), set()
    try:
        for path in _native.simd_paths():
            _native.set_simd_path(path)
            results.add(b"".join(part.tobytes() for part in _native.channel_statistics(x)))
    finally:
        _native.set_simd_path(before)
    assert len(results) == 1


def test_statistics_of_33_million_elements_lose_nothing(simd_path: str) -> None:
    if simd_path == "reference":
        pytest.skip("the same bits as the others, only slower")
    size = 33_554_432
    x = np.full((1, size), 1000.0, np.float32)
    x[0, ::2] += np.float32(0.0009765625)  # 2^-10: sums in float32 would never see it
    mean, std, _, _ = _native.channel_statistics(x)
    assert mean[0] == 1000.00048828125
    assert std[0] == pytest.approx(0.00048828125, rel=1e-12)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("size", [1, 17, 5000])
def test_statistics_see_what_is_not_finite(simd_path: str, bad: float, size: int) -> None:
    x = np.ones((3, size), np.float32)
    x[1, size // 2] = bad
    assert np.isnan(_native.channel_statistics(x)[0]).tolist() == [False, True, False]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 15, 16, 255])
def test_quantise(simd_path: str, count: int) -> None:
    rng = np.random.default_rng(count)
    x = rng.normal(size=(3, 1001)).astype(np.float32)
    boundaries = np.sort(rng.normal(size=(3, count)), axis=1).astype(np.float32)
    x[:, :count] = boundaries[:, :1001]  # an element equal to a boundary reaches it
    expected = np.stack([np.searchsorted(b, row, side="right") for b, row in zip(boundaries, x, strict=True)])
    assert (_native.quantize(x, boundaries) == expected).all()


@given(st.integers(1, 8), st.integers(0, 100), st.randoms(use_true_random=False))
def test_pack_round_trip_is_the_same_on_every_path(width: int, count: int, random: object) -> None:
    rng = np.random.default_rng(random.getrandbits(32))  # type: ignore[attr-defined]
    symbols = rng.integers(0, 1 << width, count).astype(np.uint8)
    before, packed = _native.simd_path(), set()
    try:
        for path in _native.simd_paths():
            _native.set_simd_path(path)
            data = _native.pack(symbols, width)
            packed.add(data)
            assert (_native.unpack(data, count, width) == symbols).all()
    finally:
        _native.set_simd_path(before)
    assert len(packed) == 1
    assert len(data) == (count * width + 7) // 8


def test_pack_puts_the_first_symbol_lowest() -> None:
    assert _native.pack(np.array([1, 2, 3, 0, 1], np.uint8), 2) == bytes([0b00_11_10_01, 0b01])


def test_an_unknown_path_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match="reference"):
        _native.set_simd_path("mmx")


@given(st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 300), max_size=50), st.integers(0, _native.MAX_RICE))
def test_rice_round_trip(values: list[int], k: int) -> None:
    array = np.array(values, np.uint64)
    data = _native.rice_encode(array, k)
    decoded = _native.rice_decode(data, k, len(array))
    assert decoded is not None
    assert (decoded == array).all()
    assert len(data) == (_native.rice_bits(array, k) + 7) // 8
    assert _native.rice_decode(data + b"\0", k, len(array)) is None
    if data:
        assert _native.rice_decode(data[:-1], k, len(array)) is None


def test_crc32c_check_value() -> None:
    assert _native.crc32c(b"123456789") == 0xE3069283  # the check value of the polynomial's catalogue entry
    assert _native.crc32c(b"") == 0
    assert _native.crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720, appendix B.4


def brute_force_error(counts: np.ndarray, sums: np.ndarray, n: int) -> float:
    """Least of -sum(S^2 / W) over all cuts of the bins into at most n runs."""

    def cost(a: int, b: int) -> float:
        weight = counts[a:b].sum()
        return -(sums[a:b].sum() ** 2) / weight if weight else 0.0

    bins = len(counts)
    best = [cost(0, end) for end in range(bins + 1)]
    for _ in range(n - 1):
        best = [min(best[cut] + cost(cut, end) for cut in range(end + 1)) for end in range(bins + 1)]
    return best[bins]


@given(st.lists(st.tuples(st.integers(0, 9), st.floats(-1, 1)), min_size=1, max_size=12), st.integers(1, 5))
def test_optimal_centroids_are_the_global_optimum(bins: list[tuple[int, float]], n: int) -> None:
    counts = np.array([count for count, _ in bins], np.int64)
    places = np.arange(len(bins)) + 0.4 * np.array([offset for _, offset in bins])
    sums = counts * places
    centroids = _native.optimal_centroids(counts, sums, n)
    assert centroids == sorted(centroids)
    assert len(centroids) <= n
    if counts.sum() == 0:
        assert centroids == []
        return
    nearest = np.abs(places[:, None] - np.array(centroids)).argmin(1)
    error = float((counts * (np.array(centroids)[nearest] - places) ** 2).sum())
    assert error == pytest.approx((counts * places**2).sum() + brute_force_error(counts, sums, n), abs=1e-9)
