"""A whole calibration: from pictures to a profile, in steps that are kept in a folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from midstream import __version__, _native
from midstream.calibrate import coder, curve, predict, probe, sensitivity, transform
from midstream.calibrate.layout import groups_of
from midstream.calibrate.neighbours import with_neighbours
from midstream.calibrate.settings import Settings, Tools
from midstream.calibrate.views import View, Views
from midstream.codec.calibrated import coding
from midstream.codec.calibrated.places import classes_of, probed, spread
from midstream.codec.calibrated.prediction import places_from
from midstream.codec.calibrated.profile import (
    PROFILE_VERSION,
    QUALITIES,
    About,
    Floats,
    GroupAbout,
    GroupPart,
    LevelPart,
    Places,
    Point,
    Probe,
    Profile,
    pack_profile,
    pack_state,
)
from midstream.codec.calibrated.transform import forward
from midstream.models import SplitModel
from midstream.pipelines.coding import cell_scores

#: Four classes, three quarters of an octave apart: steps up to 4.8 times coarser where nothing is seen.
PLACES = Places(classes=4, spacing=6, knee=0.5)
_ONE_PLACE = Places(classes=1, spacing=1, knee=0.5)
#: Steps that the coder is primed at, below the strongest component, in eighths of an octave.
_PRIMED_BELOW = (12, 20, 28, 36)
#: Below it the curve begins.
_CURVE_BELOW = 8
#: Views that the coder is primed with, and the probe is fitted to, at most.
_MOST_SAMPLES = 150


class Progress(Protocol):
    """What a calibration tells of itself."""

    def stage(self, what: str, total: int) -> None:
        """The next `total` steps are about `what`."""
        ...

    def step(self, detail: str = "") -> None:
        """One of them is done."""
        ...

    def say(self, text: str) -> None:
        """Something worth a line."""
        ...


@dataclass(frozen=True)
class Calibration:
    """The result, and what its report shows.

    Attributes:
        profile: the network's.
        sensitivity: of each channel, [C] by level.
        variances: of the components of each group, [K].
        skipped: pictures that could not be read, with the reason.
    """

    profile: Profile
    sensitivity: Mapping[str, NDArray[np.float64]]
    variances: Sequence[NDArray[np.float64]]
    skipped: Sequence[tuple[Path, str]]


def calibrate(model: SplitModel, views: Views, settings: Settings, progress: Progress) -> Calibration:
    """Fit a profile. Raises InputError for levels that do not fit one."""
    tools = settings.tools
    progress.stage("running the front", len(views.fit) + len(views.held_out))
    views.prepare(progress.step)
    progress.stage("statistics of channels", len(views.fit))
    moments = transform.channel_moments(views, views.fit, progress.step)
    shapes = {name: values.shape for name, values in views.sent(views.plain[0]).items()}
    seconds = sensitivity.seconds_a_pass(model, views)
    weights = _sensitivity(model, views, moments, seconds, settings, progress)
    abouts = groups_of({name: (s[0], s[1], s[2]) for name, s in shapes.items()})
    fits = [_fit_group(views, about, moments, weights, tools, progress) for about in abouts]
    placed = _with_places(model, views, fits, settings, progress)
    about = About(
        version=PROFILE_VERSION,
        made_by=__version__,
        network=model.name,
        cut=model.fingerprint,
        pictures=views.count,
        picture_hash=views.picture_hash,
        seed=settings.seed,
        tools=dict(tools.to_dict()),
        groups=abouts,
        order=tuple(shapes),
        places=PLACES if tools.places else _ONE_PLACE,
        qualities=(0,) * len(QUALITIES),
        curve=(Point(step=0, bytes=1.0, loss=0.0),),
    )
    primed = _with_coder(views, placed, about.places, tools, progress)
    draft = pack_profile(about, _tensors(primed))
    coarsest = int(draft.groups[0].scales[0]) - _CURVE_BELOW
    progress.stage("measuring rate and loss", 0)
    points = curve.measured_curve(model, views, draft, coarsest, progress.say)
    final = about.model_copy(update={"curve": tuple(points), "qualities": curve.quality_steps(points)})
    return Calibration(pack_profile(final, _tensors(primed)), weights, [fit.variances for fit in fits], views.skipped)


@dataclass(frozen=True)
class _Fit:
    """A group as far as it is fitted, and the variances of its components."""

    group: GroupPart
    variances: NDArray[np.float64]


def _sensitivity(
    model: SplitModel,
    views: Views,
    moments: Mapping[str, transform.ChannelMoments],
    seconds: float,
    settings: Settings,
    progress: Progress,
) -> dict[str, NDArray[np.float64]]:
    deviations = {name: each.deviation for name, each in moments.items()}
    if not settings.tools.sensitivity:
        return {name: np.ones(len(each)) for name, each in deviations.items()}
    passes = sum(len(each) for each in deviations.values())
    chosen = sensitivity.plan(passes, seconds, settings.budget_s / 4)
    total = chosen.pictures * sum(-(-len(each) // chosen.together) for each in deviations.values())
    progress.stage("sensitivity of channels", total)
    found = sensitivity.channel_sensitivity(model, views, deviations, chosen, settings.seed, progress.step)
    mean = np.mean([each.mean() for each in found.values()])
    return {name: each / mean if mean > 0 else np.ones(len(each)) for name, each in found.items()}


def _fit_group(
    views: Views,
    about: GroupAbout,
    moments: Mapping[str, transform.ChannelMoments],
    weights: Mapping[str, NDArray[np.float64]],
    tools: Tools,
    progress: Progress,
) -> _Fit:
    parts = transform.level_parts(about, moments, weights)
    progress.stage("statistics of cells", len(views.fit))
    covariance = transform.cell_covariance(parts, views, views.fit, progress.step)
    variances, rows = transform.components_of(covariance, parts, tools.fused)
    basis = rows.astype(np.float16)
    return _Fit(_group(parts, basis, variances), variances)


def _group(parts: tuple[LevelPart, ...], basis: NDArray[np.float16], variances: NDArray[np.float64]) -> GroupPart:
    return GroupPart(
        parts,
        basis.astype(np.float32),
        coder.scales_of(np.sqrt(variances)),
        np.zeros((len(variances), 2), np.uint16),
        np.zeros((_native.COMPONENT_LEVELS, 3), np.int8),
        np.zeros((3, 0, 0), np.float32),
        _native.component_state(),
    )


def _components(views: Views, fit: _Fit, view: View) -> Floats:
    return forward(fit.group, views.sent(view), 1)


def _sampled(views: Views) -> list[View]:
    return [*views.plain, *views.fit[len(views.plain) :]][:_MOST_SAMPLES]


def _with_places(
    model: SplitModel, views: Views, fits: Sequence[_Fit], settings: Settings, progress: Progress
) -> list[_Fit]:
    """The first group, whose grid is the finest, with a probe of what the network sees."""
    if not settings.tools.places:
        return list(fits)
    first, chosen = fits[0], _sampled(views)
    components, scores = [], []
    progress.stage("what the network sees", len(chosen))
    for view in chosen:
        values = _components(views, first, view)
        components.append(values)
        grid = (values.shape[1], values.shape[2])
        scores.append(spread(cell_scores(model, views.full(view), view.size, grid)).astype(np.float32))
        progress.step()
    fitted = probe.fit_probe(components, scores, first.group.scales, settings.seed)
    return [replace(first, group=replace(first.group, probe=fitted)), *fits[1:]]


def _with_coder(views: Views, fits: Sequence[_Fit], places: Places, tools: Tools, progress: Progress) -> list[_Fit]:
    """All groups with what the coder begins with, and with their prediction from the first group."""
    chosen = _sampled(views)
    steps = [places.steps(int(fits[0].group.scales[0]) - below) for below in _PRIMED_BELOW]
    first = _primed(fits[0], _first_samples(views, fits[0], places, chosen), steps, tools, progress)
    out = [first]
    decoded = _decoded(views, first, places, chosen, steps[len(steps) // 2]) if len(fits) > 1 else []
    for fit in fits[1:]:
        values = [_components(views, fit, view) for view in chosen]
        group = fit.group
        if tools.prediction:
            group = predict.with_prediction(group, values, [components for _, components in decoded])
        left = [each - coding.expected(group, d, each.shape[1:]) for each, (_, d) in zip(values, decoded, strict=True)]
        samples = [(each, places_from(p, each.shape[1:])) for each, (p, _) in zip(left, decoded, strict=True)]
        out.append(_primed(replace(fit, group=group), samples, steps, tools, progress))
    return out


def _first_samples(views: Views, fit: _Fit, places: Places, chosen: Sequence[View]) -> list[coder.Sample]:
    samples = []
    for view in chosen:
        values = _components(views, fit, view)
        samples.append((values, _classes(places, fit.group.probe, values, fit.group.scales)))
    return samples


def _primed(
    fit: _Fit, samples: Sequence[coder.Sample], steps: Sequence[NDArray[np.int16]], tools: Tools, progress: Progress
) -> _Fit:
    group = fit.group
    if tools.neighbours:
        group = with_neighbours(group, samples, steps)
    if tools.references:
        group = replace(group, references=coder.related(samples[::2], group.scales))
    progress.stage("priming the coder", len(samples))
    group = coder.with_coder(group, samples, steps, tools.offsets, progress.step)
    return replace(fit, group=group if tools.primed else replace(group, state=_native.component_state()))


def _decoded(
    views: Views, fit: _Fit, places: Places, chosen: Sequence[View], steps: NDArray[np.int16]
) -> list[tuple[NDArray[np.uint8], Floats]]:
    """Places and components of the first group as a decoder has them."""
    out = []
    for components, classes in _first_samples(views, fit, places, chosen):
        out.append((classes, coding.quantised(fit.group, steps, components, classes)[2]))
    return out


def _classes(places: Places, fitted: Probe | None, components: Floats, scales: NDArray[np.int16]) -> NDArray[np.uint8]:
    if fitted is None:
        return np.zeros(components.shape[1:], np.uint8)
    return classes_of(places, probed(fitted, components, scales))


def _tensors(fits: Sequence[_Fit]) -> dict[str, NDArray[Any]]:
    out: dict[str, NDArray[Any]] = {}
    for number, fit in enumerate(fits):
        group = fit.group
        own: dict[str, NDArray[Any]] = {"basis": group.basis.astype(np.float16)}
        if group.neighbours.size:
            own["neighbours"] = group.neighbours.astype(np.float16)
        own |= {"scales": group.scales, "references": group.references, "offsets": group.offsets}
        own |= pack_state(group.state, coder.COUNT_LIMIT)
        for level in group.levels:
            own |= {f"{level.about.name}.{name}": getattr(level, name) for name in ("mean", "weight", "low", "high")}
            own[f"{level.about.name}.basis"] = level.basis.astype(np.float16)
        if group.prediction is not None:
            own["prediction"] = group.prediction.astype(np.float16)
        if group.probe is not None:
            own |= {f"probe.{name}": getattr(group.probe, name) for name in ("mean", "scale", "out")}
            own["probe.hidden"] = group.probe.hidden.astype(np.float16)
        out |= {f"{number}/{name}": values for name, values in own.items()}
    return out
