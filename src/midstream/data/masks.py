"""The masks of a data set's annotations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from midstream.data.base import Dataset
from midstream.errors import InputError
from midstream.masks import check_mask


def check_masks(dataset: Dataset, read: bool = True) -> None:
    """Refuse masks of a COCO file that do not fit its images; the masks of other data sets are the project's own.

    Args:
        dataset: the labels.
        read: whether their sizes are those of the images, as `reading.as_read` leaves them. Before that, run lengths
            may be of the listed size with its sides exchanged, as Label Studio lists images that EXIF turns.

    Raises:
        InputError: a polygon or run lengths that are not in COCO's format or not of the size that is listed for the
            image; the message names the annotation and the image.
    """
    if dataset.ground_truth is None or dataset.labels != "coco":
        return
    images = {image["id"]: image for image in dataset.ground_truth["images"]}
    for annotation in dataset.ground_truth["annotations"]:
        image = images[annotation["image_id"]]
        size = (image["height"], image["width"])
        try:
            if has_mask(annotation):
                _check_listed(annotation, [size] if read else [size, size[::-1]])
        except InputError as error:
            # Annotations are numbered from 1 when they are loaded, in the order of the file.
            place = f"annotations[{annotation['id'] - 1}] (of {image['file_name']}) in '{dataset.spec}'"
            raise InputError(f"{place} has an unusable mask: {error}") from error


def _check_listed(annotation: Mapping[str, Any], sizes: Sequence[tuple[int, int]]) -> None:
    mask = annotation["segmentation"]
    own = next((size for size in sizes if fits(annotation, size)), None)
    if own is None:
        raise InputError(f"its run lengths are of the size {mask.get('size')}, the listed size is {list(sizes[0])}")
    check_mask(mask, *own)


def has_mask(annotation: Mapping[str, Any]) -> bool:
    """Whether an annotation has a mask: many programs write an empty list where there is none."""
    return bool(annotation.get("segmentation"))


def fits(annotation: Mapping[str, Any], size: tuple[int, int]) -> bool:
    """Whether an annotation's mask, if it has run lengths, is of this height and width; polygons are of every size."""
    mask = annotation.get("segmentation")
    return not isinstance(mask, Mapping) or mask.get("size") == list(size)
