"""What is fitted to the views of a calibration, in every way that is tried, and what is taken of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from midstream.calibration import curve, transform
from midstream.calibration.coder import COUNT_LIMIT
from midstream.calibration.fitting import Fit, Material, fitted, transforms
from midstream.calibration.loss import CalibrationReference
from midstream.calibration.settings import MOST_SAMPLES, MOST_SHOWN, POWERS, TRAINED, CalibrationSettings
from midstream.calibration.trials import Metrics, best_power, best_training, best_way, steps_of_use
from midstream.codec.calibrated.document import About
from midstream.codec.calibrated.profile import MOST_PROFILE_BYTES, pack_profile
from midstream.codec.calibrated.profile_file import tensors_of
from midstream.errors import InputError
from midstream.progress import Progress

#: The estimated loss that the transform alone may have.
_TRANSFORM_LOSS = 0.01
#: Of a transform, which leaves a fifth of a profile to all else.
_MOST_BYTES = 0.8 * MOST_PROFILE_BYTES
#: Beside the tensors of the groups, whose names have no colon in front.
_POWER, _LAYERS, _TAKEN, _VARIANCES = ":power", ":layers", ":taken", ":variances "
Tensors = dict[str, NDArray[Any]]
Variances = list[NDArray[np.float64]]


@dataclass(frozen=True)
class Made:
    """What is fitted to the views, from what sensitivity was measured with so many affordable passes.

    The powers of it are tried if that can begin before `trial_until`, by the monotonic clock. Of the documents, which
    differ in how levels are coded, the one is taken whose profile takes the fewest bytes.
    """

    reference: CalibrationReference
    abouts: Sequence[About]
    moments: Mapping[str, transform.ChannelMoments]
    metrics_of: Callable[[float], Metrics]
    passes: int
    trial_until: float
    settings: CalibrationSettings
    progress: Progress

    @cached_property
    def _material(self) -> Material:
        reference, views = self.reference, self.reference.views
        sampled = [*views.plain, *views.fit[len(views.plain) :]][:MOST_SAMPLES]
        shown = [*views.fit, *views.parts][:MOST_SHOWN]
        return Material(reference.model, views, views.fit, sampled, shown, self.settings, self.progress)

    def fits(self) -> tuple[float, About, list[Fit]]:
        """The power of the sensitivity, the document, and the groups."""
        reference, settings, progress = self.reference, self.settings, self.progress
        power, about = POWERS[0], self.abouts[0]
        if time.monotonic() <= self.trial_until:
            power = best_power(reference, about, self.moments, self.metrics_of, self.passes, settings, progress)
        else:
            progress.warn("slower than it was at first: the powers of the sensitivity are not tried (--without power)")
        ways = self.abouts[-1:] if reference.empty else self.abouts  # where nothing is found, nothing tells
        made = [fitted(self._material, self._transforms(power, each), each) for each in ways]
        best = best_way(reference, ways, made, progress) if len(ways) > 1 else 0
        return power, ways[best], made[best]

    def _transforms(self, power: float, about: About) -> list[Fit]:
        return _enough(self._material, self.reference, about, self.moments, self.metrics_of(power))

    def kept(self) -> tuple[float, About, Tensors, Variances]:
        """What `fits` gives, with the groups as tensors and the variances of each.

        From a run that was stopped after it had them.
        """

        def make() -> Tensors:
            power, about, fits = self.fits()
            chosen = {_POWER: np.array([power]), _LAYERS: np.array([about.layer_count])}
            return {**chosen, **_arrays_of(fits)}

        ways = [about.layer_count for about in self.abouts]
        what = f"fit in ways {ways} {self.passes} {self.settings.seed} {self.settings.tools}"
        found = dict(self.reference.views.kept(what, None, make))
        power, layers = float(found.pop(_POWER)[0]), int(found.pop(_LAYERS)[0])
        about = next(each for each in self.abouts if each.layer_count == layers)
        return power, about, *_parted(found)

    def trained(self, power: float, about: About, tensors: Tensors) -> tuple[About, list[Fit]] | None:
        """What is trained through the back, from the transform that `tensors` were made of.

        None where that takes no fewer bytes, and with a warning where it cannot be used.
        """
        from midstream.calibration.training.run import trained

        assert self.settings.training is not None
        before, draft = self._transforms(power, about), pack_profile(about, tensors)
        indices = steps_of_use(self.reference, draft, self.progress)
        try:
            material, after = trained(
                self._material, about, before, indices, self.settings.training, self.reference.power
            )
            lost = [_transform_loss(self.reference, fits, self.progress) for fits in (before, after)]
            self.progress.say(f"the transform alone: loss {lost[0]:.1%} as calibrated, {lost[1]:.1%} as trained")
            if lost[1] > max(lost[0], _TRANSFORM_LOSS + self.reference.usual.loss(self.reference.unseen)):
                raise InputError("the transform alone would lose too much")
            fits = fitted(material, after, about)
            drafts = [draft, pack_profile(about, tensors_of([fit.group for fit in fits], COUNT_LIMIT))]
        except InputError as error:
            self.progress.warn(f"the training came to nothing, and the profile is the calibrated one: {error}")
            return None
        if not best_training(self.reference, drafts, self.progress):
            return None
        return as_trained(about), fits

    def kept_trained(
        self, power: float, about: About, tensors: Tensors, variances: Variances
    ) -> tuple[About, Tensors, Variances]:
        """The better of what is given and of what is trained; from a run that was stopped after it had that."""

        def make() -> Tensors:
            better = self.trained(power, about, tensors)
            return {_TAKEN: np.zeros(1)} if better is None else {_TAKEN: np.ones(1), **_arrays_of(better[1])}

        what = f"trained {about.layer_count} {self.passes} {self.settings}"
        found = dict(self.reference.views.kept(what, None, make))
        if not found.pop(_TAKEN)[0]:
            return about, tensors, variances
        return as_trained(about), *_parted(found)


def as_trained(about: About) -> About:
    """The document of a profile whose transform was trained."""
    made_by = f"{about.made_by}, torch {version('torch')}, onnx2torch {version('onnx2torch')}"
    return about.model_copy(update={"tools": {**about.tools, TRAINED: True}, "made_by": made_by})


def _arrays_of(fits: Sequence[Fit]) -> Tensors:
    numbers = {f"{_VARIANCES}{number}": fit.variances for number, fit in enumerate(fits)}
    return {**numbers, **tensors_of([fit.group for fit in fits], COUNT_LIMIT)}


def _parted(found: Tensors) -> tuple[Tensors, Variances]:
    """The tensors of groups, and the variances of each."""
    names = [name for name in found if name.startswith(_VARIANCES)]
    variances = [found[name] for name in sorted(names, key=lambda name: int(name[len(_VARIANCES) :]))]
    return {name: values for name, values in found.items() if name not in names}, variances


def _transform_loss(reference: CalibrationReference, fits: Sequence[Fit], progress: Progress) -> float:
    progress.stage("what the transform leaves out", len(reference.images))
    return curve.transform_loss(reference, [fit.group for fit in fits], progress.step)


def _enough(
    material: Material,
    reference: CalibrationReference,
    about: About,
    moments: Mapping[str, transform.ChannelMoments],
    metrics: Metrics,
) -> list[Fit]:
    """Transforms that leave out no more than the task can do without, if there is room."""
    progress, best = material.progress, transforms(material, about, moments, metrics, transform.LEFT_OUT[0])
    if reference.objects == 0:  # nothing is found, so nothing says what can be done without
        return best
    # Of few objects, a share that nobody can see is counted as lost.
    unseen = reference.usual.loss(reference.unseen)
    for share, finer in pairwise(transform.LEFT_OUT):
        loss = _transform_loss(reference, best, progress)
        way = ", levels one after another" if about.layers else ""
        progress.say(f"a transform without {share:.2%} of the energy alone{way}: loss {loss:.1%}")
        if loss <= _TRANSFORM_LOSS + unseen:
            return best
        fits = transforms(material, about, moments, metrics, finer)
        if sum(each.nbytes for each in tensors_of([fit.group for fit in fits], COUNT_LIMIT).values()) > _MOST_BYTES:
            return best
        best = fits
    return best
