"""Attributes that are made when they are first asked for, and kept."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, TypeVar

_T = TypeVar("_T")


class cached_property(functools.cached_property[_T]):  # noqa: N801 (as the one that it stands for)
    """functools.cached_property as it is from Python 3.12 on: without a lock.

    Python 3.11's is shared by all objects of a class, so that a process that was forked while another thread held it
    would wait for ever. Two threads that ask for an attribute at once may both make it; one of the two is kept. What is
    too large to be made twice, as a network's session, keeps the other one.
    """

    def __init__(self, func: Callable[[Any], _T]) -> None:
        super().__init__(func)
        self.lock = nullcontext()
