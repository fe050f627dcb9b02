"""WebP."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from midstream.models import Image
from midstream.pipelines.base import ImageCodec
from midstream.pipelines.opencv import opencv, read, write


class WebP(ImageCodec):
    """Lossy WebP by libwebp (in OpenCV)."""

    name: ClassVar[str] = "webp"
    quality: int = Field(75, ge=1, le=100)

    def made_by(self) -> dict[str, str]:
        """OpenCV's version."""
        return {"opencv": opencv().__version__}

    def encode(self, image: Image) -> bytes:
        """A WebP file."""
        return write(".webp", image, [opencv().IMWRITE_WEBP_QUALITY, self.quality])

    def decode(self, data: bytes) -> Image:
        """The image."""
        return read(data)
