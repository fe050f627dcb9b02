"""H.264 by x264: what cameras send."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from midstream.pipelines.video import VideoImage, VideoOptions


class H264(VideoImage):
    """x264 at a constant QP, 4:2:0 with 8 bits, without the message in which it writes down its settings."""

    name: ClassVar[str] = "h264"
    encoder: ClassVar[str] = "libx264"
    muxer: ClassVar[str] = "h264"
    delay: ClassVar[tuple[int, int]] = (3, 0)
    qp: int = Field(32, ge=1, le=51)
    preset: Literal["ultrafast", "fast", "medium", "slow", "slower", "veryslow"] = "medium"

    def formats(self) -> tuple[str, str]:
        """RGB, YCbCr."""
        return "rgb24", "yuv420p"

    def arguments(self) -> list[str]:
        """QP, preset, one intra frame."""
        return self._with([], "keyint=1")

    def clip_arguments(self, options: VideoOptions) -> list[str]:
        """QP, preset, closed groups of frames of one length; without delay its own tuning for that."""
        period = options.intra_period
        order = f"keyint={period}:min-keyint={period}:scenecut=0:open-gop=0"
        if options.low_delay:
            return self._with(["-tune", "zerolatency"], order)
        return self._with([], f"{order}:bframes={self.delay[False]}:b-adapt=1")

    def _with(self, tuning: list[str], settings: str) -> list[str]:
        # The message is a unit of type 6 (ITU-T H.264, table 7-1).
        without = ["-bsf:v", "filter_units=remove_types=6"]
        return ["-preset", self.preset, *tuning, "-qp", str(self.qp), "-x264-params", settings, *without]
