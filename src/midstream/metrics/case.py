"""Detections beside the ground truth that they are held against, checked."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from midstream.data import Dataset
from midstream.data.masks import check_masks, has_mask
from midstream.errors import InputError
from midstream.metrics.base import AnyCase, Metric
from midstream.metrics.categories import category_ids
from midstream.models.detections import Detections, coco_entries
from midstream.wording import counted


@dataclass(frozen=True)
class Case(AnyCase):
    """Detections beside the ground truth that they are held against, checked.

    Attributes:
        truth: the data set's ground truth.
        found: the detections by image id.
        categories: of each of the network's classes the data set's category, None for one that it lacks.
        results: one COCO entry a detection, of the classes that the data set has.
        reference: the uncompressed network's detections by image id, for what is held against them; may be empty.
    """

    dataset: Dataset
    truth: dict[str, Any]
    found: dict[int, Detections]
    categories: list[int | None]
    results: list[dict[str, Any]]
    reference: Mapping[int, Detections] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        dataset: Dataset,
        detections: Mapping[int, Detections],
        classes: Sequence[str],
        reference: Mapping[int, Detections] | None = None,
    ) -> Case:
        """Check and convert; arguments and errors as `accuracy_of` has them."""
        truth = dataset.ground_truth
        if truth is None:
            raise InputError(f"'{dataset.spec}' has no labels to evaluate against")
        categories = category_ids(classes, truth)
        found = {image.id: detections[image.id] for image in dataset.images if image.id in detections}
        check_detections(found, truth["images"], len(classes))
        entries = [entry for identity, there in found.items() for entry in coco_entries(identity, there)]
        results = [{**e, "category_id": c} for e in entries if (c := categories[e["category_id"]]) is not None]
        case = cls(dataset, truth, found, categories, results, reference or {})
        if case.has_masks:
            check_masks(dataset)
        return case

    def only(self, ids: Collection[int]) -> Case:
        """The part of these images: its states add up with those of the other parts."""
        dataset = self.dataset.only(ids)
        assert dataset.ground_truth is not None
        found = {identity: there for identity, there in self.found.items() if identity in ids}
        results = [entry for entry in self.results if entry["image_id"] in ids]
        return Case(dataset, dataset.ground_truth, found, self.categories, results, self.reference)

    @property
    def has_keypoints(self) -> bool:
        """Whether both the network and the ground truth have keypoints, as many for each object."""
        points = {each.keypoints.shape[1] for each in self.found.values() if each.keypoints is not None and len(each)}
        true = {len(a["keypoints"]) // 3 for a in self.truth["annotations"] if a.get("num_keypoints")}
        return len(points) == 1 and points == true

    @property
    def has_masks(self) -> bool:
        """Whether both the network and the ground truth have masks."""
        found = any(there.masks is not None for there in self.found.values())
        return found and any(has_mask(a) and not a["iscrowd"] for a in self.truth["annotations"])


class DetectionMetric(Metric[Case]):
    """A metric of detections."""

    of: ClassVar[type[AnyCase]] = Case


def check_objects(dataset: Dataset) -> None:
    """Refuse labels of nothing but crowds. Raises InputError."""
    if dataset.ground_truth is not None and all(each["iscrowd"] for each in dataset.ground_truth["annotations"]):
        raise InputError(f"'{dataset.spec}' has no labelled object in its {counted(len(dataset.images), 'image')}")


def check_detections(found: Mapping[int, Detections], images: Sequence[Mapping[str, Any]], classes: int) -> None:
    """Refuse what pycocotools would take without a word and count as misses.

    Args:
        found: by image id.
        images: COCO's entries of the images; where they have a size, masks are held against it.
        classes: how many the network has.

    Raises:
        InputError: malformed detections; the message names the image.
    """
    sizes = {image["id"]: [image["height"], image["width"]] for image in images if "height" in image}
    has_masks = any(there.masks is not None for there in found.values())
    for identity, there in found.items():
        if fault := there.fault(classes):
            raise InputError(f"detections in image {identity}: {fault}")
        count, masks = len(there), there.masks or []
        if len(masks) != (count if has_masks else 0):
            raise InputError(f"detections in image {identity}: {count} boxes but {len(masks)} masks")
        for mask in masks:
            size = sizes.setdefault(identity, list(mask["size"]))
            if list(mask["size"]) != size:
                raise InputError(f"detections in image {identity}: a mask of {mask['size']}, the image has {size}")
