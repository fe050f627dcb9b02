"""What all files of COCO's formats have: images of a folder, categories, annotations; read and checked."""

from __future__ import annotations

import codecs
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from midstream.data.base import ImageFile
from midstream.data.bounds import Number, Pixels, Readable
from midstream.data.listed import is_file
from midstream.errors import InputError


class Image(BaseModel):
    """An entry of `images`."""

    id: Number
    file_name: str
    height: Pixels
    width: Pixels


class Category(BaseModel):
    """An entry of `categories`; of persons and the like with the names of their keypoints."""

    id: Number
    name: Readable
    keypoints: list[Readable] | None = None
    skeleton: list[tuple[int, int]] | None = None


_Content = TypeVar("_Content", bound=BaseModel)


def text_of(file: Path) -> bytes | str:
    """The text of a file without the byte order mark that programs on Windows put before it, UTF-8 or UTF-16.

    Raises:
        InputError: it cannot be read.
    """
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read the annotations {file}: {error.strerror or error}") from error
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return raw.decode("utf-16", errors="replace")
    return raw.removeprefix(codecs.BOM_UTF8)


def parsed(kind: type[_Content], raw: bytes | str, file: Path) -> _Content:
    """What a file says. Raises InputError, with the first place where it is not what the format says."""
    try:
        return kind.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in first["loc"]).lstrip(".")
        if first["type"] == "missing":
            raise InputError(f"the annotations {file} have no '{place}'") from error
        what = f"{place}: {first['msg']}" if place else first["msg"]
        raise InputError(f"the annotations {file} are not in COCO's format: {what}") from error


def check_ids(images: Sequence[Image], categories: Sequence[Category], file: Path) -> None:
    """Refuse a file without images, and ids that are listed twice. Raises InputError."""
    if not images:
        raise InputError(f"the annotations {file} list no image")
    refuse_twice("image", [image.id for image in images], file)
    refuse_twice("category", [category.id for category in categories], file)


def refuse_twice(what: str, ids: Sequence[int], file: Path) -> None:
    """Refuse ids of entries of one list of which one is listed twice. Raises InputError."""
    twice = next((identity for identity, count in Counter(ids).items() if count > 1), None)
    if twice is not None:
        raise InputError(f"the annotations {file} list the {what} id {twice} twice")


def found(listed: Sequence[Image], folder: Path, file: Path) -> tuple[tuple[ImageFile, ...], tuple[str, ...]]:
    """The files of the images that are listed, by id, and what is to be said about them.

    Raises:
        InputError: one of them is not in the folder.
    """
    listed = sorted(listed, key=lambda image: image.id)
    places = [_place(image.file_name, folder, file) for image in listed]
    names = Counter(place.name for place in places)
    images, moved = [], []
    for image, place in zip(listed, places, strict=True):
        candidates = [folder / place, *([folder / place.name] if names[place.name] == 1 else [])]
        path = next(filter(is_file, candidates), None)
        if path is None:
            raise InputError(f"{file} lists the image {image.file_name}, which is not in {folder}")
        if path != candidates[0]:
            moved.append(image.file_name)
        images.append(ImageFile(image.id, path))
    return tuple(images), _about_moved(moved, folder)


def _about_moved(moved: list[str], folder: Path) -> tuple[str, ...]:
    if not moved:
        return ()
    return (f"{len(moved)} images are not in the folders that are listed, but directly in {folder}: {moved[0]}, ...",)


def _place(name: str, folder: Path, file: Path) -> PurePosixPath:
    """Where in the folder a listed image is to be. Raises InputError for a name that leads out of it."""
    place = PurePosixPath(name if is_file(folder / name) else name.replace("\\", "/"))
    if Path(name).is_absolute() or place.is_absolute() or ".." in place.parts:
        raise InputError(f"{file} lists the image {name}, which is outside of {folder}")
    return place
