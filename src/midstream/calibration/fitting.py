"""Fitting everything that a profile holds, in a given metric of the channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from midstream import _native
from midstream.calibration import coder, entropy, predict, probe, transform
from midstream.calibration.neighbours import OUTPUTS, OUTPUTS_OF_LAYERS, with_neighbours
from midstream.calibration.settings import CalibrationSettings, Tools
from midstream.calibration.views import View, Views
from midstream.codec.base import ImportanceGrid
from midstream.codec.calibrated import coding
from midstream.codec.calibrated.document import About, GroupAbout
from midstream.codec.calibrated.importance import importance_in, spread
from midstream.codec.calibrated.parts import LAYER_INPUTS, Floats, GroupPart, LevelPart, step_sizes
from midstream.codec.calibrated.prediction import map_of, with_expected, without_expected
from midstream.codec.calibrated.transform import WHOLE, by_cell, forward, grid_of, laid_out, stacked
from midstream.halves.coding import map_scores
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
        worths: of these, what cells are worth, on the scale of scores [maps, rows, columns], where that was measured.
    """

    model: SplitModel
    views: Views
    fit: Sequence[View]
    sampled: Sequence[View]
    shown: Sequence[View]
    settings: CalibrationSettings
    progress: Progress
    worths: Mapping[View, Floats] = field(default_factory=dict)

    @property
    def tools(self) -> Tools:
        """Parts of the method in use."""
        return self.settings.tools

    def scores(self, view: View, grid: tuple[int, int], about: About) -> Floats:
        """What classes of cells go by, [maps, rows, columns]: what they are worth, or the network's scores."""
        if view in self.worths:
            return self.worths[view]
        found = map_scores(self.model, self.views.full(view), view.size, ImportanceGrid(grid, about.map_levels))
        return np.stack([spread(each) for each in found]).astype(np.float32)


def fitted(material: Material, fits: list[Fit], about: About) -> list[Fit]:
    """All groups, of which the transforms are there: probe, predictions, and what the coder begins with."""
    return with_coder(material, with_probe(material, fits, about), about)


def transforms(
    material: Material,
    about: About,
    moments: Mapping[str, transform.ChannelMoments],
    metrics: Mapping[str, NDArray[np.float64]],
    left_out: float,
) -> list[Fit]:
    """All groups with their transform and nothing else; each of its stages may leave out that share of the energy."""
    count = about.layer_count
    whole = GroupAbout(levels=tuple(level for group in about.groups[:count] for level in group.levels))
    out = []
    for number, each in enumerate([whole, *about.groups[count:]]):
        parts = transform.level_parts(each, moments, metrics, left_out)
        material.progress.stage("statistics of cells", len(material.fit))
        covariance = transform.cell_covariance(parts, moments, material.views, material.fit, material.progress.step)
        groups = [(part,) for part in parts] if number == 0 and count > 1 else [parts]
        made = transform.coefficients_of(covariance, groups, material.tools.fused, left_out)
        for layer, (own, (variances, rows)) in enumerate(zip(groups, made, strict=True)):
            out.append(Fit(_group(own, rows.astype(np.float16), variances, material.tools, layer > 0), variances))
    return out


def _group(
    parts: tuple[LevelPart, ...],
    basis: NDArray[np.float16],
    variances: NDArray[np.float64],
    tools: Tools,
    layer: bool,
) -> GroupPart:
    return GroupPart(
        parts,
        basis.astype(np.float32),
        coder.scales_of(np.sqrt(variances)),
        np.zeros((len(variances), 2), np.uint16),
        np.zeros((_native.COEFFICIENT_LEVELS, 3), np.int8),
        np.zeros((3, 0, 0), np.float32),
        _native.coefficient_state(),
        layer=layer,
        whole=True,
        all_whole=tools.pretrained,
    )


def strongest_of(groups: Sequence[GroupPart], layers: int) -> int:
    """The scale of the strongest coefficient of the first group, or of all layers."""
    return max(int(group.scales.max()) for group in groups[:layers])


def _coefficients(views: Views, fit: Fit, view: View) -> Floats:
    return forward(fit.group, views.sent(view), 1)


def with_probe(material: Material, fits: Sequence[Fit], about: About) -> list[Fit]:
    """The groups, of which the first and the layers have a probe of what the network sees, if there is to be one."""
    if not material.tools.importance:
        return list(fits)
    count, seed = about.layer_count, material.settings.seed
    own = [fit.group.levels for fit in fits[:count]]
    levels = [level for each in own for level in each]
    rng, unit = np.random.default_rng(seed), float(step_sizes(fits[0].group.scales).max())
    sights = []
    material.progress.stage("what the network sees", len(material.shown))
    for view in material.shown:
        maps = material.views.sent(view)
        grid = grid_of(levels, {name: (values.shape[1], values.shape[2]) for name, values in maps.items()})
        numbers = stacked(levels, maps, grid, WHOLE)
        sights.append(probe.sight_of(levels, numbers, material.scores(view, grid, about), unit, rng))
        material.progress.step()
    steps = probe.steps_for(len(sights))
    material.progress.stage("learning what it sees", steps)
    guess = probe.fit_probe(sights, unit, seed, material.progress.step)
    seeing = zip(fits, probe.shared_out(guess, own), strict=False)
    return [replace(fit, group=replace(fit.group, probe=each)) for fit, each in seeing] + list(fits[count:])


