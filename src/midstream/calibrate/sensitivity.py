"""How much the network's outputs move per unit of noise in a channel of a level. Forward passes only."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from midstream.calibrate.distance import responder
from midstream.calibrate.views import View, Views
from midstream.models import SplitModel
from midstream.pipelines.levels import completed

#: Noise beside a channel's own deviation: about what coding does to it at a useful rate.
NOISE = 0.3
#: Pictures beyond these add little.
_MOST_PICTURES = 16
_LEAST_PICTURES = 2
#: A channel counts at least this share of its level's mean in a picture, for what the picture did not show.
_FLOOR = 1e-4


@dataclass(frozen=True)
class Plan:
    """How sensitivity is sampled within a budget: pictures, and channels that are disturbed together."""

    pictures: int
    together: int


def plan(passes: int, seconds_a_pass: float, budget_s: float) -> Plan:
    """A plan for `passes` passes of a picture, with channels one by one if the budget allows."""
    affordable = max(int(budget_s / max(seconds_a_pass, 1e-6)), 1)
    pictures = int(np.clip(affordable // passes, _LEAST_PICTURES, _MOST_PICTURES))
    return Plan(pictures, -(-passes * pictures // max(affordable, pictures)))


def seconds_a_pass(model: SplitModel, views: Views) -> float:
    """What a pass of the back takes here, with measuring how far its outputs moved."""
    view = views.plain[0]
    pyramid = views.full(view)
    respond = responder(model, pyramid, view.size)
    respond(pyramid)
    start = time.perf_counter()
    respond(pyramid)
    return time.perf_counter() - start


def channel_sensitivity(
    model: SplitModel,
    views: Views,
    deviations: dict[str, NDArray[np.float64]],
    chosen: Plan,
    seed: int,
    advance: Callable[[], None],
) -> dict[str, NDArray[np.float64]]:
    """Squared movement of the outputs per unit of squared noise, [C] by level, 1 on average.

    The geometric mean over pictures, each taken relative to its own average: in a picture where much is seen everything
    moves more, and a few of those would decide alone.

    Args:
        model: the network.
        views: the first pictures of them are disturbed; results are kept beside the pyramids.
        deviations: of each channel, [C] by level.
        chosen: how to sample; channels that are disturbed together share what they move.
        seed: of the noise.
        advance: called after every pass.
    """
    pictures = views.plain[: chosen.pictures]
    logs = {name: np.zeros(len(each)) for name, each in deviations.items()}
    for number, view in enumerate(pictures):
        moved = views.kept(
            f"sensitivity {seed} {number} {chosen.together}",
            view,
            partial(_picture, model, views, view, deviations, chosen.together, [seed, number], advance),
        )
        mean = max(float(np.mean([each.mean() for each in moved.values()])), 1e-30)
        for name, each in moved.items():
            logs[name] += np.log(np.maximum(each, _FLOOR * max(each.mean(), 1e-30)) / mean) / len(pictures)
    found = {name: np.exp(each) for name, each in logs.items()}
    average = np.mean([each.mean() for each in found.values()])
    return {name: each / average for name, each in found.items()}


def _picture(
    model: SplitModel,
    views: Views,
    view: View,
    deviations: dict[str, NDArray[np.float64]],
    together: int,
    seed: list[int],
    advance: Callable[[], None],
) -> dict[str, NDArray[np.float64]]:
    pyramid, sent = views.full(view), views.sent(view)
    respond, rng = responder(model, pyramid, view.size), np.random.default_rng(seed)
    out = {}
    for name, deviation in deviations.items():
        moved = np.zeros(len(deviation))
        # Those of like strength go together, where not each has a pass of its own.
        for channels in _bundles(deviation, together):
            noise = _noise(pyramid[name][channels].shape, deviation[channels], rng)
            changed = {**sent, name: pyramid[name].copy()}
            changed[name][channels] += noise
            step = respond(completed(model, changed, list(pyramid)))
            moved[channels] = float(np.dot(step, step)) / max(float(np.sum(noise.astype(np.float64) ** 2)), 1e-30)
            advance()
        out[name] = moved
    return out


def _noise(shape: tuple[int, ...], deviation: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float32]:
    signs = rng.integers(0, 2, shape).astype(np.float32) * 2 - 1
    scale = NOISE * np.maximum(deviation, 1e-3 * deviation.max(initial=1e-6))
    return np.asarray(signs * scale[:, None, None], np.float32)


def _bundles(deviation: NDArray[np.float64], together: int) -> Sequence[NDArray[np.intp]]:
    order = np.argsort(-deviation, kind="stable")
    return [order[at : at + together] for at in range(0, len(order), together)]
