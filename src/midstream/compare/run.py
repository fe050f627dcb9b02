"""A whole comparison: from specs to results, in a folder that keeps what is done."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from pathlib import Path

import numpy as np

from midstream import data as datasets
from midstream import models
from midstream.codec.threads import core_count
from midstream.compare import statistics
from midstream.compare.assembly import Assembly, Drawn, Findings, with_best
from midstream.compare.curves import Floats
from midstream.compare.machine import machine, packages
from midstream.compare.measuring import PlannedPoint, describe, measure, missing, workers
from midstream.compare.memory import network_memory
from midstream.compare.reading import Reading, read_all
from midstream.compare.results import Failure, Interpolation, NetworkResult, Results, Role, Run, to_csv
from midstream.compare.scoring import DEFAULT_RESAMPLES, Scoring, is_one_clip, score_all, weights
from midstream.compare.store import PointRecord, Store, read_point
from midstream.compare.worker import Network
from midstream.data import Dataset
from midstream.data.reading import Skipped, as_read
from midstream.errors import InputError, MidstreamError, unknown
from midstream.evaluation.checks import about_labels, about_nothing, require
from midstream.files import own_folder, write_bytes
from midstream.metrics import known_metrics
from midstream.metrics.scores import labelled, main_metric
from midstream.models import SplitModel
from midstream.pipelines.clips import AnyPipeline
from midstream.pipelines.image import AnchorSize
from midstream.pipelines.registry import Curve, parse_curve
from midstream.progress import SILENT, Progress
from midstream.version import __version__
from midstream.wording import counted

UNCOMPRESSED = "uncompressed"
#: Mbit/s.
DEFAULT_LINKS = (1.0, 10.0, 100.0)
RESULTS, TABLE = "results.json", "results.csv"


@dataclass(frozen=True)
class Request:
    """What to compare.

    Attributes:
        model, weights: see models.load.
        data, limit: see data.load; the first so many images, or frames of each clip.
        anchors, tests: specs of curves, see pipelines.registry.parse_curve.
        anchor_size: at which images are coded.
        metric: the main one, see metrics: what curves are drawn of; by default the task's.
        interpolation: between the points of a curve, for BD-rates.
        resamples: of the bootstrap; 0 for no intervals.
        links: Mbit/s.
        jobs: worker processes, each on one core; all cores by default.
        cache: folder for pyramids, see halves.cache.
        strict: end at the first image that cannot be read, instead of leaving it out.
        command: as it was called, for the report.
    """

    model: str
    data: str
    anchors: Sequence[str] = ()
    tests: Sequence[str] = ()
    weights: Path | None = None
    limit: int | None = None
    anchor_size: AnchorSize = "input"
    metric: str | None = None
    interpolation: Interpolation = "pchip"
    resamples: int = DEFAULT_RESAMPLES
    links: Sequence[float] = DEFAULT_LINKS
    jobs: int | None = None
    cache: Path | None = None
    strict: bool = False
    command: str = ""


def compare(request: Request, folder: Path, progress: Progress = SILENT) -> Results:
    """Measure what `folder` does not hold yet, score it, and write results.json and results.csv.

    A point whose codec is missing or fails is left out of its curve and listed in `Results.failures`; all others are
    measured.

    Raises:
        InputError: an unusable spec, model, data set or option; a folder of another network's or data set's results,
            or one that another process is writing into.
        MidstreamError: a worker died, or the uncompressed network itself failed.
    """
    curves = curves_of(request)
    progress.stage("reading images and network")
    dataset = datasets.load(request.data, request.limit)
    model = models.load(request.model, request.weights)
    dataset = labelled(model.task, dataset)
    require(dataset, model.task, model.classes)
    with own_folder(folder):
        results = _compared(request, folder, model, dataset, curves, progress)
        write_bytes(str(folder / RESULTS), (results.model_dump_json(indent=2) + "\n").encode())
        write_bytes(str(folder / TABLE), to_csv(results))
    return results


def _compared(
    request: Request,
    folder: Path,
    model: SplitModel,
    dataset: Dataset,
    curves: Sequence[tuple[Role, Curve]],
    progress: Progress,
) -> Results:
    jobs, metric = request.jobs or core_count(), request.metric or main_metric(model.task)
    with workers(Network(request.model, request.weights, request.cache), jobs) as pool:
        reading = read_all(pool, dataset, request.strict, progress)
        dataset, notes = as_read(dataset, dict(reading.sizes))
        store = Store(folder, model, dataset)
        points = describe(store, [pipeline for _, curve in curves for pipeline in curve.points])
        failed = _measure(pool, jobs, store, dataset, points, progress)
        lost = {point.pipeline for point in failed}
        there = {p.key: p.pipeline for p in points if p.key is not None and p.pipeline not in lost}
        reference = _reference(points, failed)
        findings = _score(request, pool, store, model, dataset, reading, there, reference, metric, progress)
        notes += about_labels(dataset, model.task, model.classes) + _about_nothing(findings)
        for line in notes:
            progress.warn(line)
        drawn = [Drawn(curve.label, role, _keys(curve, there, findings.sizes)) for role, curve in curves]
        if dataset.images[0].clip is not None:
            drawn = with_best(drawn, findings, metric)
        progress.say(f"comparing {len(drawn) - 1} curves")
        progress.stage("comparing")
        assembly = Assembly(pool, jobs, findings, drawn, metric, request.interpolation)
        return Results(
            run=_run(request, metric, store, dataset, jobs, reading.skipped, notes),
            network=_network(request, model, dataset, findings.records[findings.reference]),
            reference=findings.reference,
            curves=assembly.curves(),
            points=assembly.points(request.links),
            comparisons=assembly.comparisons(),
            failures=_failures(curves, failed),
        )


def _check_metric(name: str) -> None:
    if name not in known_metrics():
        raise unknown("metric", name, known_metrics(), limit=len(known_metrics()))
    if known_metrics()[name].falls:
        raise InputError(f"no curve can be of the metric '{name}', of which less is better; it is in every table")


def curves_of(request: Request) -> list[tuple[Role, Curve]]:
    """The curves that are asked for, each once, the uncompressed network first; no two labels are the same.

    Raises:
        InputError: a spec, metric or link that cannot be used.
    """
    if request.metric is not None:
        _check_metric(request.metric)
    if not all(0 < link < math.inf for link in request.links):
        raise InputError("a link has a finite number of Mbit/s, more than 0")
    asked: list[tuple[Role, str]] = [("reference", UNCOMPRESSED)]
    asked += [("anchor", text) for text in request.anchors] + [("test", text) for text in request.tests]
    seen: dict[str, tuple[Role, Curve]] = {}
    for role, text in asked:
        seen.setdefault(text, (role, parse_curve(text, request.anchor_size, datasets.has_clips(request.data))))
    # Profiles of one name in several folders are told apart by these; no other label shows one.
    labels = Counter(curve.label for _, curve in seen.values())
    return [(role, replace(c, label=c.spec) if labels[c.label] > 1 else c) for role, c in seen.values()]


def _measure(
    pool: ProcessPoolExecutor,
    jobs: int,
    store: Store,
    dataset: Dataset,
    points: Sequence[PlannedPoint],
    progress: Progress,
) -> list[PlannedPoint]:
    work = missing(store, points)
    progress.stage("measuring", len(work) * len(dataset.images))
    failed = [point for point in points if point.key is None]
    for point in failed:
        progress.warn(f"{point.pipeline.label()}: failed: {point.failure}")

    def done(point: PlannedPoint, record: PointRecord | None) -> None:
        said = (
            f"failed: {point.failure}"
            if record is None
            else f"{record.sizes.mean():,.0f} bytes a{'n image' if dataset.images[0].clip is None else ' frame'}"
        )
        progress.say(f"{point.pipeline.label()}: {said}")

    return failed + measure(pool, jobs, store, dataset, work, progress.step, done)


def _reference(points: Sequence[PlannedPoint], failed: Sequence[PlannedPoint]) -> str:
    point = next(point for point in points if point.pipeline.codec.name == UNCOMPRESSED)
    why = next((f.failure for f in failed if f.pipeline == point.pipeline), None)
    if why is not None or point.key is None:
        raise MidstreamError(f"the uncompressed network itself failed: {why or point.failure}")
    return point.key


def _score(
    request: Request,
    pool: ProcessPoolExecutor,
    store: Store,
    model: SplitModel,
    dataset: Dataset,
    reading: Reading,
    there: Mapping[str, AnyPipeline],
    reference: str,
    metric: str,
    progress: Progress,
) -> Findings:
    scoring = Scoring(
        request.data,
        request.limit,
        reading.sizes,
        model.task.name,
        model.classes,
        store.point_path(reference),
        request.resamples,
    )
    progress.say(f"scoring {counted(len(there), 'point')}")
    progress.stage("scoring", len(there))
    scores = score_all(pool, store, scoring, list(there), progress.step)
    if metric not in scores[reference]:
        raise InputError(
            f"this network and data set have no metric '{metric}'; they have {', '.join(scores[reference])}: "
            "choose with --metric"
        )
    records = {key: _read(store, key) for key in there}
    drawn = weights(scoring, dataset).astype(np.float64)
    sizes = {key: statistics.mean_bytes(record, drawn) for key, record in records.items()}
    return Findings(there, records, scores, sizes, reference, _clips(dataset))


def _clips(dataset: Dataset) -> dict[str, range]:
    ends = [0, *accumulate(len(part) for part in dataset.parts)]
    named = zip(dataset.parts, pairwise(ends), strict=True)
    return {part[0].clip.name: range(*places) for part, places in named if part[0].clip is not None}


def _read(store: Store, key: str) -> PointRecord:
    record = read_point(store.point_path(key))
    if record is None:
        raise MidstreamError(f"{store.point_path(key)} cannot be read again")
    return record


def _keys(curve: Curve, there: Mapping[str, AnyPipeline], sizes: Mapping[str, Floats]) -> tuple[str, ...]:
    keys = [key for key, pipeline in there.items() if pipeline in curve.points]
    return tuple(sorted(keys, key=lambda key: float(sizes[key][0])))


def _failures(curves: Sequence[tuple[Role, Curve]], failed: Sequence[PlannedPoint]) -> list[Failure]:
    return [
        Failure(curve=curve.label, spec=point.pipeline.spec(), why=point.failure or "")
        for _, curve in curves
        for point in failed
        if point.pipeline in curve.points
    ]


def _about_nothing(findings: Findings) -> list[str]:
    scores = {name: float(each.values[0]) for name, each in findings.scores[findings.reference].items()}
    return about_nothing(scores, findings.records[findings.reference].outputs)


def _run(
    request: Request,
    metric: str,
    store: Store,
    dataset: Dataset,
    jobs: int,
    skipped: Sequence[Skipped],
    notes: list[str],
) -> Run:
    return Run(
        midstream=__version__,
        command=request.command,
        model=store.manifest.model,
        task=store.task,
        data=store.manifest.data,
        images=store.manifest.images,
        clips=len(dataset.parts) if datasets.has_clips(request.data) else None,
        images_hash=store.manifest.images_hash,
        skipped=list(skipped),
        notes=notes,
        anchor_size=request.anchor_size,
        metric=metric,
        metric_title=known_metrics()[metric].title,
        agreement=dataset.ground_truth is None,
        interpolation=request.interpolation,
        resamples=0 if is_one_clip(dataset) else request.resamples,
        links=list(request.links),
        jobs=jobs,
        machine=machine(),
        packages=packages(),
    )


def _network(request: Request, model: SplitModel, dataset: Dataset, reference: PointRecord) -> NetworkResult:
    front, _, _, back = (1e3 * reference.seconds.mean(0)).tolist()
    images = len(dataset.images)
    peak = network_memory(request.model, request.weights, dataset.images[0].path)
    return NetworkResult(
        name=model.name,
        identity=model.identity,
        front_ms=front,
        back_ms=back,
        memory_mb=None if peak is None else peak / 1e6,
        pixels=reference.pixels / images,
        elements=(reference.elements or 0) / images,
    )
