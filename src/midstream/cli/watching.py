"""watch."""

from __future__ import annotations

import asyncio
import json as json_text
import sys
import threading
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from midstream import models
from midstream.cli import options
from midstream.cli.codec_options import takes_codec
from midstream.cli.console import SOME_FAILED, note
from midstream.cli.progress import LiveLine
from midstream.cli.signals import until_signal
from midstream.codec.base import Codec
from midstream.codec.stream import DEFAULT_KEY_INTERVAL, DEFAULT_STREAM_CODEC
from midstream.data.frames import open_source, public_address
from midstream.errors import InputError, OptionError, unknown
from midstream.files import STANDARD
from midstream.pipelines.image import ANCHOR_SIZES
from midstream.quantities import bits_per_second
from midstream.watch.beside import DEFAULT_JPEG, DEFAULT_QP, Beside
from midstream.watch.controls import Target
from midstream.watch.feed import Kind
from midstream.wording import counted

if TYPE_CHECKING:
    from midstream.watch.board import WatchTally
    from midstream.watch.run import WatchStatus

_PLAYING, _BESIDE, _RATE, _PAGE = "Playing", "Beside it", "Rate", "The page"


@takes_codec(default=DEFAULT_STREAM_CODEC)
def watch_command(
    source: Annotated[
        str,
        typer.Argument(
            help="Video file, folder of images, image, camera (/dev/video0), stream (rtsp://...) or "
            "scenes-video:COUNT,SEED; - for a video on standard input.",
            metavar="SOURCE",
        ),
    ],
    model: options.ModelName,
    codec: Codec,
    port: Annotated[
        int, typer.Option(help="Port of the page; with 0 any that is free.", min=0, max=65535, rich_help_panel=_PAGE)
    ] = 8441,
    open_page: Annotated[
        bool, typer.Option("--open", help="Open the page in the usual browser.", rich_help_panel=_PAGE)
    ] = False,
    bitrate: Annotated[
        str | None,
        typer.Option(
            help="Begin with this instead of a quality: 200kbit, 1.5Mbit (a second).",
            metavar="RATE",
            rich_help_panel=_RATE,
        ),
    ] = None,
    key_interval: Annotated[
        int, typer.Option(help="Frames from one key to the next, at most.", min=1, rich_help_panel=_RATE)
    ] = DEFAULT_KEY_INTERVAL,
    loop: Annotated[
        bool, typer.Option("--loop", help="Begin a file or folder again at its end.", rich_help_panel=_PLAYING)
    ] = False,
    once: Annotated[
        bool,
        typer.Option("--once", help="Leave when the source ends, instead of waiting.", rich_help_panel=_PLAYING),
    ] = False,
    every_frame: Annotated[
        bool,
        typer.Option(
            "--every-frame",
            help="Show every frame of a file, however long that takes, instead of its own speed.",
            rich_help_panel=_PLAYING,
        ),
    ] = False,
    fps: Annotated[
        float | None,
        typer.Option(
            help="Frames a second, where the source does not say: a folder.",
            metavar="N",
            show_default="5",
            rich_help_panel=_PLAYING,
        ),
    ] = None,
    beside: Annotated[
        bool, typer.Option(help="Count what JPEG and x264 take for the same frames.", rich_help_panel=_BESIDE)
    ] = True,
    jpeg_quality: Annotated[
        int, typer.Option(help="JPEG's quality.", min=1, max=100, rich_help_panel=_BESIDE)
    ] = DEFAULT_JPEG,
    x264_qp: Annotated[
        int, typer.Option(help="x264's quantiser (QP): less is finer.", min=1, max=51, rich_help_panel=_BESIDE)
    ] = DEFAULT_QP,
    anchor_size: Annotated[
        str,
        typer.Option(
            help="The size at which these two code: input (the network's) or original.", rich_help_panel=_BESIDE
        ),
    ] = "input",
    weights: options.Weights = None,
    threads: options.Threads = None,
    json: Annotated[
        bool,
        typer.Option("--json", help="Print the address and, at the end, a summary as lines of JSON."),
    ] = False,
    quiet: options.Quiet = False,
) -> None:
    """Show on a page of this machine how a source goes through the stream codec: detections, bytes, times.

    The page's address is printed on standard output. Only programs of this machine can connect. On the page a slider
    changes quality or bit rate, and buttons ask for a key or stop the source. Ctrl-C ends; the exit code is 1 if a
    frame could not be read or coded.

    Example: midstream watch street.mp4 -m picodet-s-416 --profile picodet.profile --loop

    Example: midstream watch /dev/video0 -m picodet-s-416 --profile picodet.profile --bitrate 200kbit --open
    """
    from midstream.watch.run import Watch, Watched, WatchSettings  # the server: help does without
    from midstream.watch.server import listen

    if loop and once:
        raise InputError("give one of --loop and --once: a file that begins again does not end")
    if fps is not None and not 0 < fps < float("inf"):
        raise InputError(f"--fps is a number above 0, not {fps}")
    if anchor_size not in ANCHOR_SIZES:
        raise unknown("anchor size", anchor_size, ANCHOR_SIZES)
    settings = WatchSettings(
        target=_target(codec, bitrate),
        key_interval=key_interval,
        beside=Beside(jpeg_quality, x264_qp) if beside else None,
        anchor_size="input" if anchor_size == "input" else "original",
        loop=loop,
        once=once,
        every=every_frame,
        threads=threads,
    )
    sockets = listen(port)
    try:
        watched = Watched(
            _name(source), Kind.of(source), open_source(source, rate=fps), lambda: open_source(source, rate=fps)
        )
        watch = Watch(watched, models.load(model, weights, threads), codec, settings)
        address = f"http://127.0.0.1:{sockets[0].getsockname()[1]}/"
        with LiveLine(quiet) as line:
            tally = asyncio.run(
                until_signal(
                    lambda stop: watch.run(
                        sockets, stop, lambda: _ready(address, json, open_page), lambda now: line.show(_status(now))
                    )
                )
            )
    finally:
        for each in sockets:
            each.close()
    if json:
        _print_line(vars(tally))
    if not quiet:
        note(_summary(tally))
    raise typer.Exit(SOME_FAILED if tally.unreadable or tally.failed else 0)


