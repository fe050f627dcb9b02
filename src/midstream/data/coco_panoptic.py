"""COCO's panoptic format: a PNG file of segments an image, in a folder of the JSON file's name beside it.

As labels they are maps of classes: which pixels are one instance is not looked at. (Kirillov et al., Panoptic
Segmentation, CVPR 2019; https://cocodataset.org/#format-data.)
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel

from midstream.data.base import UNLABELLED, Dataset
from midstream.data.bounds import Number
from midstream.data.coco_file import Category, Image, check_ids, found, parsed
from midstream.data.listed import is_file, is_folder, place_of
from midstream.errors import InputError

_KEY = "segments_info"


class _Segment(BaseModel):
    id: Number
    category_id: Number


class _Annotation(BaseModel):
    image_id: Number
    file_name: str
    segments_info: list[_Segment]


class _File(BaseModel):
    images: list[Image]
    annotations: list[_Annotation]
    categories: list[Category]


def is_panoptic(raw: bytes | str) -> bool:
    """Whether a file in one of COCO's formats is in this one."""
    return f'"{_KEY}"'.encode() in raw if isinstance(raw, bytes) else f'"{_KEY}"' in raw


def load_panoptic(spec: str, folder: Path, file: Path, raw: bytes | str) -> Dataset:
    """Images with maps of classes; an annotation's `values` say of which category each segment is.

    Args:
        spec: as it was asked for.
        folder: of the images.
        file: of the annotations; the maps are in `panoptic_val2017` beside `panoptic_val2017.json`.
        raw: what is in it.

    Raises:
        InputError: something is missing, or not what the format says; the message names it.
    """
    content = parsed(_File, raw, file)
    check_ids(content.images, content.categories, file)
    known = {category.id for category in content.categories}
    if known and not 0 <= min(known) <= max(known) < UNLABELLED:
        raise InputError(f"the annotations {file} have category ids below 0 or above {UNLABELLED - 1}")
    maps = file.with_suffix("")
    if not is_folder(maps):
        raise InputError(f"the maps of {file} are not there: it is to have a folder {maps} beside it")
    by_image = {}
    for number, each in enumerate(content.annotations):
        where = f"annotations[{number}] in {file}"
        foreign = next((s.category_id for s in each.segments_info if s.category_id not in known), None)
        if foreign is not None:
            raise InputError(f"{where} has a segment of the unlisted category {foreign}")
        if each.image_id in by_image:
            raise InputError(f"{where} is a second one of the image id {each.image_id}")
        path = maps / place_of(each.file_name, where)
        by_image[each.image_id] = {
            "image_id": each.image_id,
            "file_name": str(path),
            "values": {segment.id: segment.category_id for segment in each.segments_info},
        }
    listed = [image for image in content.images if image.id in by_image]
    if not listed:
        raise InputError(f"the annotations {file} are of none of the images that it lists")
    for image in listed:
        if not is_file(path := Path(str(by_image[image.id]["file_name"]))):
            raise InputError(f"the map of {image.file_name} is not there: {path}")
    images, notes = found(listed, folder, file)
    if len(listed) < len(content.images):
        notes += (f"{len(content.images) - len(listed)} images have no map and are left out",)
    truth = {
        "images": [image.model_dump() for image in sorted(listed, key=lambda image: image.id)],
        "categories": [category.model_dump(exclude_none=True) for category in content.categories],
        "annotations": [{"id": n, **by_image[image.id]} for n, image in enumerate(images, start=1)],
    }
    return Dataset(spec, "segmentation", images, truth, notes)
