"""Images with a map of classes each: semantic segmentation."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from midstream.data.base import UNLABELLED, Dataset
from midstream.data.label_maps import read_label_map
from midstream.data.listed import folder_at, is_file, lines_of, numbered, parts
from midstream.data.mask_pairs import paired
from midstream.data.sizes import image_size
from midstream.errors import InputError
from midstream.files import expanded

_FORM = "masks:IMAGES_DIR,MASKS_DIR or masks:IMAGES_DIR,MASKS_DIR,CLASSES.txt"
#: A line of a list of classes that says its own value, as that of COCO-Stuff does: `17: cat`.
_NUMBERED = re.compile(r"(\d{1,3})\s*[:,\t]\s*(.+)")
#: What programs write where there is one class and a mask of it is a picture of black and white.
_WHITE = 255


def load_masks(spec: str, where: str) -> Dataset:
    """A data set from `IMAGES_DIR,MASKS_DIR` or `IMAGES_DIR,MASKS_DIR,CLASSES.txt`; no folder's name has a comma.

    A mask is a PNG file (or BMP, TIFF) of the image's name, perhaps with an ending such as `_mask` (see
    `mask_pairs.paired`), grey or with a palette, whose values are the classes; 255
    is unlabelled. Images without a mask are left out, and counted in the notes. `CLASSES.txt` has a name a line, from
    that of the value 0 on, or lines `VALUE: NAME`; without it, the classes have their values for names, and all masks
    are read to find the values. Where these are 0 and 255 alone, 255 is class 1.

    Raises:
        InputError: what is named is not there, no image has a mask, or (without `CLASSES.txt`) a mask is unusable.
    """
    images_dir, masks_dir, *classes = parts(where, _FORM, 2, 3)
    pairs, bare, ending = paired(folder_at(images_dir, "folder of images"), folder_at(masks_dir, "folder of masks"))
    notes = [f"masks are the files NAME{ending}.*"] if ending else []
    if bare:
        count = len(pairs) + len(bare)
        notes.append(f"{len(bare)} of {count} images have no mask and are left out: {bare[0].name}, ...")
    values = None
    if classes:
        names = class_names(expanded(classes[0]))
    else:
        there = _values_in([mask for _, mask in pairs])
        if there == {0, _WHITE}:
            values, there = {0: 0, _WHITE: 1}, {0, 1}
            notes.append("the masks hold 0 and 255 alone: 255 counts as class 1, not as unlabelled")
        names = {value: str(value) for value in range(max(there - {UNLABELLED}, default=0) + 1)}
    return mapped(spec, pairs, names, notes, values)


def mapped(
    spec: str,
    pairs: Sequence[tuple[Path, Path]],
    names: Mapping[int, str],
    notes: Sequence[str] = (),
    values: Mapping[int, int] | None = None,
) -> Dataset:
    """A data set of images with their maps, whose categories have `names`.

    Args:
        spec: as it was asked for.
        pairs: of image and map.
        names: by category id.
        notes: of the data set.
        values: of the maps, by which the categories are found; see `label_maps.label_map`.
    """
    images = numbered([path for path, _ in pairs])
    extra = {} if values is None else {"values": dict(values)}
    annotations = [
        {"id": image.id, "image_id": image.id, "file_name": str(map_path), **extra}
        for image, (_, map_path) in zip(images, pairs, strict=True)
    ]
    truth: dict[str, Any] = {
        "images": [image_entry(image.id, image.path) for image in images],
        "categories": [{"id": value, "name": name} for value, name in sorted(names.items())],
        "annotations": annotations,
    }
    return Dataset(spec, "segmentation", images, truth, tuple(notes))


def image_entry(identity: int, path: Path, name: str | None = None) -> dict[str, Any]:
    """COCO's entry of an image, with its size. One that cannot be read has no extent; no evaluation keeps it."""
    height, width = image_size(path) or (0, 0)
    return {"id": identity, "file_name": name or path.name, "height": height, "width": width}


def class_names(file: Path) -> dict[int, str]:
    """Names of classes by value, from a file of a name a line. Raises InputError."""
    if not is_file(file):
        raise InputError(f"there is no list of classes {file}")
    lines = list(lines_of(file))
    found = [_NUMBERED.fullmatch(line) for _, line in lines]
    named = sum(map(bool, found)) > len(found) / 2
    if named and (odd := next((line for line, each in zip(lines, found, strict=True) if not each), None)):
        raise InputError(f"{file}, line {odd[0]}: {odd[1]!r} is no 'VALUE: NAME' (0 to 255), as most lines are")
    names: dict[int, str] = {}
    for place, ((number, line), each) in enumerate(zip(lines, found, strict=True)):
        value, name = (int(each[1]), each[2].strip()) if named and each else (place, line)
        if value == UNLABELLED:  # COCO-Stuff lists it
            continue
        if value > UNLABELLED or value in names:
            why = "is listed twice" if value in names else "is too large: 255 stands for unlabelled"
            raise InputError(f"{file}, line {number}: the value {value} {why}")
        names[value] = name
    if not names:
        raise InputError(f"{file} lists no class")
    return names


def _values_in(masks: Sequence[Path]) -> set[int]:
    there = np.zeros(1 << 16, np.bool_)
    for path in masks:
        there[np.unique(read_label_map(path))] = True
    if there[UNLABELLED + 1 :].any():
        raise InputError(f"the masks have values up to {there.nonzero()[0][-1]}: a class is a value from 0 to 254")
    return set(there.nonzero()[0].tolist())
