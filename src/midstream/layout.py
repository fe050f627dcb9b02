"""Arrays that are no maps [C, H, W]: tokens, sequences, vectors; how they lie in the levels that are coded of them.

A codec knows levels [C, H, W] and nothing else. What an array's axes mean is said here, at the door: `Tensor` goes in,
levels of it are coded, and the bitstream says how the array is made of them again (docs/format.md, "Codec 4").
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from midstream.errors import InputError

#: What an axis may be: of one, heads (or any other second axis of channels), channels, then what positions are along.
ONE, HEADS, CHANNELS = "1", "G", "C"
#: The axes of positions that there can be, in the order of a level's.
POSITIONS = ("HW", "N", "T", "")
#: Letters in `axes`, at most.
MOST_AXES = 8
#: What the level of the tokens that are not of the grid is called, behind the array's own name.
EXTRA = "+extra"
#: Of plain arrays [1, N, D]: tokens with a batch dimension have so many numbers at least, and a multiple of `_STEP`.
_LEAST_WIDTH, _STEP = 32, 8
Size = tuple[int, int]


def positions_of(axes: str) -> str | None:
    """The axes of positions among `axes`, in the order of a level's; None for axes that no array can have."""
    rest = axes.replace(ONE, "")
    if len(axes) > MOST_AXES or len(set(rest)) != len(rest) or CHANNELS not in rest:
        return None
    along = "".join(sorted(set(rest) - {CHANNELS, HEADS}))
    return along if along in POSITIONS else None


