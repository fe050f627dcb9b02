"""What the same frames take as JPEG and as x264's video, frame by frame and without delay."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from midstream.errors import CodecError, InputError, MissingExtraError
from midstream.models import Image
from midstream.pipelines.codecs.jpeg import Jpeg
from midstream.pipelines.video import padded

#: About where the networks of docs/benchmarks.md lose as much to them as to the codec's quality 60.
DEFAULT_JPEG, DEFAULT_QP = 85, 22
#: x264's, as in `midstream compare`.
PRESET = "medium"
#: Frames until x264 makes a key by itself: never.
_NEVER = 1 << 24
_RATE = 25


class X264:
    """x264 with its tuning `zerolatency`, a constant QP, keys only where they are asked for, on one core.

    Its parameter sets and the message with its settings are not counted: a few dozen bytes once a stream.
    """

    def __init__(self, qp: int) -> None:
        """Raises MissingExtraError without PyAV, CodecError without x264 in it."""
        try:
            import av
        except ImportError as error:
            raise MissingExtraError("x264 beside the codec", "video") from error
        if "libx264" not in av.codecs_available:
            raise CodecError("this build of PyAV has no x264")
        self._av: Any = av
        self._qp = qp
        self._context: Any = None
        self._frames = 0

    def size(self, image: Image, key: bool) -> int:
        """Bytes of the next frame, uint8 RGB [H, W, 3]; one of another size begins anew. Raises CodecError."""
        even = padded(image)
        try:
            return self._coded(even, key)
        except (self._av.FFmpegError, ValueError) as error:
            self._context = None
            raise CodecError(f"x264 does not code a frame of {image.shape[1]}x{image.shape[0]}: {error}") from error

    def _coded(self, image: NDArray[np.uint8], key: bool) -> int:
        height, width = image.shape[:2]
        if self._context is None or (self._context.width, self._context.height) != (width, height):
            self._context, self._frames = self._opened(width, height), 0
        frame = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        frame = frame.reformat(format="yuv420p", interpolation="BICUBIC")
        frame.pts, self._frames = self._frames, self._frames + 1
        if key:
            frame.pict_type = self._av.video.frame.PictureType.I
        return sum(packet.size for packet in self._context.encode(frame))

    def _opened(self, width: int, height: int) -> Any:
        context = self._av.CodecContext.create("libx264", "w")
        context.width, context.height, context.pix_fmt = width, height, "yuv420p"
        context.time_base, context.framerate = Fraction(1, _RATE), Fraction(_RATE)
        context.thread_count = 1
        context.options = {
            "preset": PRESET, "tune": "zerolatency", "qp": str(self._qp), "forced-idr": "1", "flags": "+global_header",
            "x264-params": f"keyint={_NEVER}:scenecut=0:open-gop=0",
        }  # fmt: skip
        return context


class Beside:
    """Both, of one stream of frames."""

    def __init__(self, jpeg_quality: int = DEFAULT_JPEG, qp: int = DEFAULT_QP) -> None:
        """Raises InputError for a quality or QP that does not exist; see X264."""
        if not 1 <= jpeg_quality <= 100:
            raise InputError(f"JPEG's quality is from 1 to 100, not {jpeg_quality}")
        if not 1 <= qp <= 51:
            raise InputError(f"x264's QP is from 1 to 51, not {qp}")
        self._jpeg, self._x264 = Jpeg(quality=jpeg_quality, optimize=False), X264(qp)
        self.names = (f"JPEG, quality {jpeg_quality}", f"x264, QP {qp}")

    def sizes(self, image: Image, key: bool) -> tuple[int | None, int | None]:
        """Bytes as JPEG and as x264's frame; None where one of them does not code such an image."""
        return _or_none(lambda: len(self._jpeg.encode(image))), _or_none(lambda: self._x264.size(image, key))


def _or_none(size: Any) -> int | None:
    try:
        return int(size())
    except CodecError:  # of an image of one row, say, or larger than a JPEG's
        return None
