"""The project's own codec `calibrated`."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import midstream
from midstream.codec.calibrated.options import PLACE_SOURCES, CalibratedOptions, calibrated_options
from midstream.codec.codec import encode_with
from midstream.codec.container import VERSION
from midstream.models import FloatPyramid, SplitModel
from midstream.pipelines.base import PyramidCodec, spelled
from midstream.pipelines.coding import decode_features, encode_features


class Calibrated(PyramidCodec):
    """Fitted to the network (`midstream calibrate`), on one core; the options are those of `midstream encode`."""

    name: ClassVar[str] = "calibrated"
    profile: Path | None = None
    quality: int | None = None
    max_bytes: int | None = None
    max_loss: float | None = None
    embed: bool = False
    places: str = PLACE_SOURCES[0]

    def model_post_init(self, context: Any) -> None:
        """Check the options together; raises InputError."""
        del context
        _ = self.chosen

    @cached_property
    def chosen(self) -> CalibratedOptions:
        """The options as the codec takes them."""
        return calibrated_options(self.profile, self.quality, self.max_bytes, self.max_loss, self.embed, self.places)

    def options(self) -> dict[str, Any]:
        """Those that matter, the profile by its hash."""
        return {key: value for key, value in self.chosen.describe().items() if key != "codec"}

    def spec(self) -> str:
        """The spec that makes this codec again: the profile by its file."""
        return spelled(self.name, self.given())

    def made_by(self) -> dict[str, str]:
        """The project's version and the bitstream's."""
        return {"midstream": midstream.__version__, "bitstream": str(VERSION)}

    def encode(self, pyramid: FloatPyramid) -> bytes:
        """A bitstream, with places as the probe sees them: there is no network to ask."""
        return encode_with(pyramid, self.chosen, threads=1)

    def encode_for(self, model: SplitModel, pyramid: FloatPyramid, size: tuple[int, int]) -> bytes:
        """A bitstream (docs/format.md)."""
        return encode_features(model, pyramid, size, self.chosen, threads=1)

    def decode(self, data: bytes) -> FloatPyramid:
        """The pyramid, with the profile at hand."""
        return decode_features(data, self.chosen, threads=1)
