"""Frames of known sizes for what controls rates."""

from __future__ import annotations

from midstream.codec.sequence import PendingFrame


class MadeFrame(PendingFrame):
    """A frame that takes so many bytes at step 0, and an eighth of an octave less at each coarser one."""

    steps = range(160)

    def __init__(self, key: bool, finest: float) -> None:
        self.key, self._finest = key, finest

    def write(self) -> bytes:
        raise NotImplementedError

    def code(self, step: int) -> bytes:
        return bytes(max(round(self._finest * 2 ** (-step / 8)), 40))
