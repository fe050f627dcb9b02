"""The kernels of the transform against what docs/format.md says of them, in numpy, to the bit and on every path."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.helpers.format_values import first_stage_in_whole_numbers

from midstream import _native

SEEDS = st.integers(0, 1 << 32)
PATHS = st.sampled_from(_native.simd_paths())


@pytest.fixture(autouse=True)
def _path_of_before():
    before = _native.simd_path()
    yield
    _native.set_simd_path(before)


def in_order(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a @ b in float32: each sum begins with 0 and takes its terms, each rounded by itself, by increasing indices."""
    out = np.zeros((len(a), b.shape[1]), np.float32)
    for d in range(len(b)):
        out += a[:, d, None] * b[d]
    return out


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and bool((a.view(np.uint32) == b.view(np.uint32)).all())


@given(PATHS, SEEDS, st.integers(1, 11), st.integers(1, 150), st.integers(1, 150), st.floats(0, 1))
def test_products_without_the_zeros(path, seed, rows, inner, columns, share):
    _native.set_simd_path(path)
    rng = np.random.default_rng(seed)
    falling = np.linspace(1, share, inner) * rng.random((rows, 1))  # rows have more and less, and less of what is later
    a = np.where(rng.random((rows, inner)) < falling, rng.normal(size=(rows, inner)), 0).astype(np.float32)
    a[rng.random(a.shape) < 0.1] = -0.0
    b = rng.normal(size=(inner, columns)).astype(np.float32)
    b[rng.random(b.shape) < 0.1] = -0.0
    out = np.full((rows, columns), np.nan, np.float32)
    assert _native.multiply_sparse(a, _native.pack_panels(b), out)
    assert same_bits(out, in_order(a, b))
    a[rng.integers(rows), rng.integers(inner)] = rng.choice([np.nan, np.inf, -np.inf])
    assert not _native.multiply_sparse(a, _native.pack_panels(b), out)


LEVELS = st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 4), st.integers(1, 7), st.integers(1, 9))


def cells_of(maps: np.ndarray, ratio: int, grid: tuple[int, int]) -> np.ndarray:
    """[cells, k * ratio^2] from [k, H, W], the border repeated beyond it."""
    count, height, width = maps.shape
    padded = np.pad(maps, ((0, 0), (0, grid[0] * ratio - height), (0, grid[1] * ratio - width)), mode="edge")
    return padded.reshape(count, grid[0], ratio, grid[1], ratio).transpose(1, 3, 0, 2, 4).reshape(grid[0] * grid[1], -1)


def some_block(rng: np.random.Generator, grid: tuple[int, int]) -> tuple[int, int, int, int]:
    (top, bottom), (left, right) = (sorted(rng.choice(side + 1, 2, replace=False).tolist()) for side in grid)
    return top, bottom, left, right


def inside(block: tuple[int, int, int, int], grid: tuple[int, int]) -> np.ndarray:
    """Numbers of a block's cells in the grid."""
    return np.arange(grid[0] * grid[1]).reshape(grid)[block[0] : block[1], block[2] : block[3]].reshape(-1)


