"""Fitting everything that a profile holds, in a given metric of the channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from midstream import _native
from midstream.calibrate import coder, predict, probe, transform
from midstream.calibrate.neighbours import with_neighbours
from midstream.calibrate.settings import Tools
from midstream.calibrate.views import View, Views
from midstream.codec.calibrated import coding
from midstream.codec.calibrated.document import GroupAbout, Places
from midstream.codec.calibrated.parts import Floats, GroupPart, LevelPart, Probe
from midstream.codec.calibrated.places import classes_of, probed, spread
from midstream.codec.calibrated.prediction import expected, places_from
from midstream.codec.calibrated.transform import forward
from midstream.models import SplitModel
from midstream.progress import Progress
from midstream.split.coding import cell_scores

#: Steps that the coder is primed at, below the strongest component, in eighths of an octave.
_PRIMED_BELOW = (12, 20, 28, 36)


@dataclass(frozen=True)
class Fit:
    """A group as far as it is fitted, and the variances of its components."""

    group: GroupPart
    variances: NDArray[np.float64]


@dataclass(frozen=True)
class Material:
    """What a fit is made from.

    Attributes:
        fit: views whose statistics the transform is.
        sampled: views that the probe is fitted to and the coder primed with.
    """

    model: SplitModel
    views: Views
    fit: Sequence[View]
    sampled: Sequence[View]
    tools: Tools
    progress: Progress


def fitted(material: Material, fits: list[Fit], places: Places) -> list[Fit]:
    """All groups, of which the transforms are there: probe, predictions, and what the coder begins with."""
    if material.tools.places:
        fits = [_with_probe(material, fits[0]), *fits[1:]]
    return _with_coder(material, fits, places)


def transforms(
    material: Material,
    abouts: Sequence[GroupAbout],
    moments: Mapping[str, transform.ChannelMoments],
    metrics: Mapping[str, NDArray[np.float64]],
    left_out: float,
) -> list[Fit]:
    """All groups with their transform and nothing else; each of its stages may leave out that share of the energy."""
    return [_fit_group(material, about, moments, metrics, left_out) for about in abouts]


def _fit_group(
    material: Material,
    about: GroupAbout,
    moments: Mapping[str, transform.ChannelMoments],
    metrics: Mapping[str, NDArray[np.float64]],
    left_out: float,
) -> Fit:
    parts = transform.level_parts(about, moments, metrics, left_out)
    material.progress.stage("statistics of cells", len(material.fit))
    covariance = transform.cell_covariance(parts, material.views, material.fit, material.progress.step)
    variances, rows = transform.components_of(covariance, parts, material.tools.fused, left_out)
    basis = rows.astype(np.float16)
    return Fit(_group(parts, basis, variances), variances)


def _group(parts: tuple[LevelPart, ...], basis: NDArray[np.float16], variances: NDArray[np.float64]) -> GroupPart:
    return GroupPart(
        parts,
        basis.astype(np.float32),
        coder.scales_of(np.sqrt(variances)),
        np.zeros((len(variances), 2), np.uint16),
        np.zeros((_native.COEFFICIENT_LEVELS, 3), np.int8),
        np.zeros((3, 0, 0), np.float32),
        _native.coefficient_state(),
    )


def _components(views: Views, fit: Fit, view: View) -> Floats:
    return forward(fit.group, views.sent(view), 1)


def _with_probe(material: Material, first: Fit) -> Fit:
    """The first group, whose grid is the finest, with a probe of what the network sees."""
    components, scores = [], []
    material.progress.stage("what the network sees", len(material.sampled))
    for view in material.sampled:
        values = _components(material.views, first, view)
        components.append(values)
        grid = (values.shape[1], values.shape[2])
        pyramid = material.views.full(view)
        scores.append(spread(cell_scores(material.model, pyramid, view.size, grid)).astype(np.float32))
        material.progress.step()
    guess = probe.fit_probe(components, scores, first.group.scales)
    return replace(first, group=replace(first.group, probe=guess))


def _with_coder(material: Material, fits: Sequence[Fit], places: Places) -> list[Fit]:
    """All groups with what the coder begins with, and with their prediction from the first group."""
    views, chosen, tools, progress = material.views, material.sampled, material.tools, material.progress
    steps = [places.steps(int(fits[0].group.scales[0]) - below) for below in _PRIMED_BELOW]
    first = _primed(fits[0], _first_samples(views, fits[0], places, chosen), steps, tools, progress)
    out = [first]
    decoded = _decoded(views, first, places, chosen, steps[len(steps) // 2]) if len(fits) > 1 else []
    for fit in fits[1:]:
        values = [_components(views, fit, view) for view in chosen]
        group = fit.group
        if tools.prediction:
            group = predict.with_prediction(group, values, [components for _, components in decoded])
        left = [each - expected(group, d, each.shape[1:]) for each, (_, d) in zip(values, decoded, strict=True)]
        samples = [(each, places_from(p, each.shape[1:])) for each, (p, _) in zip(left, decoded, strict=True)]
        out.append(_primed(replace(fit, group=group), samples, steps, tools, progress))
    return out


def _first_samples(views: Views, fit: Fit, places: Places, chosen: Sequence[View]) -> list[coder.Sample]:
    samples = []
    for view in chosen:
        values = _components(views, fit, view)
        samples.append((values, _classes(places, fit.group.probe, values, fit.group.scales)))
    return samples


def _primed(
    fit: Fit, samples: Sequence[coder.Sample], steps: Sequence[NDArray[np.int16]], tools: Tools, progress: Progress
) -> Fit:
    group = fit.group
    if tools.neighbours:
        group = with_neighbours(group, samples, steps)
    if tools.references:
        group = replace(group, references=coder.related(samples[::2], group.scales))
    progress.stage("priming the coder", len(samples))
    group = coder.with_coder(group, samples, steps, tools.offsets, progress.step)
    return replace(fit, group=group if tools.primed else replace(group, state=_native.coefficient_state()))


def _decoded(
    views: Views, fit: Fit, places: Places, chosen: Sequence[View], steps: NDArray[np.int16]
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
