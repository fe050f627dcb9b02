"""A whole calibration: from images to a profile."""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from midstream import _native
from midstream.calibration import budget, curve, sensitivity, transform
from midstream.calibration.clips import ClipSource, FrameHash, made_clips
from midstream.calibration.coder import COUNT_LIMIT
from midstream.calibration.fitting import Fit, strongest_of
from midstream.calibration.layout import groups_of, layers_of, may_have_layers
from midstream.calibration.loss import ENOUGH_OBJECTS, CalibrationReference, reference_for
from midstream.calibration.made import Made, Tensors, Variances
from midstream.calibration.predicting import LEAST_FRAMES, MIDDLE_BELOW, ROUNDS, clip_samples, with_frames
from midstream.calibration.sensitivity import Sensitivity
from midstream.calibration.settings import CalibrationSettings
from midstream.calibration.trials import coarsest
from midstream.calibration.views import Views
from midstream.codec.calibrated.document import (
    CELL_PROBE_VERSION,
    ENTROPY_VERSION,
    LAYERS_VERSION,
    QUALITIES,
    About,
    CurvePoint,
    GroupAbout,
    ImportanceClasses,
)
from midstream.codec.calibrated.profile import Profile, pack_profile
from midstream.codec.calibrated.profile_file import tensors_of
from midstream.data.reading import Skipped
from midstream.errors import InputError
from midstream.halves.levels import sent
from midstream.models import SplitModel
from midstream.models.plausible import USUAL_MISTAKES
from midstream.progress import SILENT, Progress
from midstream.version import __version__
from midstream.wording import counted

#: Five classes, three quarters of an octave apart: steps up to 8 times coarser where nothing is seen.
IMPORTANCE_CLASSES = ImportanceClasses(classes=5, spacing=6, knee=0.5)
_ONE_CLASS = ImportanceClasses(classes=1, spacing=1, knee=0.5)
#: Images with which it is looked up whether a network can be trained through.
_TRIED = 4
#: By which a budget may be missed before what improves on a profile by trying is left out.
_LATE = 1.1
#: A disagreement at the coarsest step below which a network does not look at its features.
_NEVER_MOVED = 1e-3
#: A loss at the finest steps that people are told of: quality 50 stands for half of it.
_POOR = 0.05


@dataclass(frozen=True)
class Calibration:
    """The result, and what its report shows.

    Attributes:
        profile: the network's.
        sensitivity: of each channel as measured, [C] by level.
        power: to which it is used.
        variances: of the coefficients of each group, [K].
        skipped: images that could not be read, with the reason.
    """

    profile: Profile
    sensitivity: Mapping[str, NDArray[np.float64]]
    power: float
    variances: Sequence[NDArray[np.float64]]
    skipped: Sequence[Skipped]


def fit(
    model: SplitModel,
    views: Views,
    settings: CalibrationSettings,
    progress: Progress = SILENT,
    clips: Sequence[ClipSource] = (),
) -> Calibration:
    """Fit a profile to what `views` shows of a network, and `clips` of its frames one after another.

    Raises InputError for a network that none fits, and for a clip that cannot be read.
    """
    settings = settings.used_for(model, video=bool(clips))
    by_clock = None if settings.passes else _within_budget(model, views, settings, progress)
    passes, trial_until = by_clock or (settings.passes or 0, math.inf)
    progress.stage("running the front", len(views.all))
    views.prepare(progress.step)
    if 2 * views.different < views.count:
        alike = f"of {counted(views.count, 'image')} only {views.different} differ"
        progress.warn(f"{alike}: a profile that is fitted to them may be fit for little else")
    reference = reference_for(model, views, views.held_out)
    _check_training(model, views, settings, reference)
    progress.stage("statistics of channels", len(views.fit))
    moments = transform.channel_moments(views, views.fit, progress.step)
    measured = _sensitivity(model, views, moments, passes, settings, progress)
    abouts = _abouts(model, views, settings)
    metrics_of = partial(sensitivity.metrics, measured, directions=settings.tools.directions)
    made = Made(reference, abouts, moments, metrics_of, passes, trial_until, settings, progress)
    power, about, tensors, variances = _chosen(made, clips)
    draft = pack_profile(about, tensors)
    progress.stage("measuring rate and loss")
    losses = curve.LEAST_LOSS, curve.WORST_QUALITY
    coded = curve.measured(reference, draft, coarsest(draft), curve.RUNG, losses, reference.harsh, progress.step)
    if reference.empty:
        progress.warn(
            f"nothing is found in {counted(len(views.held_out), 'image')} even without coding, so that every quality "
            f"is said to lose 100 %: {USUAL_MISTAKES}, or use images of what the network is for"
        )
    elif reference.objects is not None and reference.objects < ENOUGH_OBJECTS:
        found = f"{counted(reference.objects, 'object')} in {counted(len(views.held_out), 'image')}"
        progress.warn(f"losses are estimated from {found}, and may be far off: use other images, or 200 of them")
    if max(each.seen.disagreement for each in coded) < _NEVER_MOVED and not reference.empty:
        progress.warn("the outputs hardly move however coarse the steps are: qualities mean nothing for this cut")
    relation = reference.usual
    if reference.objects is not None:
        progress.stage("what disagreement costs", views.count)
        both = reference_for(model, views, views.plain + views.held_out)
        relation = curve.relation_shown(both, draft, coded, progress.step)
        tenth = f"{relation.loss(0.1):.1%} of its accuracy, where {reference.usual.loss(0.1):.1%} is usual"
        progress.say(f"where a tenth of what it finds changes, this network loses {tenth}")
    points = curve.curve_points(coded, relation)
    if not reference.empty and (least := min(point.loss for point in points)) > _POOR:
        progress.warn(
            f"even the finest steps lose about {least:.0%}, and no quality less: more or other images may help, or "
            "another cut"
        )
    qualities = curve.quality_steps(points)
    for finer, coarser, above, below in curve.cliffs(points, qualities):
        progress.say(
            f"a cliff: from quality {above} to {below}, half an octave of the step, the estimated loss rises from "
            f"{finer.loss:.1%} to {coarser.loss:.1%}"
        )
    final = about.model_copy(update={"curve": tuple(points), "qualities": qualities, "power": power})
    return Calibration(
        pack_profile(final, tensors),
        {name: each.channels for name, each in measured.items()},
        power,
        variances,
        views.skipped,
    )


