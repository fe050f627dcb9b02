"""Detections drawn into images, and images written as a film."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from midstream.errors import InputError, MissingExtraError
from midstream.files import Temporary, check_writable
from midstream.masks import decode_mask
from midstream.models import Detections, Image

#: Detections below this score are not drawn.
LEAST_SCORE = 0.3
_FONT = cv2.FONT_HERSHEY_SIMPLEX
#: Steps around the circle of hues from one class to the next: neighbours in a list look unlike.
_HUE_STEP = 67
_MASK_SHARE = 0.4
_RATE_BASE = 1000


def annotate(image: Image, found: Detections, classes: Sequence[str], least: float = LEAST_SCORE) -> Image:
    """The image with boxes, classes and scores (and masks) of what has a score of at least `least`."""
    drawn = image.copy()
    scale = max(min(image.shape[:2]) / 800, 0.4)
    thick = max(round(2 * scale), 1)
    far = 2 * max(image.shape[:2])  # no network promises boxes within the image, and OpenCV has 32-bit integers
    for i in reversed(range(len(found))):  # the best on top
        if found.scores[i] < least:
            continue
        label = int(found.labels[i])
        color = _color(label)
        if found.masks is not None:
            inside = decode_mask(found.masks[i])
            drawn[inside] = (drawn[inside] * (1 - _MASK_SHARE) + np.array(color) * _MASK_SHARE).astype(np.uint8)
        left, top, right, bottom = (int(v) for v in np.clip(found.boxes[i], -far, far))
        cv2.rectangle(drawn, (left, top), (right, bottom), color, thick)
        text = f"{classes[label] if label < len(classes) else label} {found.scores[i]:.2f}"
        (width, height), base = cv2.getTextSize(text, _FONT, scale, thick)
        foot = max(top, height + base)
        cv2.rectangle(drawn, (left, foot - height - base), (left + width, foot), color, cv2.FILLED)
        cv2.putText(drawn, text, (left, foot - base // 2), _FONT, scale, (0, 0, 0), thick, cv2.LINE_AA)
    return drawn


def _color(label: int) -> tuple[int, int, int]:
    hue = np.array([[[label * _HUE_STEP % 180, 200, 255]]], np.uint8)
    red, green, blue = cv2.cvtColor(hue, cv2.COLOR_HSV2RGB)[0, 0].tolist()
    return red, green, blue


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

    def add(self, image: Image) -> None:
        """One image more; those of another size than the first are scaled to it. Raises InputError."""
        try:
            if self._container is None:
                self._open(image)
            size = (self._stream.width, self._stream.height)
            fitted = image if (image.shape[1], image.shape[0]) == size else cv2.resize(image, size)
            frame = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(fitted, np.uint8), format="rgb24")
            self._container.mux(self._stream.encode(frame))
        except (self._av.FFmpegError, OSError) as error:
            raise self._failure(error) from error

    def _open(self, image: Image) -> None:
        self._temporary = Temporary(self._target, ".mp4")
        self._container = self._av.open(str(self._temporary.path), "w")
        codecs = self._av.codecs_available
        self._stream = self._container.add_stream("libx264" if "libx264" in codecs else "mpeg4", rate=self._rate)
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
