"""Reading images from files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from midstream.data.headers import fault, without_extras
from midstream.errors import InputError

# OpenCV 5 has its log level in `cv2.utils.logging`, OpenCV 4 has it in `cv2` and no name for "nothing".
_LOG = getattr(cv2.utils, "logging", cv2)
_LOG_NOTHING = 0
#: In the message of OpenCV's error about a size.
_SIZE_LIMIT = "CV_IO_MAX_IMAGE"
#: Of a file of NumPy's.
ARRAY_SUFFIX = ".npy"
_JPEG_START, _JPEG_SCAN, _JPEG_END = b"\xff\xd8", b"\xff\xda", b"\xff\xd9"


def read_bytes(path: Path) -> bytes:
    """All bytes of an image file.

    Raises:
        InputError: the file is absent, not a file or not readable; the message names it.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read the image {path}: {error.strerror or error}") from error


def decode(data: bytes, path: str | Path, flags: int) -> NDArray[np.generic]:
    """What `cv2.imdecode` makes of `data` with `flags`; `path` is only for the message.

    The bytes are decoded here instead of by `cv2.imread` because that one cannot open every path (non-ASCII names on
    Windows) and cannot say why it failed.

    Raises:
        InputError: `data` is not a whole image in a format that OpenCV knows, or one that is too large.
    """
    why = fault(data)
    if why is not None:
        raise InputError(f"cannot read the image {path}: {why}")
    if _is_cut_jpeg(data):
        raise InputError(f"cannot read the image {path}: the JPEG file ends before its end marker")
    # OpenCV's own report of a broken file would stand beside the one line that the user is to read.
    level = _LOG.getLogLevel()
    _LOG.setLogLevel(_LOG_NOTHING)
    try:
        image = cv2.imdecode(np.frombuffer(without_extras(data), np.uint8), flags) if data else None
    except cv2.error as error:
        image = None
        if _SIZE_LIMIT in str(error):
            raise InputError(f"cannot read the image {path}: it is too large for OpenCV") from error
    finally:
        _LOG.setLogLevel(level)
    if image is None:
        what = "it is not a whole image in a known format" if data else "the file is empty"
        raise InputError(f"cannot read the image {path}: {what}")
    return np.asarray(image)


def read_image(path: str | Path) -> NDArray[np.uint8]:
    """The image in a file, as `image_from` gives it; of a file of NumPy's, .npy, the array, for networks of arrays.

    Raises:
        InputError: the file is absent or not a whole image, or array of numbers; the message names it.
    """
    path = Path(path)
    if path.suffix.lower() == ARRAY_SUFFIX:
        return _array_from(read_bytes(path), path)
    return image_from(read_bytes(path), path)


def _array_from(data: bytes, path: Path) -> NDArray[Any]:
    """An array of two axes or more; one of one axis gets another one before it."""
    try:
        values = np.load(io.BytesIO(data), allow_pickle=False)
    except Exception as error:  # of NumPy's format: of several classes
        raise InputError(f"cannot read the array {path}: {str(error).splitlines()[0]}") from error
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiu" or not values.size:
        raise InputError(f"cannot read the array {path}: it holds no numbers")
    if not np.isfinite(values).all():
        raise InputError(f"cannot read the array {path}: it holds a NaN or an infinity")
    return np.atleast_2d(values)


def image_from(data: bytes, path: str | Path) -> NDArray[np.uint8]:
    """The image in a file's bytes as uint8 RGB, [height, width, 3], turned upright as its EXIF orientation says.

    Grey images get three equal channels, transparency is dropped (the colour below it stays), 16-bit samples are
    scaled to 8 bits. OpenCV decodes, because it is what the detectors were trained and are evaluated with.

    Raises:
        InputError: not a whole image; the message names `path`.
    """
    image = decode(data, path, cv2.IMREAD_COLOR)
    return np.asarray(cv2.cvtColor(np.asarray(image, np.uint8), cv2.COLOR_BGR2RGB), np.uint8)


def _is_cut_jpeg(data: bytes) -> bool:
    """Whether these are the bytes of a JPEG file without an end.

    OpenCV 4 returns such an image with its lower part grey, which would be measured as if it were whole. Inside the
    entropy-coded scan 0xFF is always escaped, so the first end marker after the last scan header is the real one.
    """
    return data.startswith(_JPEG_START) and data.find(_JPEG_END, data.rfind(_JPEG_SCAN)) < 0
