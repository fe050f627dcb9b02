"""Image files in memory, by OpenCV."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType

import numpy as np

from midstream.errors import CodecError, install_command
from midstream.models import Image


def opencv() -> ModuleType:
    """The package, whichever of its builds is installed. Raises CodecError."""
    try:
        import cv2
    except ImportError as error:
        raise CodecError(f"OpenCV is not installed: {install_command('networks')}") from error
    return cv2


def write(ending: str, image: Image, settings: Sequence[int]) -> bytes:
    """The RGB image as a file of the format that `ending` names. Raises CodecError."""
    cv2 = opencv()
    try:
        done, data = cv2.imencode(ending, image[:, :, ::-1], settings)
    except cv2.error as error:
        raise CodecError(f"OpenCV cannot write {ending}: {error.err}") from error
    if not done:
        raise CodecError(f"OpenCV cannot write a {ending} of {image.shape[1]}x{image.shape[0]} pixels")
    return bytes(data.tobytes())


def read(data: bytes) -> Image:
    """The RGB image in a file. Raises CodecError."""
    cv2 = opencv()
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise CodecError(f"OpenCV does not read this file of {len(data)} bytes")
    return np.ascontiguousarray(image[:, :, ::-1], np.uint8)
