"""A class for every pixel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from midstream.errors import InputError
from midstream.models.tasks.base import Image, Vector
from midstream.models.tasks.tensors import Tensors, TensorTask, thinned

_SHARE = 0.5


class SemanticSegmentation(TensorTask):
    """`logits` float32 [classes, h, w] at any stride, or `labels` uint8 or uint16 [h, w], which is what is sent.

    Where `logits` has one channel there are two classes, nothing and something, above zero.
    """

    name: ClassVar[str] = "semantic segmentation"

    def moved(self, reference: Tensors, now: Tensors) -> Vector:
        """See Task: differences of chances; of labels, where they are others."""
        if "logits" not in reference.values:
            other = labels_of(reference) != labels_of(now)
            return thinned(other) / np.float32(np.sqrt(max(other.size, 1)))
        before, after = _chances(reference), _chances(now)
        return (thinned(after) - thinned(before)) / np.float32(np.sqrt(before[0].size))

    def disagreement(self, references: Sequence[Tensors], now: Sequence[Tensors]) -> float:
        """See Task: one minus the mean intersection over union, over all images, of the classes that there are."""
        total = np.sum([overlap_counts(labels_of(a), labels_of(b)) for a, b in zip(references, now, strict=True)], 0)
        return 1 - mean_overlap(total)

    def fault(self, output: Tensors, classes: int) -> str:
        """See Task."""
        if not output.finite:
            return "a logit is not a finite number"
        try:
            labels = labels_of(output)
        except InputError as error:
            return str(error)
        if not labels.size:
            return "a map has no pixels"
        if classes and int(labels.max()) >= max(classes, 2):
            return f"a label is not one of the {classes} classes"
        return ""

    def pack(self, output: Tensors) -> dict[str, NDArray[Any]]:
        """See Task: the labels, without the logits."""
        return {"labels": labels_of(output)}

    def unpack(self, arrays: Mapping[str, NDArray[Any]]) -> Tensors:
        """See Task."""
        labels = arrays.get("labels")
        if labels is None or labels.ndim != 2 or labels.dtype not in (np.uint8, np.uint16):
            raise InputError("an output of semantic segmentation is a map of labels [h, w], uint8 or uint16")
        return Tensors({"labels": labels})

    def annotate(self, image: Image, output: Tensors, classes: Sequence[str]) -> Image:
        """See Task: every class but the first in a colour of its own."""
        from midstream.models.annotate import color  # it needs an extra, which the core does without

        labels = resized_labels(labels_of(output), image.shape[:2])
        count = max(len(classes), 2, int(labels.max(initial=0)) + 1)
        colours = np.array([color(label) for label in range(count)], np.uint8)
        tinted = (image * (1 - _SHARE) + colours[labels] * _SHARE).astype(np.uint8)
        return np.where((labels > 0)[..., None], tinted, image)

    def listed(self, output: Tensors, classes: Sequence[str], ids: Sequence[int] | None) -> dict[str, Any]:
        """See Task: the share of the image that each class has."""
        del ids
        labels = labels_of(output)
        found, counts = np.unique(labels, return_counts=True)
        shares = {
            (classes[label] if label < len(classes) else str(label)): round(count / labels.size, 6)
            for label, count in zip(found.tolist(), counts.tolist(), strict=True)
        }
        return {"shape": list(labels.shape), "shares": shares}


def labels_of(output: Tensors) -> NDArray[Any]:
    """The map of labels, uint8 or, of more than 256 classes, uint16 [h, w]. Raises InputError where there is none."""
    if "labels" in output.values:
        return np.asarray(output.values["labels"])
    logits = output.values.get("logits")
    if logits is None or logits.ndim != 3:
        raise InputError("an output of semantic segmentation has logits [classes, h, w]")
    if len(logits) == 1:
        return np.asarray(logits[0] > 0, np.uint8)
    return np.asarray(logits.argmax(axis=0), np.uint8 if len(logits) <= 256 else np.uint16)


def resized_labels(labels: NDArray[Any], size: Sequence[int]) -> NDArray[Any]:
    """A map of labels at (height, width), by the nearest one."""
    rows, columns = (
        ((np.arange(to) + 0.5) * side / to).astype(np.intp) for to, side in zip(size, labels.shape, strict=True)
    )
    return np.asarray(labels[rows[:, None], columns[None, :]])


def overlap_counts(
    truth: NDArray[Any], found: NDArray[Any], classes: int = 256, unlabelled: int = -1
) -> NDArray[np.int64]:
    """Pixels of each class: in both, in the truth, found, [3, classes]; what is unlabelled in the truth is left out."""
    if found.shape != truth.shape:
        found = resized_labels(found, truth.shape)
    known = truth != unlabelled
    truth, found = truth[known], found[known]
    counted = [truth[truth == found], truth, found]
    return np.stack([np.bincount(np.minimum(each, classes - 1), minlength=classes) for each in counted])


def mean_overlap(counts: NDArray[Any]) -> float:
    """Mean intersection over union, 0 to 1, of the classes that are in truth or found; 1 where there is none."""
    both, truth, found = (np.asarray(each, np.float64) for each in counts)
    union = truth + found - both
    there = union > 0
    return float((both[there] / union[there]).mean()) if there.any() else 1.0


def _chances(output: Tensors) -> NDArray[np.float32]:
    logits = np.asarray(output.values["logits"], np.float32)
    if len(logits) == 1:
        return np.asarray(1 / (1 + np.exp(-np.clip(logits, -30, 30))), np.float32)
    powers = np.exp(logits - logits.max(axis=0, keepdims=True))
    return np.asarray(powers / powers.sum(axis=0, keepdims=True))
