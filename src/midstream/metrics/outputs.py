"""Outputs that are no boxes, beside labels of their task or beside the uncompressed network's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from midstream.data import Dataset
from midstream.errors import InputError
from midstream.metrics.base import AnyCase, Evidence, Metric, Score
from midstream.metrics.categories import ordered_ids
from midstream.models.tasks import Output, Task, Tensors

#: Kinds of labels by which a task's outputs can be scored.
LABELS: dict[str, tuple[str, ...]] = {
    "detection": ("coco", "cityscapes", "network"),
    "instance segmentation": ("coco", "cityscapes", "network"),
    "keypoints": ("coco", "network"),
    "classification": ("classes",),
    "embedding": ("classes",),
    "semantic segmentation": ("segmentation",),
    "depth": ("depth",),
}


def fit_labels(task: Task[Any], dataset: Dataset) -> bool:
    """Whether the labels of a data set are of this task."""
    return dataset.labels in LABELS.get(task.name, ())


@dataclass(frozen=True)
class OutputCase(AnyCase):
    """Outputs beside what they are held against, checked.

    Attributes:
        task: of the network.
        classes: its class names.
        images: ids, in the data set's order.
        found: by image id.
        reference: the uncompressed network's outputs by image id.
    """

    dataset: Dataset
    task: Task[Any]
    classes: tuple[str, ...]
    found: Mapping[int, Tensors]
    reference: Mapping[int, Tensors]

    @classmethod
    def of(
        cls,
        dataset: Dataset,
        task: Task[Any],
        classes: Sequence[str],
        found: Mapping[int, Output],
        reference: Mapping[int, Output],
    ) -> OutputCase:
        """Check: each image has an output that can be one. Raises InputError, which names the image."""
        for identity, output in found.items():
            if fault := task.fault(output, len(classes)):
                raise InputError(f"the output for image {identity}: {fault}")
        ids = {image.id for image in dataset.images}
        there = [{key: each for key, each in side.items() if key in ids} for side in (found, reference)]
        checked = [{key: each for key, each in side.items() if isinstance(each, Tensors)} for side in there]
        return cls(dataset, task, tuple(classes), checked[0], checked[1])

    @property
    def images(self) -> list[int]:
        """Ids, in the data set's order."""
        return [image.id for image in self.dataset.images]

    @property
    def labelled(self) -> bool:
        """Whether the data set has labels of the task; else outputs are held against the uncompressed network's."""
        return fit_labels(self.task, self.dataset)

    def labels(self, scores: int) -> dict[int, int]:
        """The index of its class by image, for a network that gives so many scores; -1 for one that it lacks."""
        truth = self.dataset.ground_truth or {}
        if self.classes:
            matched, _ = ordered_ids(self.classes, truth)
        elif len(truth["categories"]) == scores:  # in the same order, as exporters of class folders have them
            matched = [int(category["id"]) for category in truth["categories"]]
        else:
            raise InputError(
                f"the network gives {scores} scores and names no classes, the data set has {len(truth['categories'])}: "
                "list `classes` in the description"
            )
        index = {category: at for at, category in enumerate(matched) if category is not None}
        return {int(a["image_id"]): index.get(int(a["category_id"]), -1) for a in truth["annotations"]}


class AdditiveMetric(Metric[OutputCase]):
    """A metric of sums over images: resamples of the images are sums with weights.

    Attributes:
        task: whose outputs it scores.
    """

    of: ClassVar[type[AnyCase]] = OutputCase
    task: ClassVar[str]

    def statistics(self, case: OutputCase) -> NDArray[np.float64]:
        """What is summed, [images, k]."""
        raise NotImplementedError

    def value(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """The figure in percent [...], of sums [..., k]: by default the first of two over the second."""
        return np.asarray(100 * sums[..., 0] / np.maximum(sums[..., 1], 1e-300))

    def applies(self, case: OutputCase) -> bool:
        """To outputs of its task."""
        return case.task.name == self.task

    def score(self, evidence: Evidence[OutputCase]) -> Score:
        """See Metric."""
        rows = evidence.once(type(self).statistics, lambda: self.statistics(evidence.case))
        return Score(np.asarray(self.value(evidence.weights @ rows), np.float64))
