"""Fits the probe of cells (codec/calibrated/cell_probe.py) to the network's scores, by gradient descent.

Everything is in float32 and in an order of its own, so that the same views and seed give the same probe on every
instruction set and for any number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from midstream.calibration.descent import Adam, Weights
from midstream.calibration.ordered import small_product
from midstream.codec.calibrated.cell_probe import LEAK, leaky, windows
from midstream.codec.calibrated.parts import PROBE_WINDOW, CellProbe, Floats, GroupSight, LevelPart, LevelSight

# Where the numbers come from: docs/method.md, "Importance map".
#: Features of a level with several elements in a cell, and of one with a single one; numbers of a cell, and around it.
_FEATURES, _FEATURES_OF_ONE, _MIXED, _AROUND = 16, 24, 32, 48
#: log2 of scores that are told from higher and from lower ones: importance classes know no others.
_HIGHEST, _LOWEST = -0.7, -7.25
#: Passes over all views, views of a step, and its length at the most.
_PASSES, BATCH, _RATE = 10, 5, 3e-3
#: Steps, however few views there are.
_LEAST_STEPS = 150
#: Share of coefficients that a step does without, so that none is relied upon.
_DROPPED = 0.1
#: Cells on a side that are looked at in a view, at most; and standard deviations, at least.
_MOST_CELLS = 16
#: What a float16 holds.
_MOST_UNITS = 60000
_LEAST_DEVIATION = 1e-5


@dataclass(frozen=True)
class Sight:
    """What there is of a view: of each level elements float16 [k, ratio^2, rows, columns], and scores of the cells.

    Scores are [maps, rows, columns].
    """

    levels: list[NDArray[np.float16]]
    scores: NDArray[np.float32]


def sight_of(
    levels: Sequence[LevelPart], numbers: Floats, scores: NDArray[np.float32], unit: float, rng: np.random.Generator
) -> Sight:
    """A view, or a part of it that `rng` chooses, from its first-stage coefficients [cells, D] and scores of maps.

    Coefficients are kept as multiples of a `unit`.
    """
    grid = scores.shape[1:]
    sides = [min(side, _MOST_CELLS) for side in grid]
    top, left = (int(rng.integers(0, side - some + 1)) for side, some in zip(grid, sides, strict=True))
    place = slice(top, top + sides[0]), slice(left, left + sides[1])
    cells = numbers.reshape(*grid, -1)[place] * np.float32(1 / unit)
    out, at = [], 0
    for level in levels:
        count, area = len(level.basis), level.about.ratio**2
        elements = cells[..., at : at + count * area].reshape(*sides, count, area)
        out.append(np.clip(elements.transpose(2, 3, 0, 1), -_MOST_UNITS, _MOST_UNITS).astype(np.float16))
        at += count * area
    return Sight(out, scores[:, *place])


def steps_for(views: int) -> int:
    """Of a fit to so many views."""
    return max(_PASSES * (views // BATCH), _LEAST_STEPS)


def fit_probe(sights: Sequence[Sight], unit: float, seed: int, advance: Callable[[], None] = lambda: None) -> CellProbe:
    """The probe for what was seen in views, in a `unit`; `advance` is told of each step."""
    rng = np.random.default_rng(seed)
    grid = tuple(min(sight.scores.shape[axis] for sight in sights) for axis in (1, 2))
    batches = _Batches(sights, (grid[0], grid[1]))
    weights = _begin(batches, rng)
    count = max(len(sights) // BATCH, 1)
    total = steps_for(len(sights))
    adam = Adam(weights, _RATE, total)
    for step in range(total):
        if step % count == 0:
            order = rng.permutation(len(sights))
        chosen = order[step % count * BATCH :][:BATCH].tolist()
        adam.step(_gradients(weights, len(chosen), batches.grid, _passed(weights, batches, chosen, rng)))
        advance()
    return _folded(weights, batches, unit)


class _Batches:
    """Views, as far as all of them have the cells, with coefficients of deviation 1; their mean is 0 as it is."""

    def __init__(self, sights: Sequence[Sight], grid: tuple[int, int]) -> None:
        self.grid = grid
        self._sights = sights
        self.counts, self.maps = [len(each) for each in sights[0].levels], len(sights[0].scores)
        self.deviations: list[Floats] = []
        for number in range(len(self.counts)):
            squares = np.zeros(self.counts[number])
            for sight in sights:
                values = self._elements(sight, number).reshape(self.counts[number], -1).astype(np.float32)
                squares += _sums(values * values)[:, 0]
            deviations = np.sqrt(squares / (len(sights) * values.shape[1]))
            self.deviations.append(np.maximum(deviations, _LEAST_DEVIATION).astype(np.float32))

    def elements(self, chosen: Sequence[int], number: int, rng: np.random.Generator) -> Floats:
        """Of a level in some views, [k, ratio^2 * views * cells]; in each view some coefficients are 0."""
        count, area, (rows, columns) = self.counts[number], self.area(number), self.grid
        values = np.empty((count, area, len(chosen), rows * columns), np.float32)
        kept = (rng.random((count, len(chosen))) >= _DROPPED) / (self.deviations[number][:, None] * (1 - _DROPPED))
        for at, each in enumerate(chosen):
            own = self._elements(self._sights[each], number)
            np.multiply(own, kept[:, at, None, None].astype(np.float32), out=values[:, :, at])
        return values.reshape(count, -1)

    def wanted(self, chosen: Sequence[int]) -> Floats:
        """log2 of the scores [maps, views * cells]."""
        rows, columns = self.grid
        scores = np.concatenate(
            [self._sights[each].scores[:, :rows, :columns].reshape(self.maps, -1) for each in chosen], axis=1
        )
        return np.asarray(np.clip(np.log2(np.maximum(scores, 2.0**-20)), _LOWEST, _HIGHEST), np.float32)

    def _elements(self, sight: Sight, number: int) -> NDArray[np.float16]:
        rows, columns = self.grid
        values = sight.levels[number]
        return values[:, :, :rows, :columns].reshape(*values.shape[:2], -1)

    def area(self, number: int) -> int:
        """Elements of a level in a cell."""
        return int(self._sights[0].levels[number].shape[1])


def _begin(batches: _Batches, rng: np.random.Generator) -> Weights:
    def drawn(rows: int, columns: int) -> Floats:
        most = columns**-0.5
        return rng.uniform(-most, most, (rows, columns)).astype(np.float32)

    weights, width = {}, 0
    for number, count in enumerate(batches.counts):
        several = batches.area(number) > 1
        features = _FEATURES if several else _FEATURES_OF_ONE
        weights[f"rows{number}"], weights[f"bias{number}"] = drawn(features, count), np.zeros((features, 1), np.float32)
        width += features * (2 if several else 1)
    weights["mix"], weights["mix_bias"] = drawn(_MIXED, width), np.zeros((_MIXED, 1), np.float32)
    weights["around"], weights["around_bias"] = (
        drawn(_AROUND, PROBE_WINDOW**2 * _MIXED),
        np.zeros((_AROUND, 1), np.float32),
    )
    weights["out"] = drawn(batches.maps, _AROUND)
    weights["out_bias"] = np.full((batches.maps, 1), (_HIGHEST + _LOWEST) / 2, np.float32)
    return weights


def _sums(values: Floats) -> Floats:
    """Of each row, [rows, 1], in order."""
    return small_product(values, np.ones((values.shape[1], 1), np.float32))


def _slope(values: Floats) -> Floats:
    """Of what `leaky` makes, at its results."""
    return np.where(values > 0, np.float32(1), LEAK)


@dataclass(frozen=True)
class _Pass:
    """What became of some views on the way to the error.

    Attributes:
        inputs, made: of each level, [k, ratio^2 * cells] and [F, ratio^2, cells] with the cells of all views.
        stacked, mixed, windowed, last: [N, cells], [M, cells], [9 * M, cells], [A, cells]; see CellProbe.
        error: [maps, cells], in octaves; what is beyond the highest and the lowest score on the right side is right.
    """

    inputs: list[Floats]
    made: list[Floats]
    stacked: Floats
    mixed: Floats
    windowed: Floats
    last: Floats
    error: Floats


def _passed(weights: Weights, batches: _Batches, chosen: Sequence[int], rng: np.random.Generator) -> _Pass:
    inputs, made = [], []
    cells = len(chosen) * batches.grid[0] * batches.grid[1]
    for number in range(len(batches.counts)):
        inputs.append(batches.elements(chosen, number, rng))
        values = leaky(small_product(weights[f"rows{number}"], inputs[-1]) + weights[f"bias{number}"])
        made.append(values.reshape(len(values), -1, cells))
    stacked = np.concatenate([feature for values in made for feature in _pooled(values)])
    mixed = leaky(small_product(weights["mix"], stacked) + weights["mix_bias"])
    by_view = mixed.reshape(-1, len(chosen), *batches.grid).transpose(1, 0, 2, 3)
    windowed = np.concatenate([windows(each, 0, each.shape[1]) for each in by_view], axis=1)
    last = leaky(small_product(weights["around"], windowed) + weights["around_bias"])
    octaves = small_product(weights["out"], last) + weights["out_bias"]
    wanted = batches.wanted(chosen)
    right = ((wanted <= _LOWEST) & (octaves < wanted)) | ((wanted >= np.float32(_HIGHEST)) & (octaves > wanted))
    return _Pass(inputs, made, stacked, mixed, windowed, last, np.where(right, np.float32(0), octaves - wanted))


def _gradients(weights: Weights, views: int, grid: tuple[int, int], done: _Pass) -> Weights:
    """Of the mean of the squared error."""
    error = done.error * np.float32(2 / done.error.size)
    out: Weights = {"out": small_product(error, done.last.T), "out_bias": _sums(error)}
    error = small_product(weights["out"].T, error) * _slope(done.last)
    out |= {"around": small_product(error, done.windowed.T), "around_bias": _sums(error)}
    error = _from_windows(small_product(weights["around"].T, error), views, grid) * _slope(done.mixed)
    out |= {"mix": small_product(error, done.stacked.T), "mix_bias": _sums(error)}
    error = small_product(weights["mix"].T, error)
    at = 0
    for number, values in enumerate(done.made):
        count, area, _ = values.shape
        own = error[at : at + count, None]
        at += count
        if area > 1:
            mean = error[at : at + count, None] * np.float32(1 / area)
            own = own * (values == values.max(axis=1, keepdims=True)) + mean
            at += count
        back = (own * _slope(values)).reshape(count, -1)
        out[f"rows{number}"] = small_product(back, done.inputs[number].T)
        out[f"bias{number}"] = _sums(back)
    return out


def _pooled(values: Floats) -> list[Floats]:
    """The largest and, of more than one, the mean of the elements of cells, [F, ratio^2, cells]."""
    if values.shape[1] == 1:
        return [values[:, 0]]
    total = values[:, 0].copy()
    for number in range(1, values.shape[1]):
        total += values[:, number]
    return [values.max(axis=1), total * np.float32(1 / values.shape[1])]


def _from_windows(errors: Floats, views: int, grid: tuple[int, int]) -> Floats:
    """What the cells [M, views * cells] have of the errors [9 * M, views * cells] of the windows that they are in."""
    parts = errors.reshape(PROBE_WINDOW, PROBE_WINDOW, -1, views, *grid)
    out = np.zeros((parts.shape[2], views, grid[0] + 2, grid[1] + 2), np.float32)
    for y in range(PROBE_WINDOW):
        for x in range(PROBE_WINDOW):
            out[:, :, y : y + grid[0], x : x + grid[1]] += parts[y, x]
    return out[:, :, 1:-1, 1:-1].reshape(parts.shape[2], -1)


def _folded(weights: Weights, batches: _Batches, unit: float) -> CellProbe:
    """With rows that take coefficients as they are."""
    sights = []
    for number in range(len(batches.counts)):
        rows = weights[f"rows{number}"] / (batches.deviations[number] * np.float32(unit))
        sights.append(LevelSight(rows, weights[f"bias{number}"][:, 0]))
    return CellProbe(
        tuple(sights),
        weights["mix"],
        weights["mix_bias"][:, 0],
        weights["around"],
        weights["around_bias"][:, 0],
        np.concatenate([weights["out"], weights["out_bias"]], axis=1),
    )


def shared_out(probe: CellProbe, groups: Sequence[Sequence[LevelPart]]) -> list[GroupSight]:
    """A probe of all levels as groups have it; the first keeps what makes scores."""
    out: list[GroupSight] = []
    level = feature = 0
    for levels in groups:
        sights = probe.levels[level : level + len(levels)]
        pairs = zip(levels, sights, strict=True)
        width = sum(len(sight.rows) * (1 if own.about.ratio == 1 else 2) for own, sight in pairs)
        mix = np.ascontiguousarray(probe.mix[:, feature : feature + width])
        out.append(GroupSight(sights, mix) if out else replace(probe, levels=sights, mix=mix))
        level, feature = level + len(levels), feature + width
    return out
