"""Maps of classes, one value a pixel: what semantic segmentation is scored against."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from midstream.data.base import UNLABELLED
from midstream.data.headers import as_grey, fault
from midstream.data.images import decode, read_bytes
from midstream.errors import InputError

#: File name endings of maps, in any case: formats that lose nothing.
MAP_SUFFIXES = (".png", ".bmp", ".tif", ".tiff")


def label_map(annotation: Mapping[str, Any]) -> NDArray[np.uint8 | np.uint16]:
    """The map of one annotation of a data set whose labels are `segmentation`.

    Args:
        annotation: with `file_name`, the map's path, and perhaps `values`, which says for each value of the file which
            category it is; what is not in there is unlabelled. Values of a colour file are then those of COCO's
            panoptic format, red + 256 green + 65536 blue.

    Returns:
        Category ids, [height, width]; 255 is unlabelled.

    Raises:
        InputError: the file cannot be read or has several values a pixel; the message names it.
    """
    path, values = Path(annotation["file_name"]), annotation.get("values")
    if values is None:
        return read_label_map(path)
    there, places = np.unique(_values(path, colour=True), return_inverse=True)
    ids = np.array([values.get(int(value), UNLABELLED) for value in there], np.uint8)
    mapped: NDArray[np.uint8] = ids[places]
    return mapped


def read_label_map(path: Path) -> NDArray[np.uint8 | np.uint16]:
    """The values of a map, uint8 or uint16 [height, width]: grey values, or indices into the palette of a PNG file.

    Raises:
        InputError: the file cannot be read or has several values a pixel; the message names it.
    """
    values = _values(path, colour=False)
    return values.astype(np.uint16 if values.dtype == np.uint16 else np.uint8)


def _values(path: Path, colour: bool) -> NDArray[np.generic]:
    data = read_bytes(path)
    if (why := fault(data)) is not None:
        raise InputError(f"cannot read the image {path}: {why}")
    data, depth = as_grey(data)
    pixels = decode(data, path, cv2.IMREAD_UNCHANGED)
    if pixels.dtype not in (np.uint8, np.uint16):
        raise InputError(f"{path} is no map of classes: its values are not whole numbers")
    if pixels.ndim == 2:  # OpenCV spreads samples of 1, 2 and 4 bits over 0 to 255
        return pixels // (255 // ((1 << depth) - 1)) if depth < 8 else pixels
    blue, green, red = (pixels[:, :, i] for i in range(3)) if pixels.shape[2] >= 3 else [pixels[:, :, 0]] * 3
    if colour:
        return red.astype(np.uint32) | green.astype(np.uint32) << 8 | blue.astype(np.uint32) << 16
    if not (np.array_equal(red, green) and np.array_equal(red, blue)):
        raise InputError(
            f"{path} is no map of classes: it is a colour image; a map is grey or has a palette, and its values are "
            "the classes"
        )
    return red
