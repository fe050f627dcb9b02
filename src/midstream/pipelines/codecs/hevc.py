"""HEVC (H.265) by x265."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from midstream.pipelines.packed import Packed
from midstream.pipelines.video import VideoEncoder, VideoImage, VideoOptions

_QUIET = "info=0:log-level=error:pools=none:frame-threads=1"


class X265(VideoEncoder):
    """x265 at a constant QP, without the message in which it writes down its settings (several hundred bytes)."""

    encoder: ClassVar[str] = "libx265"
    muxer: ClassVar[str] = "hevc"
    has_grey: ClassVar[bool] = True
    delay: ClassVar[tuple[int, int]] = (20, 0)
    qp: int = Field(32, ge=0, le=51)
    preset: Literal["ultrafast", "faster", "fast", "medium", "slow", "slower", "veryslow"] = "slow"

    def arguments(self) -> list[str]:
        """QP, preset, one intra frame, one thread."""
        return ["-preset", self.preset, "-x265-params", f"qp={self.qp}:keyint=1:{_QUIET}"]

    def clip_arguments(self, options: VideoOptions) -> list[str]:
        """QP, preset, closed groups of frames of one length; without delay its own tuning for that."""
        period = options.intra_period
        order = f"keyint={period}:min-keyint={period}:scenecut=0:open-gop=0"
        if options.low_delay:
            return ["-preset", self.preset, "-tune", "zerolatency", "-x265-params", f"qp={self.qp}:{order}:{_QUIET}"]
        settings = f"qp={self.qp}:{order}:bframes=4:rc-lookahead={self.delay[False]}:{_QUIET}"
        return ["-preset", self.preset, "-x265-params", settings]


class Hevc(X265, VideoImage):
    """The image."""

    name: ClassVar[str] = "hevc"


class PackedHevc(X265, Packed):
    """The pyramid as an image, 4:0:0."""

    name: ClassVar[str] = "packed-hevc"
