"""Frames of a stream, each coded by itself, and transformed once however often it is coded."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from midstream.codec.base import Hints
from midstream.codec.calibrated.coding import Analysed, code
from midstream.codec.calibrated.document import STEP_INDICES
from midstream.codec.calibrated.rate import finest_step
from midstream.codec.sequence import PendingFrame, SequenceEncoder
from midstream.features import Level


class CalibratedFrames(SequenceEncoder):
    """See SequenceEncoder; every frame is a key."""

    def __init__(
        self,
        analysed: Callable[[Sequence[Level], Hints, int | None], Analysed],
        written: Callable[[Analysed], bytes],
        embed: bool,
    ) -> None:
        """From what the codec's options make of a pyramid and of what comes of it."""
        self._analysed, self._written, self._embed = analysed, written, embed

    def frame(self, levels: Sequence[Level], hints: Hints, key: bool, threads: int | None) -> PendingFrame:
        """See SequenceEncoder."""
        del key
        return _CalibratedFrame(self._analysed(levels, hints, threads), self._written, self._embed)


class _CalibratedFrame(PendingFrame):
    key = True

    def __init__(self, analysed: Analysed, written: Callable[[Analysed], bytes], embed: bool) -> None:
        self.steps = range(finest_step(analysed), STEP_INDICES)
        self._analysed, self._written, self._embed = analysed, written, embed

    def write(self) -> bytes:
        return self._written(self._analysed)

    def code(self, step: int) -> bytes:
        return code(self._analysed, step, self._embed)
