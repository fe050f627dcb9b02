"""A group of frames of a clip, a key and those after it: where its frames are, and what a job does to it.

A group refers to nothing outside of it, so groups are coded anywhere and in any order. No Ray here.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from midstream.batch import schema
from midstream.codec.api import inspect
from midstream.codec.clip_layout import USUAL_TIME_BASE, ClipHeader
from midstream.codec.clip_reader import ClipReader
from midstream.codec.clip_writer import ClipWriter
from midstream.codec.stream import StreamDecoder, StreamEncoder
from midstream.data.frames import Frame
from midstream.data.images import read_image
from midstream.data.video import Video, VideoFrame
from midstream.errors import BitstreamError, InputError
from midstream.halves.clip import ClipBack, ClipEdge
from midstream.halves.round_trip import round_trip
from midstream.models import FloatPyramid, Image, SplitModel

if TYPE_CHECKING:
    from midstream.batch.job import Job

Row = dict[str, Any]


def timed(step: Callable[..., Any], *arguments: Any, **named: Any) -> tuple[Any, float]:
    """What a step returns, and its milliseconds."""
    start = time.perf_counter()
    result = step(*arguments, **named)
    return result, 1e3 * (time.perf_counter() - start)


class Group(BaseModel):
    """Where the frames of a group are; travels to the worker in place of them.

    Attributes:
        paths: of images, one a frame; or of one video.
        first: number of the first frame.
        times: of each frame, in seconds since the clip's begin.
        tick: of a video, what its times count in, as a fraction of a second.
        ticks: of each frame of a video, as its packets say them; None where frames are counted from its begin.
    """

    paths: list[str]
    first: int
    times: list[float]
    tick: str | None = None
    ticks: list[int] | None = None

    @property
    def time_base(self) -> Fraction:
        """In which the file of the group counts."""
        return USUAL_TIME_BASE if self.tick is None else Fraction(self.tick)

    def frames(self) -> Iterator[Frame]:
        """The frames, in order; one that cannot be read has no image."""
        if self.tick is None:
            found: Iterator[VideoFrame] = map(_image_of, self.paths)
        else:
            found = self._counted() if self.ticks is None else self._sought(self.ticks)
        place = 0
        try:
            for frame in islice(found, len(self.times)):
                yield self._frame(place, frame.image, frame.problem)
                place += 1
            problem = f"{self.paths[0]}: there is no frame {self.first + place}: the video has changed"
        except InputError as error:
            problem = str(error)
        for rest in range(place, len(self.times)):
            yield self._frame(rest, None, problem)

    def _frame(self, place: int, image: Image | None, problem: str) -> Frame:
        return Frame(self.first + place, self.paths[0], image, problem, self.times[place])

    def _counted(self) -> Iterator[VideoFrame]:
        return islice(Video(Path(self.paths[0])).frames(), self.first, None)

    def _sought(self, ticks: list[int]) -> Iterator[VideoFrame]:
        """A frame for each of the ticks: decoding begins at the last place before them where it can."""
        place = 0
        for frame in Video(Path(self.paths[0])).frames(ticks[0]):
            if frame.ticks is None or frame.ticks < ticks[place]:
                continue
            while place < len(ticks) and ticks[place] < frame.ticks:
                yield VideoFrame(None, f"{self.paths[0]}: frame {self.first + place} cannot be decoded")
                place += 1
            if place < len(ticks) and ticks[place] == frame.ticks:
                yield frame
                place += 1
            if place == len(ticks):
                return


def _image_of(path: str) -> VideoFrame:
    try:
        return VideoFrame(read_image(Path(path)))
    except InputError as error:
        return VideoFrame(None, str(error))


def encode_group(network: SplitModel, job: Job, row: Row) -> Row:
    """The result of `batch encode`. Raises InputError where no frame can be coded."""
    coded = _Coded(network, job, Group.model_validate_json(row["data"]))
    for frame, image in coded.readable():
        with coded.told_of(frame):
            pyramid, front_ms = timed(network.front, image)
            unit, encode_ms = timed(coded.unit, frame, image, pyramid)
            coded.add(frame, image, pyramid, unit, {"front_ms": front_ms, "encode_ms": encode_ms})
    return coded.row()


def evaluate_group(network: SplitModel, job: Job, row: Row) -> Row:
    """The result of `batch eval`. Raises InputError where no frame can be coded."""
    assert job.codec is not None
    coded = _Coded(network, job, Group.model_validate_json(row["data"]))
    decoder = StreamDecoder(job.codec.decoding_profile, threads=1)
    found_in, uncompressed_in = schema.columns_for(network.task)
    for frame, image in coded.readable():
        with coded.told_of(frame):
            size = (image.shape[0], image.shape[1])
            pyramid, front_ms = timed(network.front, image)
            done = round_trip(network, pyramid, size, partial(coded.unit, frame, image, pyramid), decoder.decode)
            height, width = network.input_size(size)
            more = {
                "input_bytes": height * width * image.shape[2],
                "payload_bytes": inspect(done.data).payload_bytes,
                found_in: schema.output_rows(network, done.output),
                uncompressed_in: schema.output_rows(network, network.back(pyramid, size)),
                "front_ms": front_ms,
                "encode_ms": 1e3 * done.encode_s,
                "decode_ms": 1e3 * done.decode_s,
                "back_ms": 1e3 * done.back_s,
            }
            coded.add(frame, image, pyramid, done.data, more)
    return coded.row()


def decode_group(network: SplitModel, job: Job, row: Row) -> Row:
    """The result of `batch decode`. Raises BitstreamError for what is no file of a clip."""
    back = ClipBack(network, StreamDecoder(job.profile, threads=1))
    found_in, _ = schema.columns_for(network.task)
    rows: list[Row] = []
    with ClipReader(io.BytesIO(row["data"])) as reader:
        for number, unit in zip(row["numbers"], reader.units(), strict=True):
            one: Row = {"frame": number, "time_s": unit.time_s, "key": unit.key, "bytes": len(unit.data)}
            rows.append(one)
            try:
                size = unit.size or job.size
                if size is None:
                    raise InputError("the size of the image is not known: give it with --image-size WIDTHxHEIGHT")
                pyramid, decode_ms = timed(back.decode_features, unit.data, size)
                found, back_ms = timed(back.found, pyramid, size)
            except (BitstreamError, InputError) as error:
                one["error"] = str(error)
                continue
            one |= {"height": size[0], "width": size[1], "elements": _elements(pyramid)}
            one |= {found_in: schema.output_rows(network, found), "decode_ms": decode_ms, "back_ms": back_ms}
    return _about(row["numbers"][0], rows)


GROUP_STEPS: Mapping[schema.JobKind, Callable[[SplitModel, Any, Row], Row]] = {
    "encode": encode_group,
    "decode": decode_group,
    "eval": evaluate_group,
}


class _Coded:
    """A group that is being coded: its file, and a row for each frame."""

    def __init__(self, network: SplitModel, job: Job, group: Group) -> None:
        assert job.codec is not None
        self._edge = ClipEdge(network, StreamEncoder(job.codec, key_interval=None, threads=1))
        self._group, self._rows = group, list[Row]()
        self._file = io.BytesIO()
        self._clip = ClipWriter(self._file, ClipHeader(network.name, job.codec.profile_name, group.time_base))

    def readable(self) -> Iterator[tuple[Frame, Image]]:
        """The frames that have an image."""
        for frame in self._group.frames():
            if frame.image is None:
                self._failed(frame, frame.problem)
            else:
                yield frame, frame.image

    @contextmanager
    def told_of(self, frame: Frame) -> Iterator[None]:
        """A frame that cannot be coded leaves the stream as it was; it has a row all the same."""
        try:
            yield
        except InputError as error:
            self._failed(frame, str(error))

    def _failed(self, frame: Frame, problem: str) -> None:
        self._rows.append({"frame": frame.number, "time_s": frame.time_s, "error": problem})

    def unit(self, frame: Frame, image: Image, pyramid: FloatPyramid) -> bytes:
        """A frame as a unit."""
        return self._edge.encode_features(pyramid, (image.shape[0], image.shape[1]), frame.time_s)

    def add(self, frame: Frame, image: Image, pyramid: FloatPyramid, unit: bytes, more: Row) -> None:
        """Write the newest unit, and what is to be said of its frame."""
        sent = self._edge.encoder.last
        assert sent is not None
        assert frame.time_s is not None
        height, width = image.shape[:2]
        self._clip.write(unit, time_s=frame.time_s, key=sent.key, size=(height, width))
        about = {"frame": frame.number, "time_s": frame.time_s, "key": sent.key, "height": height, "width": width}
        self._rows.append({**about, "elements": _elements(pyramid), "bytes": len(unit), **more})

    def row(self) -> Row:
        """The result. Raises InputError where there is no unit."""
        if not self._clip.frames:
            raise InputError(f"none of {len(self._rows)} frames can be read; the first: {self._rows[0]['error']}")
        self._clip.close()
        return {**_about(self._group.first, self._rows), "bitstream": self._file.getvalue()}


def _about(first: int, rows: list[Row]) -> Row:
    return {
        "first_frame": first,
        "frame_count": len(rows),
        "failed_frames": sum("error" in row for row in rows),
        "bytes": sum(row.get("bytes", 0) for row in rows),
        "frames": rows,
    }


def _elements(pyramid: FloatPyramid) -> int:
    return sum(values.size for values in pyramid.values())
