"""Clips in folders of frames, with or without a file that says how fast they are and what is marked in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, FiniteFloat, TypeAdapter, ValidationError

from midstream.data.base import Clip, Dataset, ImageFile, Mark
from midstream.data.bounds import Box, Rate, Readable
from midstream.data.folder import IMAGE_SUFFIXES, in_order, visible_files
from midstream.errors import InputError
from midstream.files import expanded, read_bytes
from midstream.wording import counted, readable

#: Beside the sub-folders of clips, and in the folder of a single one.
CLIPS_FILE, CLIP_FILE = "clips.json", "clip.json"
#: In the folder of a sequence of MOTChallenge's, whose frames lie in a folder beside it.
SEQUENCE_FILE = "seqinfo.ini"
#: Frames a second of a clip of which nobody says it.
DEFAULT_RATE = 25.0


class ClipAbout(BaseModel):
    """What a file says of a clip; everything else in it is left aside.

    Attributes:
        fps: frames a second.
        times: of each frame in seconds, where they are not evenly spaced.
        category: of what is marked, by COCO's name; None where it is none of COCO's.
        boxes: the one object's in each frame; None where it is not seen.
        blobs: several objects' in each frame.
        notes: what is to be said beside figures of the clip.
    """

    fps: Rate = DEFAULT_RATE
    times: list[Annotated[FiniteFloat, Field(ge=0, le=1e9)]] | None = None
    category: Readable | None = None
    boxes: list[Box | None] | None = None
    blobs: list[list[Box]] | None = None
    notes: list[Readable] = []

    def marks(self, frame: int) -> tuple[Mark, ...]:
        """Of a frame, counted from 0."""
        if self.category is None:
            return ()
        boxes = [*(self.blobs[frame] if self.blobs else [])]
        one = self.boxes[frame] if self.boxes else None
        return tuple(Mark(self.category, box) for box in ([*boxes, one] if one is not None else boxes))


def load_clips(spec: str, path: str) -> Dataset:
    """Clips without a full ground truth.

    Args:
        spec: as it was asked for.
        path: a folder with a sub-folder of frames for each clip, and `clips.json` with a `ClipAbout` by sub-folder; or
            a folder of the frames of one clip, with `clip.json`. The files may be missing.

    Returns:
        Frames by name, in which numbers count as such (9 before 10), numbered from 1 over all clips.

    Raises:
        InputError: there is no such folder, no frame or another layout in it, or a file that says something else than
            the folder; the message names it.
    """
    root = expanded(path)
    if not root.is_dir():
        raise InputError(f"there is no folder {root}")
    if frames := frames_of(root):
        return _dataset(spec, {root.resolve().name: frames}, _about_one(root, frames))
    folders = sorted((f for f in root.iterdir() if f.is_dir() and not f.name.startswith(".")), key=in_order)
    clips = {folder.name: there for folder in folders if (there := frames_of(folder))}
    if not clips and any(root.glob(f"*/{SEQUENCE_FILE}")):
        raise InputError(f"{root} has MOTChallenge's layout ({SEQUENCE_FILE} in its sub-folders): mot:{path} reads it")
    if not clips:
        kinds = ", ".join(suffix[1:] for suffix in IMAGE_SUFFIXES)
        raise InputError(f"no frame ({kinds}; hidden files do not count) in {root} or a sub-folder of it")
    return _dataset(spec, clips, _about_all(root, clips))


def frames_of(folder: Path) -> list[Path]:
    """The images directly in a folder, in order."""
    return sorted(visible_files(folder, IMAGE_SUFFIXES), key=in_order)


def _dataset(spec: str, clips: Mapping[str, Sequence[Path]], abouts: Mapping[str, ClipAbout]) -> Dataset:
    images: list[ImageFile] = []
    marks: dict[int, tuple[Mark, ...]] = {}
    for name, frames in clips.items():
        about = abouts.get(name, ClipAbout())
        clip = Clip(name, about.fps)
        for number, frame in enumerate(frames):
            time = about.times[number] if about.times else number / about.fps
            images.append(ImageFile(len(images) + 1, frame, clip, time))
            if there := about.marks(number):
                marks[images[-1].id] = there
    notes = tuple(note for about in abouts.values() for note in about.notes)
    return Dataset(spec, None, tuple(images), None, notes, marks)


def _about_one(root: Path, frames: Sequence[Path]) -> dict[str, ClipAbout]:
    file = root / CLIP_FILE
    if not file.exists():
        return {}
    about: ClipAbout = _read(file, TypeAdapter(ClipAbout))
    _check(file, root.resolve().name, about, len(frames))
    return {root.resolve().name: about}


def _about_all(root: Path, clips: Mapping[str, Sequence[Path]]) -> dict[str, ClipAbout]:
    file = root / CLIPS_FILE
    if not file.exists():
        return {}
    abouts: dict[str, ClipAbout] = _read(file, TypeAdapter(dict[str, ClipAbout]))
    for name, about in abouts.items():
        if name not in clips:
            raise InputError(f"{file} lists the clip '{readable(name)}', of which there is no frame in {root}")
        _check(file, name, about, len(clips[name]))
    return abouts


def _read(file: Path, form: TypeAdapter[Any]) -> Any:
    try:
        return form.validate_json(read_bytes(str(file)))
    except ValidationError as error:
        raise InputError(f"{file} does not describe clips: {first_fault(error)}") from error


def first_fault(error: ValidationError) -> str:
    """Where something is not as it is to be, and what it is to be."""
    first = error.errors(include_url=False, include_input=False)[0]
    return readable(f"{'.'.join(map(str, first['loc'])) or 'the file'}: {first['msg']}")


def _check(file: Path, name: str, about: ClipAbout, frames: int) -> None:
    for what, there in (("boxes", about.boxes), ("blobs", about.blobs), ("times", about.times)):
        if there is not None and len(there) != frames:
            raise InputError(
                f"{file} has {what} of {counted(len(there), 'frame')} of '{name}', whose folder has {frames}"
            )
    if about.times is not None and sorted(about.times) != about.times:
        raise InputError(f"{file}: the times of '{name}' go back")
