"""Classified images: a folder for each class, or ImageNet's folder of validation images with a list.

Class indices are those of the sorted names of the folders, as torchvision's `ImageFolder` and everything that was
trained with it counts them; for ImageNet these are the WordNet ids in their order.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from midstream.data.base import Dataset
from midstream.data.folder import IMAGE_SUFFIXES, visible_files
from midstream.data.listed import folder_at, is_file, lines_of, numbered, place_of
from midstream.errors import InputError
from midstream.files import expanded

#: Files that say what ImageNet's WordNet ids mean, a line each: `n01440764 tench, Tinca tinca`.
_WORDS = ("LOC_synset_mapping.txt", "synset_words.txt")
#: How far above the folder of images they are looked for, as in ILSVRC/Data/CLS-LOC/val.
_LEVELS = 4
_SYNSET = re.compile(r"n\d{8}")
#: Images with an index, and images with a WordNet id and boxes, as Kaggle has them.
_INDEXED = re.compile(r"(\S+)[\s,]+(\d+)")
_SOLVED = re.compile(r"([^\s,]+),(n\d{8})\b.*")
_HEADER = re.compile(r"ImageId,PredictionString", re.IGNORECASE)
_MOST_CLASSES = 1 << 16


def load_imagenet(spec: str, where: str) -> Dataset:
    """Images with a class each, from `DIR` or `DIR,LIST`.

    `DIR` has a folder for each class, with images directly in it. Or it is a folder of images, and `LIST` names their
    classes: `LOC_val_solution.csv`, or a text file of lines `NAME INDEX`. Where `LOC_synset_mapping.txt` or
    `synset_words.txt` is in `DIR`, up to four folders above it or beside `LIST`, classes that are named by WordNet ids
    are called by their first word, and have the id as `synset`; their indices are then those within that file, so that
    a folder of ten of ImageNet's classes has ImageNet's own.

    Images are in turn one of each class: the first hundred of ImageNet are of a hundred classes.

    Raises:
        InputError: what is named is not there or not of this layout; the message says what was found.
    """
    folder, listed = _split(where)
    words = _words([folder] if listed is None else [folder, listed.parent])
    names, found = _by_folder(folder, words) if listed is None else _by_list(folder, listed, words)
    found = _in_turn(found)
    images = numbered([path for path, _ in found])
    return Dataset(
        spec=spec,
        labels="classes",
        images=images,
        ground_truth={
            "images": [{"id": image.id, "file_name": image.path.name} for image in images],
            "categories": _categories(names, words),
            "annotations": [
                {"id": image.id, "image_id": image.id, "category_id": index}
                for image, (_, index) in zip(images, found, strict=True)
            ],
        },
    )


def _split(where: str) -> tuple[Path, Path | None]:
    folder, comma, listed = where.rpartition(",")
    if not comma or expanded(where).is_dir():
        return folder_at(where), None
    file = expanded(listed)
    if not is_file(file):
        raise InputError(f"there is no list of classes {file}")
    return folder_at(folder, "folder of images"), file


def _in_turn(found: Sequence[tuple[Path, int]]) -> list[tuple[Path, int]]:
    """The first image of each class, the second, and so on."""
    rank: Counter[int] = Counter()
    keyed = []
    for path, index in found:
        keyed.append((rank[index], index, path))
        rank[index] += 1
    return [(path, index) for _, index, path in sorted(keyed)]


def _by_folder(folder: Path, words: dict[str, str]) -> tuple[list[str], list[tuple[Path, int]]]:
    """Names of the classes; images with their class."""
    classes = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    names = sorted(words) if words.keys() >= set(classes) else classes
    index = {name: i for i, name in enumerate(names)}
    found = [(path, index[name]) for name in classes for path in visible_files(folder / name, IMAGE_SUFFIXES)]
    if found:
        return names, found
    if not classes:
        here = "images but no folder; which classes they are of says imagenet:DIR,LIST"
        raise InputError(
            f"{folder} has no folder for each class: "
            + (here if visible_files(folder, IMAGE_SUFFIXES) else "neither folders nor images are in it")
        )
    deeper = next((name for name in classes if any(path.is_dir() for path in (folder / name).iterdir())), None)
    if deeper is not None:
        raise InputError(f"{folder} has no image in its folders, but folders: did you mean imagenet:{folder / deeper}?")
    raise InputError(f"the {len(classes)} folders in {folder} have no image in them")


def _by_list(folder: Path, file: Path, words: dict[str, str]) -> tuple[list[str], list[tuple[Path, int]]]:
    named: dict[str, str] = {}
    for number, name, label in _lines(file):
        if named.setdefault(name, label) != label:
            raise InputError(f"{file}, line {number}: {name} is listed twice, of different classes")
    by_id = {label for label in named.values() if _SYNSET.fullmatch(label)}
    if by_id and len(by_id) < len(set(named.values())):
        raise InputError(f"{file} has class indices and WordNet ids: it takes one of them")
    if by_id:
        names = sorted(by_id | set(words))
    else:
        count = 1 + max(map(int, named.values()))
        names = sorted(words) if len(words) >= count else [str(i) for i in range(count)]
    index = {name: i for i, name in enumerate(names)}
    places = {path.name: path for path in visible_files(folder, IMAGE_SUFFIXES)}
    stems = {path.stem: path for path in places.values()}
    there = {name: path for name in named if (path := places.get(name) or stems.get(name))}
    if not there:
        raise InputError(f"none of the {len(named)} images that {file} lists is in {folder}")
    return names, sorted((path, index[named[name]] if by_id else int(named[name])) for name, path in there.items())


def _lines(file: Path) -> Iterator[tuple[int, str, str]]:
    """Line number, name of the image, index (a plain number) or WordNet id of its class."""
    empty = True
    for number, line in lines_of(file):
        if _HEADER.fullmatch(line):
            continue
        found = _SOLVED.fullmatch(line) or _INDEXED.fullmatch(line)
        if found is None:
            raise InputError(f"{file}, line {number} is neither 'NAME INDEX' nor 'NAME,n01234567 ...'")
        label = found[2] if found[2].startswith("n") else found[2].lstrip("0") or "0"
        if label.isdecimal() and (len(label) > 9 or int(label) >= _MOST_CLASSES):
            raise InputError(f"{file}, line {number}: the class index {label[:12]} is too large")
        empty = False
        yield number, place_of(found[1], f"{file}, line {number}").name, label
    if empty:
        raise InputError(f"{file} lists no image")


def _words(places: Sequence[Path]) -> dict[str, str]:
    """What WordNet ids mean, by id; empty where no file says it."""
    folders = [each for place in places for each in [place.resolve(), *place.resolve().parents[:_LEVELS]]]
    file = next((path for each in folders for name in _WORDS if is_file(path := each / name)), None)
    if file is None:
        return {}
    words = {}
    for number, line in lines_of(file):
        synset, _, meaning = line.partition(" ")
        if not (_SYNSET.fullmatch(synset) and meaning.strip()):
            raise InputError(f"{file}, line {number} is not a WordNet id and what it means: 'n01440764 tench, ...'")
        words[synset] = meaning.strip()
    return words


def _categories(names: Sequence[str], words: dict[str, str]) -> list[dict[str, Any]]:
    """Two classes of ImageNet are 'crane': such keep all their words."""
    first = {name: words[name].partition(",")[0] for name in names if name in words}
    often = Counter(first.values())
    categories: list[dict[str, Any]] = []
    for index, name in enumerate(names):
        if name not in words:
            categories.append({"id": index, "name": name})
        else:
            called = first[name] if often[first[name]] == 1 else words[name]
            categories.append({"id": index, "name": called, "synset": name})
    return categories
