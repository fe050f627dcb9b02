"""push."""

from __future__ import annotations

import asyncio
import os
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from midstream import models
from midstream.cli import options
from midstream.cli.codec_options import takes_codec
from midstream.cli.console import note, print_json, quiet_grpc
from midstream.cli.progress import LiveLine
from midstream.cli.signals import until_signal
from midstream.codec.base import Codec
from midstream.errors import InputError, OptionError
from midstream.files import STANDARD, locked
from midstream.models.base import takes_arrays
from midstream.quantities import bits_per_second, seconds
from midstream.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from midstream.data.film_writer import FilmWriter
    from midstream.json_lines import Lines
    from midstream.serve.push import PushSummary, Status

_SERVER = "The server"
_PACE = "Pace"
_TOKEN_VARIABLE = "MIDSTREAM_TOKEN"
#: Some frames have no detections: unreadable, or refused by the server.
_NOT_ALL = 1
_ALONE = (
    "each frame is coded by itself, for this codec with these options keeps nothing of a stream: "
    "--codec calibrated --profile FILE does, and --coder dense"
)
#: A frame that takes long on its way needs others behind it, where all of a link is to be used.
_IN_FLIGHT, _MANY_IN_FLIGHT = 8, 16


@takes_codec()
def push_command(
    source: Annotated[
        str,
        typer.Argument(
            help="Image, folder of images, video file, camera (/dev/video0), stream (rtsp://...) or "
            "scenes-video:COUNT,SEED; - for a video on standard input.",
            metavar="SOURCE",
        ),
    ],
    to: Annotated[str, typer.Option(help="Address of the server.", metavar="HOST:PORT", rich_help_panel=_SERVER)],
    model: options.ModelName,
    codec: Codec,
    weights: options.Weights = None,
    threads: options.Threads = None,
    output: Annotated[
        str,
        typer.Option("--output", "-o", help="File for the detections, one JSON line a frame; - for standard output."),
    ] = STANDARD,
    draw: Annotated[str | None, typer.Option(help="Also write an annotated video.", metavar="FILE.mp4")] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print the summary as JSON on standard output; needs -o FILE.")
    ] = False,
    quiet: options.Quiet = False,
    stream: Annotated[
        bool | None,
        typer.Option(
            "--stream/--independent",
            help="Code each frame from the one before it, or each by itself. "
            "Only --codec calibrated and --coder dense do the former.",
            show_default="a stream; a folder's images each by itself, without --bitrate",
        ),
    ] = None,
    drop_oldest: Annotated[
        bool,
        typer.Option(
            "--drop-oldest",
            help="Drop the oldest waiting frames instead of slowing the source down.",
            rich_help_panel=_PACE,
        ),
    ] = False,
    lag: Annotated[int, typer.Option(help="Frames that may wait for the front.", min=1, rich_help_panel=_PACE)] = 2,
    in_flight: Annotated[
        int | None,
        typer.Option(
            help="Frames that may be sent and not answered yet.",
            min=1,
            show_default=f"{_IN_FLIGHT}; {_MANY_IN_FLIGHT} with --bitrate auto",
            rich_help_panel=_PACE,
        ),
    ] = None,
    bitrate: Annotated[
        str | None,
        typer.Option(
            help="Code the stream at this rate, in place of a quality: 300kbit, or auto for what the link takes. "
            "Needs no --stream: a folder's images are one, too.",
            metavar="RATE|auto",
            rich_help_panel=_PACE,
        ),
    ] = None,
    min_bitrate: Annotated[
        str | None,
        typer.Option(
            help="With --bitrate auto, the least.", metavar="RATE", show_default="50kbit", rich_help_panel=_PACE
        ),
    ] = None,
    max_bitrate: Annotated[
        str | None,
        typer.Option(
            help="With --bitrate auto, the most.", metavar="RATE", show_default="8Mbit", rich_help_panel=_PACE
        ),
    ] = None,
    rate_limit: Annotated[
        str | None,
        typer.Option(help="Send no more than this in a second: 2Mbit, 500kbit.", metavar="RATE", rich_help_panel=_PACE),
    ] = None,
    timeout: Annotated[
        str | None,
        typer.Option(help="Give up on answers that take longer: 500ms.", metavar="TIME", rich_help_panel=_PACE),
    ] = None,
    realtime: Annotated[
        bool, typer.Option("--realtime", help="Feed a video file at its own speed.", rich_help_panel=_PACE)
    ] = False,
    limit: Annotated[
        int | None, typer.Option(help="Send only the first frames, this many.", min=1, rich_help_panel=_PACE)
    ] = None,
    retry: Annotated[
        str,
        typer.Option(help="How long to go on trying if no answer comes.", metavar="TIME", rich_help_panel=_SERVER),
    ] = "60s",
    token_file: Annotated[
        Path | None,
        typer.Option(
            help=f"File with the token to send, instead of the variable {_TOKEN_VARIABLE}.", rich_help_panel=_SERVER
        ),
    ] = None,
    tls: Annotated[bool, typer.Option("--tls", help="Use TLS.", rich_help_panel=_SERVER)] = False,
    tls_ca: Annotated[
        Path | None,
        typer.Option(help="Trust this authority instead of the machine's; implies --tls.", rich_help_panel=_SERVER),
    ] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="This client's certificate.", rich_help_panel=_SERVER)] = None,
    tls_key: Annotated[Path | None, typer.Option(help="The key of that certificate.", rich_help_panel=_SERVER)] = None,
) -> None:
    """Run a network's front on images, send the bitstreams to a server, and write its detections.

    The frames of a video or camera are one stream, in which each is coded from the one before it, if the codec does so;
    a server that has lost the stream gets a key. --independent codes each by itself. --bitrate auto follows what the
    link takes: frames are coded coarser, and what it has no room for is dropped, or waits, before it is coded.

    Lost connections are made anew, unanswered frames are sent again, and each frame has one line. Ctrl-C ends a camera,
    and frames in flight are finished. The exit code is 1 if a frame could not be read or was refused.

    Example: midstream push photos --to 127.0.0.1:8440 --model picodet-s-416 --symbols 4 --z 1.5 -o found.jsonl

    Example: midstream push /dev/video0 --to cam.example:8440 --tls --model picodet-s-416 --codec calibrated
    --profile picodet.profile --quality 60 --rate-limit 2Mbit --drop-oldest -o found.jsonl
    """
    quiet_grpc()
    from midstream import serve
    from midstream.data.frames import is_live, open_source
    from midstream.serve import push
    from midstream.serve.pace import pace_for, rate_options
    from midstream.serve.senders import stream_encoder

    if json and output == STANDARD:
        raise InputError("--json prints the summary on standard output, where the detections go: give -o FILE")
    if bitrate is not None and stream is False:
        raise OptionError("`bitrate` is that of a stream: it does not go with `independent`")
    most = None if rate_limit is None else bits_per_second(rate_limit)
    pace = pace_for(bitrate, min_bitrate, max_bitrate, most)
    places = in_flight or (_IN_FLIGHT if pace is None else _MANY_IN_FLIGHT)
    link = serve.Link(to, _token(token_file), tls, tls_ca, tls_cert, tls_key, in_flight=places, retry_s=seconds(retry))
    link.credentials()
    timeout_s = None if timeout is None else _timeout(timeout)
    images = open_source(source, realtime, limit=limit)
    live = is_live(source) or (realtime and images.tick_s is not None)
    settings = push.PushSettings(lag, drop_oldest, most, timeout_s, pace, live)
    as_stream = images.tick_s is not None or bitrate is not None if stream is None else stream
    rate = rate_options(bitrate, pace, images.rate)
    encoder = stream_encoder(codec, threads=threads, **rate) if as_stream else None
    edge = serve.Edge(models.load(model, weights, threads), codec)
    edge.check()
    if draw is not None and takes_arrays(edge.model):
        raise InputError(f"--draw: {edge.model.name} takes arrays, into which nothing can be drawn")
    if as_stream and encoder is None and not quiet:
        note(_ALONE)
    with LiveLine(quiet) as line, _outputs(output, draw, images.rate) as (lines, film):
        watching = push.Watching(note, lambda status: line.show(_status(status)))
        summary = asyncio.run(
            until_signal(
                lambda stop: push.push(images, edge, encoder, link, settings, lines, film, watching, stop),
                lambda: note("finishing what is in flight; once more to end now"),
            )
        )
    if json:
        print_json(summary.as_dict())
    if not quiet:
        note(_summary(summary))
    raise typer.Exit(_NOT_ALL if summary.refused or summary.unreadable else 0)


