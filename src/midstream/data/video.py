"""Frames of video files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from midstream.errors import InputError, MissingExtraError

#: File name endings that count as video, in any case.
VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts", ".y4m")


def read_frames(path: str | Path) -> Iterator[NDArray[np.uint8]]:
    """The frames of a video file one after the other, uint8 RGB [height, width, 3], upright.

    Raises:
        InputError: the file is absent, has no video, or breaks off; the message names it.
        MissingExtraError: without PyAV.
    """
    try:
        import av
    except ImportError as error:
        raise MissingExtraError("reading video", "ray") from error
    av.logging.set_level(av.logging.PANIC)  # what matters becomes an exception
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise InputError(f"cannot read the video {path}: it has no video stream")
            for frame in container.decode(container.streams.video[0]):
                turned = np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90)
                yield np.ascontiguousarray(turned)
    except (av.FFmpegError, OSError) as error:
        raise InputError(f"cannot read the video {path}: {error.strerror or error}") from error
