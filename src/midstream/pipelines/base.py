"""What a codec and a pipeline are. Each is one small class; a codec's file in `codecs` is all that adding it takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from pydantic import BaseModel, ConfigDict

from midstream.halves.levels import sent
from midstream.models import FloatPyramid, Image, Output, SplitModel

if TYPE_CHECKING:
    from midstream.pipelines.own import OwnCodec


class PipelineCodec(BaseModel):
    """Options of somebody's codec, checked; its fields are what a spec such as `vvc:preset=faster,qp=32` may set.

    Attributes:
        name: as a spec spells it.
        files: the options that are names of files.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: ClassVar[str]
    files: ClassVar[frozenset[str]] = frozenset()

    def options(self) -> dict[str, Any]:
        """All options with their values, for reports and for the key of a result."""
        return self.model_dump()

    def made_by(self) -> dict[str, str]:
        """Versions and command line of the programs behind it: what decides its bytes, besides the options.

        Raises:
            CodecError: a program or package that it needs is not here; the message says what brings it.
        """
        return {}

    def spec(self) -> str:
        """The spec that makes this codec again, with the value of every option."""
        return spelled(self.name, self.options())

    def given(self) -> dict[str, Any]:
        """The options that were given, such that JSON can hold them."""
        return self.model_dump(mode="json", include=self.model_fields_set)

    def label(self) -> str:
        """The spec with the options that were given, to be read: a file by its name, without the user's folders."""
        given = self.given()
        return spelled(self.name, {key: Path(v).name if key in self.files else v for key, v in given.items()})


class ImageCodec(PipelineCodec):
    """Codes an 8-bit RGB image."""

    def encode(self, image: Image) -> bytes:
        """The image, uint8 [H, W, 3], as a stream. Raises CodecError."""
        raise NotImplementedError

    def decode(self, data: bytes) -> Image:
        """The image from the stream alone, at least as large as it was. Raises CodecError."""
        raise NotImplementedError


class PyramidCodec(PipelineCodec):
    """Codes a feature pyramid."""

    def encode(self, pyramid: FloatPyramid) -> bytes:
        """The levels that are sent as a stream that holds all that decoding takes. Raises CodecError."""
        raise NotImplementedError

    def encode_for(self, model: SplitModel, pyramid: FloatPyramid, size: tuple[int, int]) -> bytes:
        """The stream of what the network's front made of an image of (height, width); a codec may ask the network.

        Raises:
            CodecError: as `encode`; InputError: a codec that was fitted to another network.
        """
        del size
        return self.encode(sent(model, pyramid))

    def decode(self, data: bytes) -> FloatPyramid:
        """The pyramid from the stream alone. Raises CodecError."""
        raise NotImplementedError


@dataclass(frozen=True)
class Measured:
    """One image through a pipeline.

    Attributes:
        size: bytes that cross from the device to the server.
        pixels: of the network's input.
        elements: of the whole pyramid, derived levels included; None where no features are coded.
        front_s, encode_s, decode_s, back_s: seconds. Front and back of the network are one after the other on the
            server where the image is coded; where features are, the front is on the device.
        wait_s: seconds that a frame of a clip waits for later ones before it can be coded.
    """

    output: Output
    size: int
    pixels: int
    elements: int | None
    front_s: float
    encode_s: float
    decode_s: float
    back_s: float
    wait_s: float = 0.0


class Described(Protocol):
    """What is known of a pipeline before it runs.

    Attributes:
        name: of the kind of pipeline.
        codec: what codes in it.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def codec(self) -> PipelineCodec | OwnCodec: ...  # noqa: D102

    def describe(self) -> dict[str, Any]:
        """All that decides its results, besides network and image; raises CodecError as `made_by` does."""
        ...

    def spec(self) -> str:
        """The spec that makes this pipeline again, with the value of every option."""
        ...

    def label(self) -> str:
        """The spec with the options that were given, to be read."""
        ...


class Pipeline(Described, Protocol):
    """From an image to detections.

    Attributes:
        needs_pyramid: whether `measure` can use a pyramid that is already there.
    """

    @property
    def needs_pyramid(self) -> bool: ...  # noqa: D102

    def measure(self, model: SplitModel, image: Image, pyramid: FloatPyramid | None = None) -> Measured:
        """Run one image through; `pyramid`, if given, is what the front makes of it. Raises CodecError."""
        ...


def spelled(name: str, options: Mapping[str, Any]) -> str:
    """A spec."""
    given = ",".join(f"{key}={_spelled(value)}" for key, value in options.items() if value is not None)
    return f"{name}:{given}" if given else name


def _spelled(value: Any) -> str:
    if isinstance(value, bool):
        return str(int(value))
    return "/".join(map(_spelled, value)) if isinstance(value, list | tuple) else f"{value}"