def _target(codec: Codec, bitrate: str | None) -> Target:
    if bitrate is None:
        return Target()
    given = [target for target in codec.targets if codec.given().get(target) is not None]
    if given:
        raise OptionError(f"give one of `bitrate` and `{given[0]}`")
    return Target(bitrate=bits_per_second(bitrate))


def _name(source: str) -> str:
    """Of a source, for the page: without folders, and without an address's passwords."""
    if source == STANDARD:
        return "standard input"
    return public_address(source) if "://" in source else Path(source).resolve().name


def _ready(address: str, json: bool, open_page: bool) -> None:
    if json:
        _print_line({"url": address})
    else:
        print(address, flush=True)
    if open_page:
        threading.Thread(target=webbrowser.open, args=[address], daemon=True).start()  # some stay in the terminal


def _print_line(value: dict[str, Any]) -> None:
    sys.stdout.write(json_text.dumps(value, allow_nan=False) + "\n")
    sys.stdout.flush()


def _status(status: WatchStatus) -> str:
    return (
        f"{counted(status.tally.frames, 'frame')}, {status.frames_per_s:.1f} frames/s, "
        f"{status.kbit_per_s:.1f} kbit/s, {_latency(status.tally)}, {counted(status.tabs, 'tab')}"
        + _troubles(status.tally)
    )


def _summary(tally: WatchTally) -> str:
    mean = tally.bytes / max(tally.frames, 1)
    others = {"JPEG": tally.jpeg_bytes, "x264": tally.x264_bytes}
    ratios = {name: size / max(tally.bytes, 1) for name, size in others.items() if size is not None}
    beside = ", ".join(f"{name} takes {ratio:.1f} times as many" for name, ratio in ratios.items())
    return (
        f"{counted(tally.frames, 'frame')} ({counted(tally.keys, 'key')}), {mean:,.0f} bytes a frame"
        + (f" ({beside})" if beside else "")
        + f", {_latency(tally)}"
        + _troubles(tally)
    )


def _latency(tally: WatchTally) -> str:
    def shown(value: float | None) -> str:
        return "-" if value is None else f"{value:.0f}"

    return f"latency {shown(tally.latency_p50_ms)} / {shown(tally.latency_p99_ms)} ms (p50 / p99)"


def _troubles(tally: WatchTally) -> str:
    counts = {"dropped": tally.dropped, "unreadable": tally.unreadable, "not coded": tally.failed}
    return "".join(f", {count:,} {what}" for what, count in counts.items() if count)
