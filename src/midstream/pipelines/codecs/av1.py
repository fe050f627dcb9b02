"""AV1 by SVT-AV1."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from midstream.pipelines.packed import Packed
from midstream.pipelines.video import VideoEncoder, VideoImage, VideoOptions


class SvtAv1(VideoEncoder):
    """SVT-AV1; for images in its mode for still ones."""

    encoder: ClassVar[str] = "libsvtav1"
    muxer: ClassVar[str] = "obu"
    #: As measured: frames that it is given before the first one comes out.
    delay: ClassVar[tuple[int, int]] = (40, 0)
    qp: int = Field(35, ge=1, le=63)
    preset: int = Field(4, ge=0, le=13)

    def arguments(self) -> list[str]:
        """QP, preset, one thread."""
        return self._with(1, "avif=1:rc=0:aq-mode=0:lp=1")

    def clip_arguments(self, options: VideoOptions) -> list[str]:
        """QP, preset, intra period, structure of prediction, one thread."""
        return self._with(
            options.intra_period, f"rc=0:aq-mode=0:lp=1:scd=0:pred-struct={1 if options.low_delay else 2}"
        )

    def _with(self, period: int, settings: str) -> list[str]:
        return ["-preset", str(self.preset), "-qp", str(self.qp), "-g", str(period), "-svtav1-params", settings]


class Av1(SvtAv1, VideoImage):
    """The image."""

    name: ClassVar[str] = "av1"


class PackedAv1(SvtAv1, Packed):
    """The pyramid as an image."""

    name: ClassVar[str] = "packed-av1"
