"""A level's channels in groups, each a stream of its own: what threads share out, and what a cache holds."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TypeVar

#: Channels that `fast` codes side by side; a group has a multiple of them.
_LANES = 32
#: A group has at least so many elements, so that its tables and states cost next to nothing.
_LEAST_ELEMENTS = 1 << 18
#: Several threads take groups of more elements one by one, since each has its symbols in memory meanwhile.
_MOST_TOGETHER = 1 << 21
_T = TypeVar("_T")


def channel_groups(shape: tuple[int, int, int]) -> list[slice]:
    """The groups of a level [C, H, W], by its shape alone (docs/format.md)."""
    channels, height, width = shape
    together = _LANES * -(-_LEAST_ELEMENTS // (_LANES * height * width))
    return [slice(at, min(at + together, channels)) for at in range(0, channels, together)]


def in_tasks(items: Sequence[_T], shape: tuple[int, int, int], threads: int) -> list[Sequence[_T]]:
    """Consecutive groups of a level [C, H, W] that are coded together: two, which `fast` codes faster than one."""
    group = channel_groups(shape)[0]
    large = (group.stop - group.start) * shape[1] * shape[2] > _MOST_TOGETHER
    step = 1 if large and threads > 1 else 2
    edges = [*range(0, len(items), step), len(items)]
    return [items[a:b] for a, b in pairwise(edges)]
