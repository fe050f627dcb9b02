"""The probe of cells: what it computes, on every path, and that calibration finds what there is to be seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import reduce

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.helpers import profiles

import midstream as ms
from midstream import _native
from midstream.calibration import probe
from midstream.calibration.probe import Sight
from midstream.codec.calibrated.cell_probe import octaves_of
from midstream.codec.calibrated.coding import analyse
from midstream.codec.calibrated.forward import Coefficients
from midstream.codec.calibrated.importance import classes_of, importance_in
from midstream.codec.calibrated.parts import CellProbe, Floats, GroupPart, GroupSight, LevelPart
from midstream.codec.calibrated.transform import WHOLE, Size, forward, grid_of, stacked
from midstream.features import check_pyramid

PROFILE, LAYERED = profiles.profile(cells=True), profiles.profile(layers=2)
GROUP = PROFILE.groups[0]


def probe_of(group: GroupPart) -> CellProbe:
    assert isinstance(group.probe, CellProbe)
    return group.probe


PROBE = probe_of(GROUP)


@pytest.fixture(autouse=True)
def _path_of_before() -> Iterator[None]:
    before = _native.simd_path()
    yield
    _native.set_simd_path(before)


def leaky(values: np.ndarray) -> np.ndarray:
    return np.where(values > 0, values, values / 8)


def cell_numbers(sight: GroupSight, levels: Sequence[LevelPart], cell: np.ndarray) -> np.ndarray:
    """What a group adds to the numbers of a cell, from its first-stage coefficients [D]."""
    features, begin = [], 0
    for level, own in zip(levels, sight.levels, strict=True):
        count, area = own.rows.shape[1], level.about.ratio**2
        elements = cell[begin : begin + count * area].reshape(count, area)
        begin += count * area
        made = leaky(own.rows @ elements + own.bias[:, None])
        features += [made.max(axis=1)] + ([made.mean(axis=1)] if area > 1 else [])
    return np.asarray(sight.mix @ np.concatenate(features))


def by_the_formula(groups: Sequence[tuple[GroupSight, Sequence[LevelPart], np.ndarray]], grid: Size) -> np.ndarray:
    """log2 of the scores [maps, rows, columns] in float64, cell by cell.

    From the sight and the levels of each group, and its first-stage coefficients [cells, D].
    """
    probe, cells = groups[0][0], {}
    assert isinstance(probe, CellProbe)
    for at in range(grid[0] * grid[1]):
        sums = [cell_numbers(sight, levels, numbers[at].astype(np.float64)) for sight, levels, numbers in groups]
        cells[divmod(at, grid[1])] = leaky(probe.mix_bias + np.sum(sums, axis=0))
    nothing, out = np.zeros(len(probe.mix)), np.empty((len(probe.out), *grid))
    for row, column in cells:
        window = [cells.get((row + y, column + x), nothing) for y in (-1, 0, 1) for x in (-1, 0, 1)]
        last = leaky(probe.around @ np.concatenate(window) + probe.around_bias)
        out[:, row, column] = probe.out[:, :-1] @ last + probe.out[:, -1]
    return out


def octaves_in(groups: Sequence[GroupPart], pyramid: Mapping[str, Floats]) -> np.ndarray:
    """What an encoder makes of a pyramid, [maps, rows, columns]."""
    sizes = {name: (values.shape[1], values.shape[2]) for name, values in pyramid.items()}
    grid = grid_of(groups[0].levels, sizes)
    seen = [Coefficients(group, pyramid, grid, 1).seen for group in groups]
    assert groups[0].scores is not None
    return octaves_of(groups[0].scores, reduce(np.add, [each for each in seen if each is not None]), grid)


@pytest.mark.parametrize("profile", [PROFILE, LAYERED])
@given(st.integers(0, 1 << 32), st.integers(1, 5), st.integers(1, 5))
def test_scores_are_those_of_the_formula_and_the_same_on_every_path(
    profile: ms.Profile, seed: int, rows: int, columns: int
) -> None:
    rng, groups = np.random.default_rng(seed), profile.groups[: profile.layers]
    pyramid = {
        level.about.name: rng.normal(
            size=(level.about.channels, rows * level.about.ratio, columns * level.about.ratio)
        ).astype(np.float32)
        for group in groups
        for level in group.levels
    }
    found = []
    for path in _native.simd_paths():
        _native.set_simd_path(path)
        found.append(octaves_in(groups, pyramid))
        assert found[-1].tobytes() == found[0].tobytes()
    parts = []
    for group in groups:
        assert isinstance(group.probe, GroupSight)
        parts.append((group.probe, group.levels, stacked(group.levels, pyramid, (rows, columns), WHOLE)))
    expected = by_the_formula(parts, (rows, columns))
    assert len(expected) == profile.layers
    np.testing.assert_allclose(found[0], expected, atol=2e-3)


@pytest.mark.parametrize("profile", [PROFILE, LAYERED])
def test_the_encoder_looks_at_the_first_stage_in_blocks_or_whole(
    profile: ms.Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    pyramid = profiles.pyramid(5, 0.7)
    levels = check_pyramid(pyramid)
    importance, groups = profile.about.importance, profile.groups[: profile.layers]
    classes = [classes_of(importance, each) for each in np.exp2(octaves_in(groups, pyramid))]
    assert len(classes) == profile.layers
    assert all(len(np.unique(each)) > 1 for each in classes)
    for numbers in (1 << 18, 200):
        monkeypatch.setattr("midstream.codec.calibrated.transform._BLOCK_NUMBERS", numbers)
        for threads in (1, 3):
            np.testing.assert_array_equal(
                analyse(levels, profile, threads=threads).importance[: profile.layers], classes
            )
    np.testing.assert_array_equal(importance_in(profile.groups, importance, pyramid), classes)


@pytest.mark.parametrize("group", [GROUP, LAYERED.groups[0]])
@given(seed=st.integers(0, 1 << 30), sides=st.tuples(st.integers(1, 9), st.integers(1, 9)), threads=st.integers(1, 12))
def test_scores_are_the_same_by_rows(group: GroupPart, seed: int, sides: tuple[int, int], threads: int) -> None:
    scores, sight = group.scores, group.sight
    assert scores is not None
    assert sight is not None
    seen = np.random.default_rng(seed).normal(size=(sides[0] * sides[1], sight.mixed)).astype(np.float32)
    assert octaves_of(scores, seen, sides, threads).tobytes() == octaves_of(scores, seen, sides).tobytes()


def test_what_the_probe_sees_decides_the_stream() -> None:
    pyramid = profiles.pyramid()

    def size(score: float) -> int:
        sure = replace(PROBE, out=np.append(np.zeros(len(PROBE.around)), np.log2(score)).astype(np.float32)[None])
        group = replace(GROUP, probe=sure)
        return len(ms.encode(pyramid, "calibrated", profile=replace(PROFILE, groups=(group, *PROFILE.groups[1:]))))

    assert size(1) > size(0.25) > size(0.05)


@pytest.mark.parametrize("size", [1e-30, 1e18])
def test_whatever_the_levels_hold_there_are_scores(size: float) -> None:
    """What overflows is refused by the encoder, not by a warning of NumPy's."""
    pyramid = {name: values * np.float32(size) for name, values in profiles.pyramid().items()}
    most = replace(
        PROBE,
        **{name: np.full_like(getattr(PROBE, name), 1024) for name in ("mix", "mix_bias", "around", "around_bias")},
        out=np.full_like(PROBE.out, -1024),
    )
    for each in (PROBE, most):
        group = replace(GROUP, probe=each)
        assert np.isfinite(octaves_in([group], pyramid)).all()
        (found,) = importance_in([group], PROFILE.about.importance, pyramid)
        assert found.max() < PROFILE.about.importance.classes


