"""What a server remembers of the streams of its clients: a decoder for each, within limits.

A decoder lives where units are decoded: in this process, or in each replica. Nothing depends on its being kept. A unit
that refers to what is gone is found out by the codec itself (MissingReferenceError, by digests that are chained over
the units), and its sender goes on with a key.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from midstream.codec.stream import StreamDecoder

#: Who sends a stream (the holder of a token, or a machine), and its session: another owner's session of the same name
#: is another stream.
StreamKey = tuple[str, str]
#: A sender that hears of a loss codes a key, so that nothing refers back further than the frame before.
KEPT_FRAMES = 1
#: Of a decoder, beside the frames that it keeps: its objects, and the names that it is kept under.
BESIDE = 8 << 10


@dataclass(frozen=True)
class StreamLimits:
    """How much is remembered.

    Attributes:
        memory: bytes of all streams together.
        idle_s: a stream of which no unit has come for so long is forgotten.
    """

    memory: int
    idle_s: float


@dataclass(eq=False)
class _Held:
    decoder: StreamDecoder
    size: int
    used: float


@dataclass
class _Owner:
    """Of one owner: what is held, the least recently used first, and bytes of it."""

    held: OrderedDict[str, _Held] = field(default_factory=OrderedDict)
    size: int = 0


class Streams:
    """The decoders of all streams; may be used by any thread.

    Where memory runs out, an owner that has the most of it loses the stream that it has not used for longest: whoever
    opens many streams forgets its own, and nobody loses one to an owner that has more.
    """

    def __init__(
        self,
        begin: Callable[[], StreamDecoder],
        limits: StreamLimits,
        dropped: Callable[[str], None] = lambda why: None,
    ) -> None:
        """None yet.

        Args:
            begin: makes a decoder for a new stream.
            limits: how much is remembered.
            dropped: told why, `memory` or `idle`, of each stream that is forgotten.
        """
        self._begin, self._limits, self._dropped = begin, limits, dropped
        self._owners: dict[str, _Owner] = {}
        self._size = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Streams that are remembered."""
        with self._lock:
            return sum(len(owner.held) for owner in self._owners.values())

    @property
    def size(self) -> int:
        """Bytes that they take."""
        with self._lock:
            return self._size

    @contextmanager
    def decoder(self, key: StreamKey) -> Iterator[StreamDecoder]:
        """The decoder of a stream, a new one where there is none, for one unit of it.

        Whoever asks sees to it that of one stream there is one unit at a time. What is in use is counted with the
        workers' memory, not here.
        """
        owner, session = key
        with self._lock:
            held = self._taken(owner, session)
        decoder = self._begin() if held is None else held.decoder
        try:
            yield decoder
        finally:
            if size := decoder.size:  # else nothing was decoded yet that could be referred to
                with self._lock:
                    self._put(owner, session, _Held(decoder, size + BESIDE, time.monotonic()))

    def forget_idle(self) -> None:
        """Forget the streams of which nothing has come for too long."""
        before = time.monotonic() - self._limits.idle_s
        with self._lock:
            for owner in list(self._owners):
                while (there := self._owners.get(owner)) is not None:
                    session, oldest = next(iter(there.held.items()))
                    if oldest.used > before:
                        break
                    self._taken(owner, session)
                    self._dropped("idle")

    def _taken(self, owner: str, session: str) -> _Held | None:
        """What is held of a stream, which then is held no longer."""
        there = self._owners.get(owner)
        held = None if there is None else there.held.pop(session, None)
        if there is not None and held is not None:
            there.size -= held.size
            self._size -= held.size
            if not there.held:
                del self._owners[owner]
        return held

    def _put(self, owner: str, session: str, held: _Held) -> None:
        there = self._owners.setdefault(owner, _Owner())
        there.held[session] = held
        there.size += held.size
        self._size += held.size
        while self._size > self._limits.memory:
            most = max(self._owners, key=lambda name: self._owners[name].size)
            self._taken(most, next(iter(self._owners[most].held)))
            self._dropped("memory")
