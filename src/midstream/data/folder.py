"""A folder of pictures without labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from midstream.data.base import Dataset, PictureFile
from midstream.errors import InputError
from midstream.files import expanded

#: File name endings that count as pictures, in any case.
PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")


def visible_files(folder: Path, suffixes: Sequence[str]) -> list[Path]:
    """The files directly in a folder whose names end so, in any case, sorted by name, hidden ones left out.

    macOS puts a `._photo.jpg` beside the photo.jpg of an archive, which holds no picture.
    """
    files = (file for file in folder.iterdir() if file.suffix.lower() in suffixes and file.is_file())
    return sorted(file for file in files if not file.name.startswith("."))


def load_folder(spec: str, path: str) -> Dataset:
    """The pictures directly in the folder `path`, sorted by file name and numbered from 1; hidden files are none.

    Raises:
        InputError: there is no such folder, or no picture in it.
    """
    folder = expanded(path)
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}")
    files = visible_files(folder, PICTURE_SUFFIXES)
    if not files:
        kinds = ", ".join(suffix[1:] for suffix in PICTURE_SUFFIXES)
        raise InputError(f"no picture ({kinds}; hidden files do not count) in the folder {folder}")
    pictures = tuple(PictureFile(number, file) for number, file in enumerate(files, start=1))
    return Dataset(spec=spec, labels=None, pictures=pictures, ground_truth=None)