def _check_training(
    model: SplitModel, views: Views, settings: CalibrationSettings, reference: CalibrationReference
) -> None:
    """Raise InputError before long work where a training is asked for that cannot be."""
    if settings.training is None:
        return
    from midstream.calibration.training.run import check_trainable

    if reference.empty:
        raise InputError("nothing is found in the held-out images, so that a training has nothing to keep: use others")
    check_trainable(model, [views.full(view) for view in views.plain[:_TRIED]])


def _chosen(made: Made, clips: Sequence[ClipSource]) -> tuple[float, About, Tensors, Variances]:
    """The power of the sensitivity, the document, and the groups as tensors with the variances of each."""
    training = made.settings.training
    if not clips:
        power, about, tensors, variances = made.kept()
        if training is not None:
            about, tensors, variances = made.kept_trained(power, about, tensors, variances)
        return power, about, tensors, variances
    power, about, fits = made.fits()
    if training is not None:
        about, fits = made.trained(power, about, tensors_of([fit.group for fit in fits], COUNT_LIMIT)) or (about, fits)
    reference = made.reference
    about, fits = _with_clips(reference.model, reference.views, made.settings, about, fits, clips, made.progress)
    return power, about, tensors_of([fit.group for fit in fits], COUNT_LIMIT), [fit.variances for fit in fits]


def _with_clips(
    model: SplitModel,
    views: Views,
    settings: CalibrationSettings,
    about: About,
    fits: Sequence[Fit],
    clips: Sequence[ClipSource],
    progress: Progress,
) -> tuple[About, list[Fit]]:
    """The groups with how their frames are predicted, and what the document says of that."""
    groups, seen = [fit.group for fit in fits], FrameHash()
    strongest = strongest_of(groups, about.layer_count)
    stills = made_clips([view.file.path for view in views.plain], len(clips), settings.seed)
    progress.stage("running the front on clips", len(clips) + len(stills))
    samples = []
    for frames in (*(clip.frames() for clip in clips), *stills):
        pyramids = (sent(model, model.front(seen.seen(frame))) for frame in frames)
        samples.append(clip_samples(groups, about, pyramids, strongest - MIDDLE_BELOW))
        progress.step()
    if all(len(each[0]) < LEAST_FRAMES for each in samples[: len(clips)]):
        raise InputError("the clips have a frame each: prediction needs frames that follow one another")
    out = []
    for number, fit in enumerate(fits):
        own = [each[number] for each in samples if len(each[number]) >= LEAST_FRAMES]
        progress.stage("predicting frames", len(own) * (ROUNDS + 1))
        known = number >= about.layer_count
        group = with_frames(fit.group, about.importance, own, known, strongest, progress.step)
        out.append(replace(fit, group=group))
    update = {"frames": seen.count, "frame_hash": seen.text}
    return about.model_copy(update=update), out


