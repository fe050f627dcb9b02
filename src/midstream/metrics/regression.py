"""How near numbers stay: embeddings, and tensors of any meaning, beside the uncompressed network's."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from midstream.metrics.outputs import AdditiveMetric, OutputCase
from midstream.models.tasks.embedding import direction
from midstream.models.tasks.tensors import squared_errors


class Cosine(AdditiveMetric):
    """The mean cosine between a vector and the uncompressed network's."""

    name: ClassVar[str] = "cosine"
    title: ClassVar[str] = "cosine"
    task: ClassVar[str] = "embedding"

    def statistics(self, case: OutputCase) -> NDArray[np.float64]:
        """Cosines, images."""
        pairs = ((direction(case.reference[i]), direction(case.found[i])) for i in case.images)
        return np.array([[float(before @ now), 1.0] for before, now in pairs])


class Recall(AdditiveMetric):
    """Recall@1 within the set: the nearest other image is the right one.

    The gallery is of uncompressed vectors, as a server has them. Right is, with labels, an image of the same class,
    and without, the one that the uncompressed query finds.
    """

    name: ClassVar[str] = "recall1"
    title: ClassVar[str] = "recall@1"
    rank: ClassVar[int] = 1
    task: ClassVar[str] = "embedding"

    def statistics(self, case: OutputCase) -> NDArray[np.float64]:
        """Images that are right, images."""
        gallery, queries = (np.stack([direction(s[i]) for i in case.images]) for s in (case.reference, case.found))
        nearest, own = _nearest(queries, gallery), _nearest(gallery, gallery)
        if case.labelled:
            truth = case.dataset.ground_truth or {}
            classes = {int(a["image_id"]): int(a["category_id"]) for a in truth["annotations"]}
            right = [classes.get(case.images[at]) == classes.get(i) for i, at in zip(case.images, nearest, strict=True)]
        else:
            right = (nearest == own).tolist()
        return np.array([[float(each), 1.0] for each in right])


def _nearest(queries: NDArray[np.float32], gallery: NDArray[np.float32]) -> NDArray[np.intp]:
    likeness = queries @ gallery.T
    np.fill_diagonal(likeness, -np.inf)
    return np.asarray(likeness.argmax(axis=1))


class Fidelity(AdditiveMetric):
    """100 % less the relative squared error of the outputs, the mean over a network's tensors."""

    name: ClassVar[str] = "fidelity"
    title: ClassVar[str] = "1 - relative squared error"
    task: ClassVar[str] = "tensors"

    def statistics(self, case: OutputCase) -> NDArray[np.float64]:
        """Squared error and squared length of each tensor."""
        return np.array([squared_errors(case.reference[i], case.found[i]).reshape(-1) for i in case.images])

    def value(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """See AdditiveMetric."""
        pairs = sums.reshape(*sums.shape[:-1], -1, 2)
        errors = np.where(pairs[..., 1] > 0, pairs[..., 0] / np.maximum(pairs[..., 1], 1e-300), pairs[..., 0] > 0)
        return np.asarray(100 * (1 - np.minimum(errors, 1).mean(axis=-1)))
