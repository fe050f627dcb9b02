"""Frames of video files, cameras and streams of them: the one reader of video for all commands."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import FrameType
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from midstream.errors import InputError, MissingExtraError

#: File name endings that count as video, in any case.
VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts", ".y4m")
#: Of a stream that does not answer, in seconds: to open it, and to read on.
_OPEN_TIMEOUT_S, _READ_TIMEOUT_S = 10.0, 10.0
#: Options of FFmpeg's reader of images, by which a name is that of one file; other readers leave them aside.
_ONE_FILE = {"pattern_type": "none"}


@dataclass(frozen=True)
class VideoFrame:
    """A frame of a video.

    Attributes:
        image: uint8 RGB [height, width, 3], upright; frames of one video may differ in size. None where a packet
            cannot be decoded.
        problem: why not.
        time_s: since the video's begin; None where it does not say.
        ticks: the same in `Video.tick_s`.
    """

    image: NDArray[np.uint8] | None
    problem: str = ""
    time_s: float | None = None
    ticks: int | None = None


class Video:
    """A video that has been opened.

    `rate` is its frames a second, `tick_s` what its times count in; None where it does not say.
    """

    def __init__(self, source: Path | str | BinaryIO, name: str = "", form: str | None = None) -> None:
        """Open a file, a device or an address.

        Args:
            source: the path of a file, whatever its name is like; the text by which FFmpeg knows a device or an
                address; or a file that is open.
            name: for messages; the source where it is empty.
            form: FFmpeg's name of the container or device, where it cannot be guessed: v4l2.

        Raises:
            InputError: it cannot be opened, or has no video.
            MissingExtraError: without PyAV.
        """
        try:
            import av
        except ImportError as error:
            raise MissingExtraError("reading video", "video") from error
        av.logging.set_level(av.logging.PANIC)  # what matters becomes an exception
        self._av, self._name = av, name or str(source)
        # Of a bare name FFmpeg takes what is before a colon for a protocol, and %d for the numbers of many images.
        url, options = (f"file:{source}", _ONE_FILE) if isinstance(source, Path) else (source, {})
        times = (_OPEN_TIMEOUT_S, _READ_TIMEOUT_S)
        self._pipe = None if isinstance(source, Path | str) else _Pipe(source)
        try:
            with _interruptible():
                self._container = av.open(self._pipe or url, "r", format=form, timeout=times, options=options)
        except (av.FFmpegError, OSError, ValueError) as error:  # the last: a name that is no valid Unicode
            raise self._failure(error) from error
        self._check_uninterrupted()
        if not self._container.streams.video:
            raise InputError(f"cannot read the video {self._name}: it has no video stream")
        self._stream = self._container.streams.video[0]
        rate = self._stream.average_rate or self._stream.guessed_rate
        self.rate = float(rate) if rate else None
        self.tick_s: Fraction | None = self._stream.time_base

    def frames(self, start: int | None = None) -> Iterator[VideoFrame]:
        """All frames, once; a packet that cannot be decoded counts as one frame without an image.

        Args:
            start: begin with the last frame at or before so many ticks that decoding can begin with; with the first
                frame by default. For files.

        Raises:
            InputError: the video breaks off, or there is no frame in it.
        """
        count = 0
        with self._container:
            if start is not None:
                self._seek(start)
            for packet in self._packets():
                for frame in self._decoded(packet):
                    yield frame
                    count += 1
        if not count:
            raise InputError(f"cannot read the video {self._name}: there is no frame in it")

    def packet_ticks(self) -> Iterator[int | None]:
        """When the frame of each packet is, in ticks, without decoding it; once, in the order of the file.

        None where a packet does not say it. Raises InputError where the video breaks off.
        """
        with self._container:
            for packet in self._packets():
                if packet.size and not packet.is_discard:
                    yield packet.pts

    def _seek(self, ticks: int) -> None:
        try:
            self._container.seek(ticks, stream=self._stream)
        except (self._av.FFmpegError, OSError) as error:
            raise self._failure(error) from error

    def _packets(self) -> Iterator[Any]:
        packets = self._container.demux(self._stream)
        while True:
            try:
                with _interruptible():
                    packet = next(packets, None)
            except (self._av.FFmpegError, OSError) as error:
                raise self._failure(error) from error
            if packet is None:
                break
            yield packet
        self._check_uninterrupted()

    def _decoded(self, packet: Any) -> Iterator[VideoFrame]:
        try:
            for frame in packet.decode():
                yield VideoFrame(_upright(frame), "", None if frame.time is None else float(frame.time), frame.pts)
        except self._av.EOFError:
            return
        except (self._av.FFmpegError, ValueError) as error:
            yield VideoFrame(None, str(self._failure(error)))

    def _check_uninterrupted(self) -> None:
        if self._pipe is not None and self._pipe.interrupted:
            raise KeyboardInterrupt

    def _failure(self, error: Exception) -> InputError:
        self._check_uninterrupted()
        return InputError(f"cannot read the video {self._name}: {getattr(error, 'strerror', None) or error}")


@contextmanager
def _interruptible() -> Iterator[None]:
    """Have an interrupt that comes meanwhile be raised in any case: PyAV loses those that come while FFmpeg waits.

    Only the main thread hears of interrupts, and only where nobody else has taken them over. Raises KeyboardInterrupt.
    """
    usual = signal.getsignal(signal.SIGINT)
    if usual is not signal.default_int_handler or threading.current_thread() is not threading.main_thread():
        yield
        return
    came = False

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal came
        came = True
        signal.default_int_handler(number, frame)

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)
        if came:
            raise KeyboardInterrupt


class _Pipe:
    """An open file for PyAV, which prints what reading raises and goes on as if the file had ended.

    Attributes:
        interrupted: whether somebody wanted all to end, while it was read.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.interrupted = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def read(self, size: int) -> bytes:
        try:
            return self._file.read(size)
        except KeyboardInterrupt:
            self.interrupted = True
            return b""


def _upright(frame: Any) -> NDArray[np.uint8]:
    """The pixels of a PyAV frame, turned and mirrored as the display matrix says that phones write.

    It takes x to a x + c y and y to b x + d y (FFmpeg's libavutil/display.h); an angle that is none of four counts as
    the nearest of them.
    """
    pixels: NDArray[np.uint8] = frame.to_ndarray(format="rgb24")
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return pixels
    a, b, _, c, d = np.frombuffer(matrix, np.int32)[:5].tolist()
    if abs(a) + abs(d) < abs(b) + abs(c):
        pixels, a, d = pixels.transpose(1, 0, 2), c, b
    return np.ascontiguousarray(pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])
