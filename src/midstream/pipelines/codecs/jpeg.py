"""JPEG."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from midstream.models import Image
from midstream.pipelines.base import ImageCodec
from midstream.pipelines.opencv import opencv, read, write


class Jpeg(ImageCodec):
    """JPEG with 4:2:0 chroma by libjpeg-turbo (in OpenCV)."""

    name: ClassVar[str] = "jpeg"
    quality: int = Field(75, ge=1, le=100)
    optimize: bool = Field(False, description="Huffman tables fitted to the image, as few cameras do.")

    def made_by(self) -> dict[str, str]:
        """OpenCV's version."""
        return {"opencv": opencv().__version__}

    def encode(self, image: Image) -> bytes:
        """A JFIF file."""
        cv2 = opencv()
        settings = [cv2.IMWRITE_JPEG_QUALITY, self.quality, cv2.IMWRITE_JPEG_OPTIMIZE, int(self.optimize)]
        return write(".jpg", image, settings)

    def decode(self, data: bytes) -> Image:
        """The image."""
        return read(data)
