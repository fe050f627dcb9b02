"""What a decoder is willing to spend on a bitstream; checked before anything of a declared size is allocated."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Upper bounds for decoding; a stream that declares more raises LimitError.

    A flat feature map costs almost no bytes, so the size of a stream says nothing about the size of what it holds:
    these numbers are what protects a server.

    Attributes:
        elements: elements of all decoded levels together; 2^28 float32 elements are 1 GiB (the paper's R50-FPN pyramid
            of a 2048x1024 picture has 44,695,552).
        channels: channels of one level.
        levels: levels of the pyramid.
        chunk_bytes: bytes of one level's chunk.
    """

    elements: int = 1 << 28
    channels: int = 1 << 16
    levels: int = 64
    chunk_bytes: int = 1 << 30