def test_scores_that_cannot_be() -> None:
    ones = np.ones((2, 3), np.float32), np.ones(2, np.float32)
    around = np.ones((4, 18), np.float32), np.ones(4, np.float32)
    assert _native.CellMix(ones).mixed == 2
    scores = _native.CellScores(around, 2, np.ones((3, 5), np.float32))
    assert scores.octaves(np.ones((6, 2), np.float32), 3, 1, 1).shape == (3, 1, 3)
    with pytest.raises(ValueError, match="cell scores"):
        _native.CellMix((ones[0], around[1]))
    for given_around, mixed, out in (
        (ones, 2, (1, 3)),
        (around, 3, (1, 5)),
        (around, 2, (1, 4)),
        (around, 2, (0, 5)),
        ((ones[0], around[1]), 2, (1, 5)),
    ):
        with pytest.raises(ValueError, match="cell scores"):
            _native.CellScores(given_around, mixed, np.ones(out, np.float32))
    for shape, width, top, rows in (
        ((6, 3), 3, 0, 2),
        ((5, 2), 3, 0, 2),
        ((6, 2), 3, 1, 2),
        ((6, 2), 3, 3, 1),
        ((6, 2), 3, 0, 0),
        ((6, 2), 0, 0, 1),
    ):
        with pytest.raises(ValueError, match="cell scores"):
            scores.octaves(np.ones(shape, np.float32), width, top, rows)


