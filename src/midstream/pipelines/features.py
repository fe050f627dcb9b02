"""Pipeline 2: front of the network, features coded, back of the network."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from midstream.halves.round_trip import round_trip, timed_front
from midstream.models import FloatPyramid, Image, SplitModel
from midstream.pipelines.base import Measured, PyramidCodec
from midstream.pipelines.own import OwnCodec


@dataclass(frozen=True)
class FeaturePipeline:
    """A `Pipeline` (see base). With a codec that lays the pyramid out as an image it is the paper's Figure 2c."""

    codec: PyramidCodec | OwnCodec
    name = "features"
    needs_pyramid = True

    def describe(self) -> dict[str, Any]:
        """Codec, options and versions."""
        return {
            "pipeline": self.name,
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

    def measure(self, model: SplitModel, image: Image, pyramid: FloatPyramid | None = None) -> Measured:
        """Front (unless its result is given), encode, decode from the bytes alone, derive what was not sent, back."""
        size, seconds = (image.shape[0], image.shape[1]), None
        if pyramid is None:
            pyramid, seconds = timed_front(model, image)
        made = pyramid
        done = round_trip(model, made, size, lambda: self.codec.encode_for(model, made, size), self.codec.decode)
        return Measured(
            done.output,
            size=len(done.data),
            pixels=math.prod(model.input_size(size)),
            elements=sum(values.size for values in made.values()),
            front_s=seconds or 0.0,
            encode_s=done.encode_s,
            decode_s=done.decode_s,
            back_s=done.back_s,
        )
