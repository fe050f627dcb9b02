"""An encoder's first stage, in whole numbers: near to the exact one, the same on every path and in any blocks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from midstream import _native

Level = tuple[np.ndarray, np.ndarray, np.ndarray, int, None]


@pytest.fixture(autouse=True)
def _path_of_before() -> Iterator[None]:
    before = _native.simd_path()
    yield
    _native.set_simd_path(before)


def level(rng: np.random.Generator, ratio: int) -> Level:
    """A basis of orthonormal rows, weights and means of a few channels."""
    channels = int(rng.integers(1, 9))
    basis = np.linalg.qr(rng.normal(size=(channels, channels)))[0][: rng.integers(1, channels + 1)]
    weight, mean = np.exp2(rng.uniform(-9, 9, channels)), rng.normal(size=channels)
    return np.ascontiguousarray(basis, "f4"), weight.astype("f4"), mean.astype("f4"), ratio, None


def stage(levels: Sequence[Level]) -> tuple[_native.Forward, _native.SecondStage]:
    """A stage whose coefficients are what the first stage gives."""
    size = sum(len(basis) * ratio**2 for basis, _, _, ratio, _ in levels)
    second = _native.SecondStage(np.eye(size, dtype=np.float32), np.ones(size, np.float32))
    return _native.Forward(levels, second, None), second


def begun(
    forward: _native.Forward, second: _native.SecondStage, maps: Sequence[np.ndarray], block: tuple[int, int, int, int]
) -> tuple[np.ndarray, float]:
    """The numbers [cells, D] of a block, and what is more than the largest."""
    cells = (block[1] - block[0]) * (block[3] - block[2])
    whole, units, made, out, seen = forward.room(cells)
    assert seen is None
    largest = forward.begin(list(maps), block, whole, units)
    if largest < np.inf:
        second.go_on(whole, units, np.zeros(cells, np.float32), made.copy(), made, made.copy(), out)
    return out, largest


def exact(given_level: Level, values: np.ndarray, grid: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """First-stage coefficients [cells, k * ratio^2] in float64, and the lengths of the elements that they are of."""
    basis, weight, mean, ratio, _ = given_level
    beyond = [(0, 0), *((0, side * ratio - there) for side, there in zip(grid, values.shape[1:], strict=True))]
    weighted = (np.pad(values, beyond, mode="edge") - mean[:, None, None]).astype(np.float64) * weight[:, None, None]
    made = np.tensordot(basis.astype(np.float64), weighted, 1)
    lengths = np.broadcast_to(np.sqrt(np.square(weighted).sum(axis=0)), made.shape)

    def cells(maps: np.ndarray) -> np.ndarray:
        parts = maps.reshape(len(maps), grid[0], ratio, grid[1], ratio).transpose(1, 3, 0, 2, 4)
        return parts.reshape(grid[0] * grid[1], -1)

    return cells(made), cells(lengths)


@given(
    st.integers(0, 1 << 32),
    st.lists(st.sampled_from([1, 2, 3, 4, 5, 9]), min_size=1, max_size=3),
    st.tuples(st.integers(1, 6), st.integers(1, 9)),
)
def test_it_is_near_to_the_exact_one_and_the_same_on_every_path(
    seed: int, ratios: list[int], grid: tuple[int, int]
) -> None:
    rng = np.random.default_rng(seed)
    levels = [level(rng, ratio) for ratio in ratios]
    maps = [
        rng.normal(size=(basis.shape[1], *(side * ratio - rng.integers(0, ratio) for side in grid))).astype(np.float32)
        for basis, _, _, ratio, _ in levels
    ]
    forward, second = stage(levels)
    whole = 0, grid[0], 0, grid[1]
    found, largest = {}, {}
    for path in _native.simd_paths():
        _native.set_simd_path(path)
        found[path], largest[path] = begun(forward, second, maps, whole)
        assert found[path].tobytes() == found["reference"].tobytes()
        assert largest[path] == largest["reference"]
    parts = [exact(each, values, grid) for each, values in zip(levels, maps, strict=True)]
    wanted, lengths = (np.concatenate(each, axis=1) for each in zip(*parts, strict=True))
    cell = np.sqrt(np.square(wanted).sum(axis=1, keepdims=True))
    assert (np.abs(found["reference"] - wanted) <= 2.0**-11 * lengths + 2.0**-12 * cell).all()
    assert np.abs(wanted).max() <= largest["reference"]
    top, left = int(rng.integers(grid[0])), int(rng.integers(grid[1]))
    block = top, int(rng.integers(top, grid[0])) + 1, left, int(rng.integers(left, grid[1])) + 1
    inside = np.arange(grid[0] * grid[1]).reshape(grid)[block[0] : block[1], block[2] : block[3]].reshape(-1)
    assert begun(forward, second, maps, block)[0].tobytes() == found["reference"][inside].tobytes()


def test_many_cells_are_taken_in_turn(simd_path: str) -> None:
    rng = np.random.default_rng(0)
    levels = [level(rng, 2), level(rng, 1)]
    maps = [rng.normal(size=(len(each[1]), 40 * each[3], 9 * each[3])).astype(np.float32) for each in levels]
    forward, second = stage(levels)
    whole, _ = begun(forward, second, maps, (0, 40, 0, 9))
    rows = [begun(forward, second, maps, (row, row + 1, 0, 9))[0] for row in range(40)]
    assert whole.tobytes() == np.concatenate(rows).tobytes()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 3e38])
def test_what_is_not_finite_or_cannot_be_squared_has_no_largest(simd_path: str, bad: float) -> None:
    levels = [level(np.random.default_rng(1), 2), level(np.random.default_rng(2), 1)]
    for number in range(2):
        maps = [np.ones((len(each[1]), 6 * each[3], 5 * each[3]), np.float32) for each in levels]
        maps[number][-1, -1, -1] = bad
        assert begun(*stage(levels), maps, (0, 6, 0, 5))[1] == np.inf
        assert begun(*stage(levels), maps, (0, 5, 0, 5))[1] < np.inf


def test_stages_that_cannot_be() -> None:
    good = level(np.random.default_rng(0), 2)
    forward, second = stage([good])
    basis, weight, mean, ratio, _ = good
    for wrong in (
        [good, good],
        [],
        [(basis, weight[:-1], mean, ratio, None)],
        [(basis, weight, mean, 0, None)],
        [(basis, weight, mean, ratio, (np.ones((3, len(basis)), "f4"), np.ones(3, "f4")))],  # nobody asks for it
        [(basis, weight, mean, ratio, (np.ones((3, len(basis) + 1), "f4"), np.ones(3, "f4")))],
    ):
        with pytest.raises(ValueError, match="forward"):
            _native.Forward(wrong, second, None)
    maps = np.zeros((len(weight), 4, 4), np.float32)
    for values, block in (
        ([], (0, 2, 0, 2)),
        ([maps[:, :0]], (0, 2, 0, 2)),
        ([np.zeros((len(weight) + 1, 4, 4), np.float32)], (0, 2, 0, 2)),
        ([maps], (0, 0, 0, 2)),
    ):
        with pytest.raises(ValueError, match=r"forward|block"):
            begun(forward, second, values, block)
    whole, units = np.empty((3, second.whole_size), np.int16), np.empty(4, np.float32)
    with pytest.raises(ValueError, match="forward"):
        forward.begin([maps], (0, 2, 0, 2), whole, units)
