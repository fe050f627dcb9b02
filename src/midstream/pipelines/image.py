"""Pipeline 1, the anchor: the image is coded, the whole network runs on the decoded image."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any, Literal, get_args

from midstream.models import FloatPyramid, Image, SplitModel
from midstream.pipelines.base import ImageCodec, Measured

#: The size at which the image is coded: that of the network's input, or its own.
AnchorSize = Literal["input", "original"]
ANCHOR_SIZES: tuple[AnchorSize, ...] = get_args(AnchorSize)


@dataclass(frozen=True)
class ImagePipeline:
    """A `Pipeline` (see base). Coding at the network's input size is the cheapest that loses nothing to resizing."""

    codec: ImageCodec
    at: AnchorSize = "input"
    name = "image"
    needs_pyramid = False

    def describe(self) -> dict[str, Any]:
        """Codec, options, versions, and the size that is coded."""
        return {
            "pipeline": self.name,
            "size": self.at,
            "codec": self.codec.name,
            "options": self.codec.options(),
            "made_by": self.codec.made_by(),
        }

    def spec(self) -> str:
        """The codec's."""
        return self.codec.spec()

    def label(self) -> str:
        """The codec's."""
        return self.codec.label()

    def source(self, model: SplitModel, image: Image) -> Image:
        """What is coded: the image at the network's size, or as it is."""
        return model.resized(image) if self.at == "input" else image

    def measure(self, model: SplitModel, image: Image, pyramid: FloatPyramid | None = None) -> Measured:
        """Resize (unless at original size), encode, decode, front, back."""
        del pyramid
        started = time.perf_counter()
        height, width = image.shape[:2]
        source = self.source(model, image)
        data = self.codec.encode(source)
        encoded = time.perf_counter()
        # Codecs that halve the chroma pad an odd side; its true size is the session's, as that of the boxes is.
        decoded = self.codec.decode(data)[: source.shape[0], : source.shape[1]]
        received = time.perf_counter()
        features = model.front_resized(decoded, (height, width)) if self.at == "input" else model.front(decoded)
        fronted = time.perf_counter()
        found = model.back(features, (height, width))
        done = time.perf_counter()
        return Measured(
            found,
            size=len(data),
            pixels=math.prod(model.input_size((height, width))),
            elements=None,
            front_s=fronted - received,
            encode_s=encoded - started,
            decode_s=received - encoded,
            back_s=done - fronted,
        )
