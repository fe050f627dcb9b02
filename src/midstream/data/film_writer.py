"""Images written as a film."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from midstream.errors import InputError, MissingExtraError
from midstream.files import Temporary, check_writable

_RATE_BASE = 1000
#: Of the times of frames.
_TICK_S = Fraction(1, 1000)


class FilmWriter:
    """An .mp4 of images; it appears under its name when it is whole."""

    def __init__(self, path: str, rate: float) -> None:
        """Check the name. Raises InputError, MissingExtraError."""
        if not path.endswith(".mp4"):
            raise InputError(f"{path}: the annotated video is an .mp4 file")
        check_writable(path)
        try:
            import av
        except ImportError as error:
            raise MissingExtraError("an annotated video", "video") from error
        self._av: Any = av
        self._rate = Fraction(round(rate * _RATE_BASE), _RATE_BASE)
        self._target = Path(path).resolve()
        self._temporary: Temporary | None = None
        self._container: Any = None
        self._ticks = -1

    def add(self, image: NDArray[np.uint8], time_s: float | None = None) -> None:
        """One image more; those of another size than the first are scaled to it. Raises InputError.

        All have a time, in seconds since the first, or none has: then they follow one another at the rate.
        """
        try:
            if self._container is None:
                self._open(image, time_s is not None)
            size = (self._stream.width, self._stream.height)
            fitted = image if (image.shape[1], image.shape[0]) == size else cv2.resize(image, size)
            frame = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(fitted, np.uint8), format="rgb24")
            if time_s is not None:
                self._ticks = max(round(time_s / _TICK_S), self._ticks + 1)
                frame.pts, frame.time_base = self._ticks, _TICK_S
            self._container.mux(self._stream.encode(frame))
        except (self._av.FFmpegError, OSError) as error:
            raise self._failure(error) from error

    def _open(self, image: NDArray[np.uint8], timed: bool) -> None:
        self._temporary = Temporary(self._target, ".mp4")
        self._container = self._av.open(str(self._temporary.path), "w")
        codecs = self._av.codecs_available
        self._stream = self._container.add_stream("libx264" if "libx264" in codecs else "mpeg4", rate=self._rate)
        if timed:
            self._stream.codec_context.time_base = _TICK_S
        height, width = image.shape[:2]
        self._stream.width, self._stream.height = width + width % 2, height + height % 2  # chroma is half as fine
        self._stream.pix_fmt = "yuv420p"

    def close(self, whole: bool) -> None:
        """Finish the film, or leave nothing behind where it is not `whole`. Raises InputError."""
        if self._temporary is None:
            return
        try:
            if self._container is not None:
                self._finish(whole)
            if whole:
                self._temporary.keep()
        except (self._av.FFmpegError, OSError) as error:
            if whole:
                raise self._failure(error) from error
        finally:
            self._temporary.close()

    def _finish(self, whole: bool) -> None:
        if whole:
            self._container.mux(self._stream.encode())
        self._container.close()

    def _failure(self, error: OSError) -> InputError:
        return InputError(f"{self._target}: the annotated video cannot be written: {error.strerror or error}")
