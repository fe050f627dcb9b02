"""Sizes of images that are not decoded: some formats of labels count in shares of the image's sides."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import cv2
import numpy as np

from midstream.data.headers import exif_turns, fault, stored_size
from midstream.data.images import decode, read_bytes
from midstream.errors import InputError


def image_size(path: Path) -> tuple[int, int] | None:
    """(height, width) of the image that `read_image` gives, upright; None where the file cannot be read.

    Of PNG and JPEG files the headers are enough; others are decoded.
    """
    try:
        data = read_bytes(path)
        stored = None if fault(data) else stored_size(data)
        if stored is None:
            height, width = decode(data, path, cv2.IMREAD_COLOR).shape[:2]
            return height, width
    except InputError:
        return None
    return stored if _is_turned(exif_turns(data)) else stored[::-1]


def _is_turned(exif: bytes | None) -> bool:
    """Whether OpenCV exchanges the sides of an image with this EXIF data: it is asked with one of two pixels."""
    if exif is None:
        return False
    if not exif.startswith(b"\xff\xe1"):  # of a PNG file
        exif = b"\xff\xe1" + (len(exif) + 8).to_bytes(2, "big") + b"Exif\0\0" + exif[: (1 << 16) - 16]
    small = _two_pixels()
    try:
        return len(decode(small[:2] + exif + small[2:], "EXIF data", cv2.IMREAD_COLOR)) > 1
    except InputError:
        return False


@cache
def _two_pixels() -> bytes:
    """A JPEG file of one row."""
    return bytes(cv2.imencode(".jpg", np.zeros((1, 2, 3), np.uint8))[1])