def with_coder(material: Material, fits: Sequence[Fit], about: About) -> list[Fit]:
    """All groups with what the coder begins with, and with their prediction from those before them."""
    views, chosen, tools, importance = material.views, material.sampled, material.tools, about.importance
    layers = about.layer_count
    from_neighbours = OUTPUTS if layers == 1 else OUTPUTS_OF_LAYERS
    strongest = strongest_of([fit.group for fit in fits], layers)
    steps, finer = (
        [importance.steps(strongest - below) for below in each] for each in (_PRETRAINED_BELOW, _LEARNT_BELOW)
    )
    maps = [importance_in([fit.group for fit in fits], importance, views.sent(view)) for view in chosen]
    decoded: list[list[Floats]] = []  # of each group in each view, what others are predicted from
    out = []
    for number, fit in enumerate(fits):
        values = [_coefficients(views, fit, view) for view in chosen]
        group = fit.group
        before = list(zip(*(decoded if group.layer else decoded[:1]), strict=True))  # by view
        if before and tools.prediction:
            group = predict.with_prediction(group, values, before)
        ahead = _expected(group, before, values)
        samples = [
            (laid_out(without_expected(by_cell(own), each), own.shape[1:]), map_of(number, known, own.shape[1:]))
            for own, each, known in zip(values, ahead, maps, strict=True)
        ]
        if tools.neighbours:
            group = with_neighbours(group, samples, steps, from_neighbours)
        out.append(_coded(replace(fit, group=group), samples, (steps, finer), material))
        if number + 1 < len(fits) and number < layers:
            decoded.append(_decoded(out[-1].group, steps, samples, ahead, max(LAYER_INPUTS, predict.INPUTS)))
    return out


def _expected(
    group: GroupPart, before: Sequence[Sequence[Floats]], values: Sequence[Floats]
) -> Sequence[Floats | None]:
    """What a group's coefficients in each view are expected to be, with nothing before for nothing."""
    if not before:
        return [None] * len(values)
    pairs = zip(before, values, strict=True)
    return [predict.expected_from(group, there, (own.shape[1], own.shape[2])) for there, own in pairs]


def _decoded(
    group: GroupPart,
    steps: Sequence[NDArray[np.int16]],
    samples: Sequence[coder.Sample],
    ahead: Sequence[Floats | None],
    most: int,
) -> list[Floats]:
    """What a decoder has of a group in each view, with what was expected: as far as others are predicted from it.

    Each view is decoded at one of the steps, in turn.
    """
    out = []
    for number, ((left, classes), expected) in enumerate(zip(samples, ahead, strict=True)):
        values = by_cell(coding.quantised(group, steps[number % len(steps)], left, classes)[2])
        out.append(laid_out(with_expected(values, expected)[:, :most], classes.shape).copy())
    return out


def _coded(
    fit: Fit,
    samples: Sequence[coder.Sample],
    steps: tuple[Sequence[NDArray[np.int16]], Sequence[NDArray[np.int16]]],
    material: Material,
) -> Fit:
    """With what codes its samples: contexts that are pre-trained at some steps, an entropy model that is at others."""
    pretrained = _pretrained(fit, samples, steps[0], material.tools, material.progress)
    return _with_entropy(pretrained, samples, steps[1], material) if material.tools.pretrained else pretrained


def _with_entropy(
    fit: Fit, samples: Sequence[coder.Sample], steps: Sequence[NDArray[np.int16]], material: Material
) -> Fit:
    material.progress.stage("fitting the entropy model", entropy.length(len(samples)))
    model = entropy.fit_entropy(fit.group, samples, steps, material.settings.seed, material.progress.step)
    return replace(fit, group=replace(fit.group, entropy=model))


def _pretrained(
    fit: Fit, samples: Sequence[coder.Sample], steps: Sequence[NDArray[np.int16]], tools: Tools, progress: Progress
) -> Fit:
    group = fit.group
    if tools.references:
        group = replace(group, references=coder.related(samples[::2], group.scales))
    progress.stage("pre-training the contexts", len(samples))
    group = coder.with_coder(group, samples, steps, tools.offsets, progress.step)
    return replace(fit, group=group if tools.pretrained else replace(group, state=_native.coefficient_state()))
