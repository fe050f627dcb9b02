"""The transform (transform.py) on a device of torch's, as torch.matmul multiplies there.

Sums are added up in the device's own order, so that coefficients differ a little from the host's, and the values that
are made of them in the last bits of a float32 (docs/devices.md). Nothing that says how a byte is read is made here:
coefficients are quantised, predicted and coded on the host, from what came over.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import leaky_relu, pad

from midstream.codec.calibrated.cell_probe import LEAK
from midstream.codec.calibrated.parts import CellProbe, Floats, GroupPart, GroupSight, LevelPart
from midstream.codec.calibrated.transform import Size
from midstream.errors import CorruptError, InputError
from midstream.features import DeviceLevel


@dataclass(frozen=True)
class _LevelOn:
    """What a LevelPart has, as it is multiplied with: rows [k, C], their centre [k, 1], columns [C, k], [C, 1] each."""

    rows: Any
    centre: Any
    columns: Any
    mean: Any
    low: Any
    high: Any

    @classmethod
    def of(cls, level: LevelPart, device: Any, whole: bool) -> _LevelOn:
        columns = (each[:, None] for each in (level.mean, level.low, level.high))
        back = _whole_columns(level.columns) if whole else level.columns
        arrays = level.rows, level.centre[:, None], back, *columns
        return cls(*(torch.from_numpy(np.array(array)).to(device) for array in arrays))


@dataclass(frozen=True)
class _GroupOn:
    """The basis as coefficients are made with it, and as they are undone."""

    basis: Any
    back: Any
    levels: list[_LevelOn]


def _on(device: Any, group: GroupPart) -> _GroupOn:
    """The group's matrices, which stay on the device as long as the profile is there."""
    if device not in group.on_devices:
        levels = [_LevelOn.of(level, device, group.all_whole) for level in group.levels]
        basis = torch.from_numpy(np.array(group.basis)).to(device)
        back = torch.from_numpy(_whole_basis(group.basis)).to(device) if group.whole else basis
        back = back.double() if group.all_whole else back
        group.on_devices[device] = _GroupOn(basis, back, levels)
    found: _GroupOn = group.on_devices[device]
    return found


#: Of whole numbers of 16 bits; the square of the length of a cell of them (docs/format.md, "In whole numbers").
_MOST, _MOST_SQUARE = 32767, 2.0**30


def _whole_basis(basis: Floats) -> Floats:
    """What whole numbers make of a basis [K, D]."""
    largest = float(np.abs(basis).max())
    exponent = next(b for b in range(15, -16, -1) if largest * 2.0**b <= _MOST)
    return np.asarray(np.ldexp(np.rint(np.ldexp(basis, exponent)), -exponent), np.float32)


def _whole_columns(columns: Floats) -> NDArray[np.float64]:
    """What whole numbers make of the columns [C, k] of a level's last stage."""
    out = []
    for row in columns.astype(np.float64):
        exponent = next(b for b in range(15, -128, -1) if np.abs(row).max() * 2.0**b <= _MOST)
        while np.square(np.rint(np.ldexp(row, exponent))).sum() > 2 * _MOST_SQUARE:
            exponent -= 1
        out.append(np.ldexp(np.rint(np.ldexp(row, exponent)), -exponent))
    return np.array(out)


def _whole_elements(elements: Any) -> Any:
    """What whole numbers make of the first-stage coefficients [k, H * W] of elements, on their device, in doubles."""
    lower = next(octaves for octaves in range(32) if 4**octaves >= len(elements))
    octaves = torch.frexp(elements.abs().amax(dim=0)).exponent
    exponents = torch.clamp(14 - lower - octaves, max=100)
    return torch.ldexp(torch.round(torch.ldexp(elements.double(), exponents)), -exponents)


def _whole_cells(coefficients: Floats) -> Floats:
    """What whole numbers make of the coefficients [K, cells], which are finite."""
    values = coefficients.astype(np.float64)
    largest = np.abs(values).max(axis=0)
    exponents = np.where(largest > 0, np.minimum(15 - np.frexp(largest)[1], 100), 0)

    def rounded() -> NDArray[np.float64]:
        return np.asarray(np.clip(np.rint(np.ldexp(values, exponents)), -_MOST, _MOST), np.float64)

    squares = np.square(rounded()).sum(axis=0)
    while (over := squares > _MOST_SQUARE).any():
        exponents = exponents - over
        squares = np.where(over, np.floor(squares / 4), squares)
    return np.ldexp(rounded(), -exponents).astype(np.float32)


def checked_map(level: DeviceLevel) -> Any:
    """The level [C, H, W]. Raises InputError for a NaN or an infinity."""
    finite = torch.isfinite(level.tensor).all(dim=1)
    if not finite.all():
        channel = int(torch.argmin(finite.int()))
        raise InputError(f"level '{level.name}', channel {channel} holds a NaN or an infinity")
    return level.tensor.reshape(level.shape)


