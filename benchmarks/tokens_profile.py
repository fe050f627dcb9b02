"""A profile of `calibrated` fitted to arrays, without a network that looks at images: for tokens.py.

The steps are those of `midstream calibrate`: moments, sensitivity by noise on one channel at a time, transform,
prediction, contexts. There is no importance map and no curve: the benchmark measures at steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from midstream.calibration import sensitivity, transform
from midstream.calibration.coder import COUNT_LIMIT
from midstream.calibration.fitting import Material, fitted, transforms
from midstream.calibration.layout import groups_of
from midstream.calibration.sensitivity import Sensitivity
from midstream.calibration.settings import CalibrationSettings, Tools
from midstream.codec.calibrated.coding import analyse, code
from midstream.codec.calibrated.document import About, CurvePoint, ImportanceClasses
from midstream.codec.calibrated.profile import Profile, pack_profile
from midstream.codec.calibrated.profile_file import tensors_of
from midstream.codec.laid_out import layouts_of, with_layouts
from midstream.features import check_pyramid
from midstream.progress import SILENT

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
#: What the network makes of other levels of one pyramid, which is named by its number.
Moved = Callable[[int, dict[str, Floats]], Floats]
ONE_CLASS = ImportanceClasses(classes=1, spacing=1, knee=0.5)
TOOLS = Tools(importance=False, flips=False)
POWER, LEFT_OUT = 0.5, 0.001
#: White noise on a channel, in deviations; pyramids that sensitivity is measured on.
NOISE, SENSED = 0.3, 3


@dataclass(frozen=True)
class Arrays:
    """What the calibration sees: views are numbers of pyramids."""

    pyramids: Sequence[Mapping[str, Any]]

    def sent(self, view: int) -> dict[str, Floats]:
        return {each.name: each.values.reshape(each.shape) for each in check_pyramid(self.pyramids[view])}


def fitted_profile(pyramids: Sequence[Mapping[str, Any]], moved: Moved | None) -> Profile:
    """Fitted to these; without `moved` all channels count alike."""
    views, fit = Arrays(pyramids), list(range(len(pyramids)))
    moments = transform.channel_moments(views, fit, lambda: None)
    measured = {name: Sensitivity(np.ones(len(m.mean)), np.eye(len(m.mean))) for name, m in moments.items()}
    if moved is not None:
        deviations = {name: each.deviation for name, each in moments.items()}
        measured = _joined([_products(views.sent(number), moved, number, deviations) for number in fit[:SENSED]])
    shapes = {name: values.shape for name, values in views.sent(0).items()}
    about = About(
        version=3, made_by="benchmarks/tokens.py", network="", cut="", pictures=len(fit), picture_hash="", seed=0,
        tools=TOOLS.to_dict(), groups=groups_of(shapes), order=tuple(shapes), places=ONE_CLASS,
        qualities=(0,) * 100, curve=(CurvePoint(step=0, bytes=1.0, loss=0.0),),
    )  # fmt: skip
    material = Material(None, views, fit, fit, [], CalibrationSettings(tools=TOOLS), SILENT)
    metrics = sensitivity.metrics(measured, POWER if moved else 0.0, TOOLS.directions)
    fits = fitted(material, transforms(material, about, moments, metrics, LEFT_OUT), about)
    return pack_profile(about, tensors_of([fit.group for fit in fits], COUNT_LIMIT))


def _products(
    levels: dict[str, Floats], moved: Moved, number: int, deviations: Mapping[str, Doubles]
) -> dict[str, Doubles]:
    """Inner products [C, C] by level of what unit noise in each channel does to the output."""
    out = {}
    before = moved(number, levels)
    for name, values in levels.items():
        signs = np.random.default_rng(number).integers(0, 2, values.shape[1:]).astype(np.float32) * 2 - 1
        moves = []
        for channel, deviation in enumerate(deviations[name]):
            size = max(NOISE * deviation, 1e-6)
            noisy = values.copy()
            noisy[channel] += np.float32(size) * signs
            change = moved(number, {**levels, name: noisy}) - before
            moves.append(change.astype(np.float64) / (size * np.sqrt(signs.size)))
        stacked = np.stack(moves)
        out[name] = stacked @ stacked.T
    return out


def _joined(seen: Sequence[Mapping[str, Doubles]]) -> dict[str, Sensitivity]:
    averages = [np.concatenate([np.diag(each) for each in one.values()]).mean() for one in seen]
    out = {}
    for name in seen[0]:
        logs = [np.log(np.diag(one[name]) / average + 1e-9) for one, average in zip(seen, averages, strict=True)]
        lengths = [np.sqrt(np.maximum(np.diag(one[name]), 1e-30)) for one in seen]
        alike = np.mean([one[name] / np.outer(size, size) for one, size in zip(seen, lengths, strict=True)], axis=0)
        np.fill_diagonal(alike, 1)
        out[name] = Sensitivity(np.exp(np.mean(logs, axis=0)), alike)
    return out


def coded(profile: Profile, pyramid: Mapping[str, Any], step: int) -> bytes:
    """The bitstream at a step."""
    levels = check_pyramid(pyramid)
    return with_layouts(code(analyse(levels, profile, None, 1), step), layouts_of(levels))
