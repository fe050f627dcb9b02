"""Frames one after another: what a codec keeps of a stream, at the encoder and at the decoder.

A codec without memory codes each frame by itself (`IndependentFrames`). One with memory has classes of its own. What
all streams share (when a frame is a key, how many bytes it may take) is `midstream.codec.stream`'s.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from midstream.errors import InputError
from midstream.features import Level

if TYPE_CHECKING:
    from midstream.codec.base import Codec, Decoder, DecodeRequest, Hints
    from midstream.codec.container import Opened


class PendingFrame(ABC):
    """One frame at the encoder: transformed, and not yet coded at one step or another.

    Attributes:
        key: whether a decoder can begin with it.
        steps: indices of the quantiser's steps that it can be coded with, from the finest to the coarsest; empty for a
            codec that has no choice.
    """

    key: bool
    steps: range

    @abstractmethod
    def write(self) -> bytes:
        """The unit as the codec's options have it. Changes nothing. Raises InputError as `Codec.encode`."""

    def code(self, step: int) -> bytes:
        """The unit at one of `steps`. Changes nothing: it may be called for any of them, any number of times."""
        raise InputError(f"this codec has no step {step}: it has one way to write a frame")

    def keep(self, unit: bytes) -> None:
        """Take `unit`, which `write` or `code` gave, for the one that is sent: later frames may refer to it."""
        del unit


class SequenceEncoder(ABC):
    """What an encoder keeps of one stream: the state of the stream is here and nowhere else.

    Attributes:
        refresh_interval: each part of a frame stands alone once in so many frames; None where only keys do. A codec
            without memory has no use for it.
    """

    refresh_interval: int | None = None

    @abstractmethod
    def frame(self, levels: Sequence[Level], hints: Hints, key: bool, threads: int | None) -> PendingFrame:
        """The next frame; a key where one is asked for, where nothing is there to refer to, or at a cut of scene."""

    def acknowledge(self, number: int) -> None:
        """The receiver has decoded the frame of this number, counted from 0."""
        del number

    def lost(self, number: int) -> None:
        """The receiver lacks the frame of this number: nothing later may refer to it, or to what refers to it."""
        del number


class SequenceDecoder(ABC):
    """What a decoder keeps of one stream.

    Attributes:
        kept_frames: how many frames to keep at most for later ones to refer to; None for as many as may be referred to.
            A decoder without memory has no use for it.
    """

    kept_frames: int | None = None

    @abstractmethod
    def decode(self, opened: Opened, data: memoryview, request: DecodeRequest) -> dict[str, NDArray[Any]]:
        """As `Decoder.decode`; also raises MissingReferenceError for a unit that refers to what was not decoded."""

    def state(self) -> bytes:
        """All that later units may refer to, for `restore`; empty for a decoder without memory."""
        return b""

    @property
    def size(self) -> int:
        """Bytes of memory that what is kept takes, about."""
        return len(self.state())

    def restore(self, state: bytes) -> None:
        """Go on from what `state` gave. Raises InputError for anything else."""
        if state:
            raise InputError("this codec keeps nothing of a stream: there is no state to restore")


class IndependentFrames(SequenceEncoder):
    """Frames of a codec that codes each by itself."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec

    def frame(self, levels: Sequence[Level], hints: Hints, key: bool, threads: int | None) -> PendingFrame:
        """See SequenceEncoder; every frame is a key."""
        del key
        return _IndependentFrame(self._codec, levels, hints, threads)


class _IndependentFrame(PendingFrame):
    key = True
    steps = range(0)

    def __init__(self, codec: Codec, levels: Sequence[Level], hints: Hints, threads: int | None) -> None:
        self._encode = partial(codec.encode, levels, hints, threads)

    def write(self) -> bytes:
        return self._encode()


class IndependentUnits(SequenceDecoder):
    """Units of a codec that decodes each by itself."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder

    def decode(self, opened: Opened, data: memoryview, request: DecodeRequest) -> dict[str, NDArray[Any]]:
        """See SequenceDecoder."""
        return self._decoder.decode(opened, data, request)
