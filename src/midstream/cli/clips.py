"""video encode, decode and info: files of clips."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from midstream import models
from midstream.cli import options
from midstream.cli.clip_tables import show_info
from midstream.cli.codec_options import check_file, takes_codec
from midstream.cli.console import SOME_FAILED, note, print_json
from midstream.cli.progress import LiveLine
from midstream.codec.base import Codec
from midstream.codec.clip_info import kbit_per_s
from midstream.codec.clip_reader import ClipReader
from midstream.codec.clip_writer import ClipWriter
from midstream.codec.stream import DEFAULT_KEY_INTERVAL, DEFAULT_STREAM_CODEC, StreamDecoder, StreamEncoder
from midstream.data.frames import Source, open_source
from midstream.errors import BitstreamError, InputError
from midstream.files import STANDARD, check_other_file, check_writable, locked
from midstream.halves.clip import ClipBack, ClipEdge, ClipFound, ClipTally, about_clip, decode_clip, encode_clip
from midstream.halves.clip_film import ClipFilm
from midstream.json_lines import Lines
from midstream.quantities import seconds
from midstream.wording import counted

app = typer.Typer(
    no_args_is_help=True,
    help="Code video into files of clips, and write what the network finds in them.",
)

ClipFile = Annotated[str, typer.Argument(help="File of a clip, .midv; - for standard input.", metavar="CLIP.midv")]
_RATE = "Rate"


@app.command("encode")
@takes_codec(without=["max_bytes"], default=DEFAULT_STREAM_CODEC)
def encode_command(
    source: Annotated[
        str,
        typer.Argument(
            help="Video file, folder of frames, camera (/dev/video0), stream (rtsp://...) or scenes-video:COUNT,SEED; "
            "- for a video on standard input.",
            metavar="CLIP",
        ),
    ],
    model: options.ModelName,
    output: options.Output,
    codec: Codec,
    key_interval: Annotated[
        int, typer.Option(help="Frames from one key to the next, at most.", min=1, rich_help_panel=_RATE)
    ] = DEFAULT_KEY_INTERVAL,
    refresh_interval: Annotated[
        int | None,
        typer.Option(
            help="Each cell of a frame stands alone once in so many frames, besides keys.",
            min=1,
            rich_help_panel=_RATE,
            show_default="keys alone",
        ),
    ] = None,
    bitrate: Annotated[
        str | None,
        typer.Option(
            help="Hold this instead of a quality: 200kbit, 1.5Mbit (a second).", metavar="RATE", rich_help_panel=_RATE
        ),
    ] = None,
    bucket: Annotated[
        str | None,
        typer.Option(
            help="With --bitrate: how long a receiver of it waits for a frame, at most.",
            metavar="TIME",
            show_default="1s, or ten frames",
            rich_help_panel=_RATE,
        ),
    ] = None,
    max_bytes: Annotated[
        int | None,
        typer.Option(
            help="A hard cap on each frame; instead of a quality, it is filled.",
            metavar="BYTES",
            min=1,
            rich_help_panel=_RATE,
        ),
    ] = None,
    fps: Annotated[
        float | None,
        typer.Option(
            help="Frames a second, where the clip does not say: a folder.",
            metavar="N",
            show_default="5",
            rich_help_panel=_RATE,
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Code only the first frames, this many.", min=1)] = None,
    weights: options.Weights = None,
    threads: options.Threads = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print a summary as JSON on standard output; needs -o FILE.")
    ] = False,
    quiet: options.Quiet = False,
) -> None:
    """Run a network's front on a clip's frames and code them into the file of a clip.

    Frames that cannot be read or coded are skipped, and the exit code is then 1. Every frame is in the file as soon as
    it is coded; Ctrl-C ends a camera, and the file is whole.

    Example: midstream video encode street.mp4 -m picodet-s-416 --profile picodet.profile --quality 60 -o street.midv

    Example: midstream video encode /dev/video0 -m picodet-s-416 --profile picodet.profile --bitrate 200kbit -o - |
    ssh server midstream video decode - -m picodet-s-416 --profile picodet.profile
    """
    if json and output == STANDARD:
        raise InputError("--json prints the summary on standard output, where the clip goes: give -o FILE")
    check_writable(output)
    if fps is not None and not 0 < fps < float("inf"):
        raise InputError(f"--fps is a number above 0, not {fps}")
    check_other_file(output, "-o", source)
    images = open_source(source, rate=fps)
    encoder = StreamEncoder(
        codec,
        key_interval=key_interval,
        refresh_interval=refresh_interval,
        bitrate=bitrate,
        fps=None if bitrate is None else images.rate,
        bucket_s=None if bucket is None else seconds(bucket),
        max_bytes=max_bytes,
        threads=threads,
    )
    edge = ClipEdge(models.load(model, weights, threads), encoder)
    start, tally = time.monotonic(), ClipTally()
    with locked(output), ClipWriter(output, about_clip(edge, images)) as writer, LiveLine(quiet) as line:
        try:
            encode_clip(
                images, edge, writer, tally, limit=limit, skipped=lambda why: note(f"skipped: {why}"),
                done=lambda: line.show(_pace(tally, start)),
            )  # fmt: skip
        except KeyboardInterrupt:
            note("interrupted: the clip ends here")
    if json:
        print_json(asdict(tally))
    if not quiet:
        place = "" if output == STANDARD else f"{output}: "
        note(f"{place}{_pace(tally, start)}")
    raise typer.Exit(SOME_FAILED if tally.skipped else 0)


def _pace(tally: ClipTally, start: float) -> str:
    speed = tally.frames / max(time.monotonic() - start, 1e-9)
    rate = kbit_per_s(tally.bytes, tally.duration_s)
    skipped = f", {tally.skipped} skipped" if tally.skipped else ""
    return (
        f"{counted(tally.frames, 'frame')} ({counted(tally.keys, 'key')}), {tally.bytes:,} bytes, "
        f"{tally.bytes / max(tally.frames, 1):,.0f} a frame, {rate:.1f} kbit/s, at {speed:.1f} frames/s{skipped}"
    )


@app.command("decode")
def decode_command(
    source: ClipFile,
    model: options.ModelName,
    output: Annotated[
        str,
        typer.Option("--output", "-o", help="File for the detections, one JSON line a frame; - for standard output."),
    ] = STANDARD,
    draw: Annotated[str | None, typer.Option(help="Also write a video of the detections.", metavar="FILE.mp4")] = None,
    over: Annotated[
        str | None,
        typer.Option(help="With --draw: the clip that was coded, to draw on instead of on grey.", metavar="CLIP"),
    ] = None,
    start: Annotated[str, typer.Option(help="Begin at this time of the clip.", metavar="TIME")] = "0s",
    limit: Annotated[int | None, typer.Option(help="Decode only so many frames.", min=1)] = None,
    profile: options.ProfileFile = None,
    weights: options.Weights = None,
    threads: options.Threads = None,
    quiet: options.Quiet = False,
) -> None:
    """Decode the file of a clip, run the network's back, and write its detections.

    Of a file that was cut off, all whole frames are decoded; a frame that cannot be decoded has a line with the error,
    and those between damage and the next key are counted.
    The exit code is 1 if there was any of that.

    Example: midstream video decode street.midv -m picodet-s-416 --profile picodet.profile -o found.jsonl --draw out.mp4
    """
    check_file("--profile", profile, source)
    if over is not None and draw is None:
        raise InputError("--over is what --draw FILE.mp4 draws on: give it, too")
    check_other_file(output, "-o", source, over)
    check_other_file(draw, "--draw", source, over)
    start_s = seconds(start)
    back = ClipBack(models.load(model, weights, threads), StreamDecoder(profile, threads=threads))
    images = None if over is None else open_source(over)
    failed, lost, problem = 0, 0, ""
    with ClipReader(source) as reader, _outputs(output, draw, back.model, images) as (lines, film):
        if reader.header.network not in ("", back.model.name):
            note(f"{source}: the clip was made with the network {reader.header.network}, this is {back.model.name}")
        began = time.monotonic()
        frames = decode_clip(reader, back, start_s, damaged=lambda error: note(f"skipped: {error}"))
        with LiveLine(quiet) as line:
            try:
                expected: int | None = None
                for one in islice(frames, limit):
                    lost += 0 if expected is None else one.unit.number - expected
                    expected = one.unit.number + 1
                    lines.write(_line(one, source, back.model))
                    failed += one.error is not None
                    if film is not None:
                        film.add(one)
                    speed = lines.count / max(time.monotonic() - began, 1e-9)
                    line.show(f"{counted(lines.count, 'frame')}, {speed:.1f} frames/s")
            except BitstreamError as error:
                problem = str(error)
    if problem:
        note(problem)
    if not quiet:
        without = f", {failed} of them without detections" if failed else ""
        note(counted(lines.count, "frame") + without + (f"; {lost} more are lost up to the next key" if lost else ""))
    raise typer.Exit(SOME_FAILED if failed or lost or problem else 0)


@contextmanager
def _outputs(
    output: str, draw: str | None, model: models.SplitModel, over: Source | None
) -> Iterator[tuple[Lines, ClipFilm | None]]:
    """The files that are written, by nobody else meanwhile; the film appears when all went well."""
    film = None if draw is None else ClipFilm(draw, model, over)
    lines = Lines(output)
    whole = False
    with locked(output), nullcontext() if draw is None else locked(draw):
        lines.begin()
        try:
            yield lines, film
            whole = True
        finally:
            if film is not None:
                film.close(whole)
            lines.close()


def _line(one: ClipFound, source: str, model: models.SplitModel) -> dict[str, Any]:
    """A frame as `push` writes it, and whether it is a key."""
    unit = one.unit
    line: dict[str, Any] = {"frame": unit.number, "source": Path(source).name, "time_s": unit.time_s}
    if unit.size is not None:
        line["height"], line["width"] = unit.size
    if one.error is not None:
        line["error"] = {"code": type(one.error).__name__, "message": str(one.error)}
    if one.found is not None:
        line |= model.task.listed(one.found, model.classes, model.category_ids)
    return line | {"bytes": len(unit.data), "key": unit.key}


@app.command("info")
def info_command(source: ClipFile, json: options.Json = False) -> None:
    """Show what the file of a clip holds: frames, keys, time, bytes, network, and whether it is whole.

    The exit code is 1 if it is not.

    Example: midstream video info street.midv --json
    """
    raise typer.Exit(show_info(source, json))
