"""What happens to a command's work when a signal comes."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

_T = TypeVar("_T")


async def until_signal(
    work: Callable[[asyncio.Event], Coroutine[Any, Any, _T]], told: Callable[[], None] = lambda: None
) -> _T:
    """Run until the work ends by itself or by the event that the first signal sets; a second one ends everything.

    Args:
        work: is given the event.
        told: called at the first signal.

    Raises:
        KeyboardInterrupt: at the second signal.
    """
    stop = asyncio.Event()
    task = asyncio.create_task(work(stop))

    def received() -> None:
        if stop.is_set():
            task.cancel()
            return
        stop.set()
        told()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, received)
    try:
        return await task
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


@contextmanager
def kept_in(folder: Path) -> Iterator[None]:
    """Have an interrupt of work whose intermediate results are in a folder say so. Raises KeyboardInterrupt."""
    try:
        yield
    except KeyboardInterrupt:
        there = f"the same command goes on from {folder}" if folder.is_dir() else "nothing is kept"
        raise KeyboardInterrupt(there) from None
