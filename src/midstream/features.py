"""The feature pyramid at the door: numpy or torch in, checked and contiguous float32 inside, the same kind out.

torch is never imported before a tensor of its kind arrives, or one is asked for.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from midstream.cached import cached_property
from midstream.errors import InputError, LimitError, MissingExtraError
from midstream.layout import Layout, Tensor, check_is_map
from midstream.limits import Limits

#: The float types of a pyramid, in the order of their codes in the bitstream.
DTYPES: dict[str, np.dtype[Any]] = {
    "float32": np.dtype(np.float32),
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
}
#: Those of quantised networks, which are coded without loss; their codes follow.
INTEGERS: dict[str, np.dtype[Any]] = {"int8": np.dtype(np.int8), "uint8": np.dtype(np.uint8)}
ELEMENT_TYPES = DTYPES | INTEGERS
_TYPE_NAMES = {dtype: name for name, dtype in ELEMENT_TYPES.items()}
_FLOAT32 = DTYPES["float32"]
#: Longest level name in UTF-8: the bitstream has one byte for its length.
MAX_NAME_BYTES = 255
#: Kinds of torch's devices on which codecs work; what is on another one comes to the host first. They have float64, in
#: which statistics are summed.
WORKING_DEVICES = ("cuda",)


@dataclass(frozen=True)
class Level:
    """One level of a pyramid.

    Attributes:
        values: float32 [C, H * W], C-contiguous, all finite.
        shape: (C, H, W).
        dtype: a key of ELEMENT_TYPES, the element type it came in and goes out as.
        layout: of the array that begins with it, where that is no map [C, H, W].
    """

    name: str
    values: NDArray[np.float32] = field(repr=False)
    shape: tuple[int, int, int]
    dtype: str
    layout: Layout | None = None

    @property
    def elements(self) -> int:
        """C * H * W."""
        return math.prod(self.shape)

    def first_values(self, channels: NDArray[np.bool_]) -> NDArray[np.float32]:
        """The first value of each of the channels [C] that are true."""
        return np.asarray(self.values[channels, 0])


class DeviceLevel(Level):
    """A level in the memory of one of torch's devices.

    A codec that works there takes `tensor`, float32 [C, H * W], contiguous, not checked for a NaN or an infinity; for
    any other one `values` copies it to the host.
    """

    tensor: Any

    def __init__(
        self, name: str, tensor: Any, shape: tuple[int, int, int], dtype: str, layout: Layout | None = None
    ) -> None:
        given = {"name": name, "tensor": tensor, "shape": shape, "dtype": dtype, "layout": layout}
        for key, value in given.items():
            object.__setattr__(self, key, value)

    @cached_property
    def values(self) -> NDArray[np.float32]:
        """See Level."""
        return np.asarray(self.tensor.cpu().numpy())

    def first_values(self, channels: NDArray[np.bool_]) -> NDArray[np.float32]:
        """See Level."""
        return np.asarray(self.tensor[:, 0].cpu().numpy()[channels])


def works_on(device: Any) -> bool:
    """Whether codecs work on this device of torch's."""
    return device.type in WORKING_DEVICES


def is_torch(value: object) -> bool:
    """Whether `value` is a torch tensor, without importing torch: where nobody has, there is none."""
    return isinstance(value, getattr(sys.modules.get("torch"), "Tensor", ()))


def _from_torch(name: str, tensor: Any) -> NDArray[Any]:
    try:
        values = tensor.detach().cpu()
        if str(values.dtype) == "torch.bfloat16":  # numpy has no such type of its own: hand the bits over
            import torch

            return np.asarray(values.contiguous().view(torch.int16).numpy().view(DTYPES["bfloat16"]))
        return np.asarray(values.numpy())
    except (TypeError, RuntimeError) as error:  # without values (device meta), sparse, quantised, of another type
        raise _unusable(name, tensor, str(error).partition("\n")[0]) from error


def _unusable(name: str, tensor: Any, why: str) -> InputError:
    what = f"level '{name}': a torch tensor of type {tensor.dtype} on the device {tensor.device}"
    return InputError(f"{what} cannot be used: {why}")


def _device_level(name: str, tensor: Any, layout: Layout | None) -> DeviceLevel:
    if str(tensor.layout) != "torch.strided":
        raise _unusable(name, tensor, f"its layout is {tensor.layout}, not torch.strided")
    dtype = _torch_type(tensor)
    if dtype not in DTYPES:
        raise _wrong_type(name, dtype)
    shape = _checked_shape(name, tensor.shape)
    return DeviceLevel(name, tensor.detach().float().contiguous().reshape(shape[0], -1), shape, dtype, layout)


def _torch_type(tensor: Any) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def torch_device(device: object) -> Any:
    """The torch device of this name, in working order.

    Raises:
        MissingExtraError: without torch; InputError: no such device here.
    """
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError("decoding to torch tensors", "torch") from error
    try:
        found = torch.device(device)
        if found.type == "meta":
            raise RuntimeError("it holds no values")
        return torch.empty(0, device=found).device  # with its index
    except (RuntimeError, AssertionError, TypeError, NotImplementedError) as error:  # each backend has its own
        why = str(error).partition("\n")[0]
        raise InputError(f"the device {device!r} cannot be decoded to: {why}") from error


