"""MOTChallenge's layout: a folder for each sequence, with seqinfo.ini, frames, and gt/gt.txt (motchallenge.net)."""

from __future__ import annotations

import configparser
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from midstream.data.base import Clip, Dataset, ImageFile
from midstream.data.clips import frames_of
from midstream.data.folder import in_order
from midstream.errors import InputError
from midstream.files import expanded

_SEQUENCE = "seqinfo.ini"
#: Of MOT16 on; the first benchmark has no classes and writes -1.
_PEDESTRIAN, _NO_CLASS = 1, -1
#: What looks like a person and is not counted: on vehicles, static, reflections and so on; as TrackEval has it.
_DISTRACTORS = frozenset({2, 7, 8, 12})
#: The name that networks know pedestrians by.
PERSON = "person"
#: frame, id, left, top, width, height, whether it counts.
_LEAST_COLUMNS = 7


@dataclass(frozen=True)
class _Row:
    frame: int
    track: int
    box: tuple[float, float, float, float]
    ignored: bool


def load_mot(spec: str, path: str) -> Dataset:
    """Sequences with the tracks of their pedestrians, which are of the category `person`.

    Boxes are counted from 0, as everywhere here (the files count from 1). What the benchmark neither counts nor
    punishes (`_DISTRACTORS`, rows marked so) are crowds in COCO's sense. Sequences without `gt/gt.txt`, as in the
    benchmark's test part, have no labels.

    Args:
        spec: as it was asked for.
        path: a sequence's folder, or one whose sub-folders are sequences.

    Raises:
        InputError: no sequence, one without frames, only some with labels, or a file that is not of this form; the
            message names it.
    """
    root = expanded(path)
    if not root.is_dir():
        raise InputError(f"there is no folder {root}")
    folders = (
        [root]
        if (root / _SEQUENCE).is_file()
        else sorted((f.parent for f in root.glob(f"*/{_SEQUENCE}")), key=in_order)
    )
    if not folders:
        raise InputError(f"no sequence in {root}: a sequence is a folder with {_SEQUENCE}, frames and gt/gt.txt")
    labelled = [folder for folder in folders if _labels(folder).is_file()]
    if labelled and len(labelled) < len(folders):
        bare = next(folder for folder in folders if folder not in labelled)
        raise InputError(
            f"{bare} has no gt/gt.txt, other sequences of {root} have: give those with labels a folder of their own"
        )
    images: list[ImageFile] = []
    truth: dict[str, Any] = {"images": [], "annotations": [], "categories": [{"id": 1, "name": PERSON}]}
    for folder in folders:
        clip, size, frames = _sequence(folder)
        first = len(images) + 1
        images += [ImageFile(first + i, frame, clip, i / clip.rate) for i, frame in enumerate(frames)]
        for image in images[first - 1 :]:
            named = {"id": image.id, "file_name": f"{folder.name}/{image.path.name}"}
            truth["images"].append({**named, "height": size[0], "width": size[1]})
        if labelled:
            for row in _rows(_labels(folder), len(frames)):
                truth["annotations"].append(_annotation(row, first, len(truth["annotations"]) + 1))
    return Dataset(spec, "coco" if labelled else None, tuple(images), truth if labelled else None)


def _labels(folder: Path) -> Path:
    return folder / "gt" / "gt.txt"


def _annotation(row: _Row, first: int, number: int) -> dict[str, Any]:
    _, _, width, height = row.box
    return {
        "id": number,
        "image_id": first + row.frame - 1,
        "category_id": 1,
        "bbox": list(row.box),
        "area": width * height,
        "iscrowd": int(row.ignored),
        "track": row.track,
    }


def _sequence(folder: Path) -> tuple[Clip, tuple[int, int], list[Path]]:
    """Clip, (height, width), frames."""
    file, parser = folder / _SEQUENCE, configparser.ConfigParser()
    try:
        parser.read_string(file.read_text("utf-8"))
        about = parser["Sequence"]
        rate, size = float(about["frameRate"]), (int(about["imHeight"]), int(about["imWidth"]))
        images = folder / about.get("imDir", "img1")
        length = int(about["seqLength"])
    except (OSError, configparser.Error, KeyError, ValueError) as error:
        raise InputError(f"{file} does not describe a sequence: {error}") from error
    if not (0 < rate < math.inf and min(size) > 0 and not Path(about.get("imDir", "img1")).is_absolute()):
        raise InputError(f"{file} does not describe a sequence: frameRate, imWidth or imHeight is not positive")
    try:
        frames = frames_of(images) if images.is_dir() else []
    except OSError as error:
        raise InputError(f"{file} does not describe a sequence: {error.strerror}") from error
    if len(frames) != length:
        raise InputError(f"{file} lists {length} frames; there are {len(frames)} in {images}")
    return Clip(folder.resolve().name, rate), size, frames


def _rows(file: Path, frames: int) -> Iterator[_Row]:
    seen: set[tuple[int, int]] = set()
    try:
        text = file.read_text("utf-8")
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read the labels {file}: {error}") from error
    for number, fields in enumerate((line.split(",") if line else [] for line in text.splitlines()), start=1):
        if not fields:
            continue
        row = _row(fields, f"{file}, line {number}", frames)
        if row is None:
            continue
        if (row.frame, row.track) in seen:
            raise InputError(f"{file}, line {number}: the track {row.track} is twice in frame {row.frame}")
        seen.add((row.frame, row.track))
        yield row


def _row(fields: list[str], where: str, frames: int) -> _Row | None:
    """A line of the file; None for what is no person, such as a car."""
    try:
        values = [float(field) for field in fields]
        if len(values) < _LEAST_COLUMNS or not all(map(math.isfinite, values)):
            raise ValueError("not the numbers frame,id,left,top,width,height,counts,class,...")
    except ValueError as error:
        raise InputError(f"{where}: {error}") from error
    frame, track, kind = int(values[0]), int(values[1]), int(values[7]) if len(values) > _LEAST_COLUMNS else _NO_CLASS
    if not 1 <= frame <= frames:
        raise InputError(f"{where}: there is no frame {frame}; the sequence has {frames}")
    if kind not in (_PEDESTRIAN, _NO_CLASS, *_DISTRACTORS):
        return None
    left, top, width, height = values[2:6]
    ignored = not values[6] or kind in _DISTRACTORS
    return _Row(frame, track, (left - 1, top - 1, width, height), ignored)
