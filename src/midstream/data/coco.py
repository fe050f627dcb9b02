"""Data sets in COCO's format: a folder of images and one JSON file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel

from midstream.data.base import Dataset
from midstream.data.bounds import Area, Box, Number, Place
from midstream.data.coco_file import Category, Image, check_ids, found, parsed, text_of
from midstream.data.coco_panoptic import is_panoptic, load_panoptic
from midstream.errors import InputError
from midstream.files import expanded

#: x, y and visibility: 0 is not labelled, 1 hidden, 2 seen.
_KEYPOINT = 3


class Annotation(BaseModel):
    """An entry of `annotations`."""

    image_id: Number
    category_id: Number
    bbox: Box
    area: Area | None = None
    iscrowd: bool = False
    segmentation: Any = None
    keypoints: list[Place] | None = None


class _File(BaseModel):
    images: list[Image]
    annotations: list[Annotation]
    categories: list[Category]


class Content(Protocol):
    """What a file of this format has, whatever else its entries say."""

    @property
    def images(self) -> Sequence[Image]: ...  # noqa: D102
    @property
    def annotations(self) -> Sequence[Annotation]: ...  # noqa: D102
    @property
    def categories(self) -> Sequence[Category]: ...  # noqa: D102


def load_coco(spec: str, paths: str) -> Dataset:
    """A data set from `IMAGES_DIR,ANNOTATIONS.json`; either may contain commas.

    Annotations of images that the file does not list are left out (subsets are often made by shortening `images`)
    and counted in the notes, a missing `area` is that of the box, a missing `iscrowd` is 0. `\\` in a file name stands
    for `/`, unless a file has that very name. An image that is not in its subfolder is looked for directly in the
    folder, by its name. Keypoints are kept where annotations have them, with their names in the categories. A file in
    the panoptic format is a data set of maps of classes, see `coco_panoptic`.

    Raises:
        InputError: the folder, the file, one of its three lists or one of its images is missing, or something in
            them is not what the format says; the message names it.
    """
    folder, file = folder_and_file(paths, "coco")
    raw = text_of(file)
    if is_panoptic(raw):
        return load_panoptic(spec, folder, file, raw)
    content = parsed(_File, raw, file)
    check(content, file)
    images, notes = found(content.images, folder, file)
    return Dataset(spec, "coco", images, _ground_truth(content), notes + about_unlisted(content))


def folder_and_file(paths: str, kind: str) -> tuple[Path, Path]:
    """Parted at the comma, from the last to the first, that leaves the most of the two existing. Raises InputError."""
    commas = [place for place, letter in enumerate(paths) if letter == ","]
    if not commas:
        raise InputError(f"'{kind}:{paths}' needs two paths: {kind}:IMAGES_DIR,ANNOTATIONS.json")
    pairs = [(expanded(paths[:c]), expanded(paths[c + 1 :])) for c in reversed(commas)]
    folder, file = max(pairs, key=lambda pair: (pair[0].is_dir() + pair[1].is_file(), pair[1].is_file()))
    if not folder.is_dir():
        raise InputError(f"there is no folder of images {folder}")
    return folder, file


def check(content: Content, file: Path) -> None:
    """Refuse what the evaluation would silently count wrong. Raises InputError."""
    check_ids(content.images, content.categories, file)
    categories = {category.id: category for category in content.categories}
    for number, annotation in enumerate(content.annotations):
        category = categories.get(annotation.category_id)
        if category is None:
            raise InputError(f"annotations[{number}] in {file} is of the unlisted category {annotation.category_id}")
        if not annotation.keypoints:
            continue
        if not category.keypoints:  # not every program writes names
            category.keypoints = [str(i) for i in range(len(annotation.keypoints) // _KEYPOINT)]
        if len(annotation.keypoints) != _KEYPOINT * len(category.keypoints):
            raise InputError(
                f"annotations[{number}] in {file} has {len(annotation.keypoints)} numbers as keypoints; "
                f"'{category.name}' has {len(category.keypoints)} keypoints, each of x, y and visibility"
            )


def about_unlisted(content: Content) -> tuple[str, ...]:
    """What is to be said of annotations of no image."""
    listed = {image.id for image in content.images}
    lost = [(place, each.image_id) for place, each in enumerate(content.annotations) if each.image_id not in listed]
    if not lost:
        return ()
    place, identity = lost[0]
    return (
        f"{len(lost)} of {len(content.annotations)} annotations are of images that the file does not list, and left "
        f"out (first: annotations[{place}] of the image id {identity})",
    )


def _ground_truth(content: _File) -> dict[str, Any]:
    listed = {image.id for image in content.images}
    return {
        "images": [image.model_dump() for image in sorted(content.images, key=lambda image: image.id)],
        "categories": [category.model_dump(exclude_none=True) for category in content.categories],
        "annotations": [
            entry_of(number, annotation)
            for number, annotation in enumerate(content.annotations, start=1)
            if annotation.image_id in listed
        ],
    }


def entry_of(number: int, annotation: Annotation) -> dict[str, Any]:
    """The dictionary that pycocotools reads; ids are new, as its matching takes an id of 0 for "no match"."""
    width, height = annotation.bbox[2:]
    entry: dict[str, Any] = {
        "id": number,
        "image_id": annotation.image_id,
        "category_id": annotation.category_id,
        "bbox": list(annotation.bbox),
        "area": width * height if annotation.area is None else annotation.area,
        "iscrowd": int(annotation.iscrowd),
    }
    if annotation.segmentation:
        entry["segmentation"] = annotation.segmentation
    if annotation.keypoints:
        entry["keypoints"] = annotation.keypoints
        entry["num_keypoints"] = sum(visible > 0 for visible in annotation.keypoints[2::_KEYPOINT])
    return entry