def sights(count: int, seed: int, grid: tuple[int, int] = (5, 6), constant: bool = False, maps: int = 1) -> list[Sight]:
    """Of two levels: a score is high where one element of a cell has much of a coefficient, of a second map another."""
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(count):
        fine, coarse = rng.normal(size=(4, 4, *grid)), rng.normal(size=(3, 1, *grid))
        sizes = fine[1].max(axis=0) * 2 - 5 + coarse[2, 0], coarse[0, 0] * 2 - 4
        scores = np.exp2(np.clip(np.stack(sizes[:maps]), -6, -0.7))
        if constant:
            fine[:], scores[:] = 0, 0.5
        out.append(Sight([fine.astype(np.float16), coarse.astype(np.float16)], scores.astype(np.float32)))
    return out


@pytest.mark.parametrize("number", range(8))
def test_gradients_are_those_of_the_error(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against differences."""
    monkeypatch.setattr(probe, "_DROPPED", 0.0)
    batches = probe._Batches(sights(3, 1, maps=1 + number % 2), (5, 6))
    weights = probe._begin(batches, np.random.default_rng(number))
    rng = np.random.default_rng(number)
    found = probe._gradients(weights, 3, batches.grid, probe._passed(weights, batches, [0, 1, 2], rng))
    assert found.keys() == weights.keys()

    def error(changed: dict[str, Floats]) -> float:
        return float(np.square(probe._passed(changed, batches, [0, 1, 2], rng).error.astype(np.float64)).mean())

    for name, values in weights.items():
        way = rng.normal(size=values.shape).astype(np.float32) * (0.003 / np.sqrt(values.size))
        there, back = (error(weights | {name: values + sign * way}) for sign in (1, -1))
        expected = float((found[name].astype(np.float64) * way).sum())
        assert (there - back) / 2 == pytest.approx(expected, rel=0.1, abs=3e-5), name


def seen(fitted: CellProbe, sight: Sight) -> np.ndarray:
    """log2 of what a probe makes of a sight, [maps, rows, columns]."""
    grid = sight.scores.shape[1:]
    numbers = np.concatenate(
        [each.transpose(2, 3, 0, 1).reshape(grid[0] * grid[1], -1) for each in sight.levels], axis=1
    )
    abouts = [GROUP.levels[0].about.model_copy(update={"ratio": ratio}) for ratio in (2, 1)]
    levels = [replace(GROUP.levels[0], about=about) for about in abouts]
    return np.clip(by_the_formula([(fitted, levels, numbers)], (grid[0], grid[1])), -20, 0)


@pytest.mark.parametrize("maps", [1, 2])
def test_a_fit_finds_what_is_to_be_seen(maps: int) -> None:
    fitted = probe.fit_probe(sights(40, 1, maps=maps), 1.0, 0)
    for number in range(maps):
        wanted = [np.log2(each.scores) for each in sights(10, 2, maps=maps)]
        found = [seen(fitted, each) for each in sights(10, 2, maps=maps)]
        errors = [np.square(own[number] - there[number]).mean() for own, there in zip(found, wanted, strict=True)]
        assert np.mean(errors) < 0.2 * np.mean([each[number].var() for each in wanted])


def test_a_probe_is_shared_out_to_the_groups_of_the_levels() -> None:
    """Each adds what its levels come to, and together they see what the whole sees."""
    fitted, sight = probe.fit_probe(sights(3, 1, maps=2), 1.0, 0), sights(1, 2, maps=2)[0]
    grid = sight.scores.shape[1:]
    abouts = [GROUP.levels[0].about.model_copy(update={"ratio": ratio}) for ratio in (2, 1)]
    levels = [replace(GROUP.levels[0], about=about) for about in abouts]
    parts = probe.shared_out(fitted, [levels[:1], levels[1:]])
    assert [type(each) for each in parts] == [CellProbe, GroupSight]
    numbers = [each.transpose(2, 3, 0, 1).reshape(grid[0] * grid[1], -1) for each in sight.levels]
    groups = [(own, [level], each) for own, level, each in zip(parts, levels, numbers, strict=True)]
    found = by_the_formula(groups, (grid[0], grid[1]))
    np.testing.assert_allclose(np.clip(found, -20, 0), seen(fitted, sight), atol=1e-5)


def test_a_fit_is_the_same_on_every_path_and_another_with_another_seed() -> None:
    fits = []
    for path in _native.simd_paths():
        _native.set_simd_path(path)
        fits.append(probe.fit_probe(sights(7, 1), 1.0, 0))
    assert all(fit.mix.tobytes() == fits[0].mix.tobytes() for fit in fits)
    assert all(fit.levels[0].rows.tobytes() == fits[0].levels[0].rows.tobytes() for fit in fits)
    assert probe.fit_probe(sights(7, 1), 1.0, 1).mix.tobytes() != fits[0].mix.tobytes()


def test_views_of_other_sizes_and_levels_that_hold_nothing() -> None:
    fitted = probe.fit_probe([*sights(3, 1), *sights(3, 2, (9, 4))], 1.0, 0)
    assert np.isfinite(seen(fitted, sights(1, 3)[0])).all()
    constant = sights(4, 1, constant=True)
    assert np.isfinite(seen(probe.fit_probe(constant, 1.0, 0), constant[0])).all()


def test_a_sight_is_a_part_of_a_large_view_in_units() -> None:
    rng = np.random.default_rng(0)
    width = sum(len(level.basis) * level.about.ratio**2 for level in GROUP.levels)
    numbers = rng.normal(size=(40, 5, width)).astype(np.float32)
    numbers[0, 0] = 1e30
    scores = rng.uniform(size=(2, 40, 5)).astype(np.float32)
    found = probe.sight_of(GROUP.levels, numbers.reshape(200, -1), scores, 0.5, rng)
    assert found.scores.shape == (2, 16, 5)
    (top,) = [at for at in range(25) if (scores[:, at : at + 16] == found.scores).all()]
    assert [each.shape for each in found.levels] == [(6, 4, 16, 5), (5, 1, 16, 5)]
    part = np.clip(numbers[top : top + 16, :, 24:] * 2, -60000, 60000)
    np.testing.assert_allclose(found.levels[1][:, 0], part.transpose(2, 0, 1), rtol=1e-3, atol=1e-3)
    assert all(np.isfinite(each).all() for each in found.levels)


def test_the_first_stage_is_what_the_transform_begins_with() -> None:
    pyramid = profiles.pyramid()
    grid = grid_of(GROUP.levels, {name: values.shape[1:] for name, values in pyramid.items()})
    numbers = stacked(GROUP.levels, pyramid, grid, WHOLE)
    found = (GROUP.basis @ numbers.T).reshape(-1, *grid)
    np.testing.assert_allclose(found, forward(GROUP, pyramid, 1), rtol=1e-4, atol=1e-4)
