"""compare."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from midstream.cli import options
from midstream.cli.console import SOME_FAILED, note, print_json, print_table
from midstream.cli.progress import Stages
from midstream.cli.signals import kept_in
from midstream.compare.text import averaged_over, figure, measured_on
from midstream.errors import InputError, MidstreamError, unknown
from midstream.report.lead import busy, sentences
from midstream.wording import counted

if TYPE_CHECKING:
    from midstream.compare.results import Comparison, Results


def compare_command(
    model: options.ModelName,
    data: options.Data,
    output: options.Folder,
    anchor: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SPEC",
            help="A curve to compare with, such as vvc:qp=22,27,32,37,42. Several values of an option are several "
            "points. May be repeated.",
        ),
    ] = None,
    test: Annotated[
        list[str] | None,
        typer.Option(metavar="SPEC", help="A curve to compare, such as paper:symbols=4,z=1,1.5,2. May be repeated."),
    ] = None,
    anchor_size: Annotated[
        str, typer.Option(help="The size at which images are coded: input (the network's) or original.")
    ] = "input",
    metric: Annotated[
        str | None, typer.Option(help="The accuracy for curves and BD-rates: ap, ap50, segm_ap, top1, miou, ...")
    ] = None,
    interpolation: Annotated[
        str, typer.Option(help="Interpolation between points, for BD-rates: pchip or akima.")
    ] = "pchip",
    resamples: Annotated[
        int, typer.Option(help="Resamples of the images for the bootstrap; 0 for no intervals.", min=0)
    ] = 1000,
    link: Annotated[
        str, typer.Option(metavar="MBIT/S,...", help="Link speeds to compute the latency for.")
    ] = "1,10,100",
    jobs: Annotated[
        int | None, typer.Option(help="Number of processes, each on one core.", min=1, show_default="all cores")
    ] = None,
    weights: options.Weights = None,
    limit: options.Limit = None,
    cache: options.Cache = None,
    strict: options.Strict = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure pipelines on the same images: rate, accuracy, time and BD-rate with intervals, in one report.

    The folder gets report.html, results.json and results.csv, and keeps the measurements: an interrupted run resumes
    where it was, and additional curves cost only themselves. 'midstream codecs' lists the codecs that a SPEC may name.
    The exit code is 0, 1 if some images could not be read and were left out, or 2 if some points failed.

    Example: midstream compare -m picodet-s-416 -d coco:val2017,instances_val2017.json --anchor vvc:qp=22,27,32,37,42
    --test paper:symbols=4,z=1,1.5,2 -o results
    """
    from midstream.compare.results import Interpolation
    from midstream.compare.run import Request, compare
    from midstream.pipelines.image import ANCHOR_SIZES
    from midstream.report.page import write_report

    if anchor_size not in ANCHOR_SIZES:
        raise unknown("anchor size", anchor_size, ANCHOR_SIZES)
    if interpolation not in get_args(Interpolation):
        raise unknown("interpolation", interpolation, get_args(Interpolation))
    if not anchor and not test:
        raise InputError("nothing to compare: give --anchor and --test, such as --anchor vvc:qp=22,32,42 --test paper")
    request = Request(
        model=model,
        data=data,
        anchors=anchor or [],
        tests=test or [],
        weights=weights,
        limit=limit,
        anchor_size=anchor_size,
        metric=metric,
        interpolation=interpolation,  # type: ignore[arg-type] # checked above
        resamples=resamples,
        links=_links(link),
        jobs=jobs,
        cache=cache,
        strict=strict,
        command=shlex.join(["midstream", *sys.argv[1:]]),
    )
    with kept_in(output), Stages(quiet) as stages:
        results = compare(request, output, stages)
        write_report(results, request, output, stages)
    if json:
        print_json(results.model_dump(mode="json"))
    else:
        _print(results)
        for sentence in sentences(results):
            print(sentence)
    warning = busy(results)
    if warning is not None:
        note(f"beware: {warning}")
    if not quiet:
        note(f"{output / 'report.html'}, results.json, results.csv")
    if results.failures:
        first = results.failures[0]
        points = counted(len(results.points) + len(results.failures), "point")
        raise MidstreamError(
            f"{len(results.failures)} of {points} failed, the others are in the report; {first.spec}: {first.why}"
        )
    if results.run.skipped:
        raise typer.Exit(SOME_FAILED)


def _links(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise InputError(f"--link {text}: expected numbers of Mbit/s separated by commas, such as 1,10,100") from error


def _print(results: Results) -> None:
    run, network = results.run, results.network
    reference = results.point(results.reference).accuracy[run.metric]
    anchor = next((curve.label for curve in results.curves if curve.role == "anchor"), None)
    title = (
        f"{run.model}, {measured_on(run)}, {run.metric_title}"
        f"{' (agreement with the uncompressed network)' if run.agreement else ''}: uncompressed {reference.value:.2f}; "
        f"front {network.front_ms:.0f} ms, back {network.back_ms:.0f} ms"
    )
    columns = ["curve", "points", "bytes at -1 %", "bytes at -3 %", f"BD-rate to {anchor}" if anchor else "BD-rate"]
    rows = []
    for curve in results.curves:
        if curve.role == "reference":
            continue
        beside = next((c for c in results.comparisons if (c.anchor, c.test) == (anchor, curve.label)), None)
        change = "" if beside is None else _bd_rate(beside)
        targets = [figure(t.bytes, t.interval, t.refusal, ",.0f") for t in curve.targets] or ["", ""]
        rows.append([curve.label, str(len(curve.points)), *targets, change])
    print_table(title, columns, rows)
    rows = []
    for curve in results.curves:
        for key in curve.points:
            point = results.point(key)
            accuracy, times = point.accuracy[run.metric], point.milliseconds
            loss = figure(accuracy.loss, accuracy.loss_interval, None, ".1f", " %")
            equal = next((e for e in point.at_equal_accuracy if e.anchor == anchor), None)
            change = "" if equal is None else figure(equal.rate_change, equal.interval, equal.refusal, "+.0f", " %")
            rows.append(
                [
                    point.label, f"{point.bytes:,.0f}", f"{point.bits_per_pixel:.3f}",
                    "" if point.bits_per_element is None else f"{point.bits_per_element:.3f}",
                    f"{accuracy.value:.2f}", loss, change, f"{times.encode:.1f} / {times.decode:.1f}",
                ]
            )  # fmt: skip
    columns = [
        "point",
        "bytes",
        "bits/pixel",
        "bits/element",
        run.metric_title,
        "loss",
        "bytes to anchor's",
        "encode / decode, ms",
    ]
    print_table("", columns, rows)


def _bd_rate(beside: Comparison) -> str:
    change = figure(beside.bd_rate, beside.bd_rate_interval, beside.refusal, "+.1f", " %")
    return "\n".join(filter(None, (change, averaged_over(beside))))
