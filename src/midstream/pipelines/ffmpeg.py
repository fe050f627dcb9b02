"""Encoders of video by the program ffmpeg, decoders by PyAV: the one carries vvenc, the other is there at once.

An encoder runs as one process an image or a clip; what starting it costs (about 20 ms) is part of its time.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, BinaryIO

from midstream.errors import CodecError, install_command

#: Environment variable with the path of an ffmpeg to use instead of looking for one.
FFMPEG_VARIABLE = "MIDSTREAM_FFMPEG"
_VERSIONS = {
    "libvvenc": r"libvvenc version: (\S+)",
    "libx264": r"264 - core (\d+)",
    "libx265": r"HEVC encoder version (\S+)",
    "libsvtav1": r"SVT-AV1 Encoder Lib (\S+)",
}
_OUTPUT_SHOWN = 400


@cache
def find_ffmpeg(encoder: str) -> str:
    """The path of an ffmpeg that has `encoder`: $MIDSTREAM_FFMPEG, else imageio-ffmpeg's, else that of the path.

    Raises:
        CodecError: there is none; the message names the package that has one.
    """
    given = os.environ.get(FFMPEG_VARIABLE)
    places = [given] if given else [_packaged(), shutil.which("ffmpeg")]
    for place in places:
        if place and re.search(rf"\b{encoder}\b", _output([place, "-hide_banner", "-encoders"])):
            return place
    where = f"${FFMPEG_VARIABLE} ({given}) is not one" if given else "none was found"
    raise CodecError(
        f"no ffmpeg with {encoder}: {where}; the package imageio-ffmpeg carries one: {install_command('compare')}"
    )


def _packaged() -> str | None:
    try:
        import imageio_ffmpeg
    except ImportError:
        return None
    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError:  # a package without the program, as for some platforms
        return None


@cache
def versions(encoder: str) -> dict[str, str]:
    """Of ffmpeg and of the encoder inside it. Raises CodecError."""
    program = find_ffmpeg(encoder)
    source = ["-f", "lavfi", "-i", "color=size=128x128", "-frames:v", "1"]
    said = _output([program, "-hide_banner", *source, "-c:v", encoder, "-f", "null", "-"])
    found = re.search(_VERSIONS[encoder], said)
    return {"ffmpeg": _output([program, "-version"]).split(" Copyright")[0], encoder: found[1] if found else "unknown"}


def _output(command: list[str]) -> str:
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    except OSError:
        return ""
    return (done.stdout + done.stderr).decode(errors="replace")


def encode(command: list[str], frames: bytes | BinaryIO) -> bytes:
    """What ffmpeg writes for the raw frames on its input, bytes or a file from its beginning.

    Raises:
        CodecError: with the command and what it said.
    """
    given: dict[str, Any] = {"input": frames}
    if not isinstance(frames, bytes):
        frames.flush()
        frames.seek(0)
        given = {"stdin": frames}
    try:
        # In a session of its own: an interrupt on the terminal is for the program that measures, not for a codec.
        done = subprocess.run(command, **given, capture_output=True, check=False, start_new_session=True)
    except OSError as error:
        raise CodecError(f"{shlex.join(command)}: cannot run: {error.strerror}") from error
    if done.returncode or not done.stdout:
        said = " ".join(done.stderr.decode(errors="replace").split())[-_OUTPUT_SHOWN:]
        raise CodecError(f"{shlex.join(command)} failed with exit code {done.returncode}: {said or 'no output'}")
    return bytes(done.stdout)


def decode(data: bytes, demuxer: str) -> Any:
    """The first image of a stream, as PyAV's VideoFrame, decoded on one core. Raises CodecError."""
    return next(frames(data, demuxer))


def frames(data: bytes, demuxer: str) -> Iterator[Any]:
    """The images of a stream, at least one, in the order in which they are shown; see `decode`."""
    with _opened(data, demuxer) as (container, stream):
        stream.codec_context.thread_count = 1
        decoded = container.decode(stream)
        yield next(decoded)
        yield from decoded


def packet_sizes(data: bytes, demuxer: str) -> list[int]:
    """Bytes of each image in a stream, in their order in it; all of its bytes are in one of them. Raises CodecError."""
    with _opened(data, demuxer) as (container, stream):
        return [packet.size for packet in container.demux(stream) if packet.size]


@contextmanager
def _opened(data: bytes, demuxer: str) -> Iterator[tuple[Any, Any]]:
    """PyAV's container and stream; what goes wrong while they are used is a CodecError."""
    try:
        import av
    except ImportError as error:
        raise CodecError(f"decoding video needs PyAV: {install_command('compare')}") from error
    av.logging.set_level(av.logging.PANIC)  # what matters becomes an exception
    try:
        with av.open(io.BytesIO(data), "r", format=demuxer) as container:
            yield container, container.streams.video[0]
    except (av.FFmpegError, StopIteration, IndexError) as error:
        raise CodecError(f"PyAV does not decode this stream of {len(data)} bytes as {demuxer}: {error}") from error
