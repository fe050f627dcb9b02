"""The device's half: from an image to the bitstream that is sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from midstream import models
from midstream.codec.api import DEFAULT_CODEC, encode_levels
from midstream.codec.base import Codec
from midstream.codec.registry import make_codec
from midstream.halves.coding import ReadyFrame, prepared
from midstream.images import check_image
from midstream.models import Image, SplitModel
from midstream.models.base import takes_arrays


@dataclass(frozen=True)
class Edge:
    """A network's front and a codec.

    >>> edge = Edge.of("picodet-s-416", symbols=4, z=1.5)
    >>> data = edge.encode(image)                             # uint8 RGB [H, W, 3] -> bytes
    """

    model: SplitModel
    codec: Codec

    @classmethod
    def of(cls, model: str | SplitModel, codec: str | Codec = DEFAULT_CODEC, **options: Any) -> Edge:
        """From names; codec and options as `midstream.encode` takes them.

        Raises:
            InputError: an unknown network, codec or option, or a codec that is for another network.
        """
        chosen = make_codec(codec, options)
        edge = cls(models.load(model) if isinstance(model, str) else model, chosen)
        edge.check()
        return edge

    def check(self) -> None:
        """Refuse a codec that is for another network. Raises InputError."""
        self.codec.check_network(self.model.name, self.model.fingerprint)

    def encode(self, image: Image) -> bytes:
        """The bitstream of an image, uint8 RGB [H, W, 3], or of the array that the network takes. Raises InputError."""
        return self.code(self.ready(image))

    def ready(self, image: Image) -> ReadyFrame:
        """What the front makes of an image, as `encode` takes it, to be coded. Raises InputError."""
        if not takes_arrays(self.model):
            check_image(image)
        image = np.atleast_2d(image)
        size = image.shape[0], image.shape[1]
        return ReadyFrame(*prepared(self.model, self.model.front(image), size, self.codec), size)

    def code(self, frame: ReadyFrame) -> bytes:
        """The bitstream of a frame by itself. Raises InputError."""
        return encode_levels(self.codec, frame.levels, frame.hints, None)
