"""A level's channels in groups, each a stream of its own: what threads share out, and what a cache holds."""

from __future__ import annotations

import operator
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TypeVar

from midstream.errors import InputError

#: Channels that `fast` codes side by side; a group has a multiple of them.
_LANES = 32
#: A group has at least so many elements, so that its tables and states cost next to nothing.
_LEAST_ELEMENTS = 1 << 18
#: Below so many elements in all, starting threads takes longer than what they save.
_WORTH_THREADS = 1 << 20
#: Several threads take groups of more elements one by one, since each has its symbols in memory meanwhile.
_MOST_TOGETHER = 1 << 21
_T = TypeVar("_T")
_R = TypeVar("_R")


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


def thread_count(threads: int | None, elements: int) -> int:
    """How many threads to use for so many elements: all cores for None. Raises InputError."""
    try:
        count = core_count() if threads is None else operator.index(threads)  # numpy's integers, too
    except TypeError:
        count = 0
    if count < 1 or isinstance(threads, bool):
        raise InputError(f"threads is a whole number of at least 1, not {threads!r}")
    return count if elements >= _WORTH_THREADS else 1


def core_count() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run(function: Callable[[_T], _R], tasks: Sequence[_T], threads: int) -> list[_R]:
    """The function's results for the tasks, in their order, from at most so many threads."""
    if threads == 1 or len(tasks) < 2:
        return [function(task) for task in tasks]
    with ThreadPoolExecutor(min(threads, len(tasks))) as pool:
        return list(pool.map(function, tasks))
