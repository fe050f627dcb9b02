"""Mean intersection over union, and pixel accuracy, of label maps."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from midstream.data.label_maps import label_map
from midstream.metrics.categories import ordered_ids
from midstream.metrics.outputs import AdditiveMetric, OutputCase
from midstream.models.tasks.segmentation import labels_of, overlap_counts

#: Of the truth: a pixel that does not count, as PNG label maps have it.
UNLABELLED = 255
#: Values of a pixel that is of a class which the network lacks.
_LACKING = 65535


def overlaps(case: OutputCase) -> NDArray[np.float64]:
    """Pixels of each class in truth and found, in the truth, and found, [images, 3 * classes]."""
    found = {identity: labels_of(output) for identity, output in case.found.items()}
    truth = {identity: _truth(case, identity) for identity in case.images}
    classes = 1 + max(int(m.max(initial=0)) for side in (found, truth) for m in side.values() if m.size)
    unlabelled = UNLABELLED if case.labelled else -1
    rows = [overlap_counts(truth[i], found[i], classes, unlabelled).reshape(-1) for i in case.images]
    return np.array(rows, np.float64)


def _truth(case: OutputCase, identity: int) -> NDArray[np.int64]:
    if not case.labelled:
        return labels_of(case.reference[identity]).astype(np.int64)
    truth = case.dataset.ground_truth or {}
    annotation = next((each for each in truth["annotations"] if each["image_id"] == identity), None)
    if annotation is None:
        return np.full((1, 1), UNLABELLED, np.int64)
    labels = label_map(annotation).astype(np.int64)
    if not case.classes:
        return labels
    table = np.full(1 << 16, _LACKING, np.int64)
    table[UNLABELLED] = UNLABELLED
    for index, category in enumerate(ordered_ids(case.classes, truth)[0]):
        if category is not None:
            table[category] = index
    return np.asarray(np.where(table[labels] == _LACKING, UNLABELLED, table[labels]))


class MeanIou(AdditiveMetric):
    """Mean over the classes that are in the truth or found, over all images together."""

    name: ClassVar[str] = "miou"
    title: ClassVar[str] = "mIoU"
    task: ClassVar[str] = "semantic segmentation"

    def statistics(self, case: OutputCase) -> NDArray[np.float64]:
        """See `overlaps`."""
        return overlaps(case)

    def value(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """See AdditiveMetric."""
        both, truth, found = np.moveaxis(sums.reshape(*sums.shape[:-1], 3, -1), -2, 0)
        union = truth + found - both
        shares = np.where(union > 0, both / np.maximum(union, 1), np.nan)
        there = np.maximum((union > 0).sum(axis=-1), 1)
        return np.asarray(100 * np.nansum(shares, axis=-1) / there)


class PixelAccuracy(MeanIou):
    """The share of pixels with the right class."""

    name: ClassVar[str] = "pixel_accuracy"
    title: ClassVar[str] = "pixel accuracy"
    rank: ClassVar[int] = 1

    def value(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """See AdditiveMetric."""
        both, truth, _ = np.moveaxis(sums.reshape(*sums.shape[:-1], 3, -1), -2, 0)
        return np.asarray(100 * both.sum(-1) / np.maximum(truth.sum(-1), 1))
