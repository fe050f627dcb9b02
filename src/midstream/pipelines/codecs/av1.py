"""AV1 by SVT-AV1."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from midstream.pipelines.video import Packed, VideoEncoder, VideoImage


class SvtAv1(VideoEncoder):
    """SVT-AV1 in its mode for still images."""

    encoder: ClassVar[str] = "libsvtav1"
    muxer: ClassVar[str] = "obu"
    qp: int = Field(35, ge=1, le=63)
    preset: int = Field(4, ge=0, le=13)

    def arguments(self) -> list[str]:
        """QP, preset, one thread."""
        still = "avif=1:rc=0:aq-mode=0:lp=1"
        return ["-preset", str(self.preset), "-qp", str(self.qp), "-g", "1", "-svtav1-params", still]


class Av1(SvtAv1, VideoImage):
    """The image."""

    name: ClassVar[str] = "av1"


class PackedAv1(SvtAv1, Packed):
    """The pyramid as an image."""

    name: ClassVar[str] = "packed-av1"
