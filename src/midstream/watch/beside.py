"""What the same frames take as JPEG and as x264's video, frame by frame and without delay."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from midstream.errors import CodecError, InputError, MissingExtraError
from midstream.models import Image
from midstream.pipelines.codecs.jpeg import Jpeg
from midstream.pipelines.video import image_of, padded

#: About where the networks of docs/benchmarks.md lose as much to them as to the codec's quality 60.
DEFAULT_JPEG, DEFAULT_QP = 85, 22
#: x264's, as in `midstream compare`.
PRESET = "medium"
#: Frames until x264 makes a key by itself: never.
_NEVER = 1 << 24
_RATE = 25
_T = TypeVar("_T")


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
        self._decoder: Any = None
        self._frames = 0

    def code(self, image: Image, key: bool) -> bytes:
        """The next frame, uint8 RGB [H, W, 3]; one of another size begins anew. Raises CodecError."""
        even = padded(image)
        try:
            return self._coded(even, key)
        except (self._av.FFmpegError, ValueError) as error:
            self._context = None
            raise CodecError(f"x264 does not code a frame of {image.shape[1]}x{image.shape[0]}: {error}") from error

    def _coded(self, image: NDArray[np.uint8], key: bool) -> bytes:
        height, width = image.shape[:2]
        if self._context is None or (self._context.width, self._context.height) != (width, height):
            self._context, self._decoder, self._frames = self._opened(width, height), None, 0
        frame = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        frame = frame.reformat(format="yuv420p", interpolation="BICUBIC")
        frame.pts, self._frames = self._frames, self._frames + 1
        if key:
            frame.pict_type = self._av.video.frame.PictureType.I
        return b"".join(bytes(packet) for packet in self._context.encode(frame))

    def decode(self, data: bytes, key: bool) -> Image | None:
        """The frame that `code` has just given, padding included; None until a key was decoded."""
        if self._decoder is None and key:
            self._decoder = self._av.CodecContext.create("h264", "r")
            self._decoder.extradata, self._decoder.thread_count = self._context.extradata, 1
            self._decoder.options = {"flags": "low_delay"}
        if self._decoder is None:
            return None
        try:
            frames = self._decoder.decode(self._av.Packet(data))
        except self._av.FFmpegError as error:
            raise CodecError(f"x264's frame of {len(data)} bytes is not decoded: {error}") from error
        return image_of(frames[-1]) if frames else None

    def forget(self) -> None:
        """Decode no more; the next key may begin again."""
        self._decoder = None

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


@dataclass(frozen=True)
class Coded:
    """A frame as a JPEG and as x264's; None where one of them does not code such an image."""

    jpeg: bytes | None = None
    x264: bytes | None = None


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

    def coded(self, image: Image, key: bool) -> Coded:
        """The next frame as both have it."""
        return Coded(_or_none(lambda: self._jpeg.encode(image)), _or_none(lambda: self._x264.code(image, key)))

    def decoded(self, coded: Coded, size: tuple[int, int], key: bool) -> list[Image | None]:
        """What is left of it in both, [H, W, 3] of this size; None of video until a key was decoded here."""
        jpeg, video = coded.jpeg, coded.x264
        images = [
            None if jpeg is None else _or_none(lambda: self._jpeg.decode(jpeg)),
            None if video is None else _or_none(lambda: self._x264.decode(video, key)),
        ]
        return [None if each is None else np.ascontiguousarray(each[: size[0], : size[1]]) for each in images]

    def forget(self) -> None:
        """Decode no more frames of this stream; `decoded` may begin again with the next key."""
        self._x264.forget()


def _or_none(step: Callable[[], _T]) -> _T | None:
    try:
        return step()
    except CodecError:  # of an image of one row, say, or larger than a JPEG's
        return None
