"""The quantiser of `paper` on a device of torch's: the same symbols, and the same bytes, as native/quantize.cpp makes.

Sums are added up in the order that native/channels_kernel.hpp defines: blocks of 1024 elements, of which element i goes
to lane i modulo the number of lanes. On a device a lane is a column, and all blocks of a pyramid are added up side by
side, one row of lanes after another. Products and sums are operations of their own, so that nothing is contracted. What
is left, a few numbers a block, is merged on the host.

Two things are summed otherwise: the intervals of more than 16 symbols, and the histogram that Lloyd-Max thresholds are
fitted to. These are sums of whole numbers, the same on every device, which differ from the host's in the last bits
of a double.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from midstream import _native
from midstream.codec.paper.coding import Quantised
from midstream.codec.paper.normalize import ChannelStatistics
from midstream.codec.paper.quantize import HISTOGRAM_BINS, HISTOGRAM_LIMIT, Histogram
from midstream.features import DeviceLevel

# As in native/channels_kernel.hpp.
_BLOCK = 1024
_STATISTICS_LANES = 32
_SUM_LANES = 16
_MOST_COMPARED = 15
#: Of the two whole numbers that a summand is written with: bits behind the point.
_HIGH_BITS, _LOW_BITS = 20, 32
_INFINITY = np.float32(np.inf)


@dataclass(frozen=True)
class _Blocks:
    """A level in blocks.

    Attributes:
        level: the level.
        values: float32 [C * n, 1024], the channels' blocks one after another; what a last one lacks is its first
            element.
        lacking: elements that the last block of a channel lacks.
    """

    level: DeviceLevel
    values: Any
    lacking: int

    @classmethod
    def of(cls, level: DeviceLevel) -> _Blocks:
        channels, size = level.tensor.shape
        count = -(-size // _BLOCK)
        lacking = count * _BLOCK - size
        values = level.tensor
        if lacking:
            first = values[:, (count - 1) * _BLOCK, None]
            values = torch.cat([values, first.expand(channels, lacking)], dim=1)
        return cls(level, values.reshape(channels * count, _BLOCK), lacking)


def quantise(levels: Sequence[DeviceLevel], thresholds: Sequence[float], alphabet: int) -> list[Quantised]:
    """Of each level what `_native.quantize` gives; for a range, without thresholds, no counts and sums ([C', 0])."""
    statistics = channel_statistics(levels)
    compared = 0 < len(thresholds) <= _MOST_COMPARED
    few = _compared(levels, statistics, thresholds) if compared else [None] * len(levels)
    out = []
    for level, own, found in zip(levels, statistics, few, strict=True):
        active = np.flatnonzero(np.isfinite(own.mean) & ~own.constant)
        if compared and found is None:  # of elements so large that a sum of them leaves float32: on the host
            out.append(Quantised(*_native.quantize(level.values, list(thresholds), alphabet)))
        elif found is not None:
            out.append(_taken(level, own, active, *found))
        else:
            out.append(_searched(level, own, active, thresholds, alphabet))
    return out


def channel_statistics(levels: Sequence[DeviceLevel]) -> list[ChannelStatistics]:
    """Of each level, to the bit as native/statistics.cpp: mean and std are NaN where there is a NaN or an infinity."""
    blocks = [_Blocks.of(level) for level in levels]
    values = torch.cat([each.values for each in blocks])
    low, high = values.amin(dim=1), values.amax(dim=1)
    distances = values.double() - values[:, :1].double()
    lanes = distances.reshape(len(values), -1, _STATISTICS_LANES)
    total = _folded(_in_turn(lanes))
    square = _folded(_in_turn(lanes * lanes))
    found = [each.cpu().numpy() for each in (values[:, 0].double(), total, square, low, high)]
    out, at = [], 0
    for level, own in zip(levels, blocks, strict=True):
        channels, size = level.tensor.shape
        end = at + len(own.values)
        out.append(_merged(size, *(each[at:end].reshape(channels, -1) for each in found)))
        at = end
    return out


def _in_turn(lanes: Any) -> Any:
    """Sums [blocks, lanes] over [blocks, rows, lanes], row after row."""
    sums = torch.zeros_like(lanes[:, 0])
    for row in range(lanes.shape[1]):
        sums += lanes[:, row]
    return sums


def _folded(lanes: Any) -> Any:
    """Sums over the last dimension, halves upon halves."""
    while lanes.shape[-1] > 1:
        half = lanes.shape[-1] // 2
        lanes = lanes[..., :half] + lanes[..., half:]
    return lanes[..., 0]


def _merged(
    size: int,
    first: NDArray[np.float64],
    total: NDArray[np.float64],
    square: NDArray[np.float64],
    low: NDArray[np.float32],
    high: NDArray[np.float32],
) -> ChannelStatistics:
    """Of channels of so many elements from their blocks [C, n], as `channel_statistics` in native/statistics.cpp."""
    mean, m2 = np.zeros(len(first)), np.zeros(len(first))
    with np.errstate(invalid="ignore", over="ignore"):  # not finite
        for block in range(first.shape[1]):
            done = block * _BLOCK
            count = min(_BLOCK, size - done)
            delta = first[:, block] + total[:, block] / count - mean
            mean = mean + delta * (count / (done + count))
            own = square[:, block] - total[:, block] * (total[:, block] / count)
            m2 = m2 + (own + delta * delta * (done * count / (done + count)))
        std = np.sqrt(m2 / size)
    broken = ~np.isfinite(mean)
    mean[broken] = std[broken] = np.nan
    zero = np.float32(0)  # of two zeros of different sign the positive one
    return ChannelStatistics(mean, std, low.min(axis=1) + zero, high.max(axis=1) + zero)


def boundaries(statistics: ChannelStatistics, thresholds: Sequence[float], alphabet: int) -> NDArray[np.float32]:
    """Where the intervals of each channel begin, [C, n - 1]: native/quantize.cpp has what they mean."""
    mean, std = statistics.mean[:, None], statistics.std[:, None]
    if thresholds:
        reached = np.asarray(thresholds, np.float64)
        return _float_at_or_above(mean + reached * std, reached > 0)
    low, high = statistics.min.astype(np.float64)[:, None], statistics.max.astype(np.float64)[:, None]
    places = (np.arange(alphabet - 1) + 0.5) / max(alphabet - 1, 1)
    return _float_at_or_above(low + places * (high - low), np.zeros(alphabet - 1, np.bool_))


def _float_at_or_above(bound: NDArray[np.float64], strictly: NDArray[np.bool_]) -> NDArray[np.float32]:
    with np.errstate(
        over="ignore", invalid="ignore"
    ):  # beyond float32: an infinity, which no element reaches or all do
        near = bound.astype(np.float32)
        back = near.astype(np.float64)
        return np.where((back < bound) | (strictly & (back == bound)), np.nextafter(near, _INFINITY), near)


_Found = tuple[Any, NDArray[np.int64], NDArray[np.float64]]


def _compared(
    levels: Sequence[DeviceLevel], statistics: Sequence[ChannelStatistics], thresholds: Sequence[float]
) -> list[_Found | None]:
    """Symbols [C, size] on the device, and counts and sums [C, n] of a few intervals; None where a sum overflows."""
    blocks = [_Blocks.of(level) for level in levels]
    for each in blocks:
        if each.lacking:  # reaches no boundary
            each.values.view(len(each.level.tensor), -1)[:, -each.lacking :] = -math.inf
    values = torch.cat([each.values for each in blocks])
    with np.errstate(invalid="ignore"):
        pivots = [own.mean.astype(np.float32) for own in statistics]
    begins = [boundaries(own, thresholds, len(thresholds) + 1) for own in statistics]
    counts = [len(each.values) // len(each.level.tensor) for each in blocks]
    pivot = _by_block(pivots, counts, values)[:, None]
    bounds = _by_block(begins, counts, values)
    reached = torch.stack([values >= bounds[:, j, None] for j in range(len(thresholds))])
    symbols = reached.sum(dim=0, dtype=torch.uint8)
    reaching = reached.sum(dim=2).cpu().numpy()
    folded = _folded(_reaching_sums(values - pivot, reached).double()).cpu().numpy()
    out: list[_Found | None] = []
    at = 0
    for level, own, pivot_of, count in zip(levels, statistics, pivots, counts, strict=True):
        channels, size = level.tensor.shape
        end = at + channels * count
        sums = folded[:, at:end].reshape(-1, channels, count)
        active = np.isfinite(own.mean) & ~own.constant
        if np.isfinite(sums[:, active]).all():
            shown = symbols[at:end].reshape(channels, -1)[:, :size]
            numbers = reaching[:, at:end].reshape(-1, channels, count).sum(axis=2)
            out.append((shown, *_by_interval(size, own, pivot_of, numbers, np.cumsum(sums, axis=2)[:, :, -1])))
        else:
            out.append(None)
        at = end
    return out


def _by_block(rows: Sequence[NDArray[np.float32]], counts: Sequence[int], like: Any) -> Any:
    """What each channel has, [C] or [C, n], for each of its blocks, on the device of `like`."""
    on = [torch.from_numpy(own).to(like.device) for own in rows]
    return torch.cat([own.repeat_interleave(count, dim=0) for own, count in zip(on, counts, strict=True)])


def _reaching_sums(distances: Any, reached: Any) -> Any:
    """Sums [n - 1, blocks, lanes] of the distances [blocks, 1024] of what reaches each boundary, row after row."""
    rows = distances.reshape(len(distances), -1, _SUM_LANES)
    which = reached.reshape(len(reached), *rows.shape)
    zero = torch.zeros((), dtype=distances.dtype, device=distances.device)
    sums = torch.zeros((len(reached), len(rows), _SUM_LANES), dtype=distances.dtype, device=distances.device)
    for row in range(rows.shape[1]):
        sums += torch.where(which[:, :, row], rows[:, row], zero)
    return sums


def _by_interval(
    size: int,
    statistics: ChannelStatistics,
    pivot: NDArray[np.float32],
    reaching: NDArray[np.int64],
    deviations: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Counts and sums [C, n] of elements from those [n - 1, C] of what reaches each boundary."""
    from_pivot = pivot.astype(np.float64)
    with np.errstate(invalid="ignore"):
        total = size * (statistics.mean - from_pivot)
    counts = np.concatenate([np.full((1, len(pivot)), size), reaching]) - np.concatenate(
        [reaching, np.zeros((1, len(pivot)), np.int64)]
    )
    above = np.concatenate([deviations, np.zeros((1, len(pivot)))])
    with np.errstate(invalid="ignore"):
        sums = np.concatenate([total[None], deviations]) - above
        return counts.T, (sums + counts * from_pivot).T


def _taken(
    level: DeviceLevel,
    statistics: ChannelStatistics,
    active: NDArray[np.intp],
    symbols: Any,
    counts: NDArray[np.int64],
    sums: NDArray[np.float64],
) -> Quantised:
    """On the host, of the channels that have symbols."""
    if len(active) < len(level.tensor):
        symbols = symbols[torch.from_numpy(active).to(symbols.device)]
    held = np.ascontiguousarray(symbols.cpu().numpy())
    own = statistics
    return Quantised(own.mean, own.std, own.min, own.max, held, counts[active], sums[active])


def _searched(
    level: DeviceLevel,
    statistics: ChannelStatistics,
    active: NDArray[np.intp],
    thresholds: Sequence[float],
    alphabet: int,
) -> Quantised:
    """Of many intervals, or of none."""
    values = level.tensor
    with np.errstate(invalid="ignore"):
        bounds = torch.from_numpy(boundaries(statistics, thresholds, alphabet)).to(values.device)
    found = torch.searchsorted(bounds, values, right=True, out_int32=True)
    channels, size = values.shape
    counts, sums = np.zeros((channels, 0), np.int64), np.zeros((channels, 0))
    if alphabet == 1:
        pivots = statistics.mean.astype(np.float32)
        counts, sums = _by_interval(size, statistics, pivots, counts.T, sums.T)
    elif thresholds:
        scale = np.exp2(np.frexp(np.where(statistics.std > 0, statistics.std, 1))[1])
        unit = torch.from_numpy(scale).to(values.device)[:, None]
        pivot = torch.from_numpy(statistics.mean.astype(np.float32)).to(values.device)[:, None]
        rows = torch.arange(channels, device=values.device, dtype=torch.int32)[:, None] * alphabet
        own, summed = _by_index((values.double() - pivot.double()) / unit, found + rows, channels * alphabet)
        counts = own.reshape(channels, alphabet)
        sums = (
            summed.reshape(channels, alphabet) * scale[:, None] + counts * statistics.mean.astype(np.float32)[:, None]
        )
    return _taken(level, statistics, active, found.to(torch.uint8), counts, sums)


def histogram(level: DeviceLevel, statistics: ChannelStatistics) -> Histogram:
    """Of the normalised elements of the channels that are not constant, of a level whose `statistics` are finite."""
    active = np.flatnonzero(~statistics.constant)
    values = level.tensor[torch.from_numpy(active).to(level.tensor.device)]
    own = statistics.active()
    mean, std = (torch.from_numpy(each).to(values.device)[:, None] for each in (own.mean, own.std))
    normal = (values.double() - mean) / std
    bins = torch.floor((normal + HISTOGRAM_LIMIT) * (HISTOGRAM_BINS / (2 * HISTOGRAM_LIMIT)))
    return Histogram(*_by_index(normal, bins.clamp_(0, HISTOGRAM_BINS - 1), HISTOGRAM_BINS))


def _by_index(values: Any, index: Any, bins: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """How many values each index has, and their sum: of whole numbers, which come out the same in any order.

    The mean square of the values is about 1, so that sums of 2^32 of them have room.
    """
    where = index.reshape(-1).long()
    scaled = values.reshape(-1) * 2.0**_HIGH_BITS
    high = torch.round(scaled)
    low = torch.round((scaled - high) * 2.0**_LOW_BITS)
    sums = torch.zeros((2, bins), dtype=torch.int64, device=values.device)
    for part, own in zip(sums, (high, low), strict=True):
        part.index_add_(0, where, own.long())
    found = sums.cpu().numpy().astype(np.float64)
    counts = torch.bincount(where, minlength=bins).cpu().numpy()
    return counts, (found[0] + found[1] / 2.0**_LOW_BITS) / 2.0**_HIGH_BITS
