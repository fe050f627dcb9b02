"""MOTChallenge's layout: a folder for each sequence, with seqinfo.ini, frames, and gt/gt.txt (motchallenge.net)."""

from __future__ import annotations

import configparser
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from midstream.data.base import Clip, Dataset, ImageFile
from midstream.data.bounds import MOST_SIDE, Rate
from midstream.data.clips import SEQUENCE_FILE, first_fault, frames_of
from midstream.data.folder import in_order
from midstream.data.listed import is_folder
from midstream.errors import InputError
from midstream.files import expanded
from midstream.wording import readable

#: Of MOT16 on; the first benchmark has no classes and writes -1.
_PEDESTRIAN, _NO_CLASS = 1, -1
#: What looks like a person and is not counted: on vehicles, static, reflections and so on; as TrackEval has it.
_DISTRACTORS = frozenset({2, 7, 8, 12})
#: The name that networks know pedestrians by.
PERSON = "person"
#: frame, id, left, top, width, height, whether it counts.
_LEAST_COLUMNS = 7
#: Up to here every whole number is one of its own as a float.
_MOST_NUMBER = 1 << 53

_Pixels = Annotated[int, Field(ge=1, le=MOST_SIDE)]


class _Info(BaseModel):
    """What `seqinfo.ini` says, under its own names."""

    frameRate: Rate  # noqa: N815
    imHeight: _Pixels  # noqa: N815
    imWidth: _Pixels  # noqa: N815
    seqLength: Annotated[int, Field(ge=1, le=1_000_000_000)]  # noqa: N815
    imDir: str = "img1"  # noqa: N815


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
        if (root / SEQUENCE_FILE).is_file()
        else sorted((f.parent for f in root.glob(f"*/{SEQUENCE_FILE}")), key=in_order)
    )
    if not folders:
        raise InputError(f"no sequence in {root}: a sequence is a folder with {SEQUENCE_FILE}, frames and gt/gt.txt")
    labelled = [folder for folder in folders if _labels(folder).is_file()]
    if labelled and len(labelled) < len(folders):
        bare = next(folder for folder in folders if folder not in labelled)
        raise InputError(
            f"{bare} has no gt/gt.txt, other sequences of {root} have: give those with labels a folder of their own"
        )
    images: list[ImageFile] = []
    truth: dict[str, Any] = {"images": [], "annotations": [], "categories": [{"id": 1, "name": PERSON}]}
    for folder in folders:
        info, frames = _sequence(folder)
        # A link to a sequence has a name of its own; only what is asked for alone may be called '.'.
        clip = Clip(root.resolve().name if folder == root else folder.name, info.frameRate)
        first = len(images) + 1
        images += [ImageFile(first + i, frame, clip, i / clip.rate) for i, frame in enumerate(frames)]
        for image in images[first - 1 :]:
            named = {"id": image.id, "file_name": f"{folder.name}/{image.path.name}"}
            truth["images"].append({**named, "height": info.imHeight, "width": info.imWidth})
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


def _sequence(folder: Path) -> tuple[_Info, list[Path]]:
    """What is said of a sequence, and its frames."""
    file = folder / SEQUENCE_FILE
    info = _info(file)
    if Path(info.imDir).is_absolute() or ".." in Path(info.imDir).parts:
        raise InputError(f"{file} does not describe a sequence: imDir is outside of its folder")
    images = folder / info.imDir
    try:
        frames = frames_of(images) if is_folder(images) else []
    except OSError as error:
        raise InputError(f"{file} does not describe a sequence: {error.strerror}") from error
    if len(frames) != info.seqLength:
        raise InputError(f"{file} lists {info.seqLength} frames; there are {len(frames)} in {readable(str(images))}")
    return info, frames


def _info(file: Path) -> _Info:
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(file.read_text("utf-8"))
        about = parser["Sequence"]
        return _Info.model_validate({name: about[name] for name in _Info.model_fields if name in about})
    except ValidationError as error:
        raise InputError(f"{file} does not describe a sequence: {first_fault(error)}") from error
    except (OSError, configparser.Error, KeyError, ValueError) as error:
        raise InputError(f"{file} does not describe a sequence: {readable(str(error))}") from error


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
    except ValueError as error:
        raise InputError(f"{where}: {readable(str(error))}") from error
    if len(values) < _LEAST_COLUMNS or not all(map(math.isfinite, values)):
        raise InputError(f"{where}: not the numbers frame,id,left,top,width,height,counts,class,...")
    kind = values[_LEAST_COLUMNS] if len(values) > _LEAST_COLUMNS else _NO_CLASS
    for what, value in (("frame", values[0]), ("id", values[1]), ("class", kind)):
        if value != int(value) or abs(value) > _MOST_NUMBER:
            raise InputError(f"{where}: the {what} {value:.15g} is no whole number, or too large")
    frame, track = int(values[0]), int(values[1])
    if not 1 <= frame <= frames:
        raise InputError(f"{where}: there is no frame {frame}; the sequence has {frames}")
    left, top, width, height = values[2:6]
    if min(width, height) < 0 or max(map(abs, values[2:6])) > MOST_SIDE:
        raise InputError(f"{where}: a box of {width:.6g} x {height:.6g} at {left:.6g}, {top:.6g} is in no frame")
    if kind not in (_PEDESTRIAN, _NO_CLASS, *_DISTRACTORS):
        return None
    ignored = not values[6] or kind in _DISTRACTORS
    return _Row(frame, track, (left - 1, top - 1, width, height), ignored)
