"""A video file as a clip: its frames, decoded once into the user's cache."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import cv2

from midstream.data.base import Clip, Dataset
from midstream.data.clips import CLIP_FILE, DEFAULT_RATE, load_clips
from midstream.data.video import Video, VideoFrame
from midstream.errors import InputError
from midstream.files import expanded, made_once, make_folder, write_bytes

#: Frames of one file, which take some hundred kilobytes each.
_MOST = 20_000
#: Fast: what it saves beyond is little, of frames with a camera's noise.
_PNG_LEVEL = 1


def load_video(spec: str, path: str, limit: int | None = None) -> Dataset:
    """The frames of the video file `path`, upright, as a clip without labels; of these the first `limit`.

    They are PNG files in `~/.cache/midstream/frames`, under a hash of the video's content.

    Raises:
        InputError: the file cannot be read or has no frame, frames that differ in size, or too many of them; a cache
            that cannot be written.
        MissingExtraError: without PyAV.
    """
    file = expanded(path)
    if not file.is_file():
        raise InputError(f"there is no video file {file}")
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    cache = Path.home() / ".cache" / "midstream" / "frames"
    root = cache / digest
    if limit is not None and not root.is_dir():
        root = cache / f"{digest}-{limit}"
    made_once(root, lambda folder: _write(file, folder, limit))
    dataset = load_clips(spec, str(root))
    clip = dataset.images[0].clip
    assert clip is not None
    named = Clip(file.stem, clip.rate)
    notes = tuple(f"{file}: {note}" for note in dataset.notes)
    return replace(dataset, images=tuple(replace(image, clip=named) for image in dataset.images), notes=notes)


def _write(file: Path, folder: Path, limit: int | None) -> None:
    """Decode into `folder`, with a file that says when each frame is."""
    video = Video(file)
    rate = video.rate or DEFAULT_RATE
    make_folder(folder)
    times: list[float] = []
    lost, shape = 0, None
    for frame in video.frames():
        if limit is not None and len(times) == limit:
            break
        if frame.image is None:
            lost += 1
            continue
        if shape not in (None, frame.image.shape):
            raise InputError(
                f"frame {len(times) + lost} of {file} has another size than those before it: a clip has one"
            )
        if len(times) == _MOST:
            raise InputError(f"{file} has more than {_MOST:,} frames: take the first of them with --limit")
        shape = frame.image.shape
        _, data = cv2.imencode(".png", frame.image[:, :, ::-1], [cv2.IMWRITE_PNG_COMPRESSION, _PNG_LEVEL])
        write_bytes(str(folder / f"{len(times):06}.png"), data.tobytes())
        times.append(_time(frame, times, rate))
    if not times:
        raise InputError(f"cannot read the video {file}: none of its frames can be decoded")
    notes = [f"{lost} frames cannot be decoded and are left out"] if lost else []
    about = {"fps": rate, "times": times, "notes": notes}
    write_bytes(str(folder / CLIP_FILE), json.dumps(about).encode())


def _time(frame: VideoFrame, times: list[float], rate: float) -> float:
    """Of a frame; one that goes back, or says nothing, follows the last as the rate has it."""
    expected = times[-1] + 1 / rate if times else 0.0
    return expected if frame.time_s is None or (times and frame.time_s < times[-1]) else frame.time_s
