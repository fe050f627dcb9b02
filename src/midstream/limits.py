"""What a decoder is willing to spend on a bitstream; checked before anything of a declared size is allocated."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Upper bounds for decoding; a stream that declares more raises LimitError.

    A flat feature map costs almost no bytes, so the size of a stream says nothing about the size of what it holds:
    these numbers are what protects a server.

    Attributes:
        elements: elements of all decoded levels together (the paper's R50-FPN pyramid of a 2048x1024 picture has
            44,695,552). Decoding takes up to ten bytes for each, 2.5 GiB at most, and of a hostile `dense` stream up
            to 0.6 microseconds: a server sets this to what its network can produce.
        values: `paper`: reconstruction values of all decoded levels together, channels times symbols; up to 50 bytes
            for each. `calibrated`: numbers in the profile's transforms; any profile is within the default.
        channels: channels of one level.
        levels: levels of the pyramid.
        chunk_bytes: bytes of one level's chunk; `calibrated`: of the bitstream.
    """

    elements: int = 1 << 28
    values: int = 1 << 22
    channels: int = 1 << 16
    levels: int = 1 << 10
    chunk_bytes: int = 1 << 30
