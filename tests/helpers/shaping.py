"""TCP in between that is as narrow, as far and as short of buffers as it is told to be, and changes while it runs."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from dataclasses import dataclass, field

PACKET = 1400
#: How long a packet goes at one rate, before it is looked whether that is still the one.
_SLICE_S = 0.01


@dataclass
class Lane:
    """One direction; may be changed at any time.

    Attributes:
        rate: bits a second, None for no limit, 0 for a link that stands.
        delay_s: from leaving it to arriving.
        queue_bytes: what waits at its entrance, as in a router; what is more has to wait at the sender.
        passed: bytes that have left it.
    """

    rate: float | None = None
    delay_s: float = 0.0
    queue_bytes: int = 16_384
    passed: int = 0
    _free_at: float = 0.0
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def carry(self, size: int) -> None:
        """Until the last of so many bytes has left it; one packet after another, whoever's they are."""
        async with self._turn:
            left = 8.0 * size
            while left > 0 and self.rate is not None:
                now = time.monotonic()
                self._free_at = max(self._free_at, now - _SLICE_S)  # a late wake-up costs the link nothing
                slice_s = _SLICE_S if self.rate == 0 else min(left / self.rate, _SLICE_S)
                self._free_at += slice_s
                left -= slice_s * self.rate if slice_s == _SLICE_S else left
                await asyncio.sleep(self._free_at - now)
            self.passed += size


class ShapedLink:
    """A proxy on loopback; all its connections share the two lanes.

    Attributes:
        address: HOST:PORT to connect to.
        up, down: to the server and back.
    """

    def __init__(self, target: int) -> None:
        """In front of a port of this machine."""
        self.up, self.down = Lane(), Lane()
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # what waits, waits in the lanes
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __enter__(self) -> ShapedLink:
        return self

    def __exit__(self, *error: object) -> None:
        self._loop.call_soon_threadsafe(self._serving.cancel)
        self._thread.join()
        self._listener.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._serving = self._loop.create_task(self._serve())
        with contextlib.suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._serving)
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.close()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._connected, sock=self._listener, limit=PACKET)
        async with server:
            await server.serve_forever()

    async def _connected(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        try:
            far, forth = await asyncio.open_connection("127.0.0.1", self._target, limit=PACKET)
        except OSError:
            back.close()
            return
        lanes = [asyncio.create_task(_pass(near, forth, self.up)), asyncio.create_task(_pass(far, back, self.down))]
        try:
            with contextlib.suppress(asyncio.CancelledError):  # at the end; asyncio would call it an error
                await asyncio.wait(lanes, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in lanes:
                each.cancel()
            await asyncio.gather(*lanes, return_exceptions=True)
            for end in (forth, back):
                end.close()


async def _pass(source: asyncio.StreamReader, sink: asyncio.StreamWriter, lane: Lane) -> None:
    waiting: asyncio.Queue[bytes] = asyncio.Queue(max(lane.queue_bytes // PACKET, 1))
    leaving: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def read() -> None:
        while data := await source.read(PACKET):
            await waiting.put(data)
        await waiting.put(b"")

    async def carry() -> None:
        while data := await waiting.get():
            await lane.carry(len(data))
            leaving.put_nowait((time.monotonic() + lane.delay_s, data))
        leaving.put_nowait((0.0, b""))

    async def arrive() -> None:
        while True:
            due, data = await leaving.get()
            if not data:
                return
            await asyncio.sleep(due - time.monotonic())
            sink.write(data)
            await sink.drain()

    steps = [asyncio.create_task(step) for step in (read(), carry(), arrive())]
    try:
        await asyncio.wait({steps[-1]})
    finally:
        for each in steps:
            each.cancel()
        await asyncio.gather(*steps, return_exceptions=True)
