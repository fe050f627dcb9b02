"""What an evaluation needs of a data set: images, and ground truth in COCO's terms where there is any."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

#: What a ground truth is: labels in COCO's format (boxes, and masks and keypoints where annotations have them); those
#: of Cityscapes, with the files of its benchmark; for each image a class, a map of classes or a map of depths; or what
#: an uncompressed network found, with which the same network is to agree.
Labels = Literal["coco", "cityscapes", "classes", "segmentation", "depth", "network"]
#: In a map of classes, a pixel that nobody labelled.
UNLABELLED = 255


@dataclass(frozen=True)
class Clip:
    """Frames that follow each other; `rate` is how many there are a second."""

    name: str
    rate: float


@dataclass(frozen=True)
class ImageFile:
    """One image.

    Attributes:
        id: in the ground truth.
        clip: that it is a frame of; None for a photograph.
        time_s: of the frame, since its clip began.
    """

    id: int
    path: Path
    clip: Clip | None = None
    time_s: float = 0.0


@dataclass(frozen=True)
class Mark:
    """An object that is marked in a frame whose other objects are not: what else is found there is not wrong.

    Attributes:
        category: its class, by COCO's name.
        box: left, top, width, height in pixels.
    """

    category: str
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class Dataset:
    """Images with or without labels.

    Attributes:
        spec: the data set as it was asked for (`coco:...`, `cityscapes:...`, `folder:...`).
        labels: what its ground truth is, which decides the metrics that it has; None without.
        images: in a fixed order (by id).
        ground_truth: a COCO dictionary (`images`, `annotations`, `categories`) of exactly these images, crowds marked
            `iscrowd`, masks as polygons or RLE; None without labels. Of `classes`, an annotation is {id, image_id,
            category_id}, one an image, and the category ids are the class indices. Of `segmentation` it is {id,
            image_id, file_name} with the path of a map that `label_maps.label_map` reads; a category's id is its value
            in the maps.
        notes: what is to be said beside its figures, a line each.
        marks: by image id, objects of clips that are marked one by one instead of all; none of the ground truth.
    """

    spec: str
    labels: Labels | None
    images: tuple[ImageFile, ...]
    ground_truth: dict[str, Any] | None
    notes: tuple[str, ...] = ()
    marks: Mapping[int, tuple[Mark, ...]] = field(default_factory=dict)

    @property
    def agreement(self) -> bool:
        """Whether what is measured against it is the agreement with an uncompressed network."""
        return self.labels == "network"

    @property
    def pictures(self) -> tuple[ImageFile, ...]:
        """The name that `images` had in an earlier release."""
        message = "Dataset.pictures is now images; the next release no longer knows the earlier name"
        warnings.warn(message, DeprecationWarning, stacklevel=2)
        return self.images

    @property
    def parts(self) -> list[tuple[ImageFile, ...]]:
        """What is measured in one go: the frames of each clip, in order; each image of a set that has no clips."""
        if any(image.clip is None for image in self.images):
            return [(image,) for image in self.images]
        return [tuple(frames) for _, frames in groupby(self.images, lambda image: image.clip)]

    def head(self, count: int | None) -> Dataset:
        """The first `count` images, or frames of each clip, with their ground truth; all of them for None."""
        if count is None:
            return self
        clips: Counter[Clip | None] = Counter()
        kept = set()
        for image in self.images:
            clips[image.clip] += 1
            if clips[image.clip] <= count:
                kept.add(image.id)
        return self if len(kept) == len(self.images) else self.only(kept)

    def without(self, paths: Collection[str]) -> Dataset:
        """The images but those of these files."""
        return self.only({image.id for image in self.images if str(image.path) not in paths})

    def only(self, ids: Collection[int]) -> Dataset:
        """The images with these ids, with their ground truth."""
        truth = self.ground_truth
        if truth is not None:
            truth = {
                "categories": truth["categories"],
                "images": [image for image in truth["images"] if image["id"] in ids],
                "annotations": [a for a in truth["annotations"] if a["image_id"] in ids],
            }
        kept = tuple(image for image in self.images if image.id in ids)
        marks = {identity: there for identity, there in self.marks.items() if identity in ids}
        return replace(self, images=kept, ground_truth=truth, marks=marks)
