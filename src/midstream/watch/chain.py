"""One frame through all of it: front, encoder, bytes, decoder, back, each with its time."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from midstream.codec.base import Codec
from midstream.codec.stream import StreamDecoder, StreamEncoder
from midstream.errors import InputError
from midstream.halves.clip import ClipBack, ClipEdge
from midstream.models import Image, Output, SplitModel
from midstream.watch.controls import Target

STAGES = ("front", "encode", "decode", "back")
_T = TypeVar("_T")


@dataclass
class Crossed:
    """What became of a frame.

    Attributes:
        size: bytes of its unit.
        key: whether a decoder can begin with it.
        found: what the network finds in the decoded features.
        seconds: of each of STAGES.
        uncoded: what it finds in the features as they were, where that was asked for.
    """

    size: int = 0
    key: bool = False
    found: Output | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    uncoded: Output | None = None


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
        """Code as `target` says from the frame of this time on: another one begins a stream, with a key."""
        if target != self._target:
            self._edge, self._target, self._begun_s = self._begun(target), target, at_s

    def ask_key(self) -> None:
        """Make the next unit a key."""
        self._edge.encoder.request_key()

    def run(self, image: Image, at_s: float, uncoded: bool = False) -> Crossed:
        """Take a frame through.

        Args:
            image: uint8 RGB [H, W, 3].
            at_s: its time, which does not go back.
            uncoded: also run the back on features that were not coded.

        Raises:
            InputError: it cannot be coded, or the network finds what is no number; the stream goes on without it.
            BitstreamError: the decoder refuses the unit; the next one is a key.
        """
        out, size = Crossed(), (image.shape[0], image.shape[1])
        pyramid = _timed(out, "front", lambda: self.model.front(image))
        unit = _timed(out, "encode", lambda: self._edge.encode_features(pyramid, size, at_s - self._begun_s))
        sent = self._edge.encoder.last
        assert sent is not None
        out.size, out.key = len(unit), sent.key
        try:
            decoded = _timed(out, "decode", lambda: self._back.decode_features(unit, size))
            out.found = _timed(out, "back", lambda: self._back.found(decoded, size))
        except Exception:
            self.ask_key()
            raise
        if uncoded:
            out.uncoded = self.model.back(pyramid, size)
        return out

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
    if getattr(model, "tensor_shape", None) is not None:
        raise InputError(f"{model.name} takes arrays: there is no image to watch")
