"""Threads: how many a call uses, and work shared out to them."""

from __future__ import annotations

import operator
import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import TypeVar

from midstream.errors import InputError

#: Below so many elements in all, starting threads takes longer than what they save.
_WORTH_THREADS = 1 << 20
_T = TypeVar("_T")
_R = TypeVar("_R")


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
    """The function's results for the tasks, in their order, from at most so many threads, this one included."""
    if threads == 1 or len(tasks) < 2:
        return [function(task) for task in tasks]
    results: dict[int, _R] = {}

    def do(number: int) -> None:
        results[number] = function(tasks[number])

    with Following(min(threads, len(tasks))) as following:
        for number in range(len(tasks)):
            following.add(partial(do, number))
    return [results[number] for number in range(len(tasks))]


def submitted(pool: ThreadPoolExecutor, task: Callable[[], _R]) -> Future[_R]:
    """The task's future in a pool; where the system has no room for another thread, it may be done here."""
    future: Future[_R] = Future()
    waiting = deque([task])  # whoever takes it does it: a pool that cannot start a thread keeps it all the same

    def work(caught: type[BaseException] = BaseException) -> None:
        with suppress(IndexError):
            own = waiting.popleft()
            try:
                result = own()
            except caught as error:
                future.set_exception(error)
            else:
                future.set_result(result)

    try:
        pool.submit(work)
    except RuntimeError:
        work(Exception)  # an interrupt is this thread's own
    return future


class Following:
    """Tasks that other threads do while this one goes on finding more; at the end of a `with` it helps them.

    One thread does each task at once. What a task raises, the first of them in their order, is raised at the end, and
    tasks that have not begun by then are left out, as after an exception of the `with` itself. Where the system has no
    room for other threads, this one does it all.
    """

    def __init__(self, threads: int) -> None:
        """With so many threads, this one included."""
        self._pool = ThreadPoolExecutor(threads - 1) if threads > 1 else None
        self._tasks: deque[tuple[int, Callable[[], None]]] = deque()
        self._count = 0
        self._raised: dict[int, BaseException] = {}

    def add(self, task: Callable[[], None]) -> None:
        """A task that may be done from now on."""
        if self._pool is None:
            task()
            return
        self._tasks.append((self._count, task))
        self._count += 1
        with suppress(RuntimeError):  # no thread can be started
            self._pool.submit(self._next)

    def _next(self, caught: type[BaseException] = BaseException) -> None:
        try:
            number, task = self._tasks.popleft()
        except IndexError:  # another thread was quicker
            return
        try:
            task()
        except caught as error:  # all before this one have begun, and will have raised at the end what they raise
            self._raised[number] = error
            self._tasks.clear()

    def __enter__(self) -> Following:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Until all is done."""
        try:
            while error is None and not self._raised and self._tasks:
                self._next(Exception)  # an interrupt is this thread's own
        finally:
            self._tasks.clear()
            if self._pool is not None:
                self._pool.shutdown()
        if error is None and self._raised:
            raise self._raised[min(self._raised)]
