"""From an image to a network's input tensor, and boxes back from network to image coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from midstream.errors import InputError
from midstream.images import check_image
from midstream.models.input_description import Input, Layout

_INTERPOLATIONS = {
    "nearest": cv2.INTER_NEAREST,
    "linear": cv2.INTER_LINEAR,
    "cubic": cv2.INTER_CUBIC,
    "area": cv2.INTER_AREA,
}
#: ONNX Runtime's word -> NumPy's type.
_TYPES = {
    "tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64, "tensor(uint8)": np.uint8,
    "tensor(int8)": np.int8, "tensor(int16)": np.int16, "tensor(uint16)": np.uint16, "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
}  # fmt: skip
#: The largest value of a float16.
_HALF = np.float32(65504)
#: Whole numbers up to here are exact in float32.
_WHOLE = 2**24


@dataclass(frozen=True)
class Placement:
    """Where an image lies within the network's input: image (x, y) is input (x * scale_x + left, ...)."""

    scale_x: float
    scale_y: float
    left: int
    top: int
    width: int
    height: int


def place(description: Input, size: tuple[int, int]) -> Placement:
    """Placement of an image of (height, width)."""
    height, width = size
    to_height, to_width = description.sides(size)
    if description.resize == "stretch":
        return Placement(to_width / width, to_height / height, 0, 0, to_width, to_height)
    ratio = min(to_height / height, to_width / width)
    inner_width, inner_height = max(int(width * ratio), 1), max(int(height * ratio), 1)
    centred = description.anchor == "center"
    left = (to_width - inner_width) // 2 if centred else 0
    top = (to_height - inner_height) // 2 if centred else 0
    return Placement(ratio, ratio, left, top, inner_width, inner_height)


def fitted(description: Input, image: NDArray[Any]) -> NDArray[Any]:
    """The image at the size that it has within the network's input, without padding: uint8 RGB [h, w, 3].

    An array for a network that takes no images is what it was. Raises InputError for what is no image, or no array.
    """
    if description.shape is not None:
        if not isinstance(image, np.ndarray):
            raise InputError(f"the network takes arrays of shape {list(description.shape)}, not {type(image).__name__}")
        return image
    check_image(image)
    at = place(description, (image.shape[0], image.shape[1]))
    return np.asarray(
        cv2.resize(image, (at.width, at.height), interpolation=_INTERPOLATIONS[description.interpolation])
    )


def to_tensor(
    description: Input, inner: NDArray[Any], size: tuple[int, int], layout: Layout = "NCHW"
) -> NDArray[np.float32]:
    """float32 [1, C, H, W] or [1, H, W, C], padded and normalised as the network wants it.

    Args:
        description: of the input.
        inner: what `fitted` returned, of an image of `size` (height, width).
        size: see `inner`.
        layout: the order of the axes.

    Raises:
        InputError: an array of another shape than the network's.
    """
    if description.shape is not None:
        return _of_shape(description.shape, inner)
    if inner.ndim != 3 or inner.shape[2] != 3:
        raise InputError(f"the network takes images, [height, width, 3], not an array of shape {list(inner.shape)}")
    at = place(description, size)
    pixels = np.full((*description.sides(size), 3), description.pad_value, np.uint8)
    pixels[at.top : at.top + at.height, at.left : at.left + at.width] = inner
    if description.color == "gray":
        planes = [cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)]
    else:
        planes = list(cv2.split(pixels))
        if description.color == "BGR":
            planes.reverse()
    values = np.empty((1, len(planes), *pixels.shape[:2]), np.float32)
    for plane, table, out in zip(planes, _tables(description), values[0], strict=True):
        cv2.LUT(plane, table, out)
    return np.ascontiguousarray(values.transpose(0, 2, 3, 1)) if layout == "NHWC" else values


def _tables(description: Input) -> NDArray[np.float32]:
    """What the network gets for each value of a pixel: [C, 256]. One number may be there for all channels."""
    channels = description.channels
    mean, std = (
        np.broadcast_to(np.asarray(v[:channels], np.float32), channels)[:, None]
        for v in (description.mean, description.std)
    )
    return (np.arange(256, dtype=np.float32) * np.float32(description.scale) - mean) / std


def _of_shape(shape: tuple[int, ...], values: NDArray[Any]) -> NDArray[np.float32]:
    """An array as the network takes it, which may lack axes of one element, as a batch is."""
    if [side for side in values.shape if side != 1] != [side for side in shape if side != 1]:
        what = "images" if values.dtype == np.uint8 and values.shape[2:] == (3,) else list(values.shape)
        raise InputError(f"the network takes arrays of shape {list(shape)} (.npy files), not {what}")
    if values.dtype.kind not in "fiu":
        raise InputError(f"the network takes arrays of numbers, not of {values.dtype}")
    if values.dtype.kind in "iu" and values.size and not -_WHOLE <= int(values.min()) <= int(values.max()) <= _WHOLE:
        raise InputError(f"whole numbers of an array go to {_WHOLE:,} (2^24) at most, not to {values.max()}")
    return np.ascontiguousarray(values.reshape(shape), np.float32)


def layout_of(shape: Sequence[int | str | None], channels: int = 3) -> Layout:
    """Whether a network takes its image as [1, height, width, channels] or, where both may be, the other order."""
    last = len(shape) == 4 and shape[3] == channels and shape[1] != channels
    return "NHWC" if last else "NCHW"


def as_type(values: NDArray[np.float32], kind: str, name: str) -> NDArray[Any]:
    """Values as the network takes them; `kind` is ONNX Runtime's word for a type.

    Raises:
        InputError: a type that is none of numbers, or values that a type of whole numbers does not have.
    """
    if kind not in _TYPES:
        raise InputError(f"input '{name}' is a {kind}; inputs are {', '.join(_TYPES)}")
    dtype: np.dtype[Any] = np.dtype(_TYPES[kind])
    if dtype == np.float16:
        return np.clip(values, -_HALF, _HALF).astype(dtype)
    if dtype.kind in "iu":
        low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
        if not ((values == np.rint(values)) & (values >= low) & (values <= high)).all():
            how = f"whole numbers from {low} to {high}"
            if dtype == np.uint8:
                how = "the pixels as they are, 0 to 255: leave scale, mean and std out"
            elif dtype == np.int8:
                how += ": pixels less 128 have mean = [128.0, 128.0, 128.0]"
            raise InputError(f"input '{name}' takes {how}")
    return values.astype(dtype, copy=False)


def to_image(boxes: NDArray[np.float32], at: Placement, size: tuple[int, int]) -> NDArray[np.float32]:
    """Boxes [n, 4] (left, top, right, bottom) in input pixels -> in pixels of the image, clipped to it."""
    height, width = size
    scaled = (boxes - np.array([at.left, at.top] * 2)) / np.array([at.scale_x, at.scale_y] * 2)
    return np.asarray(np.clip(scaled, 0, [width, height, width, height]), np.float32)
