"""Fitting the transform: statistics of channels, their KLT, the KLT of all levels' coefficients in a cell."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from midstream.calibration import ordered
from midstream.calibration.views import View, Views
from midstream.codec.calibrated.document import GroupAbout, LevelAbout
from midstream.codec.calibrated.parts import Floats, LevelPart
from midstream.codec.calibrated.transform import WHOLE, grid_of, stacked

#: What a profile has room for: dimensions of a cell after the first stage, coefficients after the second, and numbers
#: in both stages of a group.
MOST_DIMENSIONS = 2560
MOST_COEFFICIENTS = 1280
MOST_NUMBERS = 3_100_000
#: What each stage leaves out is at most a share of the energy, if there is room: the first of these that serves.
LEFT_OUT = (0.005, 0.001, 0.0003)
#: Cells that the second stage is fitted to, per dimension, at most.
_CELLS_PER_DIMENSION = 64
#: Of fewer vectors than so many for each of their dimensions, a covariance is drawn towards its diagonal.
_FEW_PER_DIMENSION = 4
#: Of what a layer is told from: noise of a fixed share of the strongest variance, about what quantisation leaves at
#: steps three octaves below; and how much a layer's own KLT counts beside that of what is left.
_NOISE, _DRAWN = 0.0046875, 0.1
#: Channels that show that a level has a floor.
_SHARED_FLOOR = 4
Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class ChannelMoments:
    """Of one level's channels: mean and range [C], covariance [C, C]."""

    mean: Doubles
    covariance: Doubles
    low: Floats
    high: Floats

    @property
    def deviation(self) -> Doubles:
        """Standard deviations [C]."""
        return np.asarray(np.sqrt(np.maximum(np.diag(self.covariance), 0)))


def channel_moments(views: Views, fit: Sequence[View], advance: Callable[[], None]) -> dict[str, ChannelMoments]:
    """Moments of every level that is sent, over all views."""
    sums: dict[str, list[NDArray[np.float64]]] = {}
    ranges: dict[str, tuple[Floats, Floats]] = {}
    counts: dict[str, int] = {}
    for view in fit:
        for name, maps in views.sent(view).items():
            flat = maps.reshape(len(maps), -1).astype(np.float64)
            low, high = flat.min(axis=1).astype(np.float32), flat.max(axis=1).astype(np.float32)
            if name not in sums:
                sums[name] = [np.zeros(len(maps)), np.zeros((len(maps), len(maps)))]
                ranges[name], counts[name] = (low, high), 0
            sums[name][0] += flat.sum(axis=1)
            sums[name][1] += ordered.gram(flat)
            counts[name] += flat.shape[1]
            ranges[name] = np.minimum(ranges[name][0], low), np.maximum(ranges[name][1], high)
        advance()
    out = {}
    for name, (total, squares) in sums.items():
        mean = total / counts[name]
        covariance = squares / counts[name] - np.outer(mean, mean)
        steady = _steadied(covariance, counts[name], np.diag(covariance))
        out[name] = ChannelMoments(mean, steady, *_limits(*ranges[name]))
    return out


def _steadied(covariance: Doubles, count: int, variances: Doubles) -> Doubles:
    """A covariance [D, D] of so few vectors that it has directions nobody has seen, and what is expected of those.

    A level of one position, such as a class token, gives one vector an image: fifty of them span fifty directions, and
    the next image has others. It becomes a mean of what was seen and of a diagonal (Ledoit and Wolf 2004), which
    weighs as much as a vector for each dimension.
    """
    dimensions = len(covariance)
    if count >= _FEW_PER_DIMENSION * dimensions:
        return covariance
    return np.asarray((count * covariance + dimensions * np.diag(variances)) / (count + dimensions))


