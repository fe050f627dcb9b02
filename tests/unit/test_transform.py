"""The kernels of the transform against what docs/format.md says of them, in numpy, to the bit and on every path."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.helpers.format_values import (
    first_stage_in_whole_numbers,
    last_stage_in_whole_numbers,
    predicted_in_whole_numbers,
    surroundings,
)

from midstream import _native
from midstream.codec.calibrated import prediction

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
    back = second_stage_back(b, whole=False)
    assert same_bits(restored(back, a, columns), in_order(a, b))
    a[rng.integers(rows), rng.integers(inner)] = rng.choice([np.nan, np.inf, -np.inf])
    assert restored(back, a, columns) is None


def second_stage_back(basis: np.ndarray, whole: bool, levels: tuple[int, ...] = ()) -> _native.Inverse:
    """An inverse that gives what the second stage does: of levels with so many channels, which are dimensions."""
    sizes = levels or (basis.shape[1],)
    parts = [(np.eye(size, dtype=np.float32), np.zeros(size, np.float32), 1) for size in sizes]
    return _native.Inverse(parts, basis, whole, False)


def restored(back: _native.Inverse, cells: np.ndarray, *levels: int) -> np.ndarray | None:
    """What an inverse gives for cells in a row, [cells, channels] of all levels; of those below 0, nothing."""
    out = [np.full((size, 1, len(cells)), np.nan, np.float32) for size in levels if size > 0]
    left, places = list(out), []
    for size in levels:
        far = np.full(size, np.finfo(np.float32).max) if size > 0 else None
        places.append(None if far is None else (-far, far, (0, 1, 0, len(cells)), left.pop(0)))
    found = back.restore(np.ascontiguousarray(cells), places)
    if found == _native.OF_COEFFICIENTS:
        return None
    assert found == _native.ALL_FINITE
    return np.ascontiguousarray(np.concatenate([each[:, 0] for each in out]).T)


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


def in_whole_numbers(columns: np.ndarray, elements: np.ndarray) -> np.ndarray:
    """columns [C, k] @ elements [k, P] as docs/format.md has it, but for what is added to it."""
    return last_stage_in_whole_numbers(columns, elements[:, None])[:, 0]


@given(PATHS, SEEDS, LEVELS, st.booleans())
def test_the_last_stage(path, seed, shape, whole):
    _native.set_simd_path(path)
    rng = np.random.default_rng(seed)
    height, width, ratio, count, channels = shape
    grid = -(-height // ratio), -(-width // ratio)
    cells = rng.normal(size=(grid[0] * grid[1], count * ratio**2 + 2)).astype(np.float32)
    cells *= np.exp2(rng.integers(-9, 9, (len(cells), 1))).astype(np.float32) * (rng.random((len(cells), 1)) < 0.9)
    columns, mean = rng.normal(size=(channels, count)).astype(np.float32), rng.normal(size=channels).astype(np.float32)
    columns *= np.exp2(rng.integers(-9, 9, (channels, 1))).astype(np.float32)
    low, high = np.sort(rng.normal(size=(2, channels)), axis=0).astype(np.float32) * 3
    low[rng.random(channels) < 0.2] = -0.0
    high = np.maximum(low, high)
    maps = cells[:, 1:-1].reshape(*grid, count, ratio, ratio).transpose(2, 0, 3, 1, 4)
    maps = maps.reshape(count, grid[0] * ratio, grid[1] * ratio)[:, :height, :width].reshape(count, -1)
    product = in_whole_numbers if whole else in_order
    values = product(columns, np.ascontiguousarray(maps)) + mean[:, None]
    expected = np.clip(values, low[:, None], high[:, None]).reshape(channels, height, width)
    block = some_block(rng, grid)
    own = cells[inside(block, grid)]
    beside = np.ones((1, 1), np.float32), np.zeros(1, np.float32), 1  # a level of which nobody wants anything
    back = _native.Inverse([beside, (columns, mean, ratio), beside], np.eye(own.shape[1], dtype="f4"), False, whole)
    out = np.full((channels, height, width), 7, np.float32)
    assert back.restore(own, [None, (low, high, block, out), None]) == _native.ALL_FINITE
    place = (slice(None), slice(block[0] * ratio, block[1] * ratio), slice(block[2] * ratio, block[3] * ratio))
    assert same_bits(np.ascontiguousarray(out[place]), np.ascontiguousarray(expected[place]))
    out[place] = 7
    assert (out == 7).all()
    own[:, 1] = 3e38
    if not whole:
        columns[:, 0] = 3
        back = _native.Inverse([beside, (columns, mean, ratio), beside], np.eye(own.shape[1], dtype="f4"), False, whole)
        assert back.restore(own, [None, (low, high, block, out), None]) == 1
    own[:, 1] = np.nan
    assert back.restore(own, [None, (low, high, block, out), None]) == _native.OF_COEFFICIENTS


@pytest.mark.parametrize("ratio", [9, 11])
def test_the_last_stage_of_cells_larger_than_all_lanes(simd_path: str, ratio: int) -> None:
    rng = np.random.default_rng(ratio)
    cells = rng.normal(size=(2, 3 * ratio**2)).astype(np.float32)
    columns, mean = rng.normal(size=(2, 3)).astype(np.float32), np.zeros(2, np.float32)
    back = _native.Inverse([(columns, mean, ratio)], np.eye(cells.shape[1], dtype="f4"), False, False)
    out, far = np.full((2, ratio - 1, 2 * ratio - 3), 7, np.float32), np.full(2, 1e30, np.float32)
    assert back.restore(cells, [(-far, far, (0, 1, 0, 2), out)]) == _native.ALL_FINITE
    maps = cells.reshape(2, 3, ratio, ratio).transpose(1, 2, 0, 3).reshape(3, ratio, 2 * ratio)[:, :-1, :-3]
    expected = in_order(columns, np.ascontiguousarray(maps).reshape(3, -1)).reshape(out.shape)
    assert same_bits(out, expected)


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


@given(SEEDS, st.integers(0, 5), st.integers(0, 300))
def test_parts_that_something_is_expected_in(seed, cells, outputs):
    rng = np.random.default_rng(seed)
    expected = (rng.laplace(size=(cells, outputs)) * 10.0 ** rng.uniform(-3, 1, (cells, 1))).astype(np.float32)
    steps = np.exp2(rng.integers(-3, 4, cells)).astype(np.float32)
    expected[rng.random(expected.shape) < 0.001] = np.nan
    large = ~(np.abs(expected) < 0.25 * steps[:, None])
    last = [np.flatnonzero(row)[-1] if row.any() else -1 for row in large]
    parts = _native.parts_expected(expected, steps)
    assert parts.tolist() == [at // _native.PART_WIDTH + 1 for at in last]
    with pytest.raises(ValueError, match="parts expected"):
        _native.parts_expected(expected, np.append(steps, np.float32(1)))


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
    basis = np.ascontiguousarray(basis)
    out = restored(second_stage_back(basis, True), values, dimensions)
    assert out is not None
    assert same_bits(out, first_stage_in_whole_numbers(values[None], basis)[0])
    lengths = np.linalg.norm(values.astype(np.float64), axis=1)
    assert (np.linalg.norm(out - values.astype(np.float64) @ basis, axis=1) <= lengths * 2**-10).all()
    if dimensions > 2:
        first = int(rng.integers(1, dimensions - 1))
        back = second_stage_back(basis, True, (first, dimensions - first - 1, 1))
        part = restored(back, values, -1, dimensions - first - 1, -1)
        assert part is not None
        assert same_bits(part, np.ascontiguousarray(out[:, first:-1]))
    values[rng.integers(cells), rng.integers(count)] = rng.choice([np.nan, np.inf, -np.inf])
    assert restored(second_stage_back(basis, True), values, dimensions) is None


def test_an_inverse_that_cannot_be() -> None:
    level, one = (np.ones((1, 1), np.float32), np.ones(1, np.float32), 2), np.ones((1, 1), np.float32)
    with pytest.raises(ValueError, match="too large"):
        _native.Inverse([(*level[:2], 1)], np.full((1, 1), 2.0**17, np.float32), True, False)
    with pytest.raises(ValueError, match="not finite"):
        _native.Inverse([(np.full((1, 1), np.inf, np.float32), level[1], 1)], one, True, True)
    for levels, basis in (([level], one), ([], one), ([(level[0], np.ones(2, np.float32), 1)], one)):
        with pytest.raises(ValueError, match="inverse"):
            _native.Inverse(levels, basis, True, False)
    back, cells, far = _native.Inverse([level], np.ones((3, 4), np.float32), True, False), (2, 3), np.ones(1, "f4")
    out = np.empty((1, 2, 4), np.float32)
    good = (far, far, (0, 1, 0, 2), out)
    assert back.restore(np.zeros(cells, np.float32), [good]) == _native.ALL_FINITE
    for shape, places in (
        ((2, 4), [good]),
        ((3, 3), [good]),
        (cells, []),
        (cells, [good, None]),
        (cells, [(far, np.ones(2, np.float32), (0, 1, 0, 2), out)]),
        (cells, [(far, far, (0, 1, 1, 3), out)]),
        (cells, [(far, far, (1, 2, 0, 2), out)]),
        (cells, [(far, far, (0, 0, 0, 2), out)]),
        (cells, [(far, far, (0, 1, 0, 2), np.empty((2, 2, 4), np.float32))]),
    ):
        with pytest.raises(ValueError, match=r"inverse|block"):
            back.restore(np.zeros(shape, np.float32), places)


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
    one, level = np.ones(1, np.float32), np.ones((1, 4, 4), np.float32)
    for block, at in (((0, 2, 0, 2), 1), ((0, 3, 0, 2), 0)):
        with pytest.raises(ValueError, match="first_stage"):
            _native.first_stage(level, np.ones((1, 1), "f4"), one, 2, block, np.empty((4, 4), np.float32), at)
    with pytest.raises(ValueError, match="block"):
        _native.first_stage(level, np.ones((1, 1), "f4"), one, 2, (1, 1, 0, 2), np.empty((0, 4), np.float32), 0)


SIDES = st.tuples(st.integers(1, 9), st.integers(1, 9))


@given(PATHS, SEEDS, SIDES, SIDES, st.tuples(st.integers(1, 6), st.integers(0, 4), st.integers(0, 3)))
def test_what_a_group_is_expected_to_be_from_others(path, seed, before_grid, grid, most):
    _native.set_simd_path(path)
    rng = np.random.default_rng(seed)
    groups = [rng.normal(size=(*before_grid, rng.integers(1, 7))).astype(np.float32) for _ in range(rng.integers(1, 4))]
    before = [each.reshape(-1, each.shape[2]) for each in groups]
    around = surroundings(groups, grid, most)
    matrix = rng.normal(size=(around.shape[2] + 1, rng.integers(1, 70))).astype(np.float32)
    block = some_block(rng, grid)
    cells = inside(block, grid)
    out = np.full((len(cells), matrix.shape[1]), np.nan, np.float32)
    coarser = _native.Coarser(np.ascontiguousarray(matrix.T), most, False)
    assert coarser.predict(before, before_grid, grid, block, out)
    rows = np.concatenate([around.reshape(-1, around.shape[2]), np.ones((grid[0] * grid[1], 1), np.float32)], axis=1)
    assert same_bits(out, in_order(rows, matrix)[cells])
    calibrated = prediction.surroundings([each.transpose(2, 0, 1) for each in groups], most, grid)
    assert same_bits(np.ascontiguousarray(calibrated), rows)
    whole = _native.Coarser(np.ascontiguousarray(matrix.T), most, True)
    assert whole.predict(before, before_grid, grid, block, out)
    assert same_bits(out, predicted_in_whole_numbers(around, matrix.T).reshape(-1, matrix.shape[1])[cells])
    for bad, sides in (
        ([each[:-1] for each in before], grid),
        ([each[:, :0] for each in before], grid),
        ([*before, before[0]], grid),
        (before[1:], grid),
        (before, (grid[0], block[3] - 1)),
    ):
        with pytest.raises(ValueError, match=r"coarser|grids"):
            coarser.predict([np.ascontiguousarray(each) for each in bad], before_grid, sides, block, out)
    before[0][:] = np.inf
    for each in (coarser, whole):
        assert not each.predict(before, before_grid, grid, block, out)


def test_a_prediction_that_cannot_be() -> None:
    for shape in ((0, 10), (3, 0), (3, 1)):
        with pytest.raises(ValueError, match="coarser"):
            _native.Coarser(np.ones(shape, np.float32), (1, 1, 1), False)
    with pytest.raises(ValueError, match="too large"):
        _native.Coarser(np.full((3, 10), 2.0**17, np.float32), (1, 1, 1), True)


@given(SEEDS, SIDES, SIDES)
def test_the_most_important_cell_below(seed, first_grid, grid):
    first = np.random.default_rng(seed).integers(0, 4, first_grid).astype(np.uint8)
    expected = np.empty(grid, np.uint8)
    for i in range(grid[0]):
        for j in range(grid[1]):
            (top, bottom), (left, right) = (
                (at * there // count, max(-(-(at + 1) * there // count), at * there // count + 1))
                for at, count, there in zip((i, j), grid, first_grid, strict=True)
            )
            expected[i, j] = first[top:bottom, left:right].min()
    np.testing.assert_array_equal(_native.least_below(first, grid), expected)


def test_the_largest_magnitude(simd_path: str) -> None:
    values = np.random.default_rng(0).normal(size=(7, 13)).astype(np.float32)
    assert _native.largest(values) == np.abs(values).max()
    values[3, 5] = -np.inf
    assert _native.largest(values) == np.inf
    values[6, 12] = np.nan
    assert np.isnan(_native.largest(values))
    assert _native.largest(values[:0]) == 0
