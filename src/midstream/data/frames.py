"""Where images come from: a file, a folder, a video, a camera or a stream of one."""

from __future__ import annotations

import stat
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from midstream.data.folder import IMAGE_SUFFIXES, in_order, load_folder
from midstream.data.images import read_image
from midstream.data.scenes import motion
from midstream.data.video import Video
from midstream.errors import InputError
from midstream.files import STANDARD, expanded

#: Frames a second of an annotated video of images that have no times.
_FOLDER_RATE = 5.0
#: The kind of what is made while it is read.
SCENES = "scenes-video"

#: Of addresses that may be a file's, which is read as fast as somebody takes its frames.
_FILE_SCHEMES = frozenset({"file", "ftp", "ftps", "http", "https", "sftp"})


@dataclass(frozen=True)
class Frame:
    """One image of a source.

    Attributes:
        number: from 0, in the source's order.
        name: of the image's file, or of the video or camera.
        image: uint8 RGB [H, W, 3]; None where it cannot be read.
        problem: why not.
        time_s: within a video; None for files of a folder.
        taken: when it was read, by the monotonic clock.
    """

    number: int
    name: str
    image: NDArray[np.uint8] | None
    problem: str = ""
    time_s: float | None = None
    taken: float = field(default_factory=time.monotonic)


class Source(Protocol):
    """Images, one after the other; `rate` is how many a second make an ordinary film of them.

    `tick_s` is what their times count in; None where they have none.
    """

    @property
    def rate(self) -> float: ...  # noqa: D102

    @property
    def tick_s(self) -> Fraction | None: ...  # noqa: D102

    def frames(self) -> Iterator[Frame]:
        """The frames, once. Raises InputError where the source itself fails."""
        ...


def open_source(spec: str, realtime: bool = False, rate: float | None = None, limit: int | None = None) -> Source:
    """A source by name, of which a first frame has been read.

    Args:
        spec: an image, a folder of images, a video file, a camera (/dev/video0), an address of a stream (rtsp://...),
            scenes-video:COUNT,SEED, or - for a video on standard input.
        realtime: feed a video file at its own speed, as a camera would.
        rate: images a second, where a source has none of its own.
        limit: the most frames that it gives.

    Raises:
        InputError: there is nothing of this name, it cannot be opened, or no frame of it can be read.
        MissingExtraError: a video without PyAV.
    """
    found = _opened(spec, realtime, rate)
    found.limit = limit
    return found


def _opened(spec: str, realtime: bool, rate: float | None) -> _Opened:
    if spec == STANDARD:
        # A thread that waits in a buffered reader would abort the process at its end.
        raw = getattr(sys.stdin.buffer, "raw", sys.stdin.buffer)
        return _film(Video(raw, "standard input"), "standard input", usual=rate)
    kind, _, numbers = spec.partition(":")
    if kind == SCENES:
        return _Opened(_scenes(spec, numbers), motion.RATE, realtime, Fraction(1, motion.RATE))
    if "://" in spec:
        return _film(Video(spec, name := public_address(spec)), name, usual=rate)
    path = expanded(spec)
    if path.is_dir():
        return _Opened(
            _images(sorted((image.path for image in load_folder(spec, spec).images), key=in_order)),
            rate or _FOLDER_RATE,
        )
    if not path.exists():
        raise InputError(f"there is no '{spec}': a source is an image, a folder of images, a video file, a camera "
                         "such as /dev/video0, or a stream's address such as rtsp://HOST/PATH")  # fmt: skip
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return _Opened(_images([path]), rate or _FOLDER_RATE)
    if stat.S_ISCHR(path.stat().st_mode):
        return _film(Video(str(path), form="v4l2"), path.name, usual=rate)
    return _film(Video(path), path.name, realtime, rate)


def is_live(spec: str) -> bool:
    """Whether a source's frames come when they come, whoever takes them: a camera's, or those of a stream."""
    scheme, named, _ = spec.partition("://")
    if named:
        return scheme.lower() not in _FILE_SCHEMES
    path = expanded(spec)
    return path.exists() and stat.S_ISCHR(path.stat().st_mode)


def public_address(address: str) -> str:
    """An address without the name and password of its user, and without the query, which may hold others.

    Raises InputError.
    """
    try:
        parts = urlsplit(address)
    except ValueError as error:  # its text has the name and password
        shown = address.rpartition("@")[2].partition("?")[0]
        raise InputError(f"'{shown}' is no valid address: a stream's is SCHEME://HOST/PATH") from error
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _film(video: Video, name: str, realtime: bool = False, usual: float | None = None) -> _Opened:
    frames = (Frame(n, name, f.image, f.problem, f.time_s) for n, f in enumerate(video.frames()))
    return _Opened(frames, video.rate or usual or _FOLDER_RATE, realtime, video.tick_s)


def _scenes(name: str, numbers: str) -> Iterator[Frame]:
    """Clips that are made while they are read."""
    for number, image in enumerate(motion.images_of(numbers)):
        yield Frame(number, name, image, time_s=number / motion.RATE)


def _images(files: Sequence[Path]) -> Iterator[Frame]:
    for number, file in enumerate(files):
        try:
            yield Frame(number, file.name, read_image(file))
        except InputError as error:
            yield Frame(number, file.name, None, str(error))


class _Opened:
    """A source that has been read up to its first image, so that no server is asked for nothing."""

    def __init__(
        self, frames: Iterator[Frame], rate: float, realtime: bool = False, tick_s: Fraction | None = None
    ) -> None:
        """Read up to there. Raises InputError where there is none."""
        self.rate, self.tick_s, self._realtime = rate, tick_s, realtime
        self.limit: int | None = None
        self._begin: list[Frame] = []
        self._rest = frames
        while not self._begin or self._begin[-1].image is None:
            frame = next(frames, None)
            if frame is None:
                more = f"none of {len(self._begin)} frames can be read; the first: " if len(self._begin) > 1 else ""
                raise InputError(more + self._begin[0].problem)
            self._begin.append(frame)

    def frames(self) -> Iterator[Frame]:
        """The frames, as if the first ones were read only now."""
        start = time.monotonic()
        for frame in islice(chain(self._begin, self._rest), self.limit):
            if self._realtime and frame.time_s is not None:
                time.sleep(max(start + frame.time_s - time.monotonic(), 0))
            yield replace(frame, taken=time.monotonic())
