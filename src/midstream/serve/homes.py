"""Which replica a stream is at: where its decoder is, so that all its units go there."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Collection
from typing import Generic, TypeVar

Place = TypeVar("Place")


class Homes(Generic[Place]):
    """The places of streams that are in use, each with about as many as any other.

    A stream stays where it is, unless its place is gone or has two streams more than another: a place that is new gets
    its share at once, at the price of a key frame for each stream that moves, and nothing moves to and fro.
    """

    def __init__(self, idle_s: float) -> None:
        """None yet; a stream that was not asked for within `idle_s` seconds is forgotten."""
        self._idle_s = idle_s
        #: Place of each stream and when it was last asked for, the one that was not for longest first.
        self._homes: OrderedDict[str, tuple[Place, float]] = OrderedDict()
        self._streams: Counter[Place] = Counter()

    def __len__(self) -> int:
        """Streams that have a place."""
        return len(self._homes)

    def of(self, stream: str, places: Collection[Place], now: float) -> Place:
        """The place of a stream.

        Args:
            stream: its name.
            places: all that there are now, one at least.
            now: seconds by a clock that never goes back.
        """
        while self._homes and next(iter(self._homes.values()))[1] < now - self._idle_s:
            self._leave(next(iter(self._homes)))
        place = self._homes[stream][0] if stream in self._homes else None
        fewest = min(places, key=lambda each: self._streams[each])
        if place is None or place not in places or self._streams[place] > self._streams[fewest] + 1:
            if place is not None:
                self._leave(stream)
            place = fewest
            self._streams[place] += 1
        self._homes[stream] = place, now
        self._homes.move_to_end(stream)
        return place

    def _leave(self, stream: str) -> None:
        place, _ = self._homes.pop(stream)
        self._streams[place] -= 1
        if not self._streams[place]:
            del self._streams[place]
