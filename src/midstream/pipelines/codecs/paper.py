"""The project's own codec `paper`."""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar

from pydantic import field_validator

import midstream
from midstream.codec.codec import decode, encode_with
from midstream.codec.container import VERSION
from midstream.codec.paper.options import DEFAULT_CODER, NAMED_THRESHOLDS, PaperOptions, paper_options
from midstream.models import FloatPyramid
from midstream.pipelines.base import PyramidCodec


class Paper(PyramidCodec):
    """Few symbols a channel (`midstream.encode`), on one core; the options are those of `midstream encode`."""

    name: ClassVar[str] = "paper"
    symbols: int | None = None
    z: float | None = None
    thresholds: str | tuple[float, ...] | None = None
    step: float | None = None
    coder: str = DEFAULT_CODER

    @field_validator("thresholds", mode="before")
    @classmethod
    def _numbers(cls, value: Any) -> Any:
        return value.split("/") if isinstance(value, str) and value not in NAMED_THRESHOLDS else value

    def model_post_init(self, context: Any) -> None:
        """Check the options together; raises InputError."""
        del context
        _ = self.chosen

    @cached_property
    def chosen(self) -> PaperOptions:
        """The options as the codec takes them."""
        return paper_options(self.symbols, self.z, self.thresholds, self.step, self.coder)

    def options(self) -> dict[str, Any]:
        """Those that were given, and what the others are because of them."""
        return {key: value for key, value in self.chosen.describe().items() if key != "codec"}

    def made_by(self) -> dict[str, str]:
        """The project's version and the bitstream's."""
        return {"midstream": midstream.__version__, "bitstream": str(VERSION)}

    def encode(self, pyramid: FloatPyramid) -> bytes:
        """A bitstream (docs/format.md)."""
        return encode_with(pyramid, self.chosen, threads=1)

    def decode(self, data: bytes) -> FloatPyramid:
        """The pyramid."""
        return decode(data, threads=1)
