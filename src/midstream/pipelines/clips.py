"""Pipelines for clips, a clip at a time: frames one by one, features or images as video, this project's streams."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from pydantic import BaseModel, ConfigDict, Field

from midstream.codec.stream import DEFAULT_KEY_INTERVAL, StreamDecoder, StreamEncoder
from midstream.codec.wire import Reader
from midstream.errors import CodecError
from midstream.halves.coding import prepared
from midstream.halves.levels import completed, sent
from midstream.halves.round_trip import round_trip, timed_front
from midstream.models import FloatPyramid, Image, SplitModel
from midstream.pipelines.base import Described, Measured, Pipeline, spelled
from midstream.pipelines.image import AnchorSize
from midstream.pipelines.own import OwnCodec
from midstream.pipelines.video import (
    ClipVideo,
    PlaneCodec,
    VideoEncoder,
    VideoImage,
    VideoOptions,
    image_of,
    padded,
)
from midstream.wording import counted

if TYPE_CHECKING:  # the list of codecs is there without what runs networks
    from midstream.data import ImageFile
    from midstream.halves.cache import FrontCache


@dataclass(frozen=True)
class Front:
    """(height, width) of a frame, its pyramid, and the seconds that this took, 0 where it was kept."""

    size: tuple[int, int]
    pyramid: FloatPyramid
    seconds: float


@dataclass(frozen=True)
class ClipFrames:
    """The frames of one clip, read when they are wanted and not kept.

    Attributes:
        files: in order.
        cache: of pyramids; None without.
    """

    files: Sequence[ImageFile]
    cache: FrontCache | None = None

    @property
    def rate(self) -> float:
        """Frames a second."""
        assert self.files[0].clip is not None
        return self.files[0].clip.rate

    def images(self) -> Iterator[Image]:
        """All of them, in order."""
        from midstream.data import read_image

        return (read_image(file.path) for file in self.files)

    def fronts(self, model: SplitModel) -> Iterator[Front]:
        """What the network's front makes of each."""
        for file, pixels in zip(self.files, self.images(), strict=True):
            pyramid, seconds = timed_front(model, pixels, self.cache, file.path)
            yield Front((pixels.shape[0], pixels.shape[1]), pyramid, seconds or 0.0)


class ClipPipeline(Described, Protocol):
    """From a clip to the detections of its frames."""

    def measure_clip(self, model: SplitModel, frames: ClipFrames) -> list[Measured]:
        """Run a clip through, whatever is carried from frame to frame included. Raises CodecError, InputError."""
        ...


AnyPipeline = Pipeline | ClipPipeline


@dataclass(frozen=True)
class EachFrame:
    """A `ClipPipeline` that codes every frame by itself, as a `Pipeline` for images does."""

    pipeline: Pipeline

    @property
    def name(self) -> str:
        """The other's."""
        return self.pipeline.name

    @property
    def codec(self) -> Any:
        """The other's."""
        return self.pipeline.codec

    def describe(self) -> dict[str, Any]:
        """The other's."""
        return self.pipeline.describe()

    def spec(self) -> str:
        """The other's."""
        return self.pipeline.spec()

    def label(self) -> str:
        """The other's."""
        return self.pipeline.label()

    def measure_clip(self, model: SplitModel, frames: ClipFrames) -> list[Measured]:
        """Frame after frame."""
        if not self.pipeline.needs_pyramid or frames.cache is None:
            return [self.pipeline.measure(model, image) for image in frames.images()]
        out = []
        for file, image in zip(frames.files, frames.images(), strict=True):
            pyramid, _ = timed_front(model, image, frames.cache, file.path)
            out.append(self.pipeline.measure(model, image, pyramid))
        return out


