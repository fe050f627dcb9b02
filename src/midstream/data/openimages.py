"""Open Images' files of comma-separated values: a box a row, in shares of the image's width and height.

    ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside

(Kuznetsova et al., The Open Images Dataset V4, IJCV 2020; https://storage.googleapis.com/openimages/web.)
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from midstream.data.base import Dataset
from midstream.data.listed import folder_at, images_by_stem, is_file, numbered, parts, rows_of
from midstream.data.segmentation import image_entry
from midstream.errors import InputError
from midstream.files import expanded

_FORM = "openimages:IMAGES_DIR,BOXES.csv or openimages:IMAGES_DIR,BOXES.csv,CLASSES.csv"
_IMAGE, _LABEL, _GROUP = "ImageID", "LabelName", "IsGroupOf"
_SIDES = ("XMin", "XMax", "YMin", "YMax")
#: By which a share may be below 0 or above 1.
_SLACK = 0.01


def load_openimages(spec: str, where: str) -> Dataset:
    """Boxes, from `IMAGES_DIR,BOXES.csv` or `IMAGES_DIR,BOXES.csv,CLASSES.csv`; no path has a comma.

    The images are those of the folder that have rows. Rows of others are left out and counted, since subsets are
    common; so are images without rows, of which Open Images does not say that nothing is in them. `IsGroupOf` is COCO's
    `iscrowd`. `CLASSES.csv` says what label names such as `/m/01g317` mean; without it, a `*class-descriptions*.csv`
    beside the boxes is taken.

    Raises:
        InputError: what is named is not there, no image has rows, or a row is not what the format says; the message
            names its line.
    """
    images_dir, boxes, *classes = parts(where, _FORM, 2, 3)
    photos = images_by_stem(folder_at(images_dir, "folder of images"))
    file = expanded(boxes)
    if not is_file(file):
        raise InputError(f"there is no file of boxes {file}")
    words = _words(expanded(classes[0]) if classes else _found(file.parent))
    rows: dict[str, list[dict[str, Any]]] = {}
    lost = 0
    for identity, row in _rows(file):
        if identity in photos:
            rows.setdefault(identity, []).append(row)
        else:
            lost += 1
    if not rows:
        raise InputError(f"none of the {len(photos)} images in {images_dir} has a row in {file}")
    names = dict.fromkeys(words.values()) if words else {}
    names |= dict.fromkeys(sorted({words.get(row["label"], row["label"]) for each in rows.values() for row in each}))
    index = {name: number for number, name in enumerate(names, start=1)}
    identities = sorted(rows)
    images = numbered([photos[identity] for identity in identities])
    entries: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image, identity in zip(images, identities, strict=True):
        entry = image_entry(image.id, image.path)
        entries.append(entry)
        for row in rows[identity]:
            category = index[words.get(row["label"], row["label"])]
            box = _annotation(row, entry["height"], entry["width"])
            annotations.append({"id": len(annotations) + 1, "image_id": image.id, "category_id": category, **box})
    truth = {
        "images": entries,
        "categories": [{"id": number, "name": name} for name, number in index.items()],
        "annotations": annotations,
    }
    bare = len(photos) - len(rows)
    notes = [f"{lost} boxes are of images that are not in {images_dir}, and left out"] if lost else []
    notes += [f"{bare} of {len(photos)} images have no row in {file.name} and are left out"] if bare else []
    return Dataset(spec, "coco", images, truth, tuple(notes))


def _found(folder: Path) -> Path | None:
    return next(iter(sorted(folder.glob("*class-descriptions*.csv"))), None)


def _words(file: Path | None) -> dict[str, str]:
    """What label names mean."""
    if file is None:
        return {}
    words = {}
    for number, row in rows_of(file):
        if len(row) < 2 or not (row[0] and row[1]):
            raise InputError(f"{file}, line {number} is no label name and what it means: '/m/01g317,Person'")
        if row[0] != _LABEL:  # the header, which not every release has
            words[row[0]] = row[1].strip()
    return words


def _rows(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The image's id; label, whether it is a group, and the sides of the box."""
    rows = rows_of(file)
    _, header = next(rows, (0, []))
    lacking = [name for name in (_IMAGE, _LABEL, *_SIDES) if name not in header]
    if lacking:
        raise InputError(
            f"{file} has no column {lacking[0]}: its first line is to be ImageID,...,XMin,XMax,YMin,YMax,..."
        )
    at = {name: header.index(name) for name in (_IMAGE, _LABEL, *_SIDES)}
    group = header.index(_GROUP) if _GROUP in header else None
    for number, row in rows:
        if len(row) != len(header):
            raise InputError(f"{file}, line {number} has {len(row)} fields, the first line {len(header)}")
        try:
            sides = tuple(float(row[at[name]]) for name in _SIDES)
        except ValueError as error:
            raise InputError(f"{file}, line {number}: {error}") from error
        left, right, top, bottom = sides
        if not (all(-_SLACK <= side <= 1 + _SLACK for side in sides) and left <= right and top <= bottom):
            raise InputError(f"{file}, line {number}: {sides} are no shares of the image's sides, 0 to 1")
        crowd = group is not None and row[group] == "1"
        yield row[at[_IMAGE]], {"label": row[at[_LABEL]], "sides": sides, "crowd": crowd}


def _annotation(row: dict[str, Any], height: int, width: int) -> dict[str, Any]:
    left, right, top, bottom = row["sides"]
    box = [left * width, top * height, (right - left) * width, (bottom - top) * height]
    return {"bbox": box, "area": box[2] * box[3], "iscrowd": int(row["crowd"])}
