"""What is chosen by trying: the power of the sensitivity, and whether levels are coded one after another."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from midstream.calibration import curve, transform
from midstream.calibration.coder import COUNT_LIMIT
from midstream.calibration.fitting import Fit, Material, fitted, strongest_of, transforms
from midstream.calibration.loss import CalibrationReference
from midstream.calibration.settings import POWERS, TRIAL_PASSES, TRIAL_SAMPLES, CalibrationSettings
from midstream.codec.calibrated.document import QUALITIES, About, CurvePoint
from midstream.codec.calibrated.profile import Profile, pack_profile
from midstream.codec.calibrated.profile_file import tensors_of
from midstream.progress import Progress

#: Above the strongest coefficient, in eighths of an octave, the curve begins.
_CURVE_ABOVE = 4
#: Of a trial's curve: eighths of an octave between its points.
_RUNG = 6
#: The losses down to which powers are compared, and layers: maps of their own cost the most where little else is coded,
#: so that coarse steps alone would not show what they are worth.
_LEAST_LOSS, _LEAST_LOSS_OF_LAYERS = 0.02, 0.006
#: Whose steps are trained for: they stand for losses from 12 to 0.6 %, at which trainings are compared.
_TRAINED_QUALITIES = (19, 31, 43, 55, 67, 78)
#: A trial that takes so many times the bytes of another is not carried on.
_HOPELESS = 1.5
Metrics = dict[str, NDArray[np.float64]]


def coarsest(profile: Profile) -> int:
    """The step at which a curve begins."""
    return strongest_of(profile.groups, profile.layers) + _CURVE_ABOVE


def best_power(
    reference: CalibrationReference,
    about: About,
    moments: Mapping[str, transform.ChannelMoments],
    metrics_of: Callable[[float], Metrics],
    affordable: int,
    settings: CalibrationSettings,
    progress: Progress,
) -> float:
    """The power of the sensitivity with which the held-out images take the fewest bytes at the same loss."""
    views = reference.views
    passes = TRIAL_PASSES * len(views.held_out)
    if not settings.tools.sensitivity or not settings.tools.power or passes > affordable:
        return POWERS[0]
    chosen = views.plain[:TRIAL_SAMPLES]
    material = Material(reference.model, views, chosen, chosen, chosen, settings, progress)

    def drafts() -> Iterable[Profile]:
        for power in POWERS:
            trial = transforms(material, about, moments, metrics_of(power), transform.LEFT_OUT[0])
            yield _draft(about, fitted(material, trial, about))

    names = [f"sensitivity to the power of {power:g}" for power in POWERS]
    return POWERS[_fewest_bytes(reference, names, drafts(), _LEAST_LOSS, progress)]


def best_way(
    reference: CalibrationReference, abouts: Sequence[About], made: Sequence[Sequence[Fit]], progress: Progress
) -> int:
    """Which of these, with layers or without, takes the fewest bytes of the held-out images at the same loss."""
    names = ["levels one after another" if about.layers else "all levels together" for about in abouts]
    drafts = (_draft(about, fits) for about, fits in zip(abouts, made, strict=True))
    return _fewest_bytes(reference, names, drafts, _LEAST_LOSS_OF_LAYERS, progress)


def best_training(reference: CalibrationReference, drafts: Sequence[Profile], progress: Progress) -> int:
    """Whether what was trained, the second, takes fewer bytes of the held-out images at the same loss: 1 or 0."""
    return _fewest_bytes(reference, ["not trained", "trained"], drafts, _LEAST_LOSS_OF_LAYERS, progress)


def steps_of_use(reference: CalibrationReference, draft: Profile, progress: Progress) -> list[int]:
    """Indices of the quantiser steps at which trainings are compared, of losses in equal ratios."""
    progress.stage("which steps are of use")
    steps = curve.quality_steps(_curve(reference, draft, _LEAST_LOSS_OF_LAYERS, progress))
    return [steps[quality - QUALITIES[0]] for quality in _TRAINED_QUALITIES]


def _draft(about: About, fits: Sequence[Fit]) -> Profile:
    return pack_profile(about, tensors_of([fit.group for fit in fits], COUNT_LIMIT))


def _fewest_bytes(
    reference: CalibrationReference,
    names: Sequence[str],
    drafts: Iterable[Profile],
    least_loss: float,
    progress: Progress,
) -> int:
    curves = list[list[CurvePoint]]()
    for name, draft in zip(names, drafts, strict=True):
        progress.stage(f"trying {name}")
        most = min((_HOPELESS * max(point.bytes for point in each) for each in curves), default=math.inf)
        curves.append(_curve(reference, draft, least_loss, progress, most))
    costs = curve.costs_at_equal_loss(curves)
    for name, cost in zip(names, costs, strict=True):
        progress.say(f"{name}: {cost:,.0f} bytes an image at equal losses down to {least_loss:.1%}")
    best = int(np.argmin(costs))
    progress.say(f"taken: {names[best]}")
    return best


def _curve(
    reference: CalibrationReference, draft: Profile, least_loss: float, progress: Progress, most: float = math.inf
) -> list[CurvePoint]:
    """Of a trial, down to this loss or up to so many bytes."""
    usual, losses = reference.usual, (least_loss, 0.0)
    coded = curve.measured(reference, draft, coarsest(draft), _RUNG, losses, usual, progress.step, most)
    return curve.curve_points(coded, usual)
