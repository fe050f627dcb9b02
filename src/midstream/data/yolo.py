"""Ultralytics' layout: a data.yaml, folders of images, and a file of labels for each image.

    path: ../coco8            # the folder that the others are in; that of this file without it
    train: images/train       # folders, text files that list images, or a list of these
    val: images/val
    names: {0: person, 1: bicycle}
    kpt_shape: [17, 3]        # of data sets of poses

The labels of `.../images/.../NAME.jpg` are in `.../labels/.../NAME.txt`, and those of images in no folder `images`
beside them. (https://docs.ultralytics.com/datasets/)
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from midstream.data.base import Dataset
from midstream.data.folder import IMAGE_SUFFIXES
from midstream.data.listed import is_file, is_folder, lines_of, numbered
from midstream.data.segmentation import image_entry
from midstream.data.yaml_of import yaml_of
from midstream.data.yolo_labels import objects_of
from midstream.errors import InputError, unknown
from midstream.files import expanded

_SPLITS = ("train", "val", "test")
#: Files and folders among images that are none, beside four for each: labels, and what programs write of them.
_MOST_OTHERS = 50_000
_MOST_CLASSES, _MOST_KEYPOINTS = 1 << 16, 1 << 10


def load_yolo(spec: str, where: str) -> Dataset:
    """Boxes, polygons as masks, or keypoints, from `data.yaml` or `data.yaml,SPLIT`; the split is `val` unless given.

    An image without a file of labels has no object, and a line that is there twice counts once, as in Ultralytics' own
    evaluation. `path` may be absolute or relative to the file; a split that begins with `../` and is not there is
    looked for beside the file, as Roboflow's exports need it. What a text file lists is within `path`, or within the
    folder of that text file. A backslash that is no part of a name stands for `/`.

    Raises:
        InputError: the file or what it names is not there or unusable, the split is unknown (the message lists those
            present), no image has labels, or a line of labels is not what the format says; the message names it.
        MissingExtraError: without PyYAML.
    """
    file, split = _split(where)
    about = yaml_of(file)
    names, keypoints = _names(about, file), _keypoints(about, file)
    paths = sorted(set(_images(about, file, split)))
    if not paths:
        raise InputError(f"{file} has no image in its split '{split}'")
    images, labels = numbered(paths), [_labels(path) for path in paths]
    if not any(map(is_file, labels)):
        raise InputError(f"no image of the split '{split}' in {file} has labels: there is no {labels[0]}, for one")
    entries: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image, label in zip(images, labels, strict=True):
        entry = image_entry(image.id, image.path)
        entries.append(entry)
        if entry["height"] and is_file(label):
            for each in objects_of(label, (entry["height"], entry["width"]), len(names), keypoints):
                annotations.append({"id": len(annotations) + 1, "image_id": image.id, **each})
    points = {"keypoints": _keypoint_names(about, keypoints[0])} if keypoints else {}
    truth: dict[str, Any] = {
        "images": entries,
        "categories": [{"id": index, "name": name, **points} for index, name in enumerate(names)],
        "annotations": annotations,
    }
    return Dataset(spec, "coco", images, truth)


def _split(where: str) -> tuple[Path, str]:
    file, comma, split = where.rpartition(",")
    if not comma or is_file(expanded(where)):
        file, split = where, "val"
    if not is_file(expanded(file)):
        raise InputError(f"there is no file {expanded(file)}: yolo: takes a data.yaml, or data.yaml,SPLIT")
    return expanded(file), split


def _names(about: dict[str, Any], file: Path) -> list[str]:
    names, count = about.get("names"), about.get("nc")
    if names is None and isinstance(count, int) and 0 < count <= _MOST_CLASSES:
        return [f"class_{index}" for index in range(count)]
    if isinstance(names, dict):
        if set(names) != set(range(len(names))):
            raise InputError(f"the names in {file} are not numbered from 0 to {len(names) - 1}")
        names = [names[index] for index in range(len(names))]
    if not (isinstance(names, list) and names and all(isinstance(name, str | int | float) for name in names)):
        raise InputError(f"{file} has no 'names' of classes: a list, or a mapping of numbers to names")
    if count is not None and count != len(names):
        raise InputError(f"{file} says nc: {count!r}, and has {len(names)} names")
    return [str(name) for name in names]


def _keypoints(about: dict[str, Any], file: Path) -> tuple[int, int] | None:
    shape = about.get("kpt_shape")
    if shape is None:
        return None
    if not (
        isinstance(shape, list)
        and len(shape) == 2
        and all(isinstance(side, int) for side in shape)
        and 0 < shape[0] <= _MOST_KEYPOINTS
        and shape[1] in (2, 3)
    ):
        raise InputError(f"kpt_shape in {file} is to be [how many, 2 or 3], not {shape!r}"[:200])
    return shape[0], shape[1]


def _keypoint_names(about: dict[str, Any], count: int) -> list[str]:
    """Those of the first class, where they are given; their numbers else."""
    named = about.get("kpt_names")
    first = named.get(0) if isinstance(named, dict) else None
    if isinstance(first, list) and len(first) == count and all(isinstance(name, str) for name in first):
        return first
    return [str(index) for index in range(count)]


def _images(about: dict[str, Any], file: Path, split: str) -> Iterator[Path]:
    there = [name for name in _SPLITS if about.get(name)]
    if split not in there:
        raise unknown(f"split of {file}", split, there)
    named = about[split] if isinstance(about[split], list) else [about[split]]
    if not all(isinstance(each, str) and each for each in named):
        raise InputError(
            f"'{split}' in {file} is to be a folder of images or a file that lists them, or a list of these"
        )
    root = about.get("path") or ""
    if not isinstance(root, str):
        raise InputError(f"'path' in {file} is to be a folder, not {root!r}"[:200])
    roots = [file.parent / expanded(way) for way in _ways(root)]
    base = next(filter(is_folder, roots), roots[-1])
    for each in named:
        places = [
            place
            for way in _ways(each)
            for place in (base / way, file.parent / way, file.parent / way.removeprefix("../"))
        ]
        place = next((place for place in places if is_folder(place) or is_file(place)), None)
        if place is None:
            raise InputError(f"'{split}' of {file} is not there: {str(base / _ways(each)[-1])!r}")
        yield from _in_folder(place) if place.is_dir() else _in_list(place, base)


def _ways(name: str) -> list[str]:
    """A path as it is written, and as it is meant where that was on Windows."""
    return list(dict.fromkeys((name, name.replace("\\", "/"))))


def _in_folder(folder: Path) -> Iterator[Path]:
    """Images at any depth, behind no links to other folders.

    Raises:
        InputError: a folder that holds so much else that it is none of a data set: a whole disk, which a file from
            anywhere may name.
    """
    if folder.resolve() == Path(folder.resolve().anchor):
        raise InputError(f"{folder} is a whole file system, and no folder of images")
    images = others = 0
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        others += len(folders)
        for name in files:
            path = Path(place, name)
            if path.suffix.lower() in IMAGE_SUFFIXES and not name.startswith(".") and path.is_file():
                images += 1
                yield path
            else:
                others += 1
        if others > _MOST_OTHERS + 4 * images:
            raise InputError(f"{folder} is no folder of images: more than {_MOST_OTHERS:,} other files are in it")


def _in_list(file: Path, base: Path) -> Iterator[Path]:
    inside = [Path(os.path.abspath(folder)) for folder in (base, file.parent)]  # noqa: PTH100 (links stay as they are)
    for number, line in lines_of(file):
        path = Path(os.path.abspath(file.parent / line.replace("\\", "/")))  # noqa: PTH100
        if not any(path.is_relative_to(folder) for folder in inside):
            raise InputError(f"{file}, line {number} names {line!r}, which is outside of {base}")
        if path.suffix.lower() not in IMAGE_SUFFIXES or not is_file(path):
            raise InputError(f"{file}, line {number} names {line!r}, which is no image that is there")
        yield path


def _labels(path: Path) -> Path:
    folders = list(path.parts)
    if "images" in folders[:-1]:
        last = len(folders) - 2 - folders[-2::-1].index("images")
        folders[last] = "labels"
    return Path(*folders).with_suffix(".txt")