def _timeout(text: str) -> float:
    found = seconds(text)
    if found <= 0:
        raise InputError(f"--timeout is above 0, not '{text}': no answer comes in no time")
    return found


def _token(file: Path | None) -> str | None:
    """The token to send. Not an option of its own: command lines can be read by everybody on a machine."""
    if file is None:
        return os.environ.get(_TOKEN_VARIABLE) or None
    try:
        return file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: the token cannot be read: {getattr(error, 'strerror', None) or error}") from error


@contextmanager
def _outputs(output: str, draw: str | None, rate: float) -> Iterator[tuple[Lines, FilmWriter | None]]:
    """The files that are written, by nobody else meanwhile; the film appears when all went well."""
    from midstream.data.film_writer import FilmWriter
    from midstream.json_lines import Lines

    film = None if draw is None else FilmWriter(draw, rate)
    lines = Lines(output)
    whole = False
    with locked(output), nullcontext() if draw is None else locked(draw):
        try:
            yield lines, film
            whole = True
        finally:
            if film is not None:
                film.close(whole)
            lines.close()


def _status(status: Status) -> str:
    summary = status.summary
    of = "" if status.rate_kbit is None else f" of {status.rate_kbit:.0f}"
    quality = "" if status.quality is None else f", quality {status.quality}"
    lag = "" if status.lag_s is None else f", lag {status.lag_s:.2f} s"
    return (
        f"{counted(summary.done, 'frame')}, {status.frames_per_s:.1f} frames/s, {status.kbit_per_s:.0f}{of} kbit/s"
        f"{quality}, {counted(summary.keys, 'key frame')}{lag}, "
        f"latency {_ms(summary.latency_p50_ms)} / {_ms(summary.latency_p99_ms)} ms (p50 / p99), "
        f"{status.in_flight} in flight" + _troubles(summary)
    )


