"""What a detector found in one image: whether it can be so, and as COCO's results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from midstream.masks import run_bytes

#: Score from which a keypoint counts as one that is seen.
SEEN = 0.3


@dataclass(frozen=True)
class Detections:
    """What a detector found in one image, best score first.

    Attributes:
        boxes: float32 [n, 4], left, top, right, bottom in pixels of the original image.
        scores: float32 [n], 0 to 1.
        labels: int64 [n], indices into the model's `classes`.
        masks: COCO run-length encodings ({"size": [h, w], "counts": bytes}) at the original image's size, one a
            detection; None for a network without masks.
        keypoints: float32 [n, K, 3], x and y in pixels of the original image and a score from 0 to 1; None for a
            network without keypoints.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    labels: NDArray[np.int64]
    masks: list[dict[str, Any]] | None = field(default=None)
    keypoints: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        """How many there are."""
        return len(self.scores)

    @property
    def finite(self) -> bool:
        """Whether all boxes, scores and keypoints are finite numbers."""
        numbers = [self.boxes, self.scores, *([] if self.keypoints is None else [self.keypoints])]
        return all(bool(np.isfinite(each).all()) for each in numbers)

    def fault(self, classes: int) -> str:
        """What makes these impossible for a network of so many classes; empty if nothing does."""
        count, shapes = len(self), (self.boxes.shape, self.scores.shape, self.labels.shape)
        if shapes != ((count, 4), (count,), (count,)):
            return f"boxes, scores and labels have the shapes {shapes}"
        if self.masks is not None and len(self.masks) != count:
            return f"there are {len(self.masks)} masks of {count} objects"
        if self.keypoints is not None and (self.keypoints.ndim, *self.keypoints.shape[::2]) != (3, count, 3):
            return f"keypoints of {count} objects have the shape {self.keypoints.shape}"
        if not self.finite:
            return "a box, a score or a keypoint is not a finite number"
        if count and not (self.labels.min() >= 0 and self.labels.max() < classes):
            return f"a label is not one of the {classes} classes"
        return ""


def coco_entries(image_id: int, found: Detections) -> Iterator[dict[str, Any]]:
    """One entry of COCO's results a detection, its `category_id` still the network's label."""
    boxes = found.boxes.astype(np.float64)
    sizes = boxes[:, 2:] - boxes[:, :2]
    for index in range(len(found)):
        entry: dict[str, Any] = {
            "image_id": image_id,
            "category_id": int(found.labels[index]),
            "score": float(found.scores[index]),
            "bbox": [*boxes[index, :2].tolist(), *sizes[index].tolist()],
            "area": float(sizes[index].prod()),
        }
        if found.masks is not None:
            entry["segmentation"] = found.masks[index]
        if found.keypoints is not None:
            seen = found.keypoints[index, :, 2] >= SEEN
            points = np.column_stack([found.keypoints[index, :, :2], 2 * seen])
            entry["keypoints"] = points.astype(np.float64).ravel().tolist()
            entry["num_keypoints"] = int(seen.sum())
        yield entry


def category_of(label: int, classes: Sequence[str], category_ids: Sequence[int] | None) -> tuple[str, int | None]:
    """The name behind a label, and its id in the data set that the network was trained for; None where unknown.

    A label beyond `classes` and `category_ids`, which may come from different machines, is named by its number.
    """
    name = classes[label] if label < len(classes) else str(label)
    return name, category_ids[label] if category_ids is not None and label < len(category_ids) else None


def listed_objects(
    found: Detections, classes: Sequence[str], category_ids: Sequence[int] | None
) -> list[dict[str, Any]]:
    """Detections for a line of JSON: COCO's results without `image_id`, with the class's name and its index, `label`.

    The score is float32. `category_id` is the data set's, so there is none where the network does not know it.
    """
    objects = []
    for entry in coco_entries(0, found):
        label = entry["category_id"]
        name, category_id = category_of(label, classes, category_ids)
        one: dict[str, Any] = {"category": name, "label": label}
        if category_id is not None:
            one["category_id"] = category_id
        one |= {"score": entry["score"], "bbox": entry["bbox"]}
        if (mask := entry.get("segmentation")) is not None:
            one["segmentation"] = {"size": list(mask["size"]), "counts": run_bytes(mask).decode("ascii")}
        objects.append(one)
    return objects
