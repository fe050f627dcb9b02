"""Frames one after another, to fit how one is predicted from another: real clips, and photographs that stand still.

Clips from one kind of camera say little of another: where it moves, nothing stands still. So photographs of the
calibration are made into short clips of a camera that hangs, with the noise of a sensor, before which cut-outs of other
photographs move.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from midstream import data as datasets
from midstream.data import ImageFile
from midstream.data.clips import load_clips
from midstream.data.folder import visible_files
from midstream.data.frames import SCENES, open_source
from midstream.data.images import read_image
from midstream.data.scenes import motion
from midstream.data.video import VIDEO_SUFFIXES
from midstream.errors import InputError
from midstream.files import expanded
from midstream.models import Image

# Where the numbers come from: docs/method.md, "Constants".
#: Frames of a clip that are fitted to, and clips at most.
FRAMES, MOST_CLIPS = 40, 12
#: Clips that are made of photographs, at least; otherwise as many as there are real ones.
_LEAST_MADE = 4
#: Cut-outs in such a clip.
_CUTS = 3
#: Their sides in pixels, and the deviations of how far they move a frame, across and down.
_SIDES, _SPEEDS = (80, 200), (4.0, 1.5)
#: Deviations of a sensor's noise, and over how many pixels it is smoothed, as cameras do.
_NOISE, _SMOOTHED = (1.0, 4.0), 0.7


@dataclass(frozen=True)
class ClipSource:
    """Frames of one clip, read when they are asked for."""

    name: str
    files: tuple[Path, ...] = ()
    video: str = ""

    def frames(self) -> Iterator[Image]:
        """The first FRAMES that can be read. Raises InputError where none can."""
        images = self._images() if self.files else (frame.image for frame in open_source(self.video).frames())
        yield from islice((image for image in images if image is not None), FRAMES)

    def _images(self) -> Iterator[Image | None]:
        read, why = 0, None
        for path in self.files:
            try:
                image = read_image(path)
            except InputError as error:
                why = why or error
                continue
            read += 1
            yield image
        if why is not None and not read:
            raise why


def clip_sources(specs: Sequence[str]) -> list[ClipSource]:
    """Clips by what the user names: a video, a folder of frames, a folder of either, a data set of clips, or scenes.

    Raises InputError.
    """
    out: list[ClipSource] = []
    for spec in specs:
        kind, _, numbers = spec.partition(":")
        if kind == SCENES:
            count, seed = motion.numbers_of(numbers)
            out += [ClipSource(f"scenes of seed {i}", video=f"{SCENES}:1,{i}") for i in range(seed, seed + count)]
            continue
        if datasets.has_clips(spec):
            out += _of_frames(datasets.load(spec, FRAMES).images)
            continue
        path = expanded(spec)
        if not path.is_dir():
            if not path.exists():
                raise InputError(f"there is no '{spec}': a clip is a video, a folder of frames, or a folder of either; "
                                 "or name a data set of clips, such as mot:DIR")  # fmt: skip
            out.append(ClipSource(path.name, video=str(path)))
            continue
        if videos := visible_files(path, VIDEO_SUFFIXES):
            out += [ClipSource(each.name, video=str(each)) for each in videos]
            continue
        out += _of_frames(load_clips(spec, str(path)).images)
    if len(out) > MOST_CLIPS:
        out = [out[i * len(out) // MOST_CLIPS] for i in range(MOST_CLIPS)]
    return out


def _of_frames(images: Iterable[ImageFile]) -> list[ClipSource]:
    """The clips of which these are the frames."""
    by_clip: dict[str, list[Path]] = {}
    for image in images:
        by_clip.setdefault(image.clip.name if image.clip else "", []).append(image.path)
    return [ClipSource(name, tuple(files)) for name, files in by_clip.items()]


def made_clips(photographs: Sequence[Path], real: int, seed: int) -> list[Iterable[Image]]:
    """Clips of a camera that hangs, made of photographs: as many as real ones, or a few."""
    rng = np.random.default_rng(seed)
    return [
        _still([photographs[i] for i in rng.integers(0, len(photographs), 1 + _CUTS)], int(rng.integers(1 << 31)))
        for _ in range(max(real, _LEAST_MADE))
    ]


def _still(files: Sequence[Path], seed: int) -> Iterator[Image]:
    rng = np.random.default_rng(seed)
    background = read_image(files[0]).astype(np.float32)
    height, width = background.shape[:2]
    cuts = [_cut(read_image(path), rng) for path in files[1:]]
    starts = rng.uniform((0, 0), (height, width), (len(cuts), 2))
    speeds = rng.normal(0, 1, (len(cuts), 2)) * _SPEEDS[::-1]
    noise = rng.uniform(*_NOISE)
    for number in range(FRAMES):
        frame = background.copy()
        for cut, start, speed in zip(cuts, starts, speeds, strict=True):
            _paste(frame, cut, np.rint(start + speed * number).astype(int) % (height, width))
        grain = cv2.GaussianBlur(rng.normal(0, 1, frame.shape).astype(np.float32), (0, 0), _SMOOTHED)
        yield np.clip(frame + grain * (noise / grain.std()), 0, 255).astype(np.uint8)


def _cut(image: Image, rng: np.random.Generator) -> NDArray[np.float32]:
    side = int(rng.integers(*_SIDES))
    height, width = min(side * 3 // 2, image.shape[0]), min(side, image.shape[1])
    top, left = int(rng.integers(image.shape[0] - height + 1)), int(rng.integers(image.shape[1] - width + 1))
    return image[top : top + height, left : left + width].astype(np.float32)


def _paste(frame: NDArray[np.float32], cut: NDArray[np.float32], at: NDArray[np.int64]) -> None:
    place = frame[at[0] : at[0] + cut.shape[0], at[1] : at[1] + cut.shape[1]]
    place[...] = cut[: place.shape[0], : place.shape[1]]


class FrameHash:
    """SHA-256 of all frames that were seen, and how many they were."""

    def __init__(self) -> None:
        self.count, self._digest = 0, hashlib.sha256()

    def seen(self, image: Image) -> Image:
        """Count a frame."""
        self.count += 1
        self._digest.update(np.ascontiguousarray(image).tobytes())
        return image

    @property
    def text(self) -> str:
        """In hexadecimal."""
        return self._digest.hexdigest()
