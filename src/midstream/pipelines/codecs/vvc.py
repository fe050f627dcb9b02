"""VVC (H.266) by vvenc."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from midstream.pipelines.packed import Packed
from midstream.pipelines.video import VideoEncoder, VideoImage, VideoOptions


class Vvenc(VideoEncoder):
    """vvenc as ffmpeg sets it up, but for what is given here."""

    encoder: ClassVar[str] = "libvvenc"
    muxer: ClassVar[str] = "vvc"
    #: A group of frames that are reordered, and four that its temporal filter looks ahead.
    delay: ClassVar[tuple[int, int]] = (36, 4)
    qp: int = Field(32, ge=0, le=63)
    preset: Literal["faster", "fast", "medium", "slow", "slower"] = "medium"
    qpa: bool = Field(True, description="Perceptual adaptation of QP, vvenc's default.")

    def arguments(self) -> list[str]:
        """QP, preset."""
        return ["-preset", self.preset, "-qp", str(self.qp), "-qpa", str(int(self.qpa))]

    def clip_arguments(self, options: VideoOptions) -> list[str]:
        """The same, and the order of frames; ffmpeg's own option for the intra period counts in seconds."""
        order = "refreshtype=none:picreordering=0:gopsize=8:" if options.low_delay else ""
        return [*self.arguments(), "-vvenc-params", f"{order}intraperiod={options.intra_period}"]


class Vvc(Vvenc, VideoImage):
    """The image."""

    name: ClassVar[str] = "vvc"


class PackedVvc(Vvenc, Packed):
    """The pyramid as an image."""

    name: ClassVar[str] = "packed-vvc"
