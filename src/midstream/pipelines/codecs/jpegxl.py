"""JPEG XL."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from midstream.models import Image
from midstream.pipelines.base import ImageCodec
from midstream.pipelines.packages import imagecodecs, library_versions


class JpegXl(ImageCodec):
    """Lossy JPEG XL by libjxl."""

    name: ClassVar[str] = "jpegxl"
    distance: float = Field(2.0, gt=0, le=25, description="Butteraugli distance: 1 is visually lossless.")
    effort: int = Field(7, ge=1, le=9)

    def made_by(self) -> dict[str, str]:
        """Versions of imagecodecs and libjxl."""
        return library_versions(self.name, "libjxl")

    def encode(self, image: Image) -> bytes:
        """A bare codestream."""
        package = imagecodecs(self.name)
        source = np.ascontiguousarray(image)
        return bytes(package.jpegxl_encode(source, distance=self.distance, effort=self.effort, numthreads=1))

    def decode(self, data: bytes) -> Image:
        """The image."""
        return np.asarray(imagecodecs(self.name).jpegxl_decode(data, numthreads=1), np.uint8)
