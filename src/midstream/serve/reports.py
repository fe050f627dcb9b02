"""What a server with replicas knows of the streams that these remember: the newest word of each, added up."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

#: A replica looks for streams that are idle this often, and later than that it may still hold one.
LOOK_S = 10.0


@dataclass(frozen=True)
class Report:
    """Comes with the answers of a replica.

    Attributes:
        replica: whose.
        number: counts up; answers may overtake each other.
        streams, size: that it remembers, and bytes of them.
        forgotten: how many it has forgotten since it began, by why.
    """

    replica: str
    number: int
    streams: int
    size: int
    forgotten: Mapping[str, int]


class Reports:
    """Of all replicas; may be used by any thread.

    A replica of which nothing is heard for as long as a stream may be idle remembers none: no report has to say so.

    Attributes:
        dropped: told why, `memory` or `idle`, and how many more streams were forgotten.
    """

    def __init__(self, idle_s: float, clock: Callable[[], float]) -> None:
        """None yet; a stream of which nothing has come for `idle_s` is forgotten, by the seconds of a clock."""
        self.dropped: Callable[[str, int], None] = lambda why, count: None
        self._idle_s, self._clock = idle_s, clock
        self._newest: dict[str, tuple[Report, float]] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Streams that are remembered."""
        return sum(report.streams for report in self._current())

    @property
    def size(self) -> int:
        """Bytes that they take."""
        return sum(report.size for report in self._current())

    def add(self, report: Report) -> None:
        """A replica has answered."""
        with self._lock:
            before, _ = self._newest.get(report.replica, (None, 0.0))
            if before is not None and before.number > report.number:
                return
            self._newest[report.replica] = report, self._clock()
        more = Counter(report.forgotten)
        more.subtract({} if before is None else before.forgotten)
        for why, count in more.items():
            self.dropped(why, count)

    def ended(self, replica: str) -> None:
        """A replica has ended, and all that it remembered is lost."""
        with self._lock:
            self._newest.pop(replica, None)

    def _current(self) -> list[Report]:
        after = self._clock() - self._idle_s - LOOK_S
        with self._lock:
            return [report for report, heard in self._newest.values() if heard > after]
