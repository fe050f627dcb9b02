"""Pcodec."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from midstream.pipelines.packages import imagecodecs, library_versions
from midstream.pipelines.tensors import TensorCodec, to_float16


class Pcodec(TensorCodec):
    """Half floats, without loss."""

    name: ClassVar[str] = "pcodec"
    level: int = Field(8, ge=0, le=12)

    def made_by(self) -> dict[str, str]:
        """Versions of imagecodecs and pcodec."""
        return library_versions(self.name, "pcodec")

    def compress(self, maps: NDArray[np.float32]) -> bytes:
        """A standalone file."""
        return bytes(imagecodecs(self.name).pcodec_encode(to_float16(maps).reshape(-1), level=self.level))

    def decompress(self, data: bytes, shape: tuple[int, int, int]) -> NDArray[Any]:
        """The elements."""
        count = int(np.prod(shape))
        return np.asarray(imagecodecs(self.name).pcodec_decode(data, shape=(count,), dtype=np.float16)).reshape(shape)
