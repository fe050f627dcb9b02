"""Clips in files, in MOTChallenge's layout and COCO's at once, and the data set of a spec."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from midstream.data.base import Dataset
from midstream.data.cityscapes import CLASSES, annotations_of
from midstream.data.clips import SEQUENCE_FILE
from midstream.data.coco_video import load_coco_video
from midstream.data.scenes import SIZE
from midstream.data.scenes.motion import ANNOTATIONS, EDITION, FRAMES, MOST_FRAMES, RATE
from midstream.data.scenes.motion.film import Film, FilmFrame, FilmObject
from midstream.errors import InputError
from midstream.files import check_empty, made_once, make_folder, own_folder, write_bytes

KIND = "scenes-video"
#: Clips of one spec; more are for `write_films`.
_MOST = 10_000
#: Fast: what it saves beyond is little, of frames with a sensor's noise.
_PNG_LEVEL = 1
#: MOTChallenge's numbers: who rides is a person on a vehicle, whatever has an engine and four wheels or more a car.
_MOT_CLASSES = {
    "person": 1, "rider": 2, "car": 3, "truck": 3, "bus": 3, "train": 3, "bicycle": 4, "motorcycle": 5,
}  # fmt: skip


def write_films(
    root: Path,
    count: int,
    seed: int,
    frames: int = FRAMES,
    size: tuple[int, int] = SIZE,
    done: Callable[[], None] = lambda: None,
) -> None:
    """Write the clips of the seeds `seed` to `seed + count - 1`.

    A clip is a folder `scenes-SEED` in MOTChallenge's layout: `img1`, `seqinfo.ini`, and `gt/gt.txt` with the boxes of
    whole objects and which share of each is seen; an object of which nothing is seen, or that is far, does not count.
    `annotations.json` is of all clips, in COCO's format: masks and boxes of what is seen, with tracks; what is far is a
    crowd there.

    Args:
        root: folder without anything in it, made where it is missing; another process that writes into it is refused
            meanwhile.
        count: at least 1.
        seed: of the first clip.
        frames: of each clip, 1 to `MOST_FRAMES`.
        size: (height, width).
        done: called after each frame.

    Raises:
        InputError: numbers out of range, a folder that is not empty, or a file that cannot be written.
    """
    if count < 1:
        raise InputError(f"there is nothing to write: the number of clips is {count}")
    check_frames(frames)
    truth: dict[str, Any] = {
        "videos": [],
        "images": [],
        "annotations": [],
        "categories": [{"id": identity, "name": name} for name, identity in CLASSES.items()],
    }
    with own_folder(root):
        check_empty(root)
        for index in range(count):
            film = Film(seed + index, size)
            name = f"scenes-{seed + index:06d}"
            video = {"id": index + 1, "name": name, "fps": RATE, "length": frames, "camera": film.camera}
            truth["videos"].append({**video, "width": size[1], "height": size[0]})
            for folder in ("img1", "gt"):
                make_folder(root / name / folder)
            rows: list[str] = []
            for number, frame in enumerate(film.frames(frames)):
                file = f"{name}/img1/{number + 1:06d}.png"
                _, data = cv2.imencode(".png", frame.image[:, :, ::-1], [cv2.IMWRITE_PNG_COMPRESSION, _PNG_LEVEL])
                write_bytes(str(root / file), data.tobytes())
                _add(truth, frame, file, index + 1, number)
                rows += (_row(each, number) for each in frame.objects)
                done()
            write_bytes(str(root / name / "gt" / "gt.txt"), "".join(rows).encode())
            write_bytes(str(root / name / SEQUENCE_FILE), _sequence(name, frames, size).encode())
        write_bytes(str(root / ANNOTATIONS), json.dumps(truth, separators=(",", ":")).encode())


def check_frames(frames: int) -> None:
    """Refuse what no clip has. Raises InputError."""
    if not 1 <= frames <= MOST_FRAMES:
        raise InputError(f"a clip of scenes has 1 to {MOST_FRAMES} frames, not {frames}")


def _add(truth: dict[str, Any], frame: FilmFrame, file: str, video: int, number: int) -> None:
    """A frame and what is seen in it."""
    height, width = frame.instance_ids.shape
    image = {"id": len(truth["images"]) + 1, "file_name": file, "width": width, "height": height}
    truth["images"].append({**image, "video_id": video, "frame_id": number})
    seen = {each.object.value: each for each in frame.objects}
    for value, entry in annotations_of(frame.instance_ids):
        there = seen[value]
        mask = {**entry["segmentation"], "counts": entry["segmentation"]["counts"].decode("ascii")}
        own = {"id": len(truth["annotations"]) + 1, "image_id": image["id"], "track_id": there.object.track}
        extent = {"full_bbox": list(there.box), "hidden": there.hidden / 1000}
        crowd = {"iscrowd": int(there.far)}
        truth["annotations"].append({**own, **entry, **crowd, "segmentation": mask, **extent})


def _row(seen: FilmObject, number: int) -> str:
    """Of gt.txt, which counts frames and pixels from 1."""
    left, top, width, height = seen.box
    counts = int(seen.pixels > 0 and not seen.far)
    kind, share = _MOT_CLASSES[seen.object.name], (1000 - seen.hidden) / 1000
    return f"{number + 1},{seen.object.track},{left + 1},{top + 1},{width},{height},{counts},{kind},{share:.3f}\n"


def _sequence(name: str, frames: int, size: tuple[int, int]) -> str:
    lines = {
        "name": name, "imDir": "img1", "frameRate": RATE, "seqLength": frames, "imWidth": size[1], "imHeight": size[0],
        "imExt": ".png",
    }  # fmt: skip
    return "[Sequence]\n" + "".join(f"{key}={value}\n" for key, value in lines.items())


def load_films(spec: str, rest: str, limit: int | None = None) -> Dataset:
    """A data set from `COUNT,SEED` or `COUNT` (seed 0): that many clips with their objects, masks and tracks.

    They are made once and kept in the user's cache, by the generator's edition.

    Args:
        spec: as it was asked for.
        rest: of it, behind the kind.
        limit: frames of each clip; `FRAMES` for None.

    Raises:
        InputError: not two such numbers, more frames than a clip has, or a cache that cannot be written.
    """
    count, seed = numbers_of(rest)
    frames = FRAMES if limit is None else limit
    check_frames(frames)
    root = Path.home() / ".cache" / "midstream" / KIND / f"edition-{EDITION}" / f"{count}-{seed}-{frames}"
    made_once(root, lambda folder: write_films(folder, count, seed, frames))
    return replace(load_coco_video(spec, f"{root},{root / ANNOTATIONS}"), spec=spec)


def numbers_of(rest: str) -> tuple[int, int]:
    """Count and first seed. Raises InputError."""
    found = re.fullmatch(r"([0-9]{1,6})(?:,([0-9]{1,9}))?", rest)
    if found is None or not 1 <= int(found[1]) <= _MOST:
        raise InputError(
            f"'{KIND}:{rest}' is not {KIND}:COUNT,SEED with a count from 1 to {_MOST:,}, such as {KIND}:8,0"
        )
    return int(found[1]), int(found[2] or 0)


def images_of(rest: str) -> Iterator[NDArray[np.uint8]]:
    """The frames of the clips of `COUNT,SEED` one after the other, made as they are asked for. Raises InputError."""
    count, seed = numbers_of(rest)
    return (frame.image for index in range(count) for frame in Film(seed + index).frames())
