"""VVC (H.266) by vvenc."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from midstream.pipelines.video import Packed, VideoEncoder, VideoImage


class Vvenc(VideoEncoder):
    """vvenc as ffmpeg sets it up, but for what is given here."""

    encoder: ClassVar[str] = "libvvenc"
    muxer: ClassVar[str] = "vvc"
    qp: int = Field(32, ge=0, le=63)
    preset: Literal["faster", "fast", "medium", "slow", "slower"] = "medium"
    qpa: bool = Field(True, description="Perceptual adaptation of QP, vvenc's default.")

    def arguments(self) -> list[str]:
        """QP, preset."""
        return ["-preset", self.preset, "-qp", str(self.qp), "-qpa", str(int(self.qpa))]


class Vvc(Vvenc, VideoImage):
    """The image."""

    name: ClassVar[str] = "vvc"


class PackedVvc(Vvenc, Packed):
    """The pyramid as an image."""

    name: ClassVar[str] = "packed-vvc"
