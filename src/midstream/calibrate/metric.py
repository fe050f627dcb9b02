"""How the network's outputs move with the components of the transform: a metric over all their directions.

Every component is disturbed by itself, in all cells at once with the same random signs; the inner products of what the
outputs do are the metric. Forward passes only: a Jacobian's Gram matrix by finite differences.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from midstream.calibrate.distance import responder
from midstream.calibrate.views import View, Views
from midstream.codec.calibrated.profile import Floats, GroupPart
from midstream.codec.calibrated.transform import grid_of
from midstream.models import SplitModel
from midstream.pipelines.features import completed

#: Strongest components that are measured; weaker ones count as the weakest of these do.
MOST_MEASURED = 256
#: Of each output's coordinates those that move most are compared.
_COORDINATES = 1 << 16
_FIRST = 16
#: Directions in which nothing seems to move count this share of the mean: what was not seen may still matter.
_FLOOR = 0.05
#: How far the metric is believed beyond what single components say, 0 to 1.
_BELIEF = 0.5


def component_metric(
    model: SplitModel,
    views: Views,
    group: GroupPart,
    amplitude: float,
    pictures: int,
    seed: int,
    advance: Callable[[], None],
) -> NDArray[np.float64]:
    """The metric [M, M] of the first M components, per unit of squared disturbance and cell."""
    count = min(len(group.forward), MOST_MEASURED)
    total = np.zeros((count, count))
    chosen = views.plain[-pictures:]  # others than those that the channels were measured with
    for number, view in enumerate(chosen):
        rng = np.random.default_rng([seed, number])
        total += _picture(model, views, view, group, amplitude, rng, advance) / len(chosen)
    return total


def _picture(
    model: SplitModel,
    views: Views,
    view: View,
    group: GroupPart,
    amplitude: float,
    rng: np.random.Generator,
    advance: Callable[[], None],
) -> NDArray[np.float64]:
    count = min(len(group.forward), MOST_MEASURED)
    pyramid, sent = views.full(view), views.sent(view)
    respond = responder(model, pyramid, view.size)
    sizes = {level.about.name: sent[level.about.name].shape[1:] for level in group.levels}
    grid = grid_of(group.levels, sizes)
    signs = (rng.integers(0, 2, grid).astype(np.float32) * 2 - 1) * np.float32(amplitude)
    rows: list[Floats] = []
    kept: NDArray[np.intp] | None = None
    for k in range(count):
        moved = respond(completed(model, {**sent, **_disturbed(group, k, signs, sent)}, list(pyramid)))
        rows.append(moved if kept is None else moved[kept])
        if k + 1 == min(_FIRST, count):
            energy = np.sum(np.square(rows), axis=0)
            kept = np.sort(np.argsort(-energy, kind="stable")[:_COORDINATES])
            rows = [row[kept] for row in rows]
        advance()
    table = np.stack(rows).astype(np.float64)
    return np.asarray(table @ table.T / (amplitude**2 * grid[0] * grid[1]))


def _disturbed(group: GroupPart, k: int, signs: Floats, sent: dict[str, Floats]) -> dict[str, Floats]:
    """The group's levels with component k moved by `signs` [height, width]."""
    out, at = {}, 0
    for level in group.levels:
        ratio, size = level.about.ratio, len(level.basis) * level.about.ratio**2
        pattern = group.inverse[at : at + size, k].reshape(len(level.basis), -1)
        at += size
        cell = ((level.basis / level.weight).T @ pattern).reshape(-1, ratio, ratio)
        name = level.about.name
        tiled = np.kron(signs, np.ones((ratio, ratio), np.float32))[: sent[name].shape[1], : sent[name].shape[2]]
        repeats = (1, signs.shape[0], signs.shape[1])
        out[name] = sent[name] + np.tile(cell, repeats)[:, : tiled.shape[0], : tiled.shape[1]] * tiled
    return out


def remixed(
    variances: NDArray[np.float64], metric: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Components that the task weighs equally: variances [K], the mixing [K, K] and the way back, [K, K].

    The square root of the metric makes the task's distance Euclidean; the KLT there decorrelates again.
    """
    single = np.diag(np.diag(metric))
    values, vectors = np.linalg.eigh(_BELIEF * metric + (1 - _BELIEF) * single)
    values = np.sqrt(np.maximum(values, _FLOOR * values.mean()))
    root, back = (vectors * values) @ vectors.T, (vectors / values) @ vectors.T
    measured, count = len(metric), len(variances)
    rest = float(np.sqrt(np.diag(metric)[-(measured // 4 + 1) :].mean()))
    spread, turned = np.linalg.eigh(root @ np.diag(variances[:measured]) @ root)
    mixing, unmixing = np.eye(count) * rest, np.eye(count) / rest
    mixing[:measured, :measured], unmixing[:measured, :measured] = turned.T @ root, back @ turned
    new = np.concatenate([np.maximum(spread, 0), variances[measured:] * rest**2])
    order = np.argsort(-new, kind="stable")
    return new[order], mixing[order], unmixing[:, order]