def _summary(summary: PushSummary) -> str:
    span = max(summary.seconds, 1e-9)
    return (
        f"{counted(summary.answered, 'frame')} answered in {summary.seconds:.1f} s "
        f"({summary.answered / span:.1f} frames/s, "
        f"{8e-3 * summary.bitstream_bytes / span:.0f} kbit/s), latency {_ms(summary.latency_p50_ms)} / "
        f"{_ms(summary.latency_p99_ms)} ms (p50 / p99)" + _rates(summary) + _troubles(summary)
    )


def _rates(summary: PushSummary) -> str:
    quality = "" if summary.quality_mean is None else f", quality {summary.quality_mean:.0f} on average"
    if summary.bitrate_low is None or summary.bitrate_high is None:
        return quality
    return f"{quality}, the link's rate {summary.bitrate_low / 1e3:.0f} to {summary.bitrate_high / 1e3:.0f} kbit/s"


def _troubles(summary: PushSummary) -> str:
    counts = {
        "dropped": summary.dropped,
        "unreadable": summary.unreadable,
        "refused": summary.refused,
        "connections lost": summary.lost,
        "sent again": summary.resent,
        "times asked for a key": summary.keys_asked,
    }
    return "".join(f", {count} {what}" for what, count in counts.items() if count)


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"
