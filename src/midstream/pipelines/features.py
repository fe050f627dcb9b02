"""Pipeline 2: front of the network, features coded, back of the network."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

from midstream.models import FloatPyramid, Picture, SplitModel
from midstream.pipelines.base import Measured, PyramidCodec
from midstream.pipelines.levels import completed
from midstream.pipelines.own import OwnCodec


@dataclass(frozen=True)
class FeaturePipeline:
    """A `Pipeline` (see base). With a codec that lays the pyramid out as a picture it is the paper's Figure 2c."""

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

    def measure(self, model: SplitModel, picture: Picture, pyramid: FloatPyramid | None = None) -> Measured:
        """Front (unless its result is given), encode, decode from the bytes alone, derive what was not sent, back."""
        start = time.perf_counter()
        if pyramid is None:
            pyramid = model.front(picture)
        started = time.perf_counter()
        data = self.codec.encode_for(model, pyramid, (picture.shape[0], picture.shape[1]))
        encoded = time.perf_counter()
        received = completed(model, self.codec.decode(data), list(pyramid))
        decoded = time.perf_counter()
        found = model.back(received, (picture.shape[0], picture.shape[1]))
        done = time.perf_counter()
        return Measured(
            found,
            size=len(data),
            pixels=math.prod(model.input_size((picture.shape[0], picture.shape[1]))),
            elements=sum(values.size for values in pyramid.values()),
            front_s=started - start,
            encode_s=encoded - started,
            decode_s=decoded - encoded,
            back_s=done - decoded,
        )