@given(PATHS, SEEDS, LEVELS)
def test_the_first_stage(path, seed, shape):
    _native.set_simd_path(path)
    rng = np.random.default_rng(seed)
    height, width, ratio, count, channels = shape
    grid = -(-height // ratio), -(-width // ratio)
    level = rng.normal(size=(channels, height, width)).astype(np.float32)
    rows, centre = rng.normal(size=(count, channels)).astype(np.float32), rng.normal(size=count).astype(np.float32)
    values = in_order(rows, level.reshape(channels, -1)) - centre[:, None]
    expected = cells_of(values.reshape(count, height, width), ratio, grid)
    block = some_block(rng, grid)
    cells = inside(block, grid)
    out = np.full((len(cells), expected.shape[1] + 3), 7, np.float32)
    assert _native.first_stage(level, rows, centre, ratio, block, out, 2)
    assert same_bits(np.ascontiguousarray(out[:, 2:-1]), expected[cells])
    assert (out[:, [0, 1, -1]] == 7).all()
    level[rng.integers(channels), block[0] * ratio, block[2] * ratio] = rng.choice([np.nan, np.inf])
    assert not _native.first_stage(level, rows, centre, ratio, block, out, 2)


@given(PATHS, SEEDS, LEVELS)
def test_the_last_stage(path, seed, shape):
    _native.set_simd_path(path)
    rng = np.random.default_rng(seed)
    height, width, ratio, count, channels = shape
    grid = -(-height // ratio), -(-width // ratio)
    cells = rng.normal(size=(grid[0] * grid[1], count * ratio**2 + 2)).astype(np.float32)
    columns, mean = rng.normal(size=(channels, count)).astype(np.float32), rng.normal(size=channels).astype(np.float32)
    low, high = np.sort(rng.normal(size=(2, channels)), axis=0).astype(np.float32) * 3
    low[rng.random(channels) < 0.2] = -0.0
    high = np.maximum(low, high)
    maps = cells[:, 1:-1].reshape(*grid, count, ratio, ratio).transpose(2, 0, 3, 1, 4)
    maps = maps.reshape(count, grid[0] * ratio, grid[1] * ratio)[:, :height, :width].reshape(count, -1)
    values = mean[:, None] + in_order(columns, np.ascontiguousarray(maps))
    expected = np.clip(values, low[:, None], high[:, None]).reshape(channels, height, width)
    block = some_block(rng, grid)
    own = cells[inside(block, grid)]
    out = np.full((channels, height, width), 7, np.float32)
    assert _native.last_stage(own, 1, columns, mean, low, high, ratio, block, out)
    place = (slice(None), slice(block[0] * ratio, block[1] * ratio), slice(block[2] * ratio, block[3] * ratio))
    assert same_bits(np.ascontiguousarray(out[place]), np.ascontiguousarray(expected[place]))
    out[place] = 7
    assert (out == 7).all()
    own[:, 1] = np.nan
    assert not _native.last_stage(own, 1, columns, mean, low, high, ratio, block, out)


def second_stage(rng: np.random.Generator) -> tuple[_native.SecondStage, np.ndarray, np.ndarray, np.ndarray]:
    """A stage with its basis [K, D] of orthonormal rows and deviations [K]; numbers [cells, D] that have these."""
    dimensions = int(rng.integers(1, 300))
    basis = np.linalg.qr(rng.normal(size=(dimensions, dimensions)))[0][: rng.integers(1, dimensions + 1)].astype("f4")
    deviations = np.sort(np.exp2(rng.uniform(-8, 2, len(basis))))[::-1].astype(np.float32)
    numbers = (rng.normal(size=(rng.integers(1, 9), len(basis))) * deviations) @ basis
    return _native.SecondStage(basis, deviations), basis, deviations, numbers.astype(np.float32)


def rounded(stage: _native.SecondStage, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    whole, units = np.empty((len(numbers), stage.whole_size), np.int16), np.empty(len(numbers), np.float32)
    return whole, units, stage.round(numbers, whole, units)


def lengths(numbers: np.ndarray) -> np.ndarray:
    return np.sqrt(np.square(numbers.astype(np.float64)).sum(axis=1, keepdims=True))


@given(PATHS, SEEDS)
def test_the_second_stage(path, seed):
    _native.set_simd_path(path)
    stage, basis, _, numbers = second_stage(np.random.default_rng(seed))
    whole, units, largest = rounded(stage, numbers)
    made, out = np.zeros(len(numbers), np.uint8), np.zeros((len(numbers), len(basis)), np.float32)
    stage.go_on(whole, units, np.zeros(len(numbers), np.float32), made.copy(), made, made.copy(), out)
    exact = numbers.astype(np.float64) @ basis.T.astype(np.float64)
    assert (np.abs(out - exact) <= 2.0**-12 * lengths(numbers)).all()
    assert (np.abs(out) <= largest).all()
    assert (made == stage.parts).all()


@given(PATHS, SEEDS, st.floats(0, 16))
def test_what_a_step_leaves_out_of_the_second_stage(path, seed, coarse):
    _native.set_simd_path(path)
    rng = np.random.default_rng(seed)
    stage, basis, deviations, numbers = second_stage(rng)
    whole, units, _ = rounded(stage, numbers)
    full, all_made = np.zeros((len(numbers), len(basis)), np.float32), np.zeros(len(numbers), np.uint8)
    stage.go_on(whole, units, np.zeros(len(numbers), np.float32), all_made.copy(), all_made, all_made.copy(), full)
    out, made = np.zeros_like(full), np.zeros_like(all_made)
    least = rng.integers(0, stage.parts + 1, len(numbers)).astype(np.uint8)
    for steps in rng.uniform(0, 8 * coarse, (3, len(numbers))).astype(np.float32):
        before, ends = made.copy(), made.copy()
        stage.go_on(whole, units, steps, least, made, ends, out)
        for cell, step in enumerate(steps):
            end = max(int(least[cell]), 1)
            while end < stage.parts:
                part = slice((end - 1) * _native.PART_WIDTH, end * _native.PART_WIDTH)
                there = np.sqrt(np.square(full[cell, part] / deviations[part]).mean())
                small = there * deviations[end * _native.PART_WIDTH :][: _native.PART_WIDTH].max() < 0.15 * step
                made_of = np.square(full[cell, : end * _native.PART_WIDTH]).sum()
                usual = np.square(deviations[end * _native.PART_WIDTH :]).sum()
                hidden = 0.99 * np.square(numbers[cell]).sum() - made_of
                if small and hidden <= max(0.25 * step**2, min(16 * usual, 16 * step**2)):
                    break
                end += 1
            assert ends[cell] == end
            assert made[cell] == max(before[cell], end)
            end = int(made[cell])
            assert same_bits(out[cell, : end * _native.PART_WIDTH], full[cell, : end * _native.PART_WIDTH])
            assert not out[cell, end * _native.PART_WIDTH :].any()


def test_what_the_profile_has_not_seen_is_not_left_out(simd_path: str) -> None:
    width = _native.PART_WIDTH
    deviations = np.exp2(-np.arange(4 * width) / width).astype(np.float32)
    stage = _native.SecondStage(np.eye(4 * width, dtype=np.float32), deviations)
    numbers = np.zeros((3, 4 * width), np.float32)
    numbers[:, 0] = 1
    numbers[1, -1], numbers[2, -1] = 50, 1.5  # far beyond its deviation: for the step something, and nothing
    whole, units, _ = rounded(stage, numbers)
    made, out = np.zeros(3, np.uint8), np.zeros_like(numbers)
    stage.go_on(whole, units, np.full(3, 4, np.float32), made.copy(), made, made.copy(), out)
    assert made.tolist() == [1, 4, 1]
    assert out[1, -1] == pytest.approx(50, rel=1e-3)


@given(PATHS, SEEDS, st.integers(1, 11), st.integers(1, 150), st.integers(1, 200), st.floats(0, 1))
def test_the_second_stage_back(path, seed, cells, count, dimensions, share):
    _native.set_simd_path(path)
    rng = np.random.default_rng(seed)
    sizes = np.exp2(rng.integers(-20, 20, (cells, 1)))
    values = np.where(rng.random((cells, count)) < share, rng.normal(size=(cells, count)) * sizes, 0).astype(np.float32)
    basis = np.linalg.qr(rng.normal(size=(max(count, dimensions),) * 2))[0][:count, :dimensions].astype(np.float32)
    stage, out = _native.SecondStageBack(np.ascontiguousarray(basis)), np.empty((cells, dimensions), np.float32)
    assert stage.multiply(values, 0, out)
    assert same_bits(out, first_stage_in_whole_numbers(values[None], basis)[0])
    lengths = np.linalg.norm(values.astype(np.float64), axis=1)
    assert (np.linalg.norm(out - values.astype(np.float64) @ basis, axis=1) <= lengths * 2**-10).all()
    part = np.empty((cells, max(dimensions - _native.PART_WIDTH, 0)), np.float32)
    assert stage.multiply(values, _native.PART_WIDTH if part.size else 0, part)
    assert same_bits(part, np.ascontiguousarray(out[:, _native.PART_WIDTH :]))
    values[rng.integers(cells), rng.integers(count)] = rng.choice([np.nan, np.inf, -np.inf])
    assert not stage.multiply(values, 0, out)


def test_a_second_stage_back_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="too large"):
        _native.SecondStageBack(np.full((1, 1), 2.0**15, np.float32))
    stage = _native.SecondStageBack(np.ones((2, 70), np.float32))
    for values, first, count in (((3, 1), 0, 70), ((3, 2), 0, 71), ((3, 2), 1, 1), ((3, 2), 64, 7), ((3, 2), 128, 0)):
        with pytest.raises(ValueError, match="second stage"):
            stage.multiply(np.ones(values, np.float32), first, np.empty((3, count), np.float32))


@pytest.mark.parametrize("bad", [np.nan, np.inf, 3e38])
def test_the_second_stage_of_what_has_no_end(simd_path: str, bad: float) -> None:
    stage = _native.SecondStage(np.eye(3, 5, dtype=np.float32), np.ones(3, np.float32))
    numbers = np.ones((2, 5), np.float32)
    numbers[1, 4] = bad
    assert rounded(stage, numbers)[2] == np.inf


def test_a_second_stage_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="deviations"):
        _native.SecondStage(np.ones((1, 2), np.float32), np.zeros(1, np.float32))
    with pytest.raises(ValueError, match="shapes"):
        _native.SecondStage(np.ones((1, 2), np.float32), np.ones(2, np.float32))


def test_shapes_that_do_not_fit() -> None:
    a, b = np.ones((2, 3), np.float32), np.ones((3, 4), np.float32)
    for left, right, out in ((a[:, :2], b, (2, 4)), (a, b, (3, 4)), (a, b, (2, 65))):
        with pytest.raises(ValueError, match="multiply_sparse"):
            _native.multiply_sparse(np.ascontiguousarray(left), _native.pack_panels(right), np.empty(out, np.float32))
    one, level = np.ones(1, np.float32), np.ones((1, 4, 4), np.float32)
    for block, at in (((0, 2, 0, 2), 1), ((0, 3, 0, 2), 0)):
        with pytest.raises(ValueError, match="first_stage"):
            _native.first_stage(level, np.ones((1, 1), "f4"), one, 2, block, np.empty((4, 4), np.float32), at)
    for block, at in (((0, 2, 0, 2), 1), ((0, 3, 0, 2), 0), ((1, 3, 0, 2), 0)):
        with pytest.raises(ValueError, match="last_stage"):
            _native.last_stage(np.ones((4, 4), "f4"), at, np.ones((1, 1), "f4"), one, one, one, 2, block, level)
    with pytest.raises(ValueError, match="block"):
        _native.first_stage(level, np.ones((1, 1), "f4"), one, 2, (1, 1, 0, 2), np.empty((0, 4), np.float32), 0)