def _within_budget(
    model: SplitModel, views: Views, settings: CalibrationSettings, progress: Progress
) -> tuple[int, float]:
    """The passes that the budget allows for sensitivity; views become fewer where it allows no more.

    And until when, by the monotonic clock, there is time for the trial of its powers and for what comes then.

    A run that was stopped goes on with what it was allowed: with other images nothing of it could be used.
    """
    progress.stage("what it will take")
    what = f"allowed for ways {settings.budget_s} {settings.images} {settings.seed} {settings.tools}"
    found = views.kept(what, None, lambda: _allowed(model, views, settings, progress))
    views.keep(int(found["images"][0]))
    until = views.started + _LATE * settings.budget_s - found["after"][0] if found["after"][0] else math.inf
    return int(found["passes"][0]), until


def _allowed(
    model: SplitModel, views: Views, settings: CalibrationSettings, progress: Progress
) -> dict[str, NDArray[np.float64]]:
    costs = budget.rehearsed(model, views, _abouts(model, views, settings), settings, progress)
    before = time.monotonic() - views.started
    allowed = budget.allowance(costs, views.count, settings.budget_s - before)
    beside = ", beside the training" if settings.training else ""
    took, least = before + allowed.seconds, f"the least that this network takes is about {before + allowed.least:.0f} s"
    if before + allowed.least > settings.budget_s:
        progress.warn(f"a budget of {settings.budget_s:.0f} s is too short: {least}")
    else:
        progress.say(f"about {took:.0f} s in all{beside}, with {counted(allowed.images, 'image')}; {least}")
    numbers = {"images": allowed.images, "passes": allowed.passes, "after": allowed.after}
    return {name: np.array([float(number)]) for name, number in numbers.items()}


def _abouts(model: SplitModel, views: Views, settings: CalibrationSettings) -> list[About]:
    """The document of a profile, first with layers where there may be some."""
    shapes = {name: values.shape for name, values in views.sent(views.plain[0]).items()}
    tools, groups = settings.tools, groups_of({name: (s[0], s[1], s[2]) for name, s in shapes.items()})
    out = [_about(model, views, settings, tuple(shapes), groups, None)]
    if tools.layers and tools.importance and tools.pretrained and may_have_layers(model, groups, views):
        out.insert(0, _about(model, views, settings, tuple(shapes), *layers_of(groups)))
    return out


def _about(
    model: SplitModel,
    views: Views,
    settings: CalibrationSettings,
    order: tuple[str, ...],
    groups: tuple[GroupAbout, ...],
    layers: int | None,
) -> About:
    tools = settings.tools
    version = LAYERS_VERSION if layers else ENTROPY_VERSION if tools.pretrained else CELL_PROBE_VERSION
    return About(
        version=version,
        made_by=_made_by(),
        network=model.name,
        cut=model.fingerprint,
        pictures=views.count,
        picture_hash=views.image_hash,
        seed=settings.seed,
        tools=dict(tools.to_dict()),
        groups=groups,
        layers=layers,
        order=order,
        places=IMPORTANCE_CLASSES if tools.importance else _ONE_CLASS,
        qualities=(0,) * len(QUALITIES),
        curve=(CurvePoint(step=0, bytes=1.0, loss=0.0),),
    )


def _made_by() -> str:
    """The release, and what else decides the last bits of a profile."""
    versions = f"numpy {np.__version__}, onnxruntime {onnxruntime.__version__}, opencv {cv2.__version__}"
    return f"{__version__}, {versions}, {platform.machine()} {_native.simd_paths()[-1]}"


def _sensitivity(
    model: SplitModel,
    views: Views,
    moments: Mapping[str, transform.ChannelMoments],
    affordable: int,
    settings: CalibrationSettings,
    progress: Progress,
) -> dict[str, Sensitivity]:
    deviations = {name: each.deviation for name, each in moments.items()}
    if not settings.tools.sensitivity:
        return {name: Sensitivity(np.ones(len(each)), np.eye(len(each))) for name, each in deviations.items()}
    passes = sum(len(each) for each in deviations.values())
    chosen = sensitivity.plan(passes, affordable, len(deviations))
    total = sensitivity.passes_of(chosen, deviations)
    progress.say(
        f"sensitivity from {counted(chosen.images, 'image')}, channels {chosen.together} at a time; "
        f"--max-images {views.count} --passes {affordable} does the same without the clock"
    )
    progress.stage("sensitivity of channels", total)
    return sensitivity.measured_sensitivity(model, views, deviations, chosen, settings.seed, progress.step)
