"""What a decoder is willing to spend; checked before anything of a declared size is allocated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from midstream.errors import LimitError

#: Pixels of an image: 0.8 GB as RGB. The variable is OpenCV's, whose own limit is four times that.
MOST_PIXELS, PIXELS_VARIABLE = 1 << 28, "OPENCV_IO_MAX_IMAGE_PIXELS"


@dataclass(frozen=True)
class Limits:
    """Upper bounds for decoding; a stream that declares more raises LimitError.

    A flat feature map costs almost no bytes, so the size of a stream says nothing about the size of what it holds:
    these numbers are what protects a server. `elements` and `levels` also bound a pyramid that comes out of a file: an
    .npz of zeros is small, too.

    What decoding takes for each element within the limits, at most (memory: tests/unit/test_limits.py; times as seen on
    one core of a server):

    - `paper`: 10 bytes, and 0.2 microseconds; of a hostile `dense` stream 0.6.
    - units of a stream of `paper`: 12 bytes, and 2 for each frame that is kept, 8 at most; times as of `dense`.
    - `calibrated`: 20 bytes, and 5 microseconds, if a profile and a stream were made for it; of what networks give to a
      profile of their own, 12 bytes and 0.3 microseconds.
    - units of a stream of `calibrated`: 40 bytes, and 6 for each frame that is kept, 8 at most; of what networks give
      15, and 2 for each.

    Beside it 16 MiB, 8 MiB for each thread, and three times the bytes of an embedded profile. A server sets `elements`
    to what its network can produce.

    Attributes:
        elements: elements of all decoded levels together (the paper's R50-FPN pyramid of a 2048x1024 image has
            44,695,552).
        values: `paper`: reconstruction values of all decoded levels together, channels times symbols; up to 50 bytes
            for each. `calibrated`: numbers in the profile's transforms; any profile is within the default.
        channels: channels of one level.
        levels: levels of the pyramid.
        chunk_bytes: bytes of one level's chunk; `calibrated` and units of streams: of the bitstream.
    """

    elements: int = 1 << 28
    values: int = 1 << 22
    channels: int = 1 << 16
    levels: int = 1 << 10
    chunk_bytes: int = 1 << 30

    def check(
        self, *, levels: int = 0, channels: Mapping[str, int] | None = None, elements: int = 0, values: int = 0
    ) -> None:
        """Raise LimitError where a pyramid has more: `channels` are those of each level, by its name."""
        if levels > self.levels:
            raise LimitError(f"{levels} levels; the limit is {self.levels}")
        for name, count in (channels or {}).items():
            if count > self.channels:
                raise LimitError(f"level '{name}' has {count} channels; the limit is {self.channels}")
        if elements > self.elements:
            raise LimitError(f"{elements} elements; the limit is {self.elements}")
        if values > self.values:
            raise LimitError(f"{values} reconstruction values; the limit is {self.values}")
