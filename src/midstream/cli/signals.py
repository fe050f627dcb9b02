"""Work in asyncio that ends in an orderly way when a signal comes."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
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
