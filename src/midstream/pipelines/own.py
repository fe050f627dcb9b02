"""This project's own codecs, and those of plug-ins, in a pipeline: on one core, like everybody else's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import midstream
from midstream.codec.api import encode_levels
from midstream.codec.base import Codec, Hints
from midstream.codec.container import VERSION
from midstream.features import check_pyramid
from midstream.halves.coding import decode_features, encode_features
from midstream.models import FloatPyramid, SplitModel
from midstream.pipelines.base import spelled


@dataclass(frozen=True)
class OwnCodec:
    """A `Codec` with the interface of `base.PyramidCodec`.

    Attributes:
        codec: with its options, checked.
        files: the options that are names of files, as the spec has them.
    """

    codec: Codec
    files: tuple[tuple[str, Any], ...]

    @property
    def name(self) -> str:
        """As a spec spells it."""
        return self.codec.name

    def options(self) -> dict[str, Any]:
        """Those that were given, and what the others are because of them."""
        return {key: value for key, value in self.codec.describe().items() if key != "codec"}

    def made_by(self) -> dict[str, str]:
        """The project's version and the bitstream's."""
        return {"midstream": midstream.__version__, "bitstream": str(VERSION)}

    def given(self) -> dict[str, Any]:
        """The options that were given, such that JSON can hold them."""
        return self.codec.given() | dict(self.files)

    def spec(self) -> str:
        """The spec that makes this codec again: a profile by its file."""
        return spelled(self.name, self.given() if self.files else self.options())

    def label(self) -> str:
        """The spec with the options that were given, to be read: a file by its name, without the user's folders."""
        return spelled(self.name, without_folders(type(self.codec), self.given()))

    def encode(self, pyramid: FloatPyramid) -> bytes:
        """A bitstream without hints: there is no network to ask."""
        return encode_levels(self.codec, check_pyramid(pyramid, maps=True), Hints(), threads=1)

    def encode_for(self, model: SplitModel, pyramid: FloatPyramid, size: tuple[int, int]) -> bytes:
        """A bitstream (docs/format.md)."""
        return encode_features(model, pyramid, size, self.codec, threads=1)

    def decode(self, data: bytes) -> FloatPyramid:
        """The levels that were sent, with the profile at hand."""
        return decode_features(data, self.codec, threads=1)


def without_folders(kind: type[Codec], given: Mapping[str, Any]) -> dict[str, Any]:
    """The options with each file by its name alone."""
    shown = kind.shown()
    return {key: Path(value).name if key in shown and shown[key].file else value for key, value in given.items()}
