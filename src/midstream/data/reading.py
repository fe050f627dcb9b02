"""Reading the images of a data set: those that cannot be read, and those that are not as the labels have them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from midstream.data.base import Dataset
from midstream.data.images import decode, read_bytes, read_image
from midstream.data.masks import fits
from midstream.data.sizes import image_size
from midstream.errors import InputError

#: Images that a line names.
_SHOWN = 3
#: Path of an image that was left out, and why.
Skipped = tuple[str, str]


def read_or_skip(path: Path, skipped: list[Skipped], strict: bool = False) -> NDArray[np.uint8] | None:
    """What `read_image` reads; where it raises InputError and `strict` is not set, None and an entry in `skipped`."""
    try:
        return read_image(path)
    except InputError as error:
        if strict:
            raise
        skipped.append((str(path), str(error)))
        return None


def as_read(dataset: Dataset, sizes: Mapping[int, tuple[int, int]]) -> tuple[Dataset, list[str]]:
    """The images that were read, with the sizes that they have, and what is to be said about them, a line each.

    Polygons and boxes are pixels, whatever size the annotations list: they stay. Run lengths are of one size only:
    those that are not of the image's are left out.

    Args:
        dataset: all images that were tried.
        sizes: height and width of those that were read, upright, by id.
    """
    if len(sizes) < len(dataset.images):
        dataset = dataset.only(sizes)
    truth, notes = dataset.ground_truth, list(dataset.notes)
    if truth is None:
        return dataset, notes
    listed = {image["id"]: (image["height"], image["width"]) for image in truth["images"] if "height" in image}
    notes += _other_maps(dataset, sizes) if dataset.labels == "segmentation" else []
    other = {identity: size for identity, size in sizes.items() if listed.get(identity, size) != size}
    lost = {a["id"] for a in truth["annotations"] if not fits(a, sizes[a["image_id"]])}
    if other:
        notes.append(_other_sizes(dataset, listed, other))
        images = [{**i, "height": sizes[i["id"]][0], "width": sizes[i["id"]][1]} for i in truth["images"]]
        truth = {**truth, "images": images}
    if lost:
        notes.append(f"{len(lost)} masks are run lengths of another size than their images', and left out")
        bare = [_without_mask(a) if a["id"] in lost else a for a in truth["annotations"]]
        truth = {**truth, "annotations": bare}
    return replace(dataset, ground_truth=truth), notes


def _other_maps(dataset: Dataset, sizes: Mapping[int, tuple[int, int]]) -> list[str]:
    """A line about maps of classes that are not of their images' sizes."""
    paths = {image.id: image.path.name for image in dataset.images}
    maps = {a["image_id"]: image_size(Path(a["file_name"])) for a in (dataset.ground_truth or {})["annotations"]}
    other = {identity: size for identity, size in maps.items() if size is not None and size != sizes[identity]}
    if not other:
        return []
    shown = [f"of {paths[i]}, {_text(sizes[i])}, the map is {_text(other[i])}" for i in list(other)[:_SHOWN]]
    turned = sum((w > h) != (sizes[i][1] > sizes[i][0]) for i, (h, w) in other.items() if h != w)
    return [
        f"{len(other)} of {len(maps)} maps of classes are not of their image's size, and are held against outputs that "
        f"are scaled to them: {'; '.join(shown)}{'; ...' if len(other) > len(shown) else ''}"
        + (f"; {turned} have their sides exchanged, so their pixels are elsewhere" if turned else "")
    ]


def _without_mask(annotation: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in annotation.items() if key != "segmentation"}


def _other_sizes(dataset: Dataset, listed: Mapping[int, tuple[int, int]], other: Mapping[int, tuple[int, int]]) -> str:
    paths = {image.id: image.path for image in dataset.images}
    shown = [
        f"{paths[i].name} is {_text(other[i])}{_turned(paths[i], other[i])}, listed as {_text(listed[i])}"
        for i in [i for i in paths if i in other][:_SHOWN]
    ]
    more = "; ..." if len(other) > len(shown) else ""
    return (
        f"{len(other)} of {len(paths)} images are not of the size that the annotations list, so their boxes may not "
        f"fit: {'; '.join(shown)}{more}"
    )


def _turned(path: Path, size: tuple[int, int]) -> str:
    """A clause where the image that was read with this size is stored with its sides exchanged."""
    try:
        stored = decode(read_bytes(path), path, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except InputError:  # gone since
        return ""
    return " when turned upright as EXIF says" if stored.shape[:2] != size else ""


def _text(size: tuple[int, int]) -> str:
    return f"{size[1]}x{size[0]}"
