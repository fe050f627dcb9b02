"""Agreement with the uncompressed network: its own detections as ground truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from midstream.data import Dataset
from midstream.errors import InputError
from midstream.metrics.case import check_detections
from midstream.metrics.categories import category_ids
from midstream.metrics.coco import has_extent
from midstream.models.detections import Detections, coco_entries
from midstream.wording import counted

#: Score from which a detection of the uncompressed network counts as one that the compressed one must find.
REFERENCE_THRESHOLD = 0.3


def reference_dataset(
    dataset: Dataset,
    detections: Mapping[int, Detections],
    classes: Sequence[str],
    threshold: float = REFERENCE_THRESHOLD,
) -> Dataset:
    """The images of `dataset` with the uncompressed network's own detections as ground truth.

    `accuracy_of` on the result gives the agreement with that network, which itself scores 100: what is above the
    threshold matches itself, and what is below ranks behind it, where it costs no precision. All detections are to be
    given to `accuracy_of`, not only those above the threshold: one that coding moves from 0.31 to 0.29 is not lost.

    Args:
        dataset: any; its own labels, if it has some, are left aside.
        detections: of the uncompressed network, by image id.
        classes: the names that `Detections.labels` indexes.
        threshold: the least score of a detection that counts, 0 to 1. With the default of 0.3 the reference has about
            as many objects as people label: PicoDet-S on COCO photographs gives 11.5 an image, people 8.3. At 0.2 it
            gives 29, mostly noise, at 0.5 only the 3.7 that any coding keeps.

    Raises:
        InputError: the threshold is out of range, a detection is malformed, or none reaches the threshold.
    """
    if not 0 <= threshold <= 1:
        raise InputError(f"the reference threshold must lie in 0 to 1, it is {threshold}")
    images: list[dict[str, Any]] = [{"id": image.id, "file_name": image.path.name} for image in dataset.images]
    found = {image.id: detections[image.id] for image in dataset.images if image.id in detections}
    check_detections(found, images, len(classes))
    categories = [{"id": index, "name": name} for index, name in enumerate(classes)]
    own = category_ids(classes, {"categories": categories, "annotations": []})
    entries = (entry for identity, there in found.items() for entry in coco_entries(identity, there))
    annotations = [
        {**entry, "id": number, "iscrowd": 0, "category_id": own[entry["category_id"]]}
        for number, entry in enumerate((e for e in entries if e.pop("score") >= threshold), start=1)
    ]
    if not any(has_extent(annotation, "bbox") for annotation in annotations):
        raise InputError(
            f"the uncompressed network finds nothing with a score of {threshold:g} or more in the "
            f"{counted(len(images), 'image')} of '{dataset.spec}', so there is nothing to agree with"
        )
    truth = {"images": images, "categories": categories, "annotations": annotations}
    return replace(dataset, labels="network", ground_truth=truth)
