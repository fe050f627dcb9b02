"""Blosc2."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from midstream.pipelines.packages import imagecodecs, library_versions
from midstream.pipelines.tensors import TensorCodec, to_float16


class Blosc2(TensorCodec):
    """Half floats, their bits shuffled, then zstd."""

    name: ClassVar[str] = "blosc2"
    level: int = Field(5, ge=1, le=9)

    def made_by(self) -> dict[str, str]:
        """Versions of imagecodecs and c-blosc2."""
        return library_versions(self.name, "c-blosc2")

    def compress(self, maps: NDArray[np.float32]) -> bytes:
        """A chunk."""
        package = imagecodecs(self.name)
        data = to_float16(maps).astype("<f2").tobytes()
        return bytes(
            package.blosc2_encode(
                data, level=self.level, compressor="zstd", shuffle="bitshuffle", typesize=2, numthreads=1
            )
        )

    def decompress(self, data: bytes, shape: tuple[int, int, int]) -> NDArray[Any]:
        """The elements."""
        return np.frombuffer(imagecodecs(self.name).blosc2_decode(data, numthreads=1), "<f2").reshape(shape)
