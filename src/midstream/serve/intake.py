"""Frames on their way from a source to the network."""

from __future__ import annotations

import threading
import time
from collections import deque

from midstream.data.frames import Frame, Source
from midstream.errors import InputError, MidstreamError


class Intake:
    """Frames between a source and the network: a few at most. Then the source waits, or the oldest are dropped.

    Attributes:
        dropped: frames.
        held_s: seconds that the source had to wait with a frame in its hands.
    """

    def __init__(self, source: Source, most: int, drop_oldest: bool) -> None:
        """Start to read `source` in a thread."""
        self.dropped, self.held_s = 0, 0.0
        self._most, self._drop = most, drop_oldest
        self._frames: deque[Frame] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._error: MidstreamError | None = None
        threading.Thread(target=self._read, args=[source], name="midstream-source", daemon=True).start()

    def get(self) -> Frame | None:
        """The next frame; waits for it. None at the end. Raises InputError where the source has failed."""
        with self._changed:
            self._changed.wait_for(lambda: self._frames or self._closed)
            if not self._frames:
                if self._error is not None:
                    raise self._error
                return None
            self._changed.notify_all()
            return self._frames.popleft()

    def close(self) -> None:
        """Read no more; what has been read is still there to get."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _read(self, source: Source) -> None:
        try:
            for frame in source.frames():
                if not self._put(frame):
                    break
        except MidstreamError as error:
            self._error = error
        except Exception as error:  # else `get` would wait for ever
            self._error = InputError(f"the source cannot be read any further: {error}")
        self.close()

    def _put(self, frame: Frame) -> bool:
        with self._changed:
            if not self._drop:
                begun = time.monotonic()
                self._changed.wait_for(lambda: self._closed or len(self._frames) < self._most)
                self.held_s += time.monotonic() - begun
            if self._closed:
                return False
            self._frames.append(frame)
            if len(self._frames) > self._most:
                self._frames.popleft()
                self.dropped += 1
            self._changed.notify_all()
            return True
