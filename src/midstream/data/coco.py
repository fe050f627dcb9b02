"""Data sets in COCO's format: a folder of pictures and one JSON file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, FiniteFloat, ValidationError

from midstream.data.base import Dataset, PictureFile
from midstream.errors import InputError


class _Image(BaseModel):
    id: int
    file_name: str
    height: int
    width: int


class _Category(BaseModel):
    id: int
    name: str


class _Annotation(BaseModel):
    image_id: int
    category_id: int
    bbox: tuple[FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat]
    area: FiniteFloat | None = None
    iscrowd: bool = False
    segmentation: Any = None


class _File(BaseModel):
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]


def load_coco(spec: str, paths: str) -> Dataset:
    """A data set from `IMAGES_DIR,ANNOTATIONS.json`; either may contain commas.

    Annotations of pictures that the file does not list are left out (subsets are often made by shortening `images`),
    a missing `area` is that of the box, a missing `iscrowd` is 0.

    Raises:
        InputError: the folder, the file, one of its three lists or one of its pictures is missing, or something in
            them is not what the format says; the message names it.
    """
    folder, file = _split(paths)
    if not folder.is_dir():
        raise InputError(f"there is no folder of pictures {folder}")
    content = _read(file)
    _check(content, file)
    pictures = []
    for image in sorted(content.images, key=lambda image: image.id):
        path = folder / image.file_name
        if Path(image.file_name).is_absolute() or ".." in Path(image.file_name).parts:
            raise InputError(f"{file} lists the picture {image.file_name}, which is outside of {folder}")
        if not path.is_file():
            raise InputError(f"{file} lists the picture {image.file_name}, which is not in {folder}")
        pictures.append(PictureFile(image.id, path))
    return Dataset(spec=spec, kind="coco", pictures=tuple(pictures), ground_truth=_ground_truth(content))


def _split(paths: str) -> tuple[Path, Path]:
    """Folder and file: parted at the comma, from the last to the first, that leaves the most of the two existing."""
    commas = [place for place, letter in enumerate(paths) if letter == ","]
    if not commas:
        raise InputError(f"'coco:{paths}' needs two paths: coco:IMAGES_DIR,ANNOTATIONS.json")
    pairs = [(Path(paths[:c]).expanduser(), Path(paths[c + 1 :]).expanduser()) for c in reversed(commas)]
    return max(pairs, key=lambda pair: (pair[0].is_dir() + pair[1].is_file(), pair[1].is_file()))


def _read(file: Path) -> _File:
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read the annotations {file}: {error.strerror or error}") from error
    try:
        return _File.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in first["loc"]).lstrip(".")
        if first["type"] == "missing":
            raise InputError(f"the annotations {file} have no '{place}'") from error
        what = f"{place}: {first['msg']}" if place else first["msg"]
        raise InputError(f"the annotations {file} are not in COCO's format: {what}") from error


def _check(content: _File, file: Path) -> None:
    """Refuse what the evaluation would silently count wrong."""
    if not content.images:
        raise InputError(f"the annotations {file} list no picture")
    for what, ids in (("picture", [i.id for i in content.images]), ("category", [c.id for c in content.categories])):
        if len(set(ids)) != len(ids):
            twice = next(identity for identity in ids if ids.count(identity) > 1)
            raise InputError(f"the annotations {file} list the {what} id {twice} twice")
    known = {category.id for category in content.categories}
    for number, annotation in enumerate(content.annotations):
        if annotation.category_id not in known:
            raise InputError(f"annotations[{number}] in {file} is of the unlisted category {annotation.category_id}")


def _ground_truth(content: _File) -> dict[str, Any]:
    listed = {image.id for image in content.images}
    return {
        "images": [image.model_dump() for image in sorted(content.images, key=lambda image: image.id)],
        "categories": [category.model_dump() for category in content.categories],
        "annotations": [
            _annotation(number, annotation)
            for number, annotation in enumerate(content.annotations, start=1)
            if annotation.image_id in listed
        ],
    }


def _annotation(number: int, annotation: _Annotation) -> dict[str, Any]:
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
    return entry
