"""Images as .png files."""

from __future__ import annotations

from midstream.errors import InputError
from midstream.files import STANDARD, check_writable
from midstream.lazy import needing
from midstream.models import Image

with needing("drawing", "networks"):
    import cv2


def check_png(output: str) -> None:
    """Refuse a name that is not a .png file's, or that cannot be written. Raises InputError."""
    if output != STANDARD and not output.endswith(".png"):
        raise InputError(f"{output}: the figure is a .png file")
    check_writable(output)


def png(pixels: Image) -> bytes:
    """An RGB image, uint8 [H, W, 3], as a .png file."""
    return bytes(cv2.imencode(".png", pixels[:, :, ::-1])[1].tobytes())
