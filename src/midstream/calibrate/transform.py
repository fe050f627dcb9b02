"""Fitting the transform: statistics of channels, their KLT, the KLT of all levels' components in a cell."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from midstream.calibrate.views import View, Views
from midstream.codec.calibrated.profile import Floats, GroupAbout, LevelAbout, LevelPart
from midstream.codec.calibrated.transform import grid_of, stacked_cells

#: Dimensions of a cell after the first stage, and components after the second, that a profile has room for.
MOST_DIMENSIONS = 1280
MOST_COMPONENTS = 640
#: Components weaker than this beside the strongest carry nothing at any useful step.
_NOTHING = 1e-6
#: Cells that the second stage is fitted to, per dimension, at most.
_CELLS_PER_DIMENSION = 64
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
            sums[name][1] += flat @ flat.T
            counts[name] += flat.shape[1]
            ranges[name] = np.minimum(ranges[name][0], low), np.maximum(ranges[name][1], high)
        advance()
    out = {}
    for name, (total, squares) in sums.items():
        mean = total / counts[name]
        out[name] = ChannelMoments(mean, squares / counts[name] - np.outer(mean, mean), *_limits(*ranges[name]))
    return out


def _limits(low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """The range that decoded values may have: the level's own floor where an activation has one, else with room."""
    room = 0.5 * (high - low)
    floor = low.min()
    bounded = np.isclose(low, floor, rtol=1e-3, atol=1e-6)  # channels that reach what none goes below
    everywhere = bounded.mean() > 0.5
    return (np.full_like(low, floor) if everywhere else low - room), high + room


def level_parts(
    group: GroupAbout, moments: Mapping[str, ChannelMoments], sensitivity: Mapping[str, Doubles]
) -> tuple[LevelPart, ...]:
    """The first stage: each level's channel KLT in the weighted domain, all cut at one variance."""
    solved = {}
    for level in group.levels:
        weight = np.sqrt(sensitivity[level.name])
        values, vectors = np.linalg.eigh(moments[level.name].covariance * np.outer(weight, weight))
        solved[level.name] = weight, np.maximum(values[::-1], 0), _signed(vectors[:, ::-1].T)
    ratios = {level.name: level.ratio for level in group.levels}
    counts = _kept({name: each[1] for name, each in solved.items()}, ratios)
    return tuple(_part(level, moments[level.name], *solved[level.name], counts[level.name]) for level in group.levels)


def _kept(variances: Mapping[str, Doubles], ratios: Mapping[str, int]) -> dict[str, int]:
    """How many components each level keeps, so that what is dropped is no stronger than what is kept."""
    ranked = sorted(((v, name) for name, each in variances.items() for v in each), reverse=True)
    counts = dict.fromkeys(variances, 1)
    dimensions = sum(ratios[name] ** 2 for name in variances)
    seen = dict.fromkeys(variances, 0)
    for variance, name in ranked:
        seen[name] += 1
        if seen[name] == 1:
            continue
        if dimensions + ratios[name] ** 2 > MOST_DIMENSIONS or variance < _NOTHING * ranked[0][0]:
            break
        counts[name] += 1
        dimensions += ratios[name] ** 2
    return counts


def _part(
    level: LevelAbout, moments: ChannelMoments, weight: Doubles, values: Doubles, rows: Doubles, count: int
) -> LevelPart:
    del values
    return LevelPart(
        level,
        moments.mean.astype(np.float32),
        weight.astype(np.float32),
        moments.low,
        moments.high,
        rows[:count].astype(np.float16).astype(np.float32),
    )


def _signed(rows: Doubles) -> Doubles:
    """Rows whose largest entry is positive: eigenvectors have no sign of their own."""
    largest = rows[np.arange(len(rows)), np.abs(rows).argmax(axis=1)]
    return rows * np.where(largest < 0, -1.0, 1.0)[:, None]


def stacked(parts: Sequence[LevelPart], maps: Mapping[str, Floats]) -> Floats:
    """First-stage components [D, cells] of one view."""
    sizes = {part.about.name: maps[part.about.name].shape[1:] for part in parts}
    grid = grid_of(parts, sizes)
    return np.concatenate([stacked_cells(part, maps[part.about.name], grid) for part in parts])


def cell_covariance(
    parts: Sequence[LevelPart], views: Views, fit: Iterable[View], advance: Callable[[], None]
) -> Doubles:
    """Second moments [D, D] of the first-stage components in cells. They are centred already."""
    total: Doubles | None = None
    count = 0
    for view in fit:
        cells = stacked(parts, views.sent(view))
        rng = np.random.default_rng(count)
        most = max(_CELLS_PER_DIMENSION * len(cells) // 32, 256)
        if cells.shape[1] > most:
            cells = np.ascontiguousarray(cells[:, rng.choice(cells.shape[1], most, replace=False)])
        part = (cells @ cells.T).astype(np.float64)
        total = part if total is None else total + part
        count += cells.shape[1]
        advance()
    assert total is not None
    return total / count


def components_of(covariance: Doubles, parts: Sequence[LevelPart], fused: bool) -> tuple[Doubles, Doubles]:
    """Variances [K] and orthonormal rows [K, D] of the second stage; without it, of the dimensions themselves."""
    if not fused:
        order = np.argsort(-np.diag(covariance), kind="stable")[:MOST_COMPONENTS]
        return np.diag(covariance)[order], np.eye(len(covariance))[order]
    values, vectors = np.linalg.eigh(covariance)
    values, rows = values[::-1], _signed(vectors[:, ::-1].T)
    count = min(int((values > _NOTHING * values[0]).sum()), MOST_COMPONENTS)
    return values[:count], rows[:count]
