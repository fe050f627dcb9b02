"""Streams to a server, and what a local run makes of the very same units."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray
from tests.helpers import profiles
from tests.helpers.serving import SIZE, image

import midstream as ms
from midstream.halves.clip import ClipEdge
from midstream.halves.coding import ReadyFrame
from midstream.models import Detections
from midstream.serve import Answer, Edge
from midstream.serve.streams import BESIDE

#: A codec whose frames refer to those before, and needs no profile.
CODEC = ms.Paper(symbols=4, z=1.5, coder="dense")


def frames(count: int, seed: int = 0) -> list[NDArray[np.uint8]]:
    """A clip of SIZE in which a little changes from one frame to the next."""
    rng = np.random.default_rng(seed)
    out = [image(rng)]
    while len(out) < count:
        change = rng.integers(-6, 7, (*SIZE, 3))
        out.append(np.clip(out[-1].astype(np.int64) + change, 0, 255).astype(np.uint8))
    return out


@dataclass(frozen=True)
class Coded:
    """A unit as it was coded, and what is found in it where no unit was ever lost."""

    size: int
    key: bool
    found: Detections


class Recorded(ClipEdge):
    """An edge that decodes every unit here, in the order in which units are coded.

    Attributes:
        codings: of each frame; gone with the frame.
        coded, keys: how many units, and how many of them are keys.
    """

    def __init__(self, model: ms.models.SplitModel, codec: ms.Codec = CODEC, **options: Any) -> None:
        super().__init__(model, ms.StreamEncoder(codec, **options))
        self._decoder = ms.StreamDecoder(codec.decoding_profile)
        self.codings: WeakKeyDictionary[ReadyFrame, list[Coded]] = WeakKeyDictionary()
        self.coded = self.keys = 0

    def code(self, frame: ReadyFrame, time_s: float | None = None) -> bytes:
        unit = super().code(frame, time_s)
        found = self.model.back(self._decoder.decode(unit), frame.size)
        assert isinstance(found, Detections)
        assert self.encoder.last is not None
        self.codings.setdefault(frame, []).append(Coded(len(unit), self.encoder.last.key, found))
        self.coded, self.keys = self.coded + 1, self.keys + self.encoder.last.key
        return unit

    def check(self, frame: ReadyFrame, answer: Answer) -> None:
        """Refuse an answer to a frame that is not, to the last bit, that about its newest coding."""
        newest = self.codings[frame][-1]
        assert (answer.size, answer.key) == (newest.size, newest.key)
        same_detections(answer.found(), newest.found)


def ready(model: ms.models.SplitModel, count: int, seed: int = 0, codec: ms.Codec = CODEC) -> list[ReadyFrame]:
    """The frames of a clip, ready to be coded."""
    edge = Edge(model, codec)
    return [edge.ready(frame) for frame in frames(count, seed)]


def calibrated(model: ms.models.SplitModel, file: Path) -> ms.Calibrated:
    """A codec of closed loops, with a made profile that is written to a file."""
    layout = ({"p3": (5, (4, 4), 2), "p4": (5, (2, 2), 1)},)
    made = profiles.profile(layout=layout, ways=2, network=model.name, cut=model.fingerprint)
    made.write(file)
    return ms.Calibrated(profile=made, quality=60, importance="probe")


def room(model: ms.models.SplitModel, codec: ms.Codec, streams: int) -> int:
    """Bytes of a server's memory that hold so many streams, and no more."""
    decoder = ms.StreamDecoder(codec.decoding_profile, kept_frames=1)
    edge = Recorded(model, codec)
    for frame in ready(model, 2, codec=codec):
        decoder.decode(edge.code(frame))
    return int((streams + 0.5) * (decoder.size + BESIDE))


def same_detections(found: Any, expected: Detections) -> None:
    for name in ("boxes", "scores", "labels"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
