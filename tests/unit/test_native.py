"""The native kernels against numpy, on every instruction set of this machine."""

from __future__ import annotations

import resource
from pathlib import Path

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


def equation(x: np.ndarray, thresholds: list[float]) -> np.ndarray:
    """Symbols of float32 [C, size] by equation 2 in double: on a threshold, the interval nearer zero."""
    exact = x.astype(np.float64)
    mean, std, _, _ = _native.channel_statistics(x)
    bounds = [mean + t * std for t in thresholds]
    reached = [exact > b[:, None] if t > 0 else exact >= b[:, None] for t, b in zip(thresholds, bounds, strict=True)]
    return np.sum(reached, axis=0)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 15, 16, 255])
@pytest.mark.parametrize("size", [1, 5, 64, 1001, 2500])
def test_quantise_with_counts_and_sums(simd_path: str, count: int, size: int) -> None:
    rng = np.random.default_rng(count)
    x = rng.gamma(2, size=(5, size)).astype(np.float32) * np.float32(3) + np.float32(100)
    x[2] = 7  # a constant channel is left out
    thresholds = np.sort(rng.normal(size=count)).tolist()
    mean, std, low, high, symbols, counts, sums = _native.quantize(x, thresholds, count + 1)
    np.testing.assert_array_equal((mean, std, low, high), _native.channel_statistics(x))
    varying = x[low < high]
    np.testing.assert_array_equal(symbols, equation(varying, thresholds) if size > 1 else symbols)
    assert symbols.shape == varying.shape
    for c, row in enumerate(symbols):
        assert counts[c].tolist() == np.bincount(row, minlength=count + 1).tolist()
        exact = np.bincount(row, varying[c].astype(float), count + 1)
        np.testing.assert_allclose(sums[c], exact, rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize("scale", [1e-40, 1e-3, 1.0, 3e38])
@pytest.mark.parametrize("count", [1, 3, 5, 20])
def test_quantising_is_the_same_bits_on_every_path(scale: float, count: int) -> None:
    x = (np.random.default_rng(1).uniform(-1, 1, (3, 2345)) * scale).astype(np.float32)
    before, results = _native.simd_path(), set()
    try:
        for path in _native.simd_paths():
            _native.set_simd_path(path)
            parts = _native.quantize(x, np.linspace(-1, 1, count).tolist(), count + 1)
            assert all(np.isfinite(part).all() for part in parts)
            results.add(b"".join(part.tobytes() for part in parts))
    finally:
        _native.set_simd_path(before)
    assert len(results) == 1


@pytest.mark.parametrize("symbols", [2, 5, 16, 17, 256])
def test_quantise_over_the_range(simd_path: str, symbols: int) -> None:
    x = np.random.default_rng(symbols).normal(size=(3, 1500)).astype(np.float32)
    low, high = x.min(1, keepdims=True).astype(float), x.max(1, keepdims=True).astype(float)
    expected = np.floor((x - low) / (high - low) * (symbols - 1) + 0.5)
    assert (_native.quantize(x, [], symbols)[4] == expected).all()


@pytest.mark.parametrize("symbols", [1, 3, 8, 9, 16, 17, 256])
@pytest.mark.parametrize("size", [1, 7, 16, 100, 1 << 18])
def test_reconstruct_fills_the_rows_it_is_given(simd_path: str, symbols: int, size: int) -> None:
    rng = np.random.default_rng(symbols)
    table = rng.normal(size=(3, symbols)).astype(np.float32)
    values = rng.integers(0, symbols, (3, size)).astype(np.uint8)
    out = _native.empty_floats(20, size + 1)[:, :size] if size < 99 else _native.empty_floats(20, size)
    out = np.ascontiguousarray(out)
    out[:] = 9
    _native.reconstruct(values, table, out, np.array([5, 0, 19]))
    np.testing.assert_array_equal(out[[5, 0, 19]], np.take_along_axis(table, values.astype(np.int64), 1))
    assert (np.delete(out, [5, 0, 19], 0) == 9).all()
    values[2, -1] = 255  # the coders let no such symbol pass; nothing beyond the table is read all the same
    _native.reconstruct(values, table, out, np.array([5, 0, 19]))
    np.testing.assert_array_equal(out[[5, 0]], np.take_along_axis(table[:2], values[:2].astype(np.int64), 1))


def test_large_buffers_are_used_again_and_hold_their_own_values() -> None:
    kept = [_native.empty_floats(1000, 1000) for _ in range(3)]
    for i, array in enumerate(kept):
        array[:] = i
    address = kept[1].ctypes.data
    assert [float(array.max()) for array in kept] == [0, 1, 2]
    del kept[1]
    again = _native.empty_floats(1000, 1000)
    assert again.ctypes.data == address
    again[:] = 5
    assert [float(array.max()) for array in kept] == [0, 2]


@given(st.lists(st.integers(0, 3 << 20), min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_buffers_of_any_size_hold_their_own_values(sizes: list[int], random: object) -> None:
    kept = {}
    for number, size in enumerate(sizes * 3):
        kept[number] = _native.empty_floats(1, size // 4)
        kept[number][:] = number
        if random.random() < 0.4:  # type: ignore[attr-defined]
            del kept[random.choice(list(kept))]  # type: ignore[attr-defined]
    assert all((array == number).all() for number, array in kept.items())


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="Linux says what a process holds")
def test_what_tables_took_is_given_back() -> None:
    def held() -> float:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6

    matrix = np.ones((256, 9 * 96 + 1), np.float32)
    first = _native.Coarser(matrix, (96, 96, 96), True)
    before = held()
    for _ in range(300):  # half a megabyte each, at least
        _native.Coarser(matrix, (96, 96, 96), True)
    assert held() < before + 60
    del first


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


@given(st.binary(max_size=99), st.binary(max_size=99))
def test_crc32c_goes_on_and_is_the_same_on_every_path(first: bytes, second: bytes) -> None:
    before, results = _native.simd_path(), set()
    try:
        for path in _native.simd_paths():
            _native.set_simd_path(path)
            results |= {_native.crc32c(first + second), _native.crc32c(second, _native.crc32c(first))}
    finally:
        _native.set_simd_path(before)
    assert len(results) == 1


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
