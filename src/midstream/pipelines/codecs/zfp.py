"""zfp."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from midstream.pipelines.packages import imagecodecs, library_versions
from midstream.pipelines.tensors import TensorCodec


class Zfp(TensorCodec):
    """zfp with a fixed precision, on the level as an array of three dimensions."""

    name: ClassVar[str] = "zfp"
    precision: int = Field(10, ge=1, le=32, description="Bit planes of each block that are kept.")

    def made_by(self) -> dict[str, str]:
        """Versions of imagecodecs and zfp."""
        return library_versions(self.name, "zfp")

    def compress(self, maps: NDArray[np.float32]) -> bytes:
        """A stream with zfp's own header."""
        return bytes(imagecodecs(self.name).zfp_encode(np.ascontiguousarray(maps), level=self.precision, mode="p"))

    def decompress(self, data: bytes, shape: tuple[int, int, int]) -> NDArray[Any]:
        """The elements."""
        return np.asarray(imagecodecs(self.name).zfp_decode(data)).reshape(shape)
