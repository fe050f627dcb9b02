"""Depths beside measured ones, or beside the uncompressed network's.

Measured: relative error, squared error and the share within a factor of each image (Eigen et al. 2014,
arXiv:1406.2283), and the means over images. Numbers that are depths, or their reciprocals, but for a scale and a shift
have these fitted to each image by least squares first (Ranftl et al. 2020, arXiv:1907.01341), the compressed network's
as the uncompressed one's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from midstream.data.depth import depth_map
from midstream.errors import InputError
from midstream.metrics.base import Evidence, Score
from midstream.metrics.outputs import AdditiveMetric, OutputCase
from midstream.models.tasks.depth import DELTA

_Doubles = NDArray[np.float64]
#: Columns of `measured`.
_RELATIVE, _SQUARED, _NEAR, _COUNT = range(4)


def measured(case: OutputCase) -> _Doubles:
    """Of each image 1 less the mean relative error, mean squared error, share within the factor; and 1, [images, 4].

    All are 0 for an image whose map has no depth. Raises InputError where no map has any.
    """
    truth = {int(a["image_id"]): a for a in (case.dataset.ground_truth or {})["annotations"]}
    rows = []
    for identity in case.images:
        annotation = truth[identity]
        depths = depth_map(annotation)
        there = np.isfinite(depths)
        if not there.any():
            rows.append([0.0] * 4)
            continue
        values = np.asarray(case.found[identity].values["values"], np.float32)
        scaled = cv2.resize(values, depths.shape[::-1], interpolation=cv2.INTER_LINEAR)
        found, true = aligned(scaled[there].astype(np.float64), depths[there], annotation["relation"]), depths[there]
        errors = np.abs(found - true)
        near = np.maximum(found, true) < DELTA * np.minimum(found, true)
        rows.append([1 - float((errors / true).mean()), float(np.square(errors).mean()), float(near.mean()), 1.0])
    if not any(row[_COUNT] for row in rows):
        raise InputError(f"no map of depths of '{case.dataset.spec}' has a depth above 0")
    return np.array(rows)


def aligned(values: _Doubles, depths: _Doubles, relation: str) -> _Doubles:
    """A network's numbers at pixels of known depth as metres, float64 [n].

    Args:
        values: of the network, [n].
        depths: that are measured, in metres [n].
        relation: see data.depth.Relation. Of reciprocals none is less than that of the furthest depth that is measured.
    """
    if relation == "metric":
        return values
    target = 1 / depths if relation == "inverse" else depths
    centred = values - values.mean()
    power = float(np.square(centred).mean())
    scale = float((centred * target).mean()) / power if power > 0 else 0.0
    fitted = target.mean() + scale * centred
    if relation == "affine":
        return np.asarray(fitted)
    return np.asarray(1 / np.maximum(fitted, target.min()))


class _OfDepth(AdditiveMetric):
    """Means over images, of a column of `measured`, where depths are measured."""

    task: ClassVar[str] = "depth"
    column: ClassVar[int]

    def score(self, evidence: Evidence[Any]) -> Score:
        """See Metric; all maps are read once for all metrics."""
        if not evidence.case.labelled:
            return super().score(evidence)
        rows = evidence.once(measured, lambda: measured(evidence.case))[:, [self.column, _COUNT]]
        return Score(np.asarray(self.value(evidence.weights @ rows), np.float64))


def _pairs(case: OutputCase) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """The maps of each image, before coding and now."""
    for identity in case.images:
        yield case.reference[identity].values["values"], case.found[identity].values["values"]


class RelativeAccuracy(_OfDepth):
    """100 % less the mean relative error (AbsRel), which may be more than 100 %.

    Beside the uncompressed network, 100 % less the mean absolute error over the mean absolute value.
    """

    name: ClassVar[str] = "relative"
    title: ClassVar[str] = "1 - relative error"
    column: ClassVar[int] = _RELATIVE

    def statistics(self, case: OutputCase) -> _Doubles:
        """Absolute values less errors, absolute values."""
        rows = []
        for before, now in _pairs(case):
            before, now = before.astype(np.float64), now.astype(np.float64)
            total = float(np.abs(before).sum())
            rows.append([total - float(np.abs(now - before).sum()), total])
        return np.array(rows)


class Delta(_OfDepth):
    """The share of pixels within a factor of 1.25."""

    name: ClassVar[str] = "delta1"
    title: ClassVar[str] = "delta < 1.25"
    rank: ClassVar[int] = 1
    column: ClassVar[int] = _NEAR

    def statistics(self, case: OutputCase) -> _Doubles:
        """Pixels that are near, pixels."""
        rows = []
        for before, now in _pairs(case):
            low, high = np.minimum(before, now), np.maximum(before, now)
            rows.append([float(((low > 0) & (high < DELTA * low) | (high == low)).sum()), float(before.size)])
        return np.array(rows)


class RootMeanSquare(_OfDepth):
    """The root of the mean squared error in metres, of all images; beside measured depths only."""

    name: ClassVar[str] = "rmse"
    title: ClassVar[str] = "RMSE in metres"
    rank: ClassVar[int] = 2
    falls: ClassVar[bool] = True
    column: ClassVar[int] = _SQUARED

    def applies(self, case: OutputCase) -> bool:
        """See Metric."""
        return super().applies(case) and case.labelled

    def value(self, sums: _Doubles) -> _Doubles:
        """See AdditiveMetric."""
        return np.asarray(np.sqrt(sums[..., 0] / np.maximum(sums[..., 1], 1e-300)))