def forward_on(group: GroupPart, maps: Mapping[str, Any], grid: Size) -> tuple[Floats, Size, Floats | None]:
    """Coefficients [cells, K] on the host, of a group's levels, [C, H, W] by name on one device, and their grid.

    And what it adds to the numbers that a CellProbe looks at, [cells, M], if it does.
    """
    first = maps[group.levels[0].about.name]
    own = _on(first.device, group)
    with torch.autocast(first.device.type, enabled=False):
        stacked = [
            _first_stage(level, on, maps[level.about.name], grid)
            for level, on in zip(group.levels, own.levels, strict=True)
        ]
        coefficients = torch.matmul(own.basis, torch.cat(stacked))
        seen = _seen(group.probe, group, stacked) if isinstance(group.probe, GroupSight) else None
    return _by_cell(coefficients), grid, None if seen is None else _by_cell(seen)


def _by_cell(values: Any) -> Floats:
    """[cells, ..] on the host."""
    return np.asarray(values.T.contiguous().cpu().numpy())


def _seen(sight: GroupSight, group: GroupPart, stacked: Sequence[Any]) -> Any:
    """What a group adds to each cell's numbers (native/first_whole.hpp), from first-stage coefficients, [M, cells]."""

    def on(array: Floats) -> Any:
        return torch.from_numpy(np.array(array)).to(stacked[0].device)

    features = []
    for level, own, numbers in zip(group.levels, sight.levels, stacked, strict=True):
        elements = numbers.reshape(own.rows.shape[1], -1)
        made = leaky_relu(torch.matmul(on(own.rows), elements) + on(own.bias[:, None]), float(LEAK))
        made = made.reshape(len(made), level.about.ratio**2, -1)
        features += [made.amax(1)] if level.about.ratio == 1 else [made.amax(1), made.mean(1)]
    mixed = torch.matmul(on(sight.mix), torch.cat(features))
    return mixed + on(sight.mix_bias[:, None]) if isinstance(sight, CellProbe) else mixed


def _size(maps: Any) -> Size:
    return int(maps.shape[1]), int(maps.shape[2])


def _first_stage(level: LevelPart, on: _LevelOn, maps: Any, grid: Size) -> Any:
    channels, height, width = maps.shape
    ratio, count = level.about.ratio, len(level.basis)
    values = (torch.matmul(on.rows, maps.reshape(channels, -1)) - on.centre).reshape(count, height, width)
    beyond = (0, grid[1] * ratio - width, 0, grid[0] * ratio - height)
    padded = pad(values, beyond, mode="replicate") if any(beyond) else values
    cells = padded.reshape(count, grid[0], ratio, grid[1], ratio).permute(0, 2, 4, 1, 3)
    return cells.reshape(-1, grid[0] * grid[1])


def inverse_on(
    device: Any,
    group: GroupPart,
    coefficients: Floats,
    sizes: Mapping[str, Size],
    dtypes: Mapping[str, str],
    wanted: Collection[str],
) -> dict[str, Any]:
    """The wanted levels of a group, tensors [C, H, W] in their own element types, from coefficients [K, height, width].

    Raises:
        CorruptError: values out of range.
    """
    own = _on(device, group)
    grid = coefficients.shape[1], coefficients.shape[2]
    out, finite, at = {}, [], 0
    with torch.autocast(device.type, enabled=False):
        flat = np.ascontiguousarray(coefficients).reshape(len(coefficients), -1)
        cells = torch.from_numpy(_whole_cells(flat) if group.whole else flat).to(device)
        stacked = torch.matmul(
            own.back.T, cells.to(own.back.dtype)
        ).float()  # sums of whole numbers are exact in doubles
        for level, on in zip(group.levels, own.levels, strict=True):
            name, count = level.about.name, level.dimensions
            if name in wanted:
                values = _last_stage(level, on, stacked[at : at + count], grid, sizes[name], group.all_whole)
                finite.append(torch.isfinite(values).all())
                out[name] = _limited(values, on, getattr(torch, dtypes[name])).reshape(-1, *sizes[name])
            at += count
    for name, each in zip(out, finite, strict=True):
        if not each:
            raise CorruptError(f"level '{name}': values out of range")
    return out


def _last_stage(level: LevelPart, on: _LevelOn, stacked: Any, grid: Size, size: Size, whole: bool) -> Any:
    """[C, H * W]."""
    ratio, count = level.about.ratio, len(level.basis)
    cells = stacked.reshape(count, ratio, ratio, *grid).permute(0, 3, 1, 4, 2)
    maps = cells.reshape(count, grid[0] * ratio, grid[1] * ratio)[:, : size[0], : size[1]].reshape(count, -1)
    return torch.matmul(on.columns, _whole_elements(maps) if whole else maps).float() + on.mean


def _limited(values: Any, on: _LevelOn, dtype: Any) -> Any:
    largest = torch.finfo(dtype).max
    return torch.clamp(torch.minimum(torch.maximum(values, on.low), on.high), -largest, largest).to(dtype)