class StreamOptions(BaseModel):
    """Of a stream of this project's: a frame that nothing refers back over, after so many frames at most."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    key_interval: int = Field(DEFAULT_KEY_INTERVAL, ge=1)


@dataclass(frozen=True)
class _WithOptions:
    """What pipelines share that have options beside their codec's.

    Attributes:
        at: for a codec of images, the size at which they are coded.
    """

    codec: Any
    options: BaseModel
    at: AnchorSize = "input"
    name = ""

    def describe(self) -> dict[str, Any]:
        """Codec, its options and the pipeline's, versions."""
        return {
            "pipeline": self.name,
            "size": self.at,
            "codec": self.codec.name,
            "options": self.codec.options() | self.options.model_dump(),
            "made_by": self.made_by(),
        }

    def made_by(self) -> dict[str, str]:
        """The codec's."""
        return dict(self.codec.made_by())

    def spec(self) -> str:
        """The codec's, with the options of the pipeline."""
        whole = self.codec.spec()
        return f"{whole}{',' if ':' in whole else ':'}{spelled('', self.options.model_dump()).removeprefix(':')}"

    def label(self) -> str:
        """The codec's, with the options of the pipeline that were given."""
        given = spelled("", self.options.model_dump(include=self.options.model_fields_set)).removeprefix(":")
        whole = self.codec.label()
        return f"{whole}{',' if ':' in whole else ':'}{given}" if given else str(whole)


class StreamPipeline(_WithOptions):
    """A `ClipPipeline` of this project's codecs: a unit a frame, through a StreamEncoder and a StreamDecoder."""

    codec: OwnCodec
    options: StreamOptions
    name = "features"

    def measure_clip(self, model: SplitModel, frames: ClipFrames) -> list[Measured]:
        """Front, unit, what the decoder makes of it, back, of each frame."""
        codec = self.codec.codec
        codec.check_network(model.name, model.fingerprint)
        encoder = StreamEncoder(codec, key_interval=self.options.key_interval, threads=1)
        decoder = StreamDecoder(profile=codec.decoding_profile, threads=1)
        out = []
        for front in frames.fronts(model):

            def encode(front: Front = front) -> bytes:
                return encoder.encode_levels(*prepared(model, front.pyramid, front.size, codec))

            done = round_trip(model, front.pyramid, front.size, encode, decoder.decode)
            out.append(
                Measured(
                    done.output,
                    size=len(done.data),
                    pixels=math.prod(model.input_size(front.size)),
                    elements=sum(values.size for values in front.pyramid.values()),
                    front_s=front.seconds,
                    encode_s=done.encode_s,
                    decode_s=done.decode_s,
                    back_s=done.back_s,
                )
            )
        return out


class VideoPipeline(_WithOptions):
    """A `ClipPipeline`, the anchor: the clip is coded as video, the whole network runs on the decoded frames."""

    codec: VideoImage
    options: VideoOptions
    name = "video"

    def made_by(self) -> dict[str, str]:
        """Versions, and the command line for a clip."""
        return self.codec.clip_made_by(self.options)

    def measure_clip(self, model: SplitModel, frames: ClipFrames) -> list[Measured]:
        """Resize (unless at original size) and code the clip; then decode, front, back of each frame."""
        resizing, sizes = 0.0, set()
        with tempfile.TemporaryFile() as raw:
            for image in frames.images():
                start = time.perf_counter()
                source = model.resized(image) if self.at == "input" else image
                even = padded(source)
                resizing += time.perf_counter() - start
                raw.write(even.tobytes())
                sizes.add((image.shape[:2], source.shape[:2], even.shape[:2]))
            (size, (height, width), (rows, columns)) = _one(sizes)
            coded = _Coded.of(self.codec, raw, (rows, columns), frames, self.options)
        out = []
        for number, (frame, decode_s) in enumerate(coded.frames()):
            start = time.perf_counter()
            decoded = image_of(frame)[:height, :width]
            received = time.perf_counter()
            features = model.front_resized(decoded, size) if self.at == "input" else model.front(decoded)
            fronted = time.perf_counter()
            found = model.back(features, size)
            out.append(
                Measured(
                    found,
                    size=coded.sizes[number],
                    pixels=math.prod(model.input_size(size)),
                    elements=None,
                    front_s=fronted - received,
                    encode_s=coded.seconds + resizing / len(frames.files),
                    decode_s=decode_s + received - start,
                    back_s=time.perf_counter() - fronted,
                    wait_s=coded.wait_s,
                )
            )
        return out


