"""One frame through all of it: front, encoder, bytes, decoder, back, each with its time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from midstream.codec.base import Codec
from midstream.codec.stream import StreamDecoder, StreamEncoder
from midstream.errors import InputError
from midstream.halves.clip import ClipBack, ClipEdge
from midstream.models import FloatPyramid, Image, Output, SplitModel
from midstream.models.base import takes_arrays
from midstream.watch.controls import Target

STAGES = ("front", "encode", "decode", "back")
_T = TypeVar("_T")
#: (height, width).
Size = tuple[int, int]


@dataclass
class Crossed:
    """What became of a frame.

    Attributes:
        size: bytes of its unit.
        key: whether a decoder can begin with it.
        quality: that it was coded with, where the stream chose that.
        found: what the network finds in the decoded features.
        seconds: of each of STAGES.
        pyramid: the features as they were.
    """

    size: int = 0
    key: bool = False
    quality: int | None = None
    found: Output | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    pyramid: FloatPyramid = field(default_factory=dict)


class Chain:
    """Both halves with a stream between them, as on two machines: what is decoded comes from the bytes alone."""

    def __init__(
        self, model: SplitModel, codec: Codec, target: Target, rate: float, key_interval: int, threads: int | None
    ) -> None:
        """Raises InputError for a codec of another network, and for a target that it does not have."""
        self.model = model
        self._codec, self._rate, self._key_interval, self._threads = codec, rate, key_interval, threads
        self._target, self._begun_s = target, 0.0
        self._edge = self._begun(target)
        self._back = ClipBack(model, StreamDecoder(codec.decoding_profile, threads=threads))

    def _begun(self, target: Target) -> ClipEdge:
        codec = self._codec
        if target != Target():
            without = {each: None for each in codec.targets if each in codec.given()}
            codec = codec.changed(**without | ({} if target.quality is None else {"quality": target.quality}))
        encoder = StreamEncoder(
            codec,
            key_interval=self._key_interval,
            bitrate=target.bitrate,
            fps=None if target.bitrate is None else self._rate,
            threads=self._threads,
        )
        return ClipEdge(self.model, encoder)

    def aim(self, target: Target, at_s: float) -> None:
        """Code as `target` says from the frame of this time on.

        A stream that holds a bit rate goes on at another one; else another target begins a stream, with a key.
        """
        if target == self._target:
            return
        if target.bitrate is not None and self._target.bitrate is not None:
            self._edge.encoder.set_bitrate(target.bitrate)
        else:
            self._edge, self._begun_s = self._begun(target), at_s
        self._target = target

    def ask_key(self) -> None:
        """Make the next unit a key."""
        self._edge.encoder.request_key()

    def run(self, image: Image, at_s: float) -> Crossed:
        """Take a frame through.

        Args:
            image: uint8 RGB [H, W, 3].
            at_s: its time, which does not go back.

        Raises:
            InputError: it cannot be coded, or the network finds what is no number; the stream goes on without it.
            BitstreamError: the decoder refuses the unit; the next one is a key.
        """
        out, size = Crossed(), (image.shape[0], image.shape[1])
        pyramid = _timed(out, "front", lambda: self.model.front(image))
        unit = _timed(out, "encode", lambda: self._edge.encode_features(pyramid, size, at_s - self._begun_s))
        sent = self._edge.encoder.last
        assert sent is not None
        out.size, out.key, out.quality, out.pyramid = len(unit), sent.key, sent.quality, pyramid
        try:
            decoded = _timed(out, "decode", lambda: self._back.decode_features(unit, size))
            out.found = _timed(out, "back", lambda: self._back.found(decoded, size))
        except Exception:
            self.ask_key()
            raise
        return out

    def agreement(
        self, crossed: Crossed, others: Sequence[Image | None], resized: bool, size: Size
    ) -> list[float | None]:
        """How far outputs agree with the network's on the frame itself, 0 to 1: of the codec, then of `others`.

        Args:
            crossed: what became of the frame, of (height, width) `size`.
            others: the frame as other codecs have it; None where one has none.
            resized: whether these are of the size of the network's input.
            size: of the frame.
        """
        reference = self.model.back(crossed.pyramid, size)

        def agreed(found: Output | None) -> float | None:
            return None if found is None else 1 - self.model.task.disagreement([reference], [found])

        def whole(image: Image) -> Output:
            features = self.model.front_resized(image, size) if resized else self.model.front(image)
            return self.model.back(features, size)

        return [agreed(crossed.found), *(agreed(None if each is None else whole(each)) for each in others)]

    def warm(self, image: Image) -> None:
        """Run everything once on a frame that does not count, for its first run takes longer. Raises InputError."""
        self.run(image, 0.0)
        self._edge = self._begun(self._target)


def _timed(out: Crossed, stage: str, step: Callable[[], _T]) -> _T:
    start = time.perf_counter()
    result = step()
    out.seconds[stage] = time.perf_counter() - start
    return result


def check_shown(model: SplitModel) -> None:
    """Refuse a network of arrays. Raises InputError."""
    if takes_arrays(model):
        raise InputError(f"{model.name} takes arrays: there is no image to watch")
