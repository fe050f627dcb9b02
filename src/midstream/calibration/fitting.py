"""Fitting everything that a profile holds, in a given metric of the channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from midstream import _native
from midstream.calibration import coder, entropy, predict, probe, transform
from midstream.calibration.neighbours import with_neighbours
from midstream.calibration.settings import CalibrationSettings, Tools
from midstream.calibration.views import View, Views
from midstream.codec.calibrated import coding
from midstream.codec.calibrated.document import GroupAbout, ImportanceClasses
from midstream.codec.calibrated.importance import importance_in, spread
from midstream.codec.calibrated.parts import Floats, GroupPart, LevelPart, step_sizes
from midstream.codec.calibrated.prediction import expected, importance_from
from midstream.codec.calibrated.transform import WHOLE, forward, grid_of, stacked
from midstream.halves.coding import cell_scores
from midstream.models import SplitModel
from midstream.progress import Progress

#: Steps that the contexts are pre-trained at, below the strongest coefficient, in eighths of an octave.
_PRETRAINED_BELOW = (12, 20, 28, 36)
#: And those that the entropy model is fitted to: about those of the qualities 10 to 90.
_LEARNT_BELOW = (0, 6, 12, 18, 25, 34)


@dataclass(frozen=True)
class Fit:
    """A group as far as it is fitted, and the variances of its coefficients."""

    group: GroupPart
    variances: NDArray[np.float64]


@dataclass(frozen=True)
class Material:
    """What a fit is made from.

    Attributes:
        fit: views whose statistics the transform is.
        sampled: views that the contexts are pre-trained on.
        shown: views that the probe is fitted to.
    """

    model: SplitModel
    views: Views
    fit: Sequence[View]
    sampled: Sequence[View]
    shown: Sequence[View]
    settings: CalibrationSettings
    progress: Progress

    @property
    def tools(self) -> Tools:
        """Parts of the method in use."""
        return self.settings.tools


def fitted(material: Material, fits: list[Fit], importance: ImportanceClasses) -> list[Fit]:
    """All groups, of which the transforms are there: probe, predictions, and what the coder begins with."""
    if material.tools.importance:
        fits = [with_probe(material, fits[0]), *fits[1:]]
    return with_coder(material, fits, importance)


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
    covariance = transform.cell_covariance(parts, moments, material.views, material.fit, material.progress.step)
    variances, rows = transform.coefficients_of(covariance, parts, material.tools.fused, left_out)
    basis = rows.astype(np.float16)
    return Fit(_group(parts, basis, variances, material.tools), variances)


def _group(
    parts: tuple[LevelPart, ...], basis: NDArray[np.float16], variances: NDArray[np.float64], tools: Tools
) -> GroupPart:
    return GroupPart(
        parts,
        basis.astype(np.float32),
        coder.scales_of(np.sqrt(variances)),
        np.zeros((len(variances), 2), np.uint16),
        np.zeros((_native.COEFFICIENT_LEVELS, 3), np.int8),
        np.zeros((3, 0, 0), np.float32),
        _native.coefficient_state(),
        whole=True,
        all_whole=tools.pretrained,
    )


def _coefficients(views: Views, fit: Fit, view: View) -> Floats:
    return forward(fit.group, views.sent(view), 1)


def with_probe(material: Material, first: Fit) -> Fit:
    """The first group, whose grid is the finest, with a probe of what the network sees."""
    levels, seed = first.group.levels, material.settings.seed
    rng, unit = np.random.default_rng(seed), float(step_sizes(first.group.scales).max())
    sights = []
    material.progress.stage("what the network sees", len(material.shown))
    for view in material.shown:
        maps = material.views.sent(view)
        grid = grid_of(levels, {name: (values.shape[1], values.shape[2]) for name, values in maps.items()})
        scores = spread(cell_scores(material.model, material.views.full(view), view.size, grid))
        numbers = stacked(levels, maps, grid, WHOLE)
        sights.append(probe.sight_of(levels, numbers, scores.astype(np.float32), unit, rng))
        material.progress.step()
    steps = probe.steps_for(len(sights))
    material.progress.stage("learning what it sees", steps)
    guess = probe.fit_probe(sights, unit, seed, material.progress.step)
    return replace(first, group=replace(first.group, probe=guess))


def with_coder(material: Material, fits: Sequence[Fit], importance: ImportanceClasses) -> list[Fit]:
    """All groups with what the coder begins with, and with their prediction from the first group."""
    views, chosen, tools = material.views, material.sampled, material.tools
    strongest = int(fits[0].group.scales[0])
    steps, finer = (
        [importance.steps(strongest - below) for below in each] for each in (_PRETRAINED_BELOW, _LEARNT_BELOW)
    )

    def coded(fit: Fit, samples: Sequence[coder.Sample]) -> Fit:
        pretrained = _pretrained(fit, samples, steps, tools, material.progress)
        return _with_entropy(pretrained, samples, finer, material) if tools.pretrained else pretrained

    first = coded(fits[0], _first_samples(views, fits[0], importance, chosen))
    out = [first]
    decoded = _decoded(views, first, importance, chosen, steps[len(steps) // 2]) if len(fits) > 1 else []
    for fit in fits[1:]:
        values = [_coefficients(views, fit, view) for view in chosen]
        group = fit.group
        if tools.prediction:
            group = predict.with_prediction(group, values, [coefficients for _, coefficients in decoded])
        left = [each - expected(group, d, each.shape[1:]) for each, (_, d) in zip(values, decoded, strict=True)]
        samples = [(each, importance_from(p, each.shape[1:])) for each, (p, _) in zip(left, decoded, strict=True)]
        out.append(coded(replace(fit, group=group), samples))
    return out


def _with_entropy(
    fit: Fit, samples: Sequence[coder.Sample], steps: Sequence[NDArray[np.int16]], material: Material
) -> Fit:
    material.progress.stage("fitting the entropy model", entropy.length(len(samples)))
    model = entropy.fit_entropy(fit.group, samples, steps, material.settings.seed, material.progress.step)
    return replace(fit, group=replace(fit.group, entropy=model))


def _first_samples(views: Views, fit: Fit, importance: ImportanceClasses, chosen: Sequence[View]) -> list[coder.Sample]:
    samples = []
    for view in chosen:
        maps = views.sent(view)
        samples.append((forward(fit.group, maps, 1), importance_in(fit.group, importance, maps)))
    return samples


def _pretrained(
    fit: Fit, samples: Sequence[coder.Sample], steps: Sequence[NDArray[np.int16]], tools: Tools, progress: Progress
) -> Fit:
    group = fit.group
    if tools.neighbours:
        group = with_neighbours(group, samples, steps)
    if tools.references:
        group = replace(group, references=coder.related(samples[::2], group.scales))
    progress.stage("pre-training the contexts", len(samples))
    group = coder.with_coder(group, samples, steps, tools.offsets, progress.step)
    return replace(fit, group=group if tools.pretrained else replace(group, state=_native.coefficient_state()))


def _decoded(
    views: Views, fit: Fit, importance: ImportanceClasses, chosen: Sequence[View], steps: NDArray[np.int16]
) -> list[tuple[NDArray[np.uint8], Floats]]:
    """Importance map and coefficients of the first group as a decoder has them."""
    out = []
    for coefficients, classes in _first_samples(views, fit, importance, chosen):
        out.append((classes, coding.quantised(fit.group, steps, coefficients, classes)[2]))
    return out
