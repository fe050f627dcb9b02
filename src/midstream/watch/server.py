"""The server of the page, on loopback alone: the page itself, and a websocket for each tab.

A tab asks for each message ("next"), so that a slow one gets the newest frame when it has shown the one before, and
nothing waits for it here. Who may connect: programs of this machine, and pages of this server. A name that some other
site's owner has pointed at 127.0.0.1 is refused by the header Host (DNS rebinding), another site's page by Origin.
"""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web
from aiohttp.http import HttpProcessingError

from midstream.errors import InputError
from midstream.watch.board import Board
from midstream.watch.controls import Controls
from midstream.watch.orders import Next, carry_out, read_order
from midstream.watch.page import assembled

#: What a browser may call this machine; a forwarded port may have another number.
_NAMES = {"127.0.0.1", "localhost", "[::1]"}
_ADDRESSES = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))
#: Tabs at a time, and bytes of what one sends.
MOST_TABS, _MOST_BYTES = 16, 1024
#: Between two messages about a source from which nothing comes; until a tab that does not answer is given up.
_TICK_S, _HEARTBEAT_S = 1.0, 15.0
_HEADERS = {
    "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer", "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}  # fmt: skip
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_LOG = logging.getLogger("midstream.watch")


def _is_own_fault(record: logging.LogRecord) -> bool:
    """Whether it was this program that failed: what is no HTTP is answered with 400, and needs no traceback."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


_LOG.addFilter(_is_own_fault)


def listen(port: int) -> list[socket.socket]:
    """Sockets at this port of 127.0.0.1 and, where there is one, ::1; with 0 at any that is free of both.

    Raises InputError where it is in use.
    """
    sockets: list[socket.socket] = []
    try:
        for family, address in _ADDRESSES:
            try:
                sockets.append(_bound(family, address, port or (sockets[0].getsockname()[1] if sockets else 0)))
            except OSError as error:
                if family == socket.AF_INET6 and error.errno not in (errno.EADDRINUSE, errno.EACCES):
                    continue  # a machine without IPv6
                taken = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be had: {error.strerror}"
                raise InputError(f"port {port} of {address} {taken}; --port 0 takes any that is free") from error
    except InputError:
        for each in sockets:
            each.close()
        raise
    return sockets


def _bound(family: int, address: str, port: int) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        if sys.platform != "win32":  # where it lets two programs have one port
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind((address, port))
        made.listen()
    except OSError:
        made.close()
        raise
    made.setblocking(False)
    return made


@dataclass(eq=False)
class _Tab:
    """What one tab has seen."""

    asked: asyncio.Event = field(default_factory=asyncio.Event)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    points_from: int = 0
    picture_from: int = 0
    refused: str = ""


class Site:
    """The page and its tabs."""

    def __init__(self, board: Board, controls: Controls, about: dict[str, Any]) -> None:
        """`about` is what every tab is told first; it goes into JSON."""
        self._board, self._controls = board, controls
        self._hello = json.dumps(about, allow_nan=False)
        self._page = assembled()
        self._tabs: set[_Tab] = set()
        self._sockets: set[web.WebSocketResponse] = set()

    @property
    def tabs(self) -> int:
        """How many look on."""
        return len(self._tabs)

    @asynccontextmanager
    async def served(self, sockets: list[socket.socket]) -> AsyncIterator[None]:
        """The server runs within."""
        loop = asyncio.get_running_loop()
        self._board.changed = lambda: call_soon(loop, self._wake)
        self._board.watched = lambda: bool(self._tabs)
        application = web.Application(middlewares=[web.middleware(_guarded)])
        application.router.add_get("/", self._get)
        application.router.add_get("/live", self._live)
        application.on_shutdown.append(self._leave)
        runner = web.AppRunner(application, access_log=None, logger=_LOG, handle_signals=False, shutdown_timeout=1.0)
        await runner.setup()
        ticking = asyncio.create_task(self._tick())
        try:
            for each in sockets:
                await web.SockSite(runner, each).start()
            yield
        finally:
            ticking.cancel()
            self._board.changed = lambda: None
            await runner.cleanup()

    async def _get(self, request: web.Request) -> web.StreamResponse:
        del request
        return web.Response(
            text=self._page.html,
            content_type="text/html",
            headers={**_HEADERS, "Content-Security-Policy": self._page.policy},
        )

    async def _live(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Origin", "").lower() != f"http://{request.headers['Host'].lower()}":
            raise web.HTTPForbidden(text="this page's own tabs may connect, and nobody else\n")
        if len(self._tabs) >= MOST_TABS:
            raise web.HTTPServiceUnavailable(text=f"{MOST_TABS} tabs are open already\n")
        channel = web.WebSocketResponse(heartbeat=_HEARTBEAT_S, max_msg_size=_MOST_BYTES, compress=False)
        tab = _Tab()
        self._tabs.add(tab)
        self._sockets.add(channel)
        try:
            await channel.prepare(request)
            sending = asyncio.create_task(self._send(channel, tab))
            try:
                await self._receive(channel, tab)
            finally:
                sending.cancel()
                with suppress(asyncio.CancelledError, ConnectionError):
                    await sending
        finally:
            self._tabs.discard(tab)
            self._sockets.discard(channel)
        return channel

    async def _receive(self, channel: web.WebSocketResponse, tab: _Tab) -> None:
        async for message in channel:
            try:
                if message.type is not WSMsgType.TEXT:
                    raise InputError("orders are text")
                order = read_order(message.data)
            except InputError as error:
                await channel.close(code=WSCloseCode.POLICY_VIOLATION, message=str(error).encode())
                return
            if isinstance(order, Next):
                tab.asked.set()
                continue
            try:
                carry_out(order, self._controls)
                tab.refused = ""
            except InputError as error:
                tab.refused = str(error)
            self._board.touch()

    async def _send(self, channel: web.WebSocketResponse, tab: _Tab) -> None:
        await channel.send_str(self._hello)
        while True:
            await tab.asked.wait()
            await tab.news.wait()
            tab.asked.clear()
            tab.news.clear()
            message, tab.points_from, tab.picture_from = self._board.message(
                tab.points_from, tab.picture_from, self._more(tab)
            )
            await channel.send_bytes(message)

    def _more(self, tab: _Tab) -> dict[str, Any]:
        target = self._controls.target
        return {
            "quality": target.quality, "bitrate": target.bitrate, "paused": self._controls.paused,
            "uncoded": self._controls.uncoded, "refused": tab.refused, "tabs": len(self._tabs),
        }  # fmt: skip

    def _wake(self) -> None:
        for tab in self._tabs:
            tab.news.set()

    async def _tick(self) -> None:
        while True:
            self._wake()
            await asyncio.sleep(_TICK_S)

    async def _leave(self, application: web.Application) -> None:
        del application
        for each in list(self._sockets):
            await each.close(code=WSCloseCode.GOING_AWAY, message=b"midstream watch has ended")


def call_soon(loop: asyncio.AbstractEventLoop, step: Callable[[], None]) -> None:
    """From another thread, for as long as there is the loop."""
    with suppress(RuntimeError):  # the loop has ended
        loop.call_soon_threadsafe(step)


async def _guarded(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Only for browsers that call this machine by one of its own names."""
    name, _, port = request.headers.get("Host", "").lower().rpartition(":")
    if not (name in _NAMES and port.isdecimal()) and request.headers.get("Host", "").lower() not in _NAMES:
        raise web.HTTPMisdirectedRequest(text="this page is for this machine alone: open it as 127.0.0.1\n")
    return await handler(request)
