"""A server and a comparison in the process of a test, where processes of their own are not what is tested."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import pytest

from midstream import serve
from midstream.compare import run as comparison
from midstream.compare import worker
from midstream.models import SplitModel
from midstream.serve import Served, ServerSettings

_T = TypeVar("_T")


def asked(served: Served, client: Callable[[str], Awaitable[_T]]) -> _T:
    """What a client gets of a server at the address that it is given: both in one loop, with gRPC between them."""
    tasks: list[asyncio.Task[_T]] = []

    async def until_done(address: str) -> _T:
        try:
            return await client(address)
        finally:
            signal.raise_signal(signal.SIGTERM)

    def ready(address: str) -> None:
        tasks.append(asyncio.get_running_loop().create_task(until_done(address)))

    assert serve.run(ServerSettings(port=0, workers=1), served, ready)
    return tasks[0].result()


@contextmanager
def comparing_here(model: SplitModel) -> Iterator[None]:
    """`compare` with this network in a thread of this process; nothing says how much memory codecs take."""

    @contextmanager
    def workers(*_: object) -> Iterator[Executor]:
        with ThreadPoolExecutor(1) as pool:
            yield pool

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comparison, "workers", workers)
        patch.setattr(comparison, "network_memory", lambda *_: None)
        patch.setattr(worker, "codec_memory", lambda *_: [None, None])
        patch.setattr(worker._Held, "model", model, raising=False)
        patch.setattr(worker._Held, "cache", None)
        yield
