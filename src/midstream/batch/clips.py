"""Clips as inputs of a job: cut into groups of frames, which are read by whoever works on them."""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby
from pathlib import Path

from midstream.batch.groups import Group
from midstream.batch.inputs import Chunk, Row, content_row, failed_row, key_of
from midstream.codec.clip_layout import ClipHeader, ClipUnit
from midstream.codec.clip_reader import ClipReader
from midstream.codec.clip_writer import ClipWriter
from midstream.data.base import Dataset, ImageFile
from midstream.data.clips import DEFAULT_RATE
from midstream.data.video import Video
from midstream.errors import BitstreamError, InputError
from midstream.files import read_bytes


def frame_id(clip: str, number: int) -> str:
    """Of a frame, and of the group that begins with it."""
    return f"{clip}#{number:08}"


@dataclass(frozen=True)
class FrameFiles(Chunk):
    """A clip whose frames are images: (path, seconds since its begin) of each."""

    name: str
    frames: tuple[tuple[str, float], ...]
    key_interval: int

    @property
    def count(self) -> int:
        """Groups."""
        return -(-len(self.frames) // self.key_interval)

    def inputs(self) -> Iterator[Row]:
        """As Chunk."""
        for first in range(0, len(self.frames), self.key_interval):
            frames = self.frames[first : first + self.key_interval]
            paths, times = [path for path, _ in frames], [time for _, time in frames]
            content = hashlib.sha256()
            for path in paths:
                content.update(_digest(path))
            yield _group_row(self.name, Group(paths=paths, first=first, times=times), content.hexdigest())


def _digest(path: str) -> bytes:
    try:
        return hashlib.sha256(read_bytes(path)).digest()
    except InputError:  # whoever works on the frame says so
        return b"unreadable"


@dataclass(frozen=True)
class VideoGroups(Chunk):
    """The groups of a video. Its packets tell when each frame is, so that no frame need be decoded to find another."""

    path: str
    key_interval: int

    def inputs(self) -> Iterator[Row]:
        """As Chunk."""
        count = 0
        try:
            with Path(self.path).open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
            timeline = _timeline(self.path)
        except OSError as error:
            yield failed_row(frame_id(self.path, 0), f"{self.path}: cannot be read: {error.strerror}")
            return
        except InputError as error:
            yield failed_row(frame_id(self.path, 0), str(error))
            return
        for first in range(0, len(timeline.times), self.key_interval):
            part = slice(first, first + self.key_interval)
            group = Group(
                paths=[self.path],
                first=first,
                times=timeline.times[part],
                tick=str(timeline.tick),
                ticks=None if timeline.ticks is None else timeline.ticks[part],
            )
            yield _group_row(self.path, group, content)
            count += len(group.times)
        if timeline.problem:
            yield failed_row(frame_id(self.path, count), timeline.problem)


@dataclass(frozen=True)
class _Timeline:
    """When the frames of a video are, in seconds from its first and, if its packets say so, in its own ticks."""

    times: list[float]
    tick: Fraction
    ticks: list[int] | None
    problem: str


def _timeline(path: str) -> _Timeline:
    """By the packets, or else by the frames. Raises InputError where there is none."""
    video = Video(Path(path))
    rate = video.rate or DEFAULT_RATE
    tick = video.tick_s or 1 / Fraction(rate).limit_denominator(1000)
    found: list[int | None] = []
    problem = ""
    try:
        found.extend(video.packet_ticks())
    except InputError as error:
        problem = str(error)
    known = sorted({each for each in found if each is not None})
    if known and len(known) == len(found):
        return _Timeline([float((each - known[0]) * tick) for each in known], tick, known, problem)
    return _counted(path, rate, tick)


def _counted(path: str, rate: float, tick: Fraction) -> _Timeline:
    """By decoding all of them. Raises InputError where there is no frame."""
    times: list[float] = []
    problem = ""
    first_s: float | None = None
    try:
        for frame in Video(Path(path)).frames():
            expected = times[-1] + 1 / rate if times else 0.0
            first_s = frame.time_s if first_s is None else first_s
            now = expected if frame.time_s is None or first_s is None else frame.time_s - first_s
            times.append(now if not times or now >= times[-1] else expected)
    except InputError as error:
        if not times:
            raise
        problem = str(error)
    return _Timeline(times, tick, None, problem)


def _group_row(clip: str, group: Group, content: str) -> Row:
    name, data = frame_id(clip, group.first), group.model_dump_json().encode()
    numbers = list(range(group.first, group.first + len(group.times)))
    key = key_of(name, content + hashlib.sha256(data).hexdigest())
    return {"key": key, "id": name, "sha256": content, "data": data, "raw": False, "numbers": numbers}


@dataclass(frozen=True)
class ClipFile(Chunk):
    """The groups of a `.midv` file: each key begins one."""

    path: str

    def inputs(self) -> Iterator[Row]:
        """As Chunk."""
        number, units, header, problem = 0, list[ClipUnit](), ClipHeader(), ""
        damaged: list[BitstreamError] = []
        try:
            with ClipReader(self.path) as reader:
                header = reader.header
                for unit in reader.units(damaged=damaged.append):
                    if unit.key and units:
                        yield self._row(units, header)
                        units = []
                    for error in damaged:
                        yield failed_row(frame_id(self.path, number), str(error))
                    damaged.clear()
                    units.append(unit)
                    number = unit.number + 1
        except (BitstreamError, InputError) as error:
            problem = str(error)
        if units:
            yield self._row(units, header)
        if problem:
            yield failed_row(frame_id(self.path, number), problem)

    def _row(self, units: Sequence[ClipUnit], header: ClipHeader) -> Row:
        file = io.BytesIO()
        with ClipWriter(file, header) as clip:
            for unit in units:
                clip.write(unit.data, time_s=unit.time_s, key=unit.key, size=unit.size)
        name = frame_id(self.path, units[0].number)
        return content_row(name, file.getvalue(), numbers=[unit.number for unit in units])


def clips_of(dataset: Dataset, key_interval: int) -> list[FrameFiles]:
    """The clips of a data set. Raises InputError where it is of images."""
    return [
        FrameFiles(name, tuple((str(image.path.absolute()), image.time_s or 0.0) for image in images), key_interval)
        for name, images in _named(dataset)
    ]


def numbers_of(dataset: Dataset, groups: bool) -> dict[str, int]:
    """The images of a data set, by what the rows of a job call them: a row an image, or a frame of a group."""
    if dataset.images[0].clip is None:
        return {str(image.id): image.id for image in dataset.images}
    if not groups:
        return {str(image.path.absolute()): image.id for image in dataset.images}
    return {frame_id(name, number): image.id for name, images in _named(dataset) for number, image in enumerate(images)}


def _named(dataset: Dataset) -> list[tuple[str, list[ImageFile]]]:
    """The clips, by their folders, or clips where one has several. Raises InputError where there is none."""
    found: list[tuple[str, str, list[ImageFile]]] = []
    for clip, images in groupby(dataset.images, key=lambda image: image.clip):
        there = list(images)
        if clip is None:
            raise InputError(f"{dataset.spec}: these are no clips")
        found.append((str(there[0].path.absolute().parent), clip.name, there))
    alone = Counter(folder for folder, _, _ in found)
    return [(folder if alone[folder] == 1 else f"{folder} ({name})", images) for folder, name, images in found]
