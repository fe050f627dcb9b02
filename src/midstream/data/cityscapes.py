"""Cityscapes in its own folder layout, instance masks of the eight classes that its benchmark evaluates.

    ROOT/leftImg8bit/SPLIT/CITY/*_leftImg8bit.png          the images
    ROOT/gtFine/SPLIT/CITY/*_gtFine_instanceIds.png        16 bits a pixel, see `CLASSES`

(Cordts et al., The Cityscapes Dataset for Semantic Urban Scene Understanding, CVPR 2016; ids as in cityscapesScripts'
`helpers/labels.py`.)
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pycocotools.mask
from numpy.typing import NDArray

from midstream.data.base import Dataset, ImageFile
from midstream.data.images import decode, read_bytes
from midstream.errors import InputError, unknown
from midstream.files import expanded

#: Name -> label id. A pixel of instance i has the value id * 1000 + i; the bare id marks a group whose members the
#: annotators did not part.
CLASSES = {
    "person": 24,
    "rider": 25,
    "car": 26,
    "truck": 27,
    "bus": 28,
    "train": 31,
    "motorcycle": 32,
    "bicycle": 33,
}
#: The key of a ground truth image's entry that holds the path of its instanceIds file.
INSTANCE_IDS = "instance_ids"
#: The smallest value that is one instance and not a group.
FIRST_INSTANCE = 1000

_IMAGE, _LABEL = "_leftImg8bit.png", "_gtFine_instanceIds.png"


def load_cityscapes(spec: str, where: str) -> Dataset:
    """A data set from `ROOT` or `ROOT,SPLIT`; the split is `val` unless given. Images are numbered from 1.

    The ground truth is in COCO's terms: category ids are Cityscapes' label ids, masks are compressed run lengths, boxes
    and areas come from the masks, groups are `iscrowd`. Each image's entry names its instanceIds file under
    `INSTANCE_IDS`: the benchmark also needs the pixels that belong to no class.

    Raises:
        InputError: the layout is not there, the split is unknown (the message lists those present), or an image has no
            instanceIds file or an unusable one.
    """
    root, split = _split(where)
    images: list[ImageFile] = []
    entries: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, (path, label) in enumerate(_pairs(root, split), start=1):
        ids = read_instance_ids(label)
        height, width = ids.shape
        images.append(ImageFile(number, path))
        entries.append(
            {"id": number, "file_name": path.name, "height": height, "width": width, INSTANCE_IDS: str(label)}
        )
        for _, entry in annotations_of(ids):
            annotations.append({"id": len(annotations) + 1, "image_id": number, **entry})
    categories = [{"id": identity, "name": name} for name, identity in CLASSES.items()]
    truth = {"images": entries, "categories": categories, "annotations": annotations}
    return Dataset(spec=spec, labels="cityscapes", images=tuple(images), ground_truth=truth)


def read_instance_ids(path: Path) -> NDArray[np.uint16]:
    """The values of an instanceIds file, uint16 [height, width].

    Raises:
        InputError: the file cannot be read or has more than one channel; the message names it.
    """
    ids = decode(read_bytes(path), path, cv2.IMREAD_UNCHANGED)
    if ids.ndim != 2:
        raise InputError(f"{path} is not an instanceIds image: it has {ids.shape[2]} channels, not 1")
    return ids.astype(np.uint16)


def _split(where: str) -> tuple[Path, str]:
    root, comma, split = where.rpartition(",")
    if not comma or expanded(where).is_dir():
        return expanded(where), "val"
    return expanded(root), split


def _pairs(root: Path, split: str) -> Iterator[tuple[Path, Path]]:
    """Image and instanceIds file, by city and name."""
    for folder in (root / "leftImg8bit", root / "gtFine"):
        if not folder.is_dir():
            raise InputError(f"{root} is not in Cityscapes' layout: there is no folder {folder}")
    splits = sorted(folder.name for folder in (root / "leftImg8bit").iterdir() if folder.is_dir())
    if split not in splits:
        raise unknown(f"split of Cityscapes in {root}", split, splits)
    found = (root / "leftImg8bit" / split).glob(f"*/*{_IMAGE}")
    paths = sorted(path for path in found if not path.name.startswith("."))
    if not paths:
        raise InputError(f"no */*{_IMAGE} in {root / 'leftImg8bit' / split}")
    for path in paths:
        label = root / "gtFine" / split / path.parent.name / (path.name.removesuffix(_IMAGE) + _LABEL)
        if not label.is_file():
            raise InputError(f"the image {path} has no labels: there is no file {label}")
        yield path, label


def annotations_of(ids: NDArray[np.uint16]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Of uint16 [H, W], the value of each instance and each group, ascending, with its entry in COCO's terms."""
    height, width = ids.shape
    wanted = np.zeros(1 << 16, dtype=bool)
    for label in CLASSES.values():
        wanted[label] = True
        wanted[label * FIRST_INSTANCE : (label + 1) * FIRST_INSTANCE] = True
    # Run lengths go down the columns. Grouping the few per cent of pixels that count, by value and then by place, costs
    # one sort an image instead of one pass over all its pixels for each instance.
    flat = ids.T.ravel()
    places = np.flatnonzero(wanted[flat])
    places = places[np.argsort(flat[places], kind="stable")]
    if not len(places):
        return
    values, starts = np.unique(flat[places], return_index=True)
    for value, own in zip(values.tolist(), np.split(places, starts[1:]), strict=True):
        mask = _run_lengths(own, height, width)
        yield (
            value,
            {
                "category_id": value // FIRST_INSTANCE if value >= FIRST_INSTANCE else value,
                "iscrowd": int(value < FIRST_INSTANCE),
                "segmentation": mask,
                "bbox": pycocotools.mask.toBbox(mask).tolist(),
                "area": len(own),
            },
        )


def _run_lengths(places: NDArray[np.intp], height: int, width: int) -> dict[str, Any]:
    """COCO's compressed run lengths of the mask that is set at `places`, ascending positions down the columns."""
    breaks = np.flatnonzero(np.diff(places) != 1)
    first = np.concatenate((places[:1], places[breaks + 1]))
    last = np.concatenate((places[breaks], places[-1:])) + 1
    # A mask that reaches the last pixel has no run of zeros behind it, as in pycocotools' own encoding.
    end = [height * width] if last[-1] < height * width else []
    runs = np.diff(np.concatenate(([0], np.stack((first, last), axis=1).ravel(), end)).astype(np.int64))
    counts = {"size": [height, width], "counts": runs.tolist()}
    rle: dict[str, Any] = pycocotools.mask.frPyObjects(counts, height, width)
    return rle
