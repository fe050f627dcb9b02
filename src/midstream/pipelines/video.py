"""What the video codecs share: an image in 4:2:0, features laid out as one grey image, and clips of either."""

from __future__ import annotations

import shlex
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from midstream.codec.wire import Reader
from midstream.models import FloatPyramid, Image, SplitModel
from midstream.pipelines import ffmpeg
from midstream.pipelines.base import ImageCodec, PipelineCodec, PyramidCodec

_COLOUR = "yuv420p10le"
_GREY = "gray10le"
SAMPLE_BITS = 10
#: Chroma without colour, for encoders that have no 4:0:0.
NEUTRAL = 1 << (SAMPLE_BITS - 1)
Plane = NDArray[np.uint16]


class VideoOptions(BaseModel):
    """How a clip is coded as video.

    Attributes:
        mode: `lowdelay`: no frame refers to a later one; `random-access`: the encoder's usual order of frames.
        intra_period: frames from one intra frame to the next.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    mode: Literal["lowdelay", "random-access"] = "lowdelay"
    intra_period: int = Field(64, ge=1)

    @property
    def low_delay(self) -> bool:
        """Whether the mode is."""
        return self.mode == "lowdelay"


@dataclass(frozen=True)
class ClipVideo:
    """A clip's bare stream, by FFmpeg's name of its format."""

    data: bytes
    muxer: str

    def sizes(self) -> list[int]:
        """Bytes of each frame, in the order in which they are sent. Raises CodecError."""
        return ffmpeg.packet_sizes(self.data, self.muxer)

    def frames(self) -> Iterator[Any]:
        """PyAV's frames, in the order in which they are shown. Raises CodecError."""
        return ffmpeg.frames(self.data, self.muxer)


