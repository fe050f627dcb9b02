"""Clips in COCO's format: its frames' entries name a video, its annotations a track.

`videos` lists clips as {id, name, fps}; a frame has `video_id` and `frame_id` or `frame_index` (from any number on); an
annotation has `track_id` or `instance_id` (Dave et al., TAO, ECCV 2020; OpenMMLab's CocoVID).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import AliasChoices, BaseModel, Field

from midstream.data.base import Clip, Dataset, ImageFile
from midstream.data.bounds import Number, Rate, Readable
from midstream.data.clips import DEFAULT_RATE
from midstream.data.coco import Annotation, about_unlisted, check, entry_of, folder_and_file
from midstream.data.coco_file import Category, Image, found, parsed, refuse_twice, text_of
from midstream.errors import InputError


class _Video(BaseModel):
    id: Number
    name: Readable = ""
    fps: Rate = DEFAULT_RATE


class _Frame(Image):
    video_id: Number
    frame_id: Number | None = Field(None, validation_alias=AliasChoices("frame_id", "frame_index"))


class _Tracked(Annotation):
    id: int | None = None
    track_id: Number | None = Field(None, validation_alias=AliasChoices("track_id", "instance_id"))


class _File(BaseModel):
    videos: list[_Video]
    images: list[_Frame]
    annotations: list[_Tracked]
    categories: list[Category]


def load_coco_video(spec: str, paths: str) -> Dataset:
    """A data set of clips from `FRAMES_DIR,ANNOTATIONS.json`; what is said of `load_coco` holds here, too.

    Frames are in the order of their numbers, those without any in that of their names, clips in that of the file, and
    numbered from 1 over all of them. Either every annotation has a track or none has. A clip has the name of its video;
    where two videos have one name, all clips have their videos' ids in brackets behind it.

    Raises:
        InputError: as `load_coco`; and a video or an annotation of an id that another has, a frame of no clip that is
            listed, two frames of one number, a clip of frames of several sizes, a track that is twice in a frame, or
            tracks on some annotations only.
    """
    folder, file = folder_and_file(paths, "coco-video")
    content = parsed(_File, text_of(file), file)
    check(content, file)
    refuse_twice("video", [video.id for video in content.videos], file)
    refuse_twice("annotation", [each.id for each in content.annotations if each.id is not None], file)
    frames = _in_order(content, file)
    files, notes = found(content.images, folder, file)
    paths_of = {image.id: image.path for image in files}
    numbers = {frame.id: number for number, (frame, _, _) in enumerate(frames, start=1)}
    images = tuple(
        ImageFile(numbers[frame.id], paths_of[frame.id], clip, place / clip.rate) for frame, clip, place in frames
    )
    truth = {
        "images": [
            {**frame.model_dump(include=set(Image.model_fields)), "id": numbers[frame.id]} for frame, _, _ in frames
        ],
        "categories": [category.model_dump(exclude_none=True) for category in content.categories],
        "annotations": _annotations(content, numbers, file),
    }
    return Dataset(spec, "coco", images, truth, notes + about_unlisted(content))


def _in_order(content: _File, file: Path) -> list[tuple[_Frame, Clip, int]]:
    """Each frame with its clip and its place in it."""
    by_video: dict[int, list[_Frame]] = {video.id: [] for video in content.videos}
    for frame in content.images:
        if frame.video_id not in by_video:
            raise InputError(
                f"{file} lists the image {frame.file_name} of the video {frame.video_id}, which is not listed"
            )
        by_video[frame.video_id].append(frame)
    names = _names(content.videos)
    out: list[tuple[_Frame, Clip, int]] = []
    for video in content.videos:
        frames = sorted(by_video[video.id], key=lambda each: (each.frame_id or 0, each.file_name))
        name = names[video.id]
        numbers = [frame.frame_id for frame in frames if frame.frame_id is not None]
        if len(set(numbers)) < len(numbers) or len({(frame.height, frame.width) for frame in frames}) > 1:
            raise InputError(f"{file}: frames of the video '{name}' have the same number, or are of several sizes")
        out += [(frame, Clip(name, video.fps), place) for place, frame in enumerate(frames)]
    return out


def _names(videos: Sequence[_Video]) -> dict[int, str]:
    """Of the clips, by the videos' ids: no two are the same, as clips are told apart by their names."""
    names = {video.id: video.name or str(video.id) for video in videos}
    if max(Counter(names.values()).values(), default=0) < 2:
        return names
    # All of them: one that is called 'a (2)' is then none of two that are called 'a'.
    return {identity: f"{name} ({identity})" for identity, name in names.items()}


def _annotations(content: _File, numbers: dict[int, int], file: Path) -> list[dict[str, Any]]:
    listed = [each for each in content.annotations if each.image_id in numbers]
    tracked = [each for each in listed if each.track_id is not None]
    if tracked and len(tracked) < len(listed):
        raise InputError(
            f"{file} has a track_id for {len(tracked)} of {len(listed)} annotations: all need one, or none"
        )
    _check_once(tracked, file)
    out = []
    for number, each in enumerate(listed, start=1):
        entry = {**entry_of(number, each), "image_id": numbers[each.image_id]}
        out.append({**entry, "track": each.track_id} if tracked else entry)
    return out


def _check_once(tracked: Sequence[_Tracked], file: Path) -> None:
    seen: set[tuple[int, int | None]] = set()
    for each in tracked:
        if (each.image_id, each.track_id) in seen:
            raise InputError(f"{file}: the track {each.track_id} is twice in the image id {each.image_id}")
        seen.add((each.image_id, each.track_id))