def to_torch(array: NDArray[Any]) -> Any:
    """The array as a torch tensor of the same element type, on the CPU. Raises MissingExtraError without torch."""
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError("decoding to torch tensors", "torch") from error
    if array.dtype == DTYPES["bfloat16"]:
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def check_level(name: object, value: Any, layout: Layout | None = None) -> Level:
    """Check one level and bring it into the codec's form.

    Args:
        name: the level's name.
        value: numpy array or torch tensor [C, H, W] of one of ELEMENT_TYPES; need not be contiguous. Of a tensor of
            floats on one of WORKING_DEVICES a DeviceLevel is made.
        layout: of the array that begins with it.

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
    if isinstance(value, np.ma.MaskedArray):
        raise InputError(f"level '{name}' is a masked array, and a bitstream has no mask: fill it (array.filled(0))")
    of_torch = is_torch(value)
    if of_torch and works_on(value.device) and _torch_type(value) not in INTEGERS:
        return _device_level(name, value, layout)
    array = _from_torch(name, value) if of_torch else np.asarray(value)
    dtype = _TYPE_NAMES.get(array.dtype) or _TYPE_NAMES.get(array.dtype.newbyteorder("="))
    if dtype is None:
        raise _wrong_type(name, array.dtype)
    shape = _checked_shape(name, array.shape)
    return Level(name, _as_floats(array).reshape(shape[0], -1), shape, dtype, layout)


def _as_floats(array: NDArray[Any]) -> NDArray[np.float32]:
    """The array as float32, C-contiguous and aligned: itself, where it is."""
    if array.dtype == _FLOAT32 and array.flags.carray:
        return array
    return np.require(array, np.float32, ["C", "ALIGNED"])


def _wrong_type(name: str, dtype: object) -> InputError:
    remedy = ": convert it to float32" if "float64" in str(dtype) else ""
    return InputError(f"level '{name}' has element type {dtype}; valid: {', '.join(ELEMENT_TYPES)}{remedy}")


def _checked_shape(name: str, shape: Sequence[int]) -> tuple[int, int, int]:
    if len(shape) != 3:
        hint = "; pass one image at a time, without the batch dimension, or all of them to encode_batch"
        other = "; for tokens, sequences and vectors say what the axes are: midstream.Tensor(x, axes='NC')"
        what = f"level '{name}' has shape {list(shape)}, expected [channels, height, width]"
        raise InputError(what + (hint if len(shape) == 4 else other))
    channels, height, width = map(int, shape)
    if 0 in shape:
        raise InputError(f"level '{name}' is empty: shape {[channels, height, width]}")
    return channels, height, width


def check_pyramid(pyramid: Mapping[str, Any], *, maps: bool = False) -> list[Level]:
    """Check every level of a pyramid (see check_level), in order; of a Tensor, make its levels.

    Args:
        pyramid: level name -> array, tensor or Tensor.
        maps: all arrays are known to be [C, H, W], those of one channel, too.

    Raises:
        InputError: also for a plain array that may be tokens with a batch dimension.
    """
    if not isinstance(pyramid, Mapping):
        raise InputError(f"a pyramid is a mapping of level name to array [C, H, W], not {type(pyramid).__name__}")
    if not pyramid:
        raise InputError("the pyramid has no levels")
    plain = {name: value.values if isinstance(value, Tensor) else value for name, value in pyramid.items()}
    _check_place(plain)
    levels = []
    for name, value in pyramid.items():
        try:
            if isinstance(value, Tensor):
                levels += _levels_of(name, value)
                continue
            if not maps:
                check_is_map(str(name), getattr(value, "shape", ()))
            levels.append(check_level(name, value))
        except MemoryError as error:  # of an array that shows the same memory many times over, say
            shape = list(getattr(plain[name], "shape", ()))
            raise InputError(f"level '{name}' of shape {shape} does not fit into memory as it is coded") from error
    _check_decodes(levels)
    names = [level.name for level in levels]
    if len(set(names)) < len(names):
        twice = next(name for at, name in enumerate(names) if name in names[:at])
        raise InputError(f"two levels are called '{twice}': the extra tokens of an array take that name")
    return levels


def _check_place(plain: Mapping[str, Any]) -> None:
    """Refuse arrays beside tensors, and tensors on several devices. Raises InputError."""
    if "torch" not in sys.modules:
        return
    places = {name: f"a torch tensor on {value.device}" if is_torch(value) else "" for name, value in plain.items()}
    if len(set(places.values())) > 1:
        shown = ", ".join(f"'{name}' {place or 'a numpy array'}" for name, place in places.items())
        raise InputError(f"all levels have to be in one place: {shown}")


def _check_decodes(levels: Sequence[Level]) -> None:
    """Refuse what a decoder would by its default limits. Raises InputError."""
    try:
        Limits().check(levels=len(levels), channels={level.name: level.shape[0] for level in levels})
    except LimitError as error:
        raise InputError(f"{error}, with which bitstreams are decoded: divide it") from error


def _levels_of(name: object, value: Tensor) -> list[Level]:
    layout = value.named(str(name))
    if layout is None:
        return [check_level(name, *value.levels())]
    first, *extra = value.levels()
    return [check_level(name, first, layout), *map(check_level, layout.level_names[1:], extra)]
