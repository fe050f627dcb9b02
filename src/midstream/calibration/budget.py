"""What a calibration takes on this machine, by a rehearsal on a few views, and what a budget allows of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from midstream.calibration import curve, layout, sensitivity, transform
from midstream.calibration.coder import COUNT_LIMIT
from midstream.calibration.fitting import Fit, Material, strongest_of, transforms, with_coder, with_probe
from midstream.calibration.probe import BATCH, steps_for
from midstream.calibration.settings import (
    LEAST_IMAGES,
    MOST_SAMPLES,
    MOST_SHOWN,
    POWERS,
    TRIAL_PASSES,
    TRIAL_SAMPLES,
    CalibrationSettings,
)
from midstream.calibration.views import HELD_OUT, View, Views
from midstream.codec.base import ImportanceGrid
from midstream.codec.calibrated.document import About
from midstream.codec.calibrated.profile import pack_profile
from midstream.codec.calibrated.profile_file import tensors_of
from midstream.halves.coding import map_scores
from midstream.models import SplitModel
from midstream.progress import Progress

#: Views of the rehearsal, and as many again as samples.
_FEW = 6
#: Points of a curve, of a power's trial and of a way's to code levels, and transforms that are fitted, usually.
_POINTS, _RELATED_POINTS, _TRIAL_POINTS, _WAY_POINTS, _TRANSFORMS = 14, 3, 8, 11, 2
#: Below the strongest coefficient, in eighths of an octave: a step in the middle of a curve.
_MIDDLE = 24
#: Of the budget, what images may take up; the rest is for sensitivity, at most a quarter, and the trial of powers.
_FOR_IMAGES, _FOR_PASSES = 0.6, 0.25
#: Passes for sensitivity that are always made.
_LEAST_PASSES = 64
_T = TypeVar("_T")


@dataclass(frozen=True)
class Costs:
    """Seconds on this machine.

    Attributes:
        front: of running the front on a view, with reading it.
        view: of a view in the statistics that a transform is fitted to.
        transform: of fitting a transform to them.
        seen: of a view that the probe is fitted to.
        learnt: of a step of its fit.
        sample: of a view that the contexts are pre-trained on.
        fit: of all that is fitted to samples, once.
        case: of a held-out image at a step.
        step: of a pass of the back, for sensitivity.
        mirrored: views for each image that is fitted to, 1 or 2.
        ways: in which levels may be coded, 1 or 2, of which the better one is taken: layers are one.
    """

    front: float
    view: float
    transform: float
    seen: float
    learnt: float
    sample: float
    fit: float
    case: float
    step: float
    mirrored: int
    ways: int

    def fitting(self, images: int) -> float:
        """Of everything but sensitivity and the trial of its powers."""
        held_out = -(-images // HELD_OUT)
        views = (images - held_out) * self.mirrored
        once = (
            self._probe(min(2 * views, MOST_SHOWN))
            + _TRANSFORMS * (self.transform + views * self.view)
            + self.fit
            + min(views, MOST_SAMPLES) * self.sample
        )
        ways = self.ways if images - held_out >= layout.FEWEST_IMAGES else 1
        tried = _WAY_POINTS * ways if ways > 1 else 0
        measured = (_POINTS + 2 + tried) * held_out + _RELATED_POINTS * images
        return self._fronts(images) + ways * once + measured * self.case

    def after_sensitivity(self, images: int) -> float:
        """Of the trial of its powers, and of all that is fitted and measured then."""
        return self.trial(images) + self.fitting(images) - self._fronts(images)

    def _fronts(self, images: int) -> float:
        held_out = -(-images // HELD_OUT)
        return (2 * (images - held_out) * self.mirrored + 2 * held_out) * self.front

    def trial(self, images: int) -> float:
        """Of the trial of all powers."""
        held_out = -(-images // HELD_OUT)
        samples = min(images - held_out, TRIAL_SAMPLES)
        one = self.transform + self.fit + samples * (self.view + self.sample) + _TRIAL_POINTS * held_out * self.case
        return len(POWERS) * (one + self._probe(samples))

    def _probe(self, views: int) -> float:
        return views * self.seen + steps_for(views) * self.learnt


@dataclass(frozen=True)
class Allowance:
    """What a budget allows.

    Attributes:
        images: how many.
        passes: for sensitivity.
        seconds: what these take.
        least: seconds that the fewest images and passes take.
        after: seconds of them behind sensitivity, with the trial of its powers; none where there is no trial.
    """

    images: int
    passes: int
    seconds: float
    least: float
    after: float = 0.0


def rehearsed(
    model: SplitModel, views: Views, abouts: Sequence[About], settings: CalibrationSettings, progress: Progress
) -> Costs:
    """What a calibration on a few views takes, in a metric in which all channels are alike."""
    about = abouts[0]
    few = views.plain[:_FEW]
    front, _ = _timed(lambda: [views.full(view) for view in few])
    counted, moments = _timed(lambda: transform.channel_moments(views, few, lambda: None))
    metrics = {name: np.eye(len(each.mean)) for name, each in moments.items()}
    tools = settings.tools
    material = Material(model, views, few, few, few, settings, progress)
    once, fits = _timed(lambda: transforms(material, about, moments, metrics, transform.LEFT_OUT[0]))
    count = about.layer_count
    together = [
        tuple(level for fit in fits[:count] for level in fit.group.levels),
        *(f.group.levels for f in fits[count:]),
    ]
    cells, _ = _timed(lambda: [transform.cell_covariance(each, moments, views, few, lambda: None) for each in together])

    seen, learnt = 0.0, 0.0
    if tools.importance:
        seen, _ = _timed(lambda: [_scores(model, views, view) for view in few])
        probed, fits = _timed(lambda: with_probe(material, fits, about))
        learnt = max(probed - seen, 0) / steps_for(len(few)) * BATCH / len(few)

    def sampled(samples: Sequence[View]) -> tuple[float, list[Fit]]:
        return _timed(lambda: with_coder(replace(material, sampled=samples), fits, about))

    half, _ = sampled(few[: _FEW // 2])
    whole, done = sampled(few)
    draft = pack_profile(about, tensors_of([fit.group for fit in done], COUNT_LIMIT))
    sample = max(whole - half, 0.1 * whole) / (_FEW - _FEW // 2)
    return Costs(
        front / len(few),
        (counted + cells) / len(few),
        max(once - cells, 0),
        seen / len(few),
        learnt,
        sample,
        max(whole - len(few) * sample, 0),
        curve.seconds_a_case(model, views, draft, max(strongest_of(draft.groups, draft.layers) - _MIDDLE, 0)),
        sensitivity.seconds_a_pass(model, views),
        2 if tools.flips else 1,
        len(abouts),
    )


def _scores(model: SplitModel, views: Views, view: View) -> NDArray[np.float32]:
    pyramid = views.full(view)
    return map_scores(model, pyramid, view.size, ImportanceGrid((1, 1), (tuple(pyramid),)))


def allowance(costs: Costs, images: int, seconds: float) -> Allowance:
    """What so many seconds allow of so many images; never fewer than the least that a calibration needs."""
    within = [n for n in range(LEAST_IMAGES, images + 1) if costs.fitting(n) <= _FOR_IMAGES * seconds]
    chosen = max(within, default=LEAST_IMAGES)
    fitting, trial = costs.fitting(chosen), costs.trial(chosen)
    left = seconds - fitting
    passes = int(min(left, _FOR_PASSES * seconds) / costs.step)
    tried = TRIAL_PASSES * -(-chosen // HELD_OUT)
    if passes >= tried and left < trial + tried * costs.step:  # no time for the trial that so many passes bring
        passes = tried - 1
    elif passes >= tried:
        passes = min(passes, int((left - trial) / costs.step))
    passes = max(passes, _LEAST_PASSES)
    spent = fitting + passes * costs.step + (trial if passes >= tried else 0)
    after = costs.after_sensitivity(chosen) if passes >= tried else 0.0
    return Allowance(chosen, passes, spent, costs.fitting(LEAST_IMAGES) + _LEAST_PASSES * costs.step, after)


def _timed(work: Callable[[], _T]) -> tuple[float, _T]:
    before = time.monotonic()
    done = work()
    return time.monotonic() - before, done
