"""A folder of images without labels."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from midstream.data.base import Dataset, ImageFile
from midstream.data.images import ARRAY_SUFFIX
from midstream.errors import InputError
from midstream.files import expanded

#: File name endings that count as images, in any case.
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")


def visible_files(folder: Path, suffixes: Sequence[str]) -> list[Path]:
    """The files directly in a folder whose names end so, in any case, sorted by name, hidden ones left out.

    macOS puts a `._photo.jpg` beside the photo.jpg of an archive, which holds no image.
    """
    files = (file for file in folder.iterdir() if file.suffix.lower() in suffixes and file.is_file())
    return sorted(file for file in files if not file.name.startswith("."))


def in_order(path: Path) -> list[tuple[int, int, str]]:
    """A key that sorts by name, numbers in it by their value."""
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in re.split(r"(\d+)", path.name)]


def load_folder(spec: str, path: str) -> Dataset:
    """The images directly in the folder `path`, sorted by file name and numbered from 1; hidden files are none.

    Where there is none, arrays (.npy) are taken, for networks of something else than images.

    Raises:
        InputError: there is no such folder, or no image in it.
    """
    folder = expanded(path)
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}")
    files = visible_files(folder, IMAGE_SUFFIXES) or visible_files(folder, [ARRAY_SUFFIX])
    if not files:
        kinds = ", ".join(suffix[1:] for suffix in IMAGE_SUFFIXES)
        raise InputError(f"no image ({kinds}; hidden files do not count) in the folder {folder}")
    images = tuple(ImageFile(number, file) for number, file in enumerate(files, start=1))
    return Dataset(spec=spec, labels=None, images=images, ground_truth=None)