class VideoEncoder(PipelineCodec):
    """An encoder of ffmpeg.

    Attributes:
        encoder: ffmpeg's name for it.
        muxer: ffmpeg's name for its bare stream, also for decoding.
        has_grey: whether it codes 4:0:0; one that does not gets chroma that costs it next to nothing.
        delay: frames that it waits for in the mode `random-access`, and in `lowdelay`.
    """

    encoder: ClassVar[str]
    muxer: ClassVar[str]
    has_grey: ClassVar[bool] = False
    delay: ClassVar[tuple[int, int]]

    def arguments(self) -> list[str]:
        """The encoder's own part of the command line for an image."""
        raise NotImplementedError

    def clip_arguments(self, options: VideoOptions) -> list[str]:
        """The same for a clip."""
        raise NotImplementedError

    def formats(self) -> tuple[str, str]:
        """ffmpeg's names for the samples that it gets and for those that it codes."""
        raise NotImplementedError

    def made_by(self) -> dict[str, str]:
        """Versions of ffmpeg and encoder, and the command line for an image of WIDTHxHEIGHT."""
        return self._made_by(self._command("WIDTHxHEIGHT"))

    def clip_made_by(self, options: VideoOptions) -> dict[str, str]:
        """The same for a clip of RATE frames a second."""
        return self._made_by(self._clip_command("WIDTHxHEIGHT", "RATE", options))

    def _made_by(self, command: list[str]) -> dict[str, str]:
        return {**ffmpeg.versions(self.encoder), "command": shlex.join(["ffmpeg", *command])}

    def _command(self, size: str) -> list[str]:
        return self._whole_command(["-s", size], self.arguments())

    def _clip_command(self, size: str, rate: str, options: VideoOptions) -> list[str]:
        return self._whole_command(["-s", size, "-r", rate], self.clip_arguments(options))

    def _whole_command(self, source: list[str], arguments: list[str]) -> list[str]:
        given, coded = self.formats()
        return [
            *("-hide_banner", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", given, *source, "-i", "-"),
            *("-pix_fmt", coded, "-c:v", self.encoder, *arguments),
            *("-threads", "1", "-f", self.muxer, "-"),
        ]  # fmt: skip

    def compress(self, frame: bytes, width: int, height: int) -> bytes:
        """A raw frame as a bare stream. Raises CodecError."""
        return ffmpeg.encode([ffmpeg.find_ffmpeg(self.encoder), *self._command(f"{width}x{height}")], frame)

    def compress_clip(self, raw: BinaryIO, width: int, height: int, rate: float, options: VideoOptions) -> ClipVideo:
        """Raw frames in a file, from its beginning, as a bare stream. Raises CodecError."""
        command = self._clip_command(f"{width}x{height}", f"{rate:g}", options)
        return ClipVideo(ffmpeg.encode([ffmpeg.find_ffmpeg(self.encoder), *command], raw), self.muxer)

    def clip_delay(self, options: VideoOptions) -> int:
        """Frames that come after a frame and are there before it is coded."""
        return self.delay[options.low_delay]


class VideoImage(ImageCodec, VideoEncoder):
    """An image as an intra frame, 4:2:0 with 10 bits."""

    def formats(self) -> tuple[str, str]:
        """RGB, YCbCr."""
        return "rgb24", _COLOUR

    def encode(self, image: Image) -> bytes:
        """A bare stream of one frame; an odd side is padded by repeating its last pixels."""
        even = padded(image)
        return self.compress(even.tobytes(), even.shape[1], even.shape[0])

    def decode(self, data: bytes) -> Image:
        """The image, padding included."""
        return image_of(ffmpeg.decode(data, self.muxer))


def padded(image: Image) -> Image:
    """With even sides: an odd one repeats its last pixels."""
    height, width = image.shape[:2]
    return np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")


def image_of(frame: Any) -> Image:
    """The pixels of a PyAV frame, uint8 [H, W, 3]."""
    # Chroma by the filter that ffmpeg takes unasked, in either direction; PyAV by itself takes another.
    return np.asarray(frame.reformat(format="rgb24", interpolation="BICUBIC", threads=1).to_ndarray(), np.uint8)


class GreyVideo(VideoEncoder):
    """Codes grey images of 10 bits, with even sides."""

    def formats(self) -> tuple[str, str]:
        """Grey, or grey with chroma."""
        return (_GREY, _GREY) if self.has_grey else (_COLOUR, _COLOUR)

    def raw(self, plane: Plane) -> bytes:
        """A plane as the encoder gets it."""
        chroma = np.full(0 if self.has_grey else plane.size // 2, NEUTRAL, "<u2")
        return plane.astype("<u2").tobytes() + chroma.tobytes()

    def plane_of(self, frame: Any) -> Plane:
        """The samples of a PyAV frame."""
        plane = frame.planes[0]
        return np.frombuffer(plane, "<u2").reshape(plane.height, plane.line_size // 2)[:, : plane.width]


class Packer(ABC):
    """Turns the pyramids of an image, or of a clip's frames one after another, into planes."""

    @abstractmethod
    def pack(self, pyramid: FloatPyramid) -> tuple[bytes, Plane]:
        """What the decoder needs beside the plane, and the plane, with even sides. Raises InputError."""


class Unpacker(ABC):
    """The way back, from the bytes alone."""

    @abstractmethod
    def unpack(self, side: Reader, plane: Callable[[], Plane]) -> FloatPyramid:
        """A pyramid; `plane` is called when all of its own is read from `side`. Raises BitstreamError."""


class PlaneCodec(PyramidCodec):
    """Features as one grey image, in video."""

    def video(self) -> GreyVideo:
        """What codes the planes."""
        raise NotImplementedError

    def packer(self) -> Packer:
        """A new one, for an image or a clip."""
        raise NotImplementedError

    def unpacker(self) -> Unpacker:
        """A new one, for an image or a clip."""
        raise NotImplementedError

    def check_network(self, model: SplitModel) -> None:
        """Refuse a network that the codec was not fitted to. Raises InputError."""

    def encode_for(self, model: SplitModel, pyramid: FloatPyramid, size: tuple[int, int]) -> bytes:
        """As PyramidCodec's."""
        self.check_network(model)
        return super().encode_for(model, pyramid, size)

    def encode(self, pyramid: FloatPyramid) -> bytes:
        """What goes beside the plane, and the plane as an intra frame."""
        side, plane = self.packer().pack(pyramid)
        video = self.video()
        return side + video.compress(video.raw(plane), plane.shape[1], plane.shape[0])

    def decode(self, data: bytes) -> FloatPyramid:
        """The pyramid."""
        reader, video = Reader(data, self.name), self.video()
        return self.unpacker().unpack(reader, lambda: video.plane_of(ffmpeg.decode(bytes(reader.rest()), video.muxer)))
