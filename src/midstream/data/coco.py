"""Data sets in COCO's format: a folder of images and one JSON file."""

from __future__ import annotations

import codecs
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import BaseModel, FiniteFloat, ValidationError

from midstream.data.base import Dataset, ImageFile
from midstream.errors import InputError
from midstream.files import expanded


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

    Annotations of images that the file does not list are left out (subsets are often made by shortening `images`)
    and counted in the notes, a missing `area` is that of the box, a missing `iscrowd` is 0. `\\` in a file name stands
    for `/`, unless a file has that very name. An image that is not in its subfolder is looked for directly in the
    folder, by its name.

    Raises:
        InputError: the folder, the file, one of its three lists or one of its images is missing, or something in
            them is not what the format says; the message names it.
    """
    folder, file = _split(paths)
    if not folder.is_dir():
        raise InputError(f"there is no folder of images {folder}")
    content = _read(file)
    _check(content, file)
    listed = sorted(content.images, key=lambda image: image.id)
    places = [_place(image.file_name, folder, file) for image in listed]
    names = Counter(place.name for place in places)
    images, moved = [], []
    for image, place in zip(listed, places, strict=True):
        candidates = [folder / place, *([folder / place.name] if names[place.name] == 1 else [])]
        path = next(filter(_is_file, candidates), None)
        if path is None:
            raise InputError(f"{file} lists the image {image.file_name}, which is not in {folder}")
        if path != candidates[0]:
            moved.append(image.file_name)
        images.append(ImageFile(image.id, path))
    notes = _about_moved(moved, folder) + _about_unlisted(content)
    return Dataset(spec, "coco", tuple(images), _ground_truth(content), notes)


def _place(name: str, folder: Path, file: Path) -> PurePosixPath:
    """Where in the folder a listed image is to be. Raises InputError for a name that leads out of it."""
    place = PurePosixPath(name if _is_file(folder / name) else name.replace("\\", "/"))
    if Path(name).is_absolute() or place.is_absolute() or ".." in place.parts:
        raise InputError(f"{file} lists the image {name}, which is outside of {folder}")
    return place


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long, say
        return False


def _about_moved(moved: list[str], folder: Path) -> tuple[str, ...]:
    if not moved:
        return ()
    return (f"{len(moved)} images are not in the folders that are listed, but directly in {folder}: {moved[0]}, ...",)


def _about_unlisted(content: _File) -> tuple[str, ...]:
    listed = {image.id for image in content.images}
    lost = [(place, each.image_id) for place, each in enumerate(content.annotations) if each.image_id not in listed]
    if not lost:
        return ()
    place, identity = lost[0]
    return (
        f"{len(lost)} of {len(content.annotations)} annotations are of images that the file does not list, and left "
        f"out (first: annotations[{place}] of the image id {identity})",
    )


def _split(paths: str) -> tuple[Path, Path]:
    """Folder and file: parted at the comma, from the last to the first, that leaves the most of the two existing."""
    commas = [place for place, letter in enumerate(paths) if letter == ","]
    if not commas:
        raise InputError(f"'coco:{paths}' needs two paths: coco:IMAGES_DIR,ANNOTATIONS.json")
    pairs = [(expanded(paths[:c]), expanded(paths[c + 1 :])) for c in reversed(commas)]
    return max(pairs, key=lambda pair: (pair[0].is_dir() + pair[1].is_file(), pair[1].is_file()))


def _read(file: Path) -> _File:
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read the annotations {file}: {error.strerror or error}") from error
    try:
        return _File.model_validate_json(_utf8(raw))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in first["loc"]).lstrip(".")
        if first["type"] == "missing":
            raise InputError(f"the annotations {file} have no '{place}'") from error
        what = f"{place}: {first['msg']}" if place else first["msg"]
        raise InputError(f"the annotations {file} are not in COCO's format: {what}") from error


def _utf8(raw: bytes) -> bytes | str:
    """The text of a file without the byte order mark that programs on Windows put before it, UTF-8 or UTF-16."""
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return raw.decode("utf-16", errors="replace")
    return raw.removeprefix(codecs.BOM_UTF8)


def _check(content: _File, file: Path) -> None:
    """Refuse what the evaluation would silently count wrong."""
    if not content.images:
        raise InputError(f"the annotations {file} list no image")
    for what, ids in (("image", [i.id for i in content.images]), ("category", [c.id for c in content.categories])):
        twice = next((identity for identity, count in Counter(ids).items() if count > 1), None)
        if twice is not None:
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