class FeatureVideoPipeline(_WithOptions):
    """A `ClipPipeline`: front of the network, features laid out as a grey clip that is coded as video, back."""

    codec: PlaneCodec
    options: VideoOptions
    name = "feature video"

    def made_by(self) -> dict[str, str]:
        """The codec's, and the command line for a clip."""
        return self.codec.made_by() | self.codec.video().clip_made_by(self.options)

    def measure_clip(self, model: SplitModel, frames: ClipFrames) -> list[Measured]:
        """Front and layout of each frame; the clip as video; then each frame's features again, back."""
        self.codec.check_network(model)
        packer, video = self.codec.packer(), self.codec.video()
        packing, sides, shapes = 0.0, [], set()
        fronts: list[tuple[tuple[int, int], list[str], int, float]] = []
        with tempfile.TemporaryFile() as raw:
            for front in frames.fronts(model):
                start = time.perf_counter()
                side, plane = packer.pack(sent(model, front.pyramid))
                packing += time.perf_counter() - start
                raw.write(video.raw(plane))
                sides.append(side)
                shapes.add(plane.shape)
                elements = sum(values.size for values in front.pyramid.values())
                fronts.append((front.size, list(front.pyramid), elements, front.seconds))
            coded = _Coded.of(video, raw, _one(shapes), frames, self.options)
        unpacker = self.codec.unpacker()
        out = []
        for number, (frame, decode_s) in enumerate(coded.frames()):
            size, levels, elements, front_s = fronts[number]
            start = time.perf_counter()
            reader = Reader(sides[number], self.codec.name)
            received = completed(model, unpacker.unpack(reader, lambda f=frame: video.plane_of(f)), levels)  # type: ignore[misc]
            decoded = time.perf_counter()
            found = model.back(received, size)
            out.append(
                Measured(
                    found,
                    size=coded.sizes[number] + len(sides[number]),
                    pixels=math.prod(model.input_size(size)),
                    elements=elements,
                    front_s=front_s,
                    encode_s=coded.seconds + packing / len(sides),
                    decode_s=decode_s + decoded - start,
                    back_s=time.perf_counter() - decoded,
                    wait_s=coded.wait_s,
                )
            )
        return out


@dataclass(frozen=True)
class _Coded:
    """A clip as video.

    Attributes:
        sizes: bytes of each frame, as many as there are frames, in the order in which they are sent.
        seconds: of encoding, a frame.
        wait_s: of a frame, for the later ones that the encoder looks at.
    """

    video: ClipVideo
    sizes: list[int]
    seconds: float
    wait_s: float

    @classmethod
    def of(
        cls, codec: VideoEncoder, raw: BinaryIO, size: tuple[int, int], frames: ClipFrames, options: VideoOptions
    ) -> _Coded:
        """From raw frames of (height, width) in a file. Raises CodecError, also where frames are lost."""
        start = time.perf_counter()
        video = codec.compress_clip(raw, size[1], size[0], frames.rate, options)
        seconds = (time.perf_counter() - start) / len(frames.files)
        return cls(video, video.sizes(), seconds, codec.clip_delay(options) / frames.rate).checked(len(frames.files))

    def checked(self, count: int) -> _Coded:
        """This, of so many frames. Raises CodecError."""
        if len(self.sizes) != count:
            raise CodecError(f"the stream has {counted(len(self.sizes), 'frame')}, the clip {count}")
        return self

    def frames(self) -> Iterator[tuple[Any, float]]:
        """PyAV's frames, as many as there are sizes, and the seconds that decoding each took. Raises CodecError."""
        decoded = self.video.frames()
        for number in range(len(self.sizes)):
            start = time.perf_counter()
            frame = next(decoded, None)
            if frame is None:
                raise CodecError(f"only {number} of the {len(self.sizes)} frames of the stream are decoded")
            yield frame, time.perf_counter() - start


def _one(found: set[Any]) -> Any:
    """The only one of these sizes. Raises CodecError."""
    if len(found) != 1:
        raise CodecError("the frames of the clip differ in size")
    return found.pop()
