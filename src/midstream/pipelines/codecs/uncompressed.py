"""The features as they are."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from midstream.pipelines.tensors import TensorCodec


class Uncompressed(TensorCodec):
    """float32, as the network computes: its accuracy is what all others are held against."""

    name: ClassVar[str] = "uncompressed"

    def compress(self, maps: NDArray[np.float32]) -> bytes:
        """The elements, little-endian."""
        return maps.astype("<f4").tobytes()

    def decompress(self, data: bytes, shape: tuple[int, int, int]) -> NDArray[Any]:
        """The elements."""
        return np.frombuffer(data, "<f4").reshape(shape)