@dataclass(frozen=True)
class Layout:
    """How an array lies in levels: in one of its own name and, where it has extra tokens, another one of those.

    Attributes:
        name: of the array.
        axes: see Tensor.
        heads: how many there are of "G"; 1 without.
        extra: tokens that are in a level of their own.
    """

    name: str
    axes: str
    heads: int = 1
    extra: int = 0

    def __str__(self) -> str:
        """For people."""
        heads = f", {self.heads} heads" if HEADS in self.axes else ""
        extra = f", the first {self.extra} of its tokens in '{self.level_names[1]}'" if self.extra else ""
        return f"array '{self.name}': axes {self.axes}{heads}{extra}"

    @property
    def level_names(self) -> tuple[str, ...]:
        """The names of its levels."""
        return (self.name, self.name + EXTRA) if self.extra else (self.name,)

    def levels(self, values: Any, grid: Size | None) -> list[Any]:
        """Levels [C, H, W] of the array, by `level_names`; its shape and the grid are checked already."""
        rest = self.axes.replace(ONE, "")
        sizes = [size for size, axis in zip(values.shape, self.axes, strict=True) if axis != ONE]
        order = [rest.index(axis) for axis in self._order(rest)]
        moved = _moved(values.reshape(sizes), order)
        along = [sizes[rest.index(axis)] for axis in positions_of(self.axes) or ""]
        channels = math.prod(sizes) // math.prod(along)
        if len(along) == 2:
            return [moved.reshape(channels, *along)]
        flat = moved.reshape(channels, 1, -1)
        own = flat[:, :, self.extra :]
        first = own if grid is None else own.reshape(channels, *grid)
        return [first, flat[:, :, : self.extra]] if self.extra else [first]

    def fault(self, shapes: Sequence[tuple[int, int, int] | None]) -> str:
        """What keeps levels of these shapes, by `level_names`, from being the array; empty for nothing."""
        there = [shape for shape in shapes if shape is not None]
        if len(there) < len(self.level_names):
            return f"the array '{self.name}' lacks a level"
        (channels, height, width), *extra = there
        along = positions_of(self.axes)
        if channels % self.heads:
            return f"the array '{self.name}' has {channels} channels in {self.heads} heads"
        if (along == "T" and height != 1) or (along == "" and height * width != 1):
            return f"the array '{self.name}' of axes {self.axes} has a level of {height} x {width}"
        if extra and extra[0] != (channels, 1, self.extra):
            return f"the array '{self.name}' has extra tokens of shape {list(extra[0])}"
        return ""

    def array(self, levels: Sequence[Any]) -> Any:
        """The array again, of levels without `fault`."""
        first = levels[0]
        channels = first.shape[0]
        rest = self.axes.replace(ONE, "")
        order = self._order(rest)
        along = positions_of(self.axes) or ""
        sizes = {HEADS: self.heads, CHANNELS: channels // self.heads}
        if along == "HW":
            sizes |= {"H": first.shape[1], "W": first.shape[2]}
        else:
            flat = [each.reshape(channels, -1) for each in (*levels[1:], first)]
            first = flat[0] if len(flat) == 1 else _joined(flat)
            sizes |= dict.fromkeys(along, first.shape[1])
        moved = _moved(first.reshape([sizes[axis] for axis in order]), [order.index(axis) for axis in rest])
        return _whole(moved).reshape([1 if axis == ONE else sizes[axis] for axis in self.axes])

    def _order(self, rest: str) -> str:
        """The axes that are not of one, in the order of a level's."""
        return "".join(axis for axis in f"{HEADS}{CHANNELS}HWNT" if axis in rest)


class Tensor:
    """An array whose axes are said, as a level of a pyramid for `midstream.encode`.

    >>> tokens = ms.Tensor(x, axes="1NC", grid=(14, 14), extra=1)  # [1, 197, 384]: a class token, then 14 x 14 patches
    >>> back = ms.decode(ms.encode({"tokens": tokens}))["tokens"]  # [1, 197, 384] again

    Attributes:
        values: numpy array or torch tensor, as it was given.
        layout: what `axes` and `extra` come to, without a name.
        grid: rows and columns of the tokens that are not extra; None where they are a sequence.
    """

    def __init__(self, values: Any, axes: str, *, grid: Sequence[int] | None = None, extra: int = 0) -> None:
        """Say what the axes are.

        Args:
            values: numpy array or torch tensor of an element type of a pyramid.
            axes: a letter an axis, in the array's order: "C" channels, "H" and "W" rows and columns, "N" tokens, "T"
                time, "G" heads (a second axis of channels), "1" an axis of one, such as the batch's. So "CHW", "HWC",
                "1NC", "CT", "TC", "GNC" (a cache of keys or values), "C".
            grid: (rows, columns) of the tokens, row by row.
            extra: so many tokens at the begin are not of the grid, such as a class token.

        Raises:
            InputError: axes that do not fit the array, or a grid that does not fit the tokens.
        """
        values = values if hasattr(values, "ndim") else np.asarray(values)
        along = positions_of(axes) if isinstance(axes, str) else None
        if along is None:
            raise InputError(
                f"axes {axes!r}: one C, with H and W, N (tokens) or T (time) or nothing beside it, G for heads and 1 "
                "for axes of one; such as CHW, HWC, 1NC, CT, GNC, C"
            )
        shape = [int(size) for size in values.shape]
        if len(shape) != len(axes):
            raise InputError(f"axes {axes} are {len(axes)}, the array has {len(shape)}: {shape}")
        if any(axis == ONE and size != 1 for axis, size in zip(axes, shape, strict=True)):
            raise InputError(f"axes {axes} of {shape}: an axis 1 has one entry; code the parts of a batch one by one")
        if 0 in shape:
            raise InputError(f"the array is empty: {shape}")
        if (grid is not None or extra) and along != "N":
            raise InputError(f"grid and extra are of tokens, and axes {axes} have no N")
        tokens = shape[axes.index("N")] if along == "N" else 0
        self.values = values
        self.grid = _checked_grid(tokens, grid, extra)
        self.layout = Layout("", axes, shape[axes.index(HEADS)] if HEADS in axes else 1, extra)

    def __repr__(self) -> str:
        """Shape, axes, grid."""
        more = f", grid={self.grid}" if self.grid else ""
        more += f", extra={self.layout.extra}" if self.layout.extra else ""
        return f"Tensor({list(self.values.shape)}, axes={self.layout.axes!r}{more})"

    def named(self, name: str) -> Layout | None:
        """Its layout as the array of this name; None where it is a map [C, H, W] and nothing has to be said."""
        one = self.layout
        return None if one.axes == "CHW" else Layout(name, one.axes, one.heads, one.extra)

    def levels(self) -> list[Any]:
        """Its levels [C, H, W], by the names of its layout."""
        return self.layout.levels(self.values, self.grid)


def _whole_number(value: object) -> int:
    """An int, NumPy's as well; -1 for anything else."""
    return int(value) if isinstance(value, int | np.integer) and not isinstance(value, bool) else -1


def _checked_grid(tokens: int, grid: Sequence[int] | None, extra: int) -> Size | None:
    if not 0 <= _whole_number(extra) < max(tokens, 1):
        raise InputError(f"extra is how many of the {tokens} tokens are not of the grid, not {extra!r}")
    if grid is None:
        return None
    sizes = [_whole_number(size) for size in grid] if np.iterable(grid) else []
    if len(sizes) != 2 or min(sizes) < 1:
        raise InputError(f"grid is (rows, columns), not {grid!r}")
    if math.prod(sizes) + extra != tokens:
        there = f"{sizes[0]} x {sizes[1]} and {extra} extra ones are {math.prod(sizes) + extra} tokens"
        raise InputError(f"{there}, the array has {tokens}: say how many are not of the grid with extra")
    return sizes[0], sizes[1]


def check_is_map(name: str, shape: Sequence[int]) -> None:
    """Refuse a plain array that may be tokens with a batch dimension. Raises InputError, which says how to say so."""
    if len(shape) != 3 or shape[0] != 1 or shape[1] == 1 or shape[2] < _LEAST_WIDTH or shape[2] % _STEP:
        return
    raise InputError(
        f"level '{name}' of shape {[int(size) for size in shape]} would be a map of one channel, and may be tokens: "
        f"say which with midstream.Tensor(x, axes='1NC') for {shape[1]} tokens of {shape[2]} numbers (with grid= and "
        "extra= if they are of an image), or axes='CHW' for a map"
    )


def _moved(values: Any, order: Sequence[int]) -> Any:
    return values.permute(*order) if hasattr(values, "permute") else np.transpose(values, order)


def _whole(values: Any) -> Any:
    return values.contiguous() if hasattr(values, "contiguous") else np.ascontiguousarray(values)


def _joined(parts: Sequence[Any]) -> Any:
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts, axis=1)
    import torch

    return torch.cat(list(parts), dim=1)
