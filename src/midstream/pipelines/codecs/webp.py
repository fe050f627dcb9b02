"""WebP."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from midstream.models import Picture
from midstream.pipelines.base import PictureCodec
from midstream.pipelines.opencv import opencv, read, write


class WebP(PictureCodec):
    """Lossy WebP by libwebp (in OpenCV)."""

    name: ClassVar[str] = "webp"
    quality: int = Field(75, ge=1, le=100)

    def made_by(self) -> dict[str, str]:
        """OpenCV's version."""
        return {"opencv": opencv().__version__}

    def encode(self, picture: Picture) -> bytes:
        """A WebP file."""
        return write(".webp", picture, [opencv().IMWRITE_WEBP_QUALITY, self.quality])

    def decode(self, data: bytes) -> Picture:
        """The picture."""
        return read(data)
