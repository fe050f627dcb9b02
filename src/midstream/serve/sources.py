"""Where pictures come from: a folder, a video file, a camera or a stream of one."""

from __future__ import annotations

import stat
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from midstream.data.folder import load_folder
from midstream.data.pictures import read_picture
from midstream.errors import InputError, MidstreamError, MissingExtraError
from midstream.models import Picture

#: Frames a second of an annotated video of pictures that have no times.
_FOLDER_RATE = 5.0
_OPEN_TIMEOUT_S, _READ_TIMEOUT_S = 10.0, 10.0


@dataclass(frozen=True)
class Frame:
    """One picture of a source.

    Attributes:
        number: from 0, in the source's order.
        name: of the picture's file, or of the video or camera.
        picture: uint8 RGB [H, W, 3]; None where it cannot be read.
        problem: why not.
        time_s: within a video; None for files of a folder.
        taken: when it was read, by the monotonic clock.
    """

    number: int
    name: str
    picture: Picture | None
    problem: str = ""
    time_s: float | None = None
    taken: float = field(default_factory=time.monotonic)


class Source(Protocol):
    """Pictures, one after the other; `rate` is how many a second make an ordinary film of them."""

    @property
    def rate(self) -> float: ...  # noqa: D102

    def frames(self) -> Iterator[Frame]:
        """The frames. Raises InputError where the source itself fails."""
        ...


def open_source(spec: str, realtime: bool = False) -> Source:
    """A source by name.

    Args:
        spec: a folder of pictures, a video file, a camera (/dev/video0), or an address of a stream (rtsp://...).
        realtime: feed a video file at its own speed, as a camera would.

    Raises:
        InputError: there is nothing of this name, or it cannot be opened.
        MissingExtraError: a video without PyAV.
    """
    if "://" in spec:
        return Film(spec, spec.partition("?")[0], None, realtime=False)
    path = Path(spec).expanduser()
    if path.is_dir():
        return Folder(path)
    if not path.exists():
        raise InputError(f"there is no '{spec}': a source is a folder, a video file, a camera such as /dev/video0, or "
                         "a stream's address such as rtsp://HOST/PATH")  # fmt: skip
    camera = stat.S_ISCHR(path.stat().st_mode)
    return Film(str(path), path.name, "v4l2" if camera else None, realtime=realtime and not camera)


class Folder:
    """The pictures of a folder, by name."""

    rate = _FOLDER_RATE

    def __init__(self, path: Path) -> None:
        """List the pictures. Raises InputError where there are none."""
        self._files = [picture.path for picture in load_folder(str(path), str(path)).pictures]

    def frames(self) -> Iterator[Frame]:
        """The pictures; those that cannot be read with the reason."""
        for number, file in enumerate(self._files):
            try:
                yield Frame(number, file.name, read_picture(file))
            except InputError as error:
                yield Frame(number, file.name, None, str(error))


class Film:
    """A video, read by PyAV."""

    def __init__(self, url: str, name: str, form: str | None, realtime: bool) -> None:
        """Open it. Raises InputError."""
        try:
            import av
        except ImportError as error:
            raise MissingExtraError("a video or camera", "serve") from error
        self._av, self._name, self._realtime = av, name, realtime
        try:
            self._container = av.open(url, format=form, timeout=(_OPEN_TIMEOUT_S, _READ_TIMEOUT_S))
        except (av.FFmpegError, OSError) as error:
            raise InputError(f"{name}: cannot be opened as a video: {error.strerror or error}") from error
        if not self._container.streams.video:
            raise InputError(f"{name}: there is no video in it")
        self._stream = self._container.streams.video[0]
        self._stream.thread_type = "AUTO"

    @property
    def rate(self) -> float:
        """As the file says."""
        return float(self._stream.average_rate or self._stream.guessed_rate or _FOLDER_RATE)

    def frames(self) -> Iterator[Frame]:
        """The frames; packets that cannot be decoded count as one unreadable frame each."""
        start, number = time.monotonic(), 0
        with self._container:
            for decoded in self._packets():
                if isinstance(decoded, str):
                    yield Frame(number, self._name, None, decoded)
                else:
                    time_s = None if decoded.time is None else float(decoded.time)
                    if self._realtime and time_s is not None:
                        time.sleep(max(start + time_s - time.monotonic(), 0))
                    yield Frame(number, self._name, decoded.to_ndarray(format="rgb24"), "", time_s)
                number += 1

    def _packets(self) -> Iterator[Any]:
        """Decoded frames; the reason for a packet that does not give any."""
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except (self._av.FFmpegError, OSError) as error:
                raise InputError(f"{self._name}: the video cannot be read any further: {error.strerror}") from error
            try:
                decoded = list(packet.decode())
            except self._av.EOFError:
                return
            except self._av.FFmpegError as error:
                yield f"{self._name}: a packet cannot be decoded: {error.strerror}"
                continue
            yield from decoded


class Intake:
    """Frames between a source and the network: a few at most. Then the source waits, or the oldest are dropped."""

    def __init__(self, source: Source, most: int, drop_oldest: bool) -> None:
        """Start to read `source` in a thread."""
        self.dropped = 0
        self._most, self._drop = most, drop_oldest
        self._frames: deque[Frame] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._error: MidstreamError | None = None
        threading.Thread(target=self._read, args=[source], name="midstream-source", daemon=True).start()

    def get(self) -> Frame | None:
        """The next frame; waits for it. None at the end. Raises InputError where the source has failed."""
        with self._changed:
            self._changed.wait_for(lambda: self._frames or self._closed)
            if not self._frames:
                if self._error is not None:
                    raise self._error
                return None
            self._changed.notify_all()
            return self._frames.popleft()

    def close(self) -> None:
        """Read no more; what has been read is still there to get."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _read(self, source: Source) -> None:
        try:
            for frame in source.frames():
                if not self._put(frame):
                    break
        except MidstreamError as error:
            self._error = error
        except Exception as error:  # else `get` would wait for ever
            self._error = InputError(f"the source cannot be read any further: {error}")
        self.close()

    def _put(self, frame: Frame) -> bool:
        with self._changed:
            if not self._drop:
                self._changed.wait_for(lambda: self._closed or len(self._frames) < self._most)
            if self._closed:
                return False
            self._frames.append(frame)
            if len(self._frames) > self._most:
                self._frames.popleft()
                self.dropped += 1
            self._changed.notify_all()
            return True
