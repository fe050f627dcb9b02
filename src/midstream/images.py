"""What an image is, for whoever takes one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from midstream.errors import InputError


def check_image(image: object) -> NDArray[np.uint8]:
    """The same image. Raises InputError for anything but uint8 RGB [height, width, 3]."""
    if not isinstance(image, np.ndarray):
        raise InputError(f"an image is a uint8 array of RGB [height, width, 3], not {type(image).__name__}")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        was = f"{image.dtype} {list(image.shape)}"
        raise InputError(f"an image is a uint8 array of RGB [height, width, 3], not {was}")
    return image
