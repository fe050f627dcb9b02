"""HEVC (H.265) by x265."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from midstream.pipelines.video import Packed, VideoEncoder, VideoImage


class X265(VideoEncoder):
    """x265 at a constant QP, without the message in which it writes down its settings (several hundred bytes)."""

    encoder: ClassVar[str] = "libx265"
    muxer: ClassVar[str] = "hevc"
    has_grey: ClassVar[bool] = True
    qp: int = Field(32, ge=0, le=51)
    preset: Literal["ultrafast", "fast", "medium", "slow", "slower", "veryslow"] = "slow"

    def arguments(self) -> list[str]:
        """QP, preset, one intra frame, one thread."""
        settings = f"qp={self.qp}:keyint=1:info=0:log-level=error:pools=none:frame-threads=1"
        return ["-preset", self.preset, "-x265-params", settings]


class Hevc(X265, VideoImage):
    """The image."""

    name: ClassVar[str] = "hevc"


class PackedHevc(X265, Packed):
    """The pyramid as an image, 4:0:0."""

    name: ClassVar[str] = "packed-hevc"
