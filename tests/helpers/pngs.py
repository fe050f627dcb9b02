"""Image files that OpenCV does not write: PNG with a palette, JPEG with an orientation."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
from numpy.typing import NDArray


def palette_png(values: NDArray[np.uint8], bits: int, orientation: int = 0) -> bytes:
    """A PNG file whose pixels [height, width] are indices of `bits` bits into a palette of colours."""
    height, width = values.shape
    spread = (values[:, :, None] >> np.arange(bits - 1, -1, -1, dtype=np.uint8)) & 1
    packed = np.packbits(spread.reshape(height, width * bits), axis=1)
    rows = b"".join(b"\0" + row.tobytes() for row in packed)
    palette = bytes((37 * i + 11 * j) % 256 for i in range(1 << bits) for j in range(3))
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, bits, 3, 0, 0, 0)),
        *([(b"eXIf", _exif(orientation))] if orientation else []),
        (b"PLTE", palette),
        (b"tRNS", bytes(range(1 << bits))),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def exif_jpeg(pixels: NDArray[np.uint8], orientation: int) -> bytes:
    """A JPEG file of a BGR image with an EXIF orientation, 1 to 8."""
    jpeg = cv2.imencode(".jpg", pixels)[1].tobytes()
    exif = b"Exif\0\0" + _exif(orientation)
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]


def _exif(orientation: int) -> bytes:
    return struct.pack(">HHIHHHIHHI", 0x4D4D, 42, 8, 1, 0x0112, 3, 1, orientation, 0, 0)
