"""bench: speed, rate and read passes on this machine."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from midstream.cli import options
from midstream.cli.codec_options import takes_codec
from midstream.cli.console import print_json, print_table
from midstream.cli.progress import progress
from midstream.codec.base import Codec
from midstream.codec.paper.symbols import CODERS
from midstream.codec.speed import SpeedReport, measure, shapes_of, smooth_pyramid
from midstream.codec.threads import thread_count
from midstream.files import read_pyramid
from midstream.limits import Limits


@takes_codec(without=["coder"])
def bench_command(
    codec: Codec,
    source: Annotated[str | None, typer.Argument(help="A pyramid file to measure on, instead of --shape.")] = None,
    shape: Annotated[
        str, typer.Option(help="r50 (the paper's, 44.7 million elements), picodet, or CHANNELSxHEIGHTxWIDTH.")
    ] = "picodet",
    coder: Annotated[
        str | None,
        typer.Option(
            help=f"Coders of the codec paper, separated by commas: {', '.join(CODERS)}; or all.", show_default="fast"
        ),
    ] = None,
    max_elements: options.MaxElements = options.MOST_ELEMENTS,
    threads: options.Threads = None,
    repeats: Annotated[int, typer.Option(help="Runs of each measurement; the fastest one counts.", min=1)] = 5,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure speed and rate on this machine, next to one plain read pass over the same elements.

    Example: midstream bench --shape r50 --coder fast,dense
    """
    coders = list(CODERS) if coder == "all" else [] if coder is None else coder.split(",")
    measured = [codec.changed(coder=name) for name in coders] or [codec]
    limits = replace(Limits(), elements=max_elements)
    pyramid = read_pyramid(source, limits) if source is not None else smooth_pyramid(shapes_of(shape))
    most = thread_count(threads, sum(values.size for values in pyramid.values()))
    counts = sorted({1, most}) if threads is None else [threads]
    with progress("measuring", len(measured) * len(counts), quiet) as advance:
        report = measure(pyramid, measured, counts, repeats, advance)
    if json:
        print_json(report.model_dump())
        return
    _print(report)


def _print(report: SpeedReport) -> None:
    gigabytes = 4 * report.elements / 1e9
    codec = ", ".join(f"{key} {value}" for key, value in report.codec.items() if key not in ("codec", "coder"))
    title = (
        f"{report.elements:,} elements, {codec}; {report.simd}\n"
        f"one read pass {1e3 * report.read_seconds:.2f} ms ({gigabytes / report.read_seconds:.1f} GB/s), "
        f"a copy {1e3 * report.copy_seconds:.2f} ms"
    )
    columns = [
        "coder", "threads", "bits/element", "encode, ms", "decode, ms", "encode, M/s", "decode, M/s",
        "encode, passes", "decode, passes",
    ]  # fmt: skip
    rows = [
        [
            row.coder, str(row.threads), f"{row.bits_per_element:.3f}",
            f"{1e3 * row.encode_seconds:.2f}", f"{1e3 * row.decode_seconds:.2f}",
            f"{report.elements / row.encode_seconds / 1e6:,.0f}", f"{report.elements / row.decode_seconds / 1e6:,.0f}",
            f"{row.encode_passes:.1f}", f"{row.decode_passes:.1f}",
        ]
        for row in report.rows
    ]  # fmt: skip
    print_table(title, columns, rows)