def _limits(low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """The range that decoded values may have: the level's own floor where an activation has one, else with room."""
    room = 0.5 * (high - low)
    floor = low.min()
    # Where several channels stop at the same least value, it is an activation's, and none can go below it.
    shared = np.isclose(low, floor, rtol=1e-4, atol=1e-7).sum() >= _SHARED_FLOOR
    return (np.full_like(low, floor) if shared else low - room), high + room


def level_parts(
    group: GroupAbout, moments: Mapping[str, ChannelMoments], metrics: Mapping[str, Doubles], left_out: float
) -> tuple[LevelPart, ...]:
    """The first stage: each level's channel KLT in the metric [C, C] of the task, all cut at one variance."""
    stages = {level.name: _first_stage(moments[level.name].covariance, metrics[level.name]) for level in group.levels}
    counts = _kept(
        {name: stage.variances for name, stage in stages.items()},
        {level.name: level.ratio for level in group.levels},
        left_out,
    )
    return tuple(_part(level, moments[level.name], stages[level.name], counts[level.name]) for level in group.levels)


@dataclass(frozen=True)
class _FirstStage:
    """Of one level: weight [C], variances [C] of the coefficients, rows [C, C] to them and columns [C, C] back."""

    weight: Doubles
    variances: Doubles
    rows: Doubles
    columns: Doubles


def _first_stage(covariance: Doubles, metric: Doubles) -> _FirstStage:
    """The KLT of what has this covariance, where a difference d of two vectors is as long as d' metric d."""
    product, weight = ordered.product, np.sqrt(np.diag(metric))
    scales = np.outer(weight, weight)
    values, vectors = ordered.eigh(metric / scales)
    root = product(vectors * np.sqrt(values), vectors.T)
    unroot = product(vectors / np.sqrt(values), vectors.T)
    variances, directions = ordered.eigh(product(root, product(covariance * scales, root)))
    directions = _signed(directions[:, ::-1].T)
    return _FirstStage(weight, np.maximum(variances[::-1], 0), product(directions, root), product(unroot, directions.T))


def _kept(variances: Mapping[str, Doubles], ratios: Mapping[str, int], left_out: float) -> dict[str, int]:
    """How many coefficients each level keeps, so that what is left out is weaker than all that is kept."""
    ranked = sorted(((v, name) for name, each in variances.items() for v in each), reverse=True)
    counts = dict.fromkeys(variances, 0)
    left = sum(ratios[name] ** 2 * variance for variance, name in ranked)
    enough, dimensions = left_out * left, 0
    for variance, name in ranked:
        size = ratios[name] ** 2
        if dimensions + size > MOST_DIMENSIONS or left <= enough:
            break
        counts[name] += 1
        dimensions += size
        left -= size * variance
    return {name: max(count, 1) for name, count in counts.items()}


def _part(level: LevelAbout, moments: ChannelMoments, stage: _FirstStage, count: int) -> LevelPart:
    return LevelPart(
        level,
        moments.mean.astype(np.float32),
        stage.weight.astype(np.float32),
        moments.low,
        moments.high,
        stage.rows[:count].astype(np.float16).astype(np.float32),
        stage.columns[:, :count].astype(np.float16).astype(np.float32),
    )


def _signed(rows: Doubles) -> Doubles:
    """Rows whose largest entry is positive: eigenvectors have no sign of their own."""
    largest = rows[np.arange(len(rows)), np.abs(rows).argmax(axis=1)]
    return rows * np.where(largest < 0, -1.0, 1.0)[:, None]


def cell_covariance(
    parts: Sequence[LevelPart],
    moments: Mapping[str, ChannelMoments],
    views: Views,
    fit: Iterable[View],
    advance: Callable[[], None],
) -> Doubles:
    """Second moments [D, D] of the first-stage coefficients in cells. They are centred already."""
    total: Doubles | None = None
    count = 0
    for view in fit:
        maps = views.sent(view)
        grid = grid_of(parts, {part.about.name: maps[part.about.name].shape[1:] for part in parts})
        cells = np.ascontiguousarray(stacked(parts, maps, grid, WHOLE).T)
        rng = np.random.default_rng(count)
        most = max(_CELLS_PER_DIMENSION * len(cells) // 32, 256)
        if cells.shape[1] > most:
            cells = np.ascontiguousarray(cells[:, rng.choice(cells.shape[1], most, replace=False)])
        part = ordered.gram(cells)
        total = part if total is None else total + part
        count += cells.shape[1]
        advance()
    assert total is not None
    return _steadied(total / count, count, np.concatenate([_variances(part, moments) for part in parts]))


def _variances(part: LevelPart, moments: Mapping[str, ChannelMoments]) -> Doubles:
    """Of a level's first-stage coefficients, at each position of a cell."""
    rows = part.basis.astype(np.float64) * part.weight
    covariance = moments[part.about.name].covariance
    own = (ordered.product(rows, covariance) * rows).sum(axis=1)
    return np.asarray(np.repeat(own, part.about.ratio**2))


def coefficients_of(
    covariance: Doubles, groups: Sequence[Sequence[LevelPart]], fused: bool, left_out: float
) -> list[tuple[Doubles, Doubles]]:
    """Variances [K] and orthonormal rows [K, D] of the second stage of each layer, or of the one group that there is.

    Without a second stage, of the dimensions themselves. Rows are the KLT of what the layers before do not tell, where
    these are known to within noise of usual steps, drawn towards the KLT of the layer itself, so that nothing strong is
    left out. All layers together leave out that share of the energy.
    """
    found: list[tuple[Doubles, Doubles]] = []
    begin = 0
    for parts in groups:
        end = begin + sum(part.dimensions for part in parts)
        own = covariance[begin:end, begin:end]
        if not fused:
            found.append((np.diag(own), np.eye(len(own))))
        elif begin == 0:
            values, vectors = ordered.eigh(own)
            found.append((np.maximum(values[::-1], 0), _signed(vectors[:, ::-1].T)))
        else:
            below = covariance[:begin, :begin] + _NOISE * max(v.max() for v, _ in found) * np.eye(begin)
            told = ordered.solve(below, covariance[:begin, begin:end])
            left = own - ordered.product(covariance[begin:end, :begin], told)
            rows = _signed(ordered.eigh(left + _DRAWN * own)[1][:, ::-1].T)
            found.append((np.maximum((ordered.product(rows, own) * rows).sum(axis=1), 0), rows))
        begin = end
    return _strongest(found, left_out if fused else 0.0, _room([part for parts in groups for part in parts]))


def _room(parts: Sequence[LevelPart]) -> int:
    """Numbers that second stages have room for."""
    return MOST_NUMBERS - sum(part.basis.size + part.synthesis.size for part in parts)


def _strongest(found: Sequence[tuple[Doubles, Doubles]], left_out: float, room: int) -> list[tuple[Doubles, Doubles]]:
    """Of layers' coefficients, in falling order of variance, all but those that together are a share of the energy."""
    ranked = sorted(
        ((variance, number) for number, (variances, _) in enumerate(found) for variance in variances), reverse=True
    )
    counts, left = [0] * len(found), sum(variance for variance, _ in ranked)
    enough = left_out * left
    for variance, number in ranked:
        size = found[number][1].shape[1]
        if (enough and left <= enough) or sum(counts) == MOST_COEFFICIENTS or room < size:
            break
        counts[number] += 1
        left, room = left - variance, room - size
    out = []
    for (variances, rows), count in zip(found, counts, strict=True):
        order = np.argsort(-variances, kind="stable")[: max(count, 1)]
        out.append((variances[order], rows[order]))
    return out
