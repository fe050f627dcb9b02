"""A level's channels in groups, each a stream of its own: what threads share out, and what a cache holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

#: Channels that `fast` codes side by side; a group has a multiple of them.
_LANES = 32
#: A group has at least so many elements, so that its tables and states cost next to nothing.
_LEAST_ELEMENTS = 1 << 18
#: Several threads encode groups of more elements one by one, since each has its symbols in memory meanwhile.
_MOST_TOGETHER = 1 << 21
_T = TypeVar("_T")


def channel_groups(shape: tuple[int, int, int]) -> list[slice]:
    """The groups of a level [C, H, W], by its shape alone (docs/format.md)."""
    channels, height, width = shape
    together = _LANES * -(-_LEAST_ELEMENTS // (_LANES * height * width))
    return [slice(at, min(at + together, channels)) for at in range(0, channels, together)]


def in_pairs(items: Sequence[_T]) -> list[Sequence[_T]]:
    """Two and two of consecutive groups, the last one alone where their number is odd."""
    return [items[at : at + 2] for at in range(0, len(items), 2)]


def in_tasks(items: Sequence[_T], shape: tuple[int, int, int], threads: int) -> list[Sequence[_T]]:
    """Consecutive groups of a level [C, H, W] that are encoded together: two, which is faster than one after the other.

    Large ones are not, by several threads: each would have the symbols of two in memory.
    """
    group = channel_groups(shape)[0]
    large = (group.stop - group.start) * shape[1] * shape[2] > _MOST_TOGETHER
    return [items[at : at + 1] for at in range(len(items))] if large and threads > 1 else in_pairs(items)
