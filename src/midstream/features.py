"""The feature pyramid at the door: numpy or torch in, checked and contiguous float32 inside, the same kind out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from midstream.errors import InputError, MissingExtraError

#: The element types of a pyramid, in the order of their codes in the bitstream.
DTYPES: dict[str, np.dtype[Any]] = {
    "float32": np.dtype(np.float32),
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
}
#: Longest level name in UTF-8: the bitstream has one byte for its length.
MAX_NAME_BYTES = 255


@dataclass(frozen=True)
class Level:
    """One level of a pyramid.

    Attributes:
        values: float32 [C, H * W], C-contiguous, all finite.
        shape: (C, H, W).
        dtype: a key of DTYPES, the element type it came in and goes out as.
    """

    name: str
    values: NDArray[np.float32] = field(repr=False)
    shape: tuple[int, int, int]
    dtype: str


def is_torch(value: object) -> bool:
    """Whether `value` is a torch tensor, without importing torch."""
    return type(value).__module__.partition(".")[0] == "torch" and hasattr(value, "detach")


def _from_torch(name: str, tensor: Any) -> NDArray[Any]:
    try:
        values = tensor.detach().cpu()
        if str(values.dtype) == "torch.bfloat16":  # numpy has no such type of its own: hand the bits over
            import torch

            return np.asarray(values.contiguous().view(torch.int16).numpy().view(DTYPES["bfloat16"]))
        return np.asarray(values.numpy())
    except (TypeError, RuntimeError) as error:  # without values (device meta), sparse, quantised, of another type
        what = f"level '{name}': a torch tensor of type {tensor.dtype} on the device {tensor.device}"
        raise InputError(f"{what} cannot be used: {str(error).partition(chr(10))[0]}") from error


def to_torch(array: NDArray[Any]) -> Any:
    """The array as a torch tensor of the same element type. Raises MissingExtraError without torch."""
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError("decoding to torch tensors", "torch") from error
    if array.dtype == DTYPES["bfloat16"]:
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def check_level(name: object, value: Any) -> Level:
    """Check one level and bring it into the codec's form.

    Args:
        name: the level's name.
        value: numpy array or torch tensor [C, H, W] of float32, float16 or bfloat16; need not be contiguous.

    Raises:
        InputError: not a level; the message names it, and the channel for a NaN or an infinity.
    """
    if not isinstance(name, str) or not name:
        raise InputError(f"a level's name is a non-empty string, not {name!r}")
    try:
        size = len(name.encode())
    except UnicodeEncodeError as error:
        raise InputError(f"level name {name!r} is not valid Unicode text") from error
    if size > MAX_NAME_BYTES:
        raise InputError(f"level name '{name[:20]}...' is longer than {MAX_NAME_BYTES} bytes")
    array = _from_torch(name, value) if is_torch(value) else np.asarray(value)
    native = array.dtype.newbyteorder("=")
    dtype = next((key for key, known in DTYPES.items() if native == known), None)
    if dtype is None:
        raise InputError(f"level '{name}' has element type {array.dtype}; valid: {', '.join(DTYPES)}")
    if array.ndim != 3:
        hint = "; pass one image at a time, without the batch dimension" if array.ndim == 4 else ""
        raise InputError(f"level '{name}' has shape {list(array.shape)}, expected [channels, height, width]{hint}")
    channels, height, width = (int(size) for size in array.shape)
    if array.size == 0:
        raise InputError(f"level '{name}' is empty: shape {[channels, height, width]}")
    values = np.require(array, np.float32, ["C", "ALIGNED"]).reshape(channels, height * width)
    return Level(name, values, (channels, height, width), dtype)


def check_pyramid(pyramid: Mapping[str, Any]) -> list[Level]:
    """Check every level of a pyramid (see check_level), in order. Raises InputError."""
    if not isinstance(pyramid, Mapping):
        raise InputError(f"a pyramid is a mapping of level name to array [C, H, W], not {type(pyramid).__name__}")
    if not pyramid:
        raise InputError("the pyramid has no levels")
    return [check_level(name, value) for name, value in pyramid.items()]
