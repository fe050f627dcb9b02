"""Streams to a server, and what a local run makes of the very same units."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import av
import numpy as np
from numpy.typing import NDArray
from tests.helpers import profiles
from tests.helpers.serving import SIZE, image

import midstream as ms
from midstream.halves.clip import ClipEdge
from midstream.halves.coding import ReadyFrame
from midstream.models import Detections
from midstream.serve import Answer, Edge, Link
from midstream.serve.client import side_of
from midstream.serve.session import Session
from midstream.serve.streams import BESIDE

#: A codec whose frames refer to those before, and needs no profile.
CODEC = ms.Paper(symbols=4, z=1.5, coder="dense")

#: Answers that are awaited before more frames are sent.
_AT_ONCE = 100


def frames(count: int, seed: int = 0) -> list[NDArray[np.uint8]]:
    """A clip of SIZE in which a little changes from one frame to the next."""
    rng = np.random.default_rng(seed)
    out = [image(rng)]
    while len(out) < count:
        change = rng.integers(-6, 7, (*SIZE, 3))
        out.append(np.clip(out[-1].astype(np.int64) + change, 0, 255).astype(np.uint8))
    return out


def write_video(path: Path, count: int) -> Path:
    """Such a clip as a video."""
    with av.open(str(path), "w") as container:
        track = container.add_stream("mpeg4", rate=25)
        track.width, track.height, track.pix_fmt = SIZE[1], SIZE[0], "yuv420p"
        for pixels in frames(count):
            container.mux(track.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(track.encode())
    return path


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
        super().__init__(model, ms.StreamEncoder(codec, threads=1, **options))
        self._decoder = ms.StreamDecoder(codec.decoding_profile, threads=1)
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


async def through_many(address: str, model: ms.models.SplitModel, codec: ms.Codec, streams: int) -> int:
    """Two frames of each of so many streams, the second ones after all first ones; how many keys were asked for."""
    async with Session(Link(address, in_flight=16), side_of(Edge(model, codec))) as session:
        edges = [Recorded(model, codec) for _ in range(streams)]
        sent = [session.stream(edge) for edge in edges]
        for frame in ready(model, 2, codec=codec):
            own = [replace(frame) for _ in edges]
            answers = [await stream.send(each) for stream, each in zip(sent, own, strict=True)]
            for edge, each, answer in zip(edges, own, answers, strict=True):
                edge.check(each, await answer)
        return session.traffic.keys_asked


async def through_one(address: str, model: ms.models.SplitModel, codec: ms.Codec, frames: int) -> None:
    """So many frames of one stream."""
    clip = ready(model, 100, codec=codec)
    async with Session(Link(address, in_flight=16), side_of(Edge(model, codec))) as session:
        stream = session.stream(edge := Recorded(model, codec))
        waiting: deque[tuple[ReadyFrame, asyncio.Future[Answer]]] = deque()
        for number in range(frames):
            frame = replace(clip[number % len(clip)])
            waiting.append((frame, await stream.send(frame)))
            if len(waiting) == _AT_ONCE or number == frames - 1:
                for each, answer in waiting:
                    edge.check(each, await answer)
                waiting.clear()
        assert session.traffic.keys_asked == 0
