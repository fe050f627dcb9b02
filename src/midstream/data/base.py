"""What an evaluation needs of a data set: images, and ground truth in COCO's terms where there is any."""

from __future__ import annotations

import warnings
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

#: What a ground truth is: labels in COCO's format; those of Cityscapes, with the files of its benchmark; or what an
#: uncompressed network found, with which the same network is to agree.
Labels = Literal["coco", "cityscapes", "network"]


@dataclass(frozen=True)
class ImageFile:
    """One image: `id` is its id in the ground truth."""

    id: int
    path: Path


@dataclass(frozen=True)
class Dataset:
    """Images with or without labels.

    Attributes:
        spec: the data set as it was asked for (`coco:...`, `cityscapes:...`, `folder:...`).
        labels: what its ground truth is, which decides the metrics that it has; None without.
        images: in a fixed order (by id).
        ground_truth: a COCO dictionary (`images`, `annotations`, `categories`) of exactly these images, crowds marked
            `iscrowd`, masks as polygons or RLE; None without labels.
        notes: what is to be said beside its figures, a line each.
    """

    spec: str
    labels: Labels | None
    images: tuple[ImageFile, ...]
    ground_truth: dict[str, Any] | None
    notes: tuple[str, ...] = ()

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

    def head(self, count: int | None) -> Dataset:
        """The first `count` images with their ground truth; all of them for None."""
        if count is None or count >= len(self.images):
            return self
        return self.only({image.id for image in self.images[:count]})

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
        return replace(self, images=kept, ground_truth=truth)
