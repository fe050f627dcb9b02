"""Whether a device is too slow for a source whose frames come at times of their own."""

from __future__ import annotations

#: Seconds that are looked at together: what the first run of a network takes longer is made up for within them.
_SPAN_S = 10.0
#: Of this time, the share that front and coder work at least where nothing else holds frames up; and the share that the
#: source waits with a frame, which it hardly does for a device that keeps up.
_BUSY, _HELD = 0.9, 0.02
#: Seconds from one time that it is said to the next, at least.
_AGAIN_S = 60.0

TEXT = (
    "the front and the coder take longer on this device than the frames of the source come: they are late, and later "
    "the longer this goes on; --drop-oldest leaves frames out instead"
)


class Behind:
    """Sees that front and coder work all the time and the source has to wait all the same.

    A link or a server that takes its time is another matter: it leaves them idle.
    """

    def __init__(self, now: float) -> None:
        """Begin to look, at a time by any clock."""
        self._before = now, 0.0, 0.0
        self._said: float | None = None

    def to_say(self, now: float, work_s: float, held_s: float) -> bool:
        """Whether people are to be told so now.

        Args:
            now: by the same clock.
            work_s: that front and coder have worked so far.
            held_s: that the source has waited so far.
        """
        begun, worked_s, waited_s = self._before
        span_s = now - begun
        if span_s < _SPAN_S:
            return False
        self._before = now, work_s, held_s
        slow = work_s - worked_s >= _BUSY * span_s and held_s - waited_s >= _HELD * span_s
        if not slow or (self._said is not None and now - self._said < _AGAIN_S):
            return False
        self._said = now
        return True
