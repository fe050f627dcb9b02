"""Who codes the frames that go to a server: each by itself, or all of them as a stream."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Protocol

from midstream.codec.base import Codec
from midstream.codec.stream import StreamEncoder
from midstream.errors import OptionError
from midstream.halves.clip import ClipEdge
from midstream.halves.coding import ReadyFrame
from midstream.halves.edge import Edge
from midstream.serve.flights import Answer
from midstream.serve.pace import Pace
from midstream.serve.session import Session


class Sender(Protocol):
    """Codes frames and hands them to a session, in the order in which they come.

    Attributes:
        coding_s: seconds that coding has taken so far.
    """

    coding_s: float

    async def send(
        self, ready: ReadyFrame, timeout_s: float | None = None, time_s: float | None = None
    ) -> asyncio.Future[Answer]:
        """See FrameStream."""
        ...

    async def room(self) -> None:
        """See FrameStream."""


class Alone:
    """A Sender that codes each frame by itself."""

    def __init__(self, session: Session, edge: Edge) -> None:
        self.coding_s = 0.0
        self._session, self._edge = session, edge
        self._sending = asyncio.Lock()

    async def send(
        self, ready: ReadyFrame, timeout_s: float | None = None, time_s: float | None = None
    ) -> asyncio.Future[Answer]:
        """See FrameStream; times say nothing here."""
        del time_s
        async with self._sending:
            bitstream = await asyncio.to_thread(self._coded, ready)
            return await self._session.send(bitstream, ready.size, timeout_s)

    def _coded(self, ready: ReadyFrame) -> bytes:
        begun = time.monotonic()
        try:
            return self._edge.code(ready)
        finally:
            self.coding_s += time.monotonic() - begun

    async def room(self) -> None:
        """See FrameStream; nothing but the session holds these frames back."""


def stream_encoder(codec: Codec, **options: Any) -> StreamEncoder | None:
    """For the frames of one stream; None for a codec that codes each by itself.

    Options are those of StreamEncoder. Raises InputError for one that cannot be used.
    """
    try:
        codec.sequence()
    except OptionError:  # its bitstreams are to hold what units of a stream do not: a profile
        if options.get("bitrate") is not None:
            raise
        return None
    encoder = StreamEncoder(codec, **options)
    return encoder if encoder.remembers else None


def sender(session: Session, edge: Edge, encoder: StreamEncoder | None, pace: Pace | None = None) -> Sender:
    """The Sender of frames that `edge` makes ready; without an encoder each is coded by itself."""
    return Alone(session, edge) if encoder is None else session.stream(ClipEdge(edge.model, encoder), pace)
