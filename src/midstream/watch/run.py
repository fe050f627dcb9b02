"""All of it together: from an opened source to a page that shows it, until somebody ends it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from midstream.codec.base import Codec
from midstream.codec.stream import DEFAULT_KEY_INTERVAL
from midstream.data.frames import Source
from midstream.models import SplitModel
from midstream.pipelines.image import AnchorSize
from midstream.serve.intake import Intake
from midstream.watch.beside import Beside
from midstream.watch.board import Board, WatchTally
from midstream.watch.chain import STAGES, Chain, check_shown
from midstream.watch.controls import (
    LEAST_BITRATE,
    LEAST_QUALITY,
    MOST_BITRATE,
    MOST_QUALITY,
    Controls,
    Steerable,
    Target,
)
from midstream.watch.feed import Feed, Kind
from midstream.watch.server import Site, call_soon
from midstream.watch.worker import FrameWorker

_TICK_S = 0.5
#: For the frame that is under way at the end.
_JOIN_S = 5.0
#: Frames that wait for the front: the newest; of files of which every frame counts, a few.
_NEWEST, _FEW = 1, 4


@dataclass(frozen=True)
class WatchSettings:
    """How to watch.

    Attributes:
        target: what streams begin with.
        key_interval: frames from one key to the next, at most.
        beside: counts what frames take otherwise; None to leave that out.
        anchor_size: at which it does.
        loop, once, every: see Feed.
        threads: how many to use at most.
    """

    target: Target = field(default_factory=Target)
    key_interval: int = DEFAULT_KEY_INTERVAL
    beside: Beside | None = None
    anchor_size: AnchorSize = "input"
    loop: bool = False
    once: bool = False
    every: bool = False
    threads: int | None = None


@dataclass(frozen=True)
class Watched:
    """A source that has been opened.

    Attributes:
        name: as the page has it.
        kind: what it can do.
        opened: the source.
        reopen: opens it once more; raises InputError.
    """

    name: str
    kind: Kind
    opened: Source
    reopen: Callable[[], Source]


@dataclass(frozen=True)
class WatchStatus:
    """For people: what was done up to now, the last seconds, and how many tabs look on."""

    tally: WatchTally
    frames_per_s: float
    kbit_per_s: float
    tabs: int


class Watch:
    """A source, a network and a codec, ready to be shown."""

    def __init__(self, source: Watched, model: SplitModel, codec: Codec, settings: WatchSettings) -> None:
        """Raises InputError for what does not fit together."""
        check_shown(model)
        self._source, self._model, self._settings = source, model, settings
        self._codec = codec
        self._controls = Controls(settings.target, Steerable.of(codec))
        self._board = Board()
        self._feed = Feed(
            source.opened, source.reopen, source.kind, self._controls,
            loop=settings.loop, once=settings.once, every=settings.every, told=self._board.source,
        )  # fmt: skip
        self._chain = Chain(model, codec, settings.target, self._feed.rate, settings.key_interval, settings.threads)

    async def run(
        self,
        sockets: list[socket.socket],
        stop: asyncio.Event,
        ready: Callable[[], None],
        status: Callable[[WatchStatus], None],
    ) -> WatchTally:
        """Serve the page at these sockets until `stop`, or with `once` until the source ends.

        `ready` is called when tabs can connect, `status` twice a second. Raises InputError where the source fails and
        it is to be shown once.
        """  # fmt: skip
        loop = asyncio.get_running_loop()
        site = Site(self._board, self._controls, self._about())
        async with site.served(sockets):
            ready()
            every = self._settings.every and self._source.kind is not Kind.LIVE
            intake = Intake(self._feed, _FEW if every else _NEWEST, drop_oldest=not every)
            worker = FrameWorker(
                self._chain, intake, self._controls, self._board, self._settings.beside, self._settings.anchor_size,
                lambda: call_soon(loop, stop.set),
            )  # fmt: skip
            worker.start()
            telling = asyncio.create_task(self._tell(site, status))
            try:
                await stop.wait()
            finally:
                telling.cancel()
                self._controls.close()
                intake.close()
                await asyncio.to_thread(worker.join, _JOIN_S)
        return self._board.tally

    async def _tell(self, site: Site, status: Callable[[WatchStatus], None]) -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            status(WatchStatus(self._board.tally, *self._board.pace(), site.tabs))

    def _about(self) -> dict[str, Any]:
        """What each tab is told first."""
        settings, codec = self._settings, self._codec
        described = codec.describe()
        can = self._controls.can
        at = "at the network's input size" if settings.anchor_size == "input" else "at their own size"
        return {
            "network": self._model.name, "task": self._model.task.name, "source": self._source.name,
            "kind": self._source.kind.value, "again": self._source.kind is not Kind.PIPE,
            "codec": codec.name, "options": _options(described), "key_interval": settings.key_interval,
            "beside": None if settings.beside is None else {"names": settings.beside.names, "at": at},
            "stages": STAGES, "can": {"quality": can.quality, "bitrate": can.bitrate},
            "quality": described.get("quality"), "qualities": [LEAST_QUALITY, MOST_QUALITY],
            "bitrates": [LEAST_BITRATE, MOST_BITRATE],
        }  # fmt: skip


def _options(described: dict[str, Any]) -> str:
    """A codec's options as the page has them."""
    left_out = {"codec", "quality"}
    return ", ".join(f"{key} {value}" for key, value in described.items() if key not in left_out and value)
