"""What the general-purpose compressors share: a stream for each level behind the names and shapes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from midstream.codec.wire import Reader, varint
from midstream.errors import CodecError
from midstream.models import FloatPyramid
from midstream.pipelines.base import PyramidCodec
from midstream.pipelines.shapes import read_shapes, write_shapes


class TensorCodec(PyramidCodec):
    """Codes every level for itself."""

    def compress(self, maps: NDArray[np.float32]) -> bytes:
        """A level, [C, H, W], as a stream."""
        raise NotImplementedError

    def decompress(self, data: bytes, shape: tuple[int, int, int]) -> NDArray[Any]:
        """The level again."""
        raise NotImplementedError

    def encode(self, pyramid: FloatPyramid) -> bytes:
        """Shapes, then length and stream of each level."""
        parts = [write_shapes(pyramid)]
        for maps in pyramid.values():
            stream = self.compress(maps)
            parts += [varint(len(stream)), stream]
        return b"".join(parts)

    def decode(self, data: bytes) -> FloatPyramid:
        """The pyramid."""
        reader = Reader(data, self.name)
        return {
            name: np.asarray(self.decompress(reader.take(reader.varint()), shape), np.float32)
            for name, shape in read_shapes(reader).items()
        }


def to_float16(maps: NDArray[np.float32]) -> NDArray[np.float16]:
    """The values as float16. Raises CodecError where one is too large for it."""
    with np.errstate(over="ignore"):
        values = maps.astype(np.float16)
    if not np.isfinite(values).all():
        raise CodecError(f"a feature of {np.abs(maps).max():g} is too large for float16")
    return values
