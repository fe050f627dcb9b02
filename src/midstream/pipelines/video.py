"""What the video codecs share: an image in 4:2:0 with 10 bits, and a pyramid laid out as one grey image."""

from __future__ import annotations

import shlex
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from midstream.codec.wire import Reader, varint
from midstream.models import FloatPyramid, Image
from midstream.pipelines import ffmpeg
from midstream.pipelines.base import ImageCodec, PipelineCodec, PyramidCodec
from midstream.pipelines.layout import places, tile, untile
from midstream.pipelines.shapes import read_shapes, write_shapes

_COLOUR = "yuv420p10le"
_GREY = "gray10le"
_SAMPLE_BITS = 10
#: Chroma without colour, for encoders that have no 4:0:0.
_NEUTRAL = 1 << (_SAMPLE_BITS - 1)


class VideoEncoder(PipelineCodec):
    """An encoder of ffmpeg.

    Attributes:
        encoder: ffmpeg's name for it.
        muxer: ffmpeg's name for its bare stream, also for decoding.
        has_grey: whether it codes 4:0:0; one that does not gets chroma that costs it next to nothing.
    """

    encoder: ClassVar[str]
    muxer: ClassVar[str]
    has_grey: ClassVar[bool] = False

    def arguments(self) -> list[str]:
        """The encoder's own part of the command line."""
        raise NotImplementedError

    def formats(self) -> tuple[str, str]:
        """ffmpeg's names for the samples that it gets and for those that it codes."""
        raise NotImplementedError

    def made_by(self) -> dict[str, str]:
        """Versions of ffmpeg and encoder, and the command line for an image of WIDTHxHEIGHT."""
        return {**ffmpeg.versions(self.encoder), "command": shlex.join(["ffmpeg", *self._command("WIDTHxHEIGHT")])}

    def _command(self, size: str) -> list[str]:
        source, target = self.formats()
        return [
            *("-hide_banner", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", source, "-s", size, "-i", "-"),
            *("-pix_fmt", target, "-c:v", self.encoder, *self.arguments()),
            *("-threads", "1", "-f", self.muxer, "-"),
        ]  # fmt: skip

    def compress(self, frame: bytes, width: int, height: int) -> bytes:
        """A raw frame as a bare stream. Raises CodecError."""
        return ffmpeg.encode([ffmpeg.find_ffmpeg(self.encoder), *self._command(f"{width}x{height}")], frame)


class VideoImage(ImageCodec, VideoEncoder):
    """An image as an intra frame, 4:2:0 with 10 bits."""

    def formats(self) -> tuple[str, str]:
        """RGB, YCbCr."""
        return "rgb24", _COLOUR

    def encode(self, image: Image) -> bytes:
        """A bare stream of one frame; an odd side is padded by repeating its last pixels."""
        height, width = image.shape[:2]
        even = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        return self.compress(even.tobytes(), even.shape[1], even.shape[0])

    def decode(self, data: bytes) -> Image:
        """The image, padding included."""
        # Chroma by the filter that ffmpeg takes unasked, in either direction; PyAV by itself takes another.
        frame = ffmpeg.decode(data, self.muxer).reformat(format="rgb24", interpolation="BICUBIC", threads=1)
        return np.asarray(frame.to_ndarray(), np.uint8)


class Packed(PyramidCodec, VideoEncoder):
    """The paper's Figure 2c: the pyramid as one grey image (see `layout`), coded as an intra frame.

    Values are scaled to whole numbers between the least and the largest value of their level or channel; these two
    are float32 in the stream, as are names and shapes of the levels. Samples have 10 bits, of which 8-bit values take
    the upper ones.
    """

    bits: Literal["8", "10"] = Field("10", description="Of a value.")
    range: Literal["level", "channel"] = Field("level", description="What the least and largest value are taken of.")

    def formats(self) -> tuple[str, str]:
        """Grey, or grey with chroma."""
        return (_GREY, _GREY) if self.has_grey else (_COLOUR, _COLOUR)

    def encode(self, pyramid: FloatPyramid) -> bytes:
        """Shapes, ranges, image."""
        limits = {name: self._range(values) for name, values in pyramid.items()}
        top = (1 << int(self.bits)) - 1
        shift = _SAMPLE_BITS - int(self.bits)
        values = {
            name: (np.rint((maps - low) / _width(low, high) * top).astype(np.uint16) << shift).astype("<u2")
            for (name, maps), (low, high) in zip(pyramid.items(), limits.values(), strict=True)
        }
        at = places({name: maps.shape for name, maps in pyramid.items()})
        image = tile(values, at, _NEUTRAL)
        side = b"".join(np.stack(pair).astype("<f4").tobytes() for pair in limits.values())
        return b"".join([write_shapes(pyramid), varint(self.range == "channel"), side, self._compress(image)])

    def _range(self, maps: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        axes = (1, 2) if self.range == "channel" else None
        return maps.min(axes, keepdims=True), maps.max(axes, keepdims=True)

    def _compress(self, image: NDArray[np.uint16]) -> bytes:
        height, width = image.shape
        chroma = np.full(0 if self.has_grey else image.size // 2, _NEUTRAL, "<u2")
        return self.compress(image.tobytes() + chroma.tobytes(), width, height)

    def decode(self, data: bytes) -> FloatPyramid:
        """The pyramid."""
        reader = Reader(data, "packed features")
        shapes = read_shapes(reader)
        by_channel = bool(reader.varint())
        limits = {name: _read_range(reader, shape[0] if by_channel else 1) for name, shape in shapes.items()}
        frame = ffmpeg.decode(bytes(reader.rest()), self.muxer)
        plane = frame.planes[0]
        samples = np.frombuffer(plane, "<u2").reshape(plane.height, plane.line_size // 2)[:, : plane.width]
        maps = untile(samples, places(shapes))
        shift = _SAMPLE_BITS - int(self.bits)
        top = np.float32(((1 << int(self.bits)) - 1) << shift)
        return {name: low + maps[name] / top * (high - low) for name, (low, high) in limits.items()}


def _width(low: NDArray[np.float32], high: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of the range; a constant map becomes zeros."""
    return np.where(high > low, high - low, np.float32(1))


def _read_range(reader: Reader, count: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    low, high = reader.elements(np.dtype(np.float32), 2 * count).reshape(2, count, 1, 1)
    return low, high
