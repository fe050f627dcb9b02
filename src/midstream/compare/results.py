"""`results.json`, as pydantic models: docs/compare.md documents it; `results.csv` is the points alone."""

from __future__ import annotations

import csv
import io
from typing import Any, Literal

from pydantic import BaseModel

#: Counted up when a field changes its meaning or goes.
SCHEMA_VERSION = 1
Role = Literal["reference", "anchor", "test"]
#: Ways between the points; a cubic polynomial is none, as it overshoots where points are few or uneven.
Interpolation = Literal["pchip", "akima"]


class Bounds(BaseModel):
    """A confidence interval of 95 %, by bootstrap over the images or, of clips, over the clips."""

    low: float
    high: float


class MetricResult(BaseModel):
    """A metric of a point, in percent.

    Attributes:
        value: on all images.
        interval: None for a metric that is not resampled.
        loss: of the uncompressed network's value, in percent of it; negative where the point is better.
        loss_interval: paired: both networks on the same resamples.
        by_class, by_size: values on all images.
    """

    value: float
    interval: Bounds | None
    loss: float
    loss_interval: Bounds | None
    by_class: dict[str, float]
    by_size: dict[str, float]


class Milliseconds(BaseModel):
    """Mean time of an image, on one core of a machine that runs `jobs` of them at once.

    `front` and `back` are the network's two halves: on device and server where features are coded, both on the server
    where the image is.
    """

    front: float
    encode: float
    decode: float
    back: float


class MemoryMb(BaseModel):
    """Peak memory of the codec in megabytes (10^6 bytes) above what it is given; None where it is not known."""

    encode: float | None
    decode: float | None


class EqualAccuracy(BaseModel):
    """A point beside an anchor: difference in rate at the point's accuracy, percent of the anchor's, interpolated."""

    anchor: str
    rate_change: float | None
    interval: Bounds | None
    refusal: str | None


class PointResult(BaseModel):
    """One point: a pipeline with all its options, on all images.

    Attributes:
        spec: that makes it again, with every option; `label` has those that were given.
        description: pipeline, codec, options, versions and command line.
        bytes: mean of an image, everything that the receiver needs included.
        bytes_by_clip: the same for the frames of each clip; empty for images.
        bits_per_pixel: of the network's input.
        bits_per_element: of the whole pyramid; None where the image is coded.
        accuracy: by metric.
        wait_ms: of a frame of a clip, for later ones that its codec looks at before it codes it.
        latency_ms: by link in Mbit/s: wait, front, encode, bytes over the link, decode, back.
    """

    key: str
    spec: str
    label: str
    description: dict[str, Any]
    bytes: float
    bytes_interval: Bounds | None
    bytes_by_clip: dict[str, float] = {}
    bits_per_pixel: float
    bits_per_element: float | None
    accuracy: dict[str, MetricResult]
    milliseconds: Milliseconds
    memory: MemoryMb
    wait_ms: float = 0.0
    latency_ms: dict[str, float]
    at_equal_accuracy: list[EqualAccuracy]


class LossTarget(BaseModel):
    """The rate of a curve at a relative loss of accuracy.

    Attributes:
        loss: percent of the uncompressed value.
        accuracy: that value less the loss.
        bytes: by interpolation on the monotone envelope; None with the reason in `refusal`.
        interval: None where more than a tenth of the resamples do not reach the target.
    """

    loss: float
    accuracy: float
    bytes: float | None
    interval: Bounds | None
    refusal: str | None


class CurveResult(BaseModel):
    """A spec with its points, by key, cheapest first."""

    label: str
    role: Role
    points: list[str]
    left_out: int
    targets: list[LossTarget]


class Comparison(BaseModel):
    """A curve against an anchor.

    Attributes:
        bd_rate: percent; negative where the test needs fewer bytes. None with the reason in `refusal`.
        bd_accuracy: in points of the metric; None also where the rates do not overlap.
        overlap: the accuracies that `bd_rate` is averaged over, and `overlap_share` their part of the whole range.
        anchor_left_out, test_left_out: points that are not on the curves' monotone envelopes.
    """

    anchor: str
    test: str
    bd_rate: float | None = None
    bd_rate_interval: Bounds | None = None
    bd_accuracy: float | None = None
    bd_accuracy_interval: Bounds | None = None
    overlap: tuple[float, float] | None = None
    overlap_share: float | None = None
    anchor_left_out: int = 0
    test_left_out: int = 0
    refusal: str | None = None


class Failure(BaseModel):
    """A point that was asked for and is not there."""

    curve: str
    spec: str
    why: str


class NetworkResult(BaseModel):
    """The network: time as in `Milliseconds`, memory with weights, sizes of an image."""

    name: str
    identity: str
    front_ms: float
    back_ms: float
    memory_mb: float | None
    pixels: float
    elements: float


class Run(BaseModel):
    """What was run where.

    Attributes:
        images: that all figures are of.
        clips: that the images are frames of; None where they are not.
        skipped: path of each image that could not be read, and why.
        notes: what speaks against the figures, a line each.
    """

    midstream: str
    command: str
    model: str
    task: str = "detection"
    data: str
    images: int
    clips: int | None = None
    images_hash: str
    skipped: list[tuple[str, str]] = []
    notes: list[str] = []
    anchor_size: str
    metric: str
    metric_title: str
    agreement: bool
    interpolation: Interpolation
    resamples: int
    links: list[float]
    jobs: int
    machine: dict[str, str]
    packages: dict[str, str]


class Results(BaseModel):
    """All of it."""

    schema_version: int = SCHEMA_VERSION
    run: Run
    network: NetworkResult
    reference: str
    curves: list[CurveResult]
    points: list[PointResult]
    comparisons: list[Comparison]
    failures: list[Failure]

    def point(self, key: str) -> PointResult:
        """The point with this key."""
        return next(point for point in self.points if point.key == key)


def to_csv(results: Results) -> bytes:
    """A row for each point of each curve; UTF-8 with a header."""
    metrics = list(results.points[0].accuracy)
    stages = list(Milliseconds.model_fields)
    header = ["curve", "role", "spec", "bytes", "bytes_low", "bytes_high", "bits_per_pixel", "bits_per_element"]
    for metric in metrics:
        header += [metric, f"{metric}_low", f"{metric}_high", f"{metric}_loss"]
    header += [f"{stage}_ms" for stage in stages] + ["encode_mb", "decode_mb"]
    header += [f"latency_ms_{link}_mbit" for link in results.points[0].latency_ms]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for curve in results.curves:
        for key in curve.points:
            point = results.point(key)
            row: list[object] = [curve.label, curve.role, point.spec, point.bytes, *_bounds(point.bytes_interval)]
            row += [point.bits_per_pixel, point.bits_per_element]
            for metric in metrics:
                found = point.accuracy[metric]
                row += [found.value, *_bounds(found.interval), found.loss]
            row += [getattr(point.milliseconds, stage) for stage in stages]
            row += [point.memory.encode, point.memory.decode, *point.latency_ms.values()]
            writer.writerow(row)
    return text.getvalue().encode()


def _bounds(bounds: Bounds | None) -> tuple[float | None, float | None]:
    return (None, None) if bounds is None else (bounds.low, bounds.high)
