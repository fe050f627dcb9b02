"""What the formats of labels share: files of text that nobody vouches for, and the names of files in them."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from midstream.data.base import ImageFile
from midstream.data.folder import IMAGE_SUFFIXES, visible_files
from midstream.errors import InputError
from midstream.files import expanded

#: Of a file that is read whole, and of a line, unless asked otherwise, in bytes.
MOST_TEXT, MOST_LINE = 16 << 20, 1 << 16


def parts(paths: str, form: str, least: int, most: int) -> list[str]:
    """The paths in `PATH,PATH,...`. Raises InputError where there are fewer or more; the message has the `form`."""
    found = paths.split(",", most - 1)
    if len(found) < least or not all(found):
        raise InputError(f"'{paths}' is not what this kind of data set needs: {form}")
    return found


def folder_at(path: str, what: str = "folder") -> Path:
    """A folder that is there. Raises InputError."""
    folder = expanded(path)
    if not is_folder(folder):
        raise InputError(f"there is no {what} {folder}")
    return folder


def is_folder(path: Path) -> bool:
    """Whether there is a folder, under whatever name somebody wrote into a file."""
    try:
        return path.is_dir()
    except (OSError, ValueError):  # too long, or with a NUL
        return False


def is_file(path: Path) -> bool:
    """Whether there is a file, under whatever name somebody wrote into a file."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def text_of(file: Path, most: int = MOST_TEXT) -> str:
    """A file of text, UTF-8 with or without a byte order mark.

    Raises:
        InputError: it cannot be read, is longer than `most` bytes or is no text; the message names it.
    """
    try:
        with file.open("rb") as stream:
            data = stream.read(most + 1)
        if len(data) > most:
            raise InputError(f"{file} is too large: more than {most:,} bytes")
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{file} is no text in UTF-8: byte {error.start}") from error
    if "\0" in text:
        raise InputError(f"{file} is no text: it has a NUL")
    return text


def lines_of(file: Path) -> Iterator[tuple[int, str]]:
    """Number and text of the lines of a file that may be large, of those that are not empty.

    Raises:
        InputError: as `text_of`, but of a line of more than `MOST_LINE` characters.
    """
    number = 0
    try:
        with file.open(encoding="utf-8-sig") as stream:
            while line := stream.readline(MOST_LINE):
                number += 1
                if len(line) == MOST_LINE:
                    raise InputError(f"{file}, line {number} is too long: more than {MOST_LINE:,} characters")
                if "\0" in line:
                    raise InputError(f"{file}, line {number} is no text: it has a NUL")
                if line.strip():
                    yield number, line.strip()
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{file} is no text in UTF-8, after line {number}") from error


def rows_of(file: Path) -> Iterator[tuple[int, list[str]]]:
    """Line number and fields of a file of comma-separated values, a row a line. Raises InputError as `lines_of`."""
    for number, line in lines_of(file):
        try:
            yield number, next(csv.reader([line]))
        except csv.Error as error:
            raise InputError(f"{file}, line {number}: {error}") from error


def place_of(name: str, where: str) -> Path:
    """A relative path that a file names, `\\` for `/`. Raises InputError for one that leads out of its folder."""
    place = PurePosixPath(name.replace("\\", "/"))
    if place.is_absolute() or Path(name).is_absolute() or ".." in place.parts or not place.parts or "\0" in name:
        raise InputError(f"{where} names {name!r}, which is outside of the data set's folder")
    return Path(*place.parts)


def images_by_stem(folder: Path) -> dict[str, Path]:
    """The images directly in a folder by their names without ending.

    Raises:
        InputError: there is none, or two have the same name.
    """
    found: dict[str, Path] = {}
    for path in visible_files(folder, IMAGE_SUFFIXES):
        if path.stem in found:
            raise InputError(f"{folder} has {found[path.stem].name} and {path.name}: which of them is '{path.stem}'?")
        found[path.stem] = path
    if not found:
        raise InputError(f"no image in the folder {folder}")
    return found


def numbered(paths: list[Path]) -> tuple[ImageFile, ...]:
    """Images of these files, numbered from 1."""
    return tuple(ImageFile(number, path) for number, path in enumerate(paths, start=1))
