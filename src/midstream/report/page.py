"""report.html."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

from midstream import data as datasets
from midstream import models
from midstream.compare.results import CurveResult, PointResult, Results
from midstream.compare.run import UNCOMPRESSED, Request
from midstream.compare.store import point_path, read_point
from midstream.compare.text import averaged_over, figure, measured_on, unit
from midstream.data import Dataset
from midstream.errors import MissingExtraError
from midstream.files import write_bytes
from midstream.metrics import known_metrics
from midstream.models.tasks.detection import Detection
from midstream.pipelines.registry import parse_curve
from midstream.progress import Progress
from midstream.report.lead import anchors, busy, lead_curves, ordered_tests, sentences, typical
from midstream.report.moving import Moving, play
from midstream.report.paper_table import curve_rows, paper_metric, paper_rows
from midstream.report.plots import accuracy_plot, bytes_plot, drawable, latency_plot, loss_plot
from midstream.report.samples import Candidate, detection_rows, feature_rows, paper_figure
from midstream.wording import counted

try:
    import jinja2
except ImportError as error:
    raise MissingExtraError("the report", "compare") from error

REPORT = "report.html"
#: Curves of which a point is shown in images.
_SHOWN_CURVES = 4
#: Clips of which the bytes are drawn over time.
_SHOWN_CLIPS = 8
_SIZES = ("small", "medium", "large")


def write_report(
    results: Results, request: Request, folder: Path, progress: Progress, moving: Moving | None = None
) -> Path:
    """Write the page into the folder that `compare` has filled; it holds all its images and needs no network.

    Of clips it plays one; `moving` is another one to play.
    """
    progress.say("drawing the report")
    progress.stage("drawing")
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("midstream.report"), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    shown = chosen_points(results)
    reference = results.point(results.reference).accuracy[results.run.metric]
    dataset = datasets.load(request.data, request.limit).without({path for path, _ in results.run.skipped})
    network = models.load(request.model, request.weights)
    leading = lead_curves(results)
    warning = busy(results)
    table = paper_rows(results)
    candidates = [_candidate(folder, request, label, point) for label, point in shown]
    page = environment.get_template(REPORT).render(
        results=results,
        run=results.run,
        detector=isinstance(network.task, Detection),
        reference=reference,
        sentences=sentences(results),
        lead_plot=accuracy_plot(results, leading, "leading") if leading else None,
        paper_rows=[*table, *curve_rows(results, leading)] if table else [],
        paper_metric=paper_metric(results),
        titles={name: metric.title for name, metric in known_metrics().items()},
        summary=_summary(results),
        rows=_points(results, results.curves),
        plots=[accuracy_plot(results, drawable(results), "all"), loss_plot(results, drawable(results))],
        latency=latency_plot(results, shown, warning),
        warning=warning,
        classes=_classes(results, [point for _, point in shown[1:]]),
        shown=shown,
        sizes=[size for size in _SIZES if size in reference.by_size],
        detections=detection_rows(dataset, network.classes, candidates),
        over_time=_over_time(dataset, candidates[1:]) if results.run.clips and candidates[1:] else None,
        moving=play(dataset, network, candidates) if results.run.clips else moving,
        unit=unit(results.run),
        measured_on=measured_on(results.run),
        features=feature_rows(network, dataset.images[0], candidates[1:]),
        paper_figure=paper_figure(network, dataset.images[0]),
        figure=figure,
        counted=counted,
        averaged_over=averaged_over,
    )
    target = folder / REPORT
    write_bytes(str(target), page.encode())
    return target


def moving_beside(results: Results, request: Request, folder: Path) -> Moving | None:
    """What to play of a comparison of clips on the page of another one; `folder` is the one that `compare` filled."""
    dataset = datasets.load(request.data, request.limit).without({path for path, _ in results.run.skipped})
    shown = chosen_points(results)
    candidates = [_candidate(folder, request, label, point) for label, point in shown]
    moving = play(dataset, models.load(request.model, request.weights), candidates)
    if moving is None:
        return None
    return replace(moving, results=results, points=shown, over_time=_over_time(dataset, candidates[1:]))


def chosen_points(results: Results) -> list[tuple[str, PointResult]]:
    """The uncompressed network, then of the foremost curves the cheapest point that loses little, or the best.

    Of clips, the anchor's is the one that takes about as many bytes as the foremost test's.
    """
    tests = ordered_tests(results)
    few = [*tests[: _SHOWN_CURVES - 1], *anchors(results)[:1]] if tests else anchors(results)[:_SHOWN_CURVES]
    points = [typical(results, curve) for curve in few]
    if results.run.clips and tests and anchors(results):
        points[-1] = _nearest(results, few[-1], points[0].bytes)
    return [(UNCOMPRESSED, results.point(results.reference)), *((point.label, point) for point in points)]


def _nearest(results: Results, curve: CurveResult, size: float) -> PointResult:
    """The point of a curve with about so many bytes."""
    return min((results.point(key) for key in curve.points), key=lambda point: abs(math.log(point.bytes / size)))


def _over_time(dataset: Dataset, candidates: Sequence[Candidate]) -> str:
    """Bytes of each frame of the first clips."""
    parts = dataset.parts[:_SHOWN_CLIPS]
    ends = [0, *accumulate(len(part) for part in parts)]
    sizes = [
        (each.label, [each.record.sizes[start:end].tolist() for start, end in pairwise(ends)]) for each in candidates
    ]
    names = [part[0].clip.name if part[0].clip else "" for part in parts]
    return bytes_plot([[image.time_s for image in part] for part in parts], sizes, names)


def _candidate(folder: Path, request: Request, label: str, point: PointResult) -> Candidate:
    record = read_point(point_path(folder, point.key))
    assert record is not None, "it has just been read for the results"
    return Candidate(
        label, parse_curve(point.spec, request.anchor_size, datasets.has_clips(request.data)).points[0], record
    )


def _summary(results: Results) -> list[dict[str, Any]]:
    """A row for each curve: rates at the targets, BD-rates to each anchor; a single point at its accuracy."""
    rows = []
    for curve in results.curves:
        if curve.role == "reference":
            continue
        beside = {each.anchor: each for each in results.comparisons if each.test == curve.label}
        single = results.point(curve.points[0]) if len(curve.points) == 1 else None
        alone = {} if single is None else {each.anchor: each for each in single.at_equal_accuracy}
        rows.append({"curve": curve, "beside": beside, "alone": alone})
    return rows


def _points(results: Results, curves: Sequence[CurveResult]) -> list[tuple[CurveResult, PointResult]]:
    return [(curve, results.point(key)) for curve in curves for key in curve.points]


def _classes(results: Results, points: Sequence[PointResult]) -> list[tuple[str, float, list[float]]]:
    """Class, uncompressed value, and the points' differences from it, the largest mean drop first."""
    metric = results.run.metric
    reference = results.point(results.reference).accuracy[metric].by_class
    rows = [
        (name, value, [round(point.accuracy[metric].by_class[name] - value, 1) + 0.0 for point in points])
        for name, value in reference.items()
    ]
    return sorted(rows, key=lambda row: sum(row[2]))
