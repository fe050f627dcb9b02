"""From measured points and their scores to results: intervals, losses, targets, BD-rates, latency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from midstream.compare import curves
from midstream.compare.curves import Floats, RateCurve, Refusal, SmoothCurve
from midstream.compare.results import (
    Bounds,
    Comparison,
    EqualAccuracy,
    Interpolation,
    LossTarget,
    MemoryMb,
    MetricResult,
    Milliseconds,
    PointResult,
)
from midstream.compare.scoring import Scores
from midstream.compare.store import STAGES, PointRecord
from midstream.metrics.base import Score
from midstream.metrics.bootstrap import Interval, interval, log_interval
from midstream.pipelines.clips import AnyPipeline

#: Relative losses of accuracy, in percent, at which the rate is given.
LOSSES = (1.0, 3.0)
_MEGA = 1e6


@dataclass(frozen=True)
class Sampled:
    """A curve on the whole set and on each resample, [1 + resamples, points]: mean bytes, and the main metric."""

    label: str
    rates: Floats
    accuracies: Floats

    def row(self, number: int) -> tuple[Floats, Floats]:
        """Resample `number`; 0 is the whole set."""
        return self.rates[number], self.accuracies[number]

    def rate_curves(self) -> list[RateCurve]:
        """One for the whole set and for each resample."""
        return [RateCurve.of(*each) for each in zip(self.rates, self.accuracies, strict=True)]


def sampled(label: str, sizes: Sequence[Floats], scores: Sequence[Score]) -> Sampled:
    """A curve from the mean bytes [1 + resamples] and the scores of its points; one row for a bare metric."""
    rows = min(len(score.values) for score in scores)
    rates = np.stack([size[:rows] for size in sizes], axis=1)
    return Sampled(label, rates, np.stack([score.values[:rows] for score in scores], axis=1))


def left_out(curve: Sampled) -> int:
    """How many of its points are not on the monotone envelope."""
    return len(curve.rates[0]) - len(curves.envelope(*curve.row(0))[0])


def mean_bytes(record: PointRecord, weights: Floats) -> Floats:
    """Of an image, on the whole set and on each resample."""
    return np.asarray(weights @ record.sizes / weights.sum(1), np.float64)


def resampled_differences(
    sampled: Sequence[Sampled], pairs: Sequence[tuple[int, int]], rows: range, method: Interpolation
) -> Floats:
    """Of every pair (anchor, test) of curves on some resamples, ratio of rates and difference of accuracies.

    Returns:
        [pairs, rows, 2], NaN where a curve does not go that far or where the two do not overlap.
    """
    out = np.full((len(pairs), len(rows), 2), np.nan)
    for column, row in enumerate(rows):
        smooth = [SmoothCurve.of(*each.row(row), method) if row < len(each.rates) else None for each in sampled]
        for number, (a, b) in enumerate(pairs):
            anchor, test = smooth[a], smooth[b]
            if anchor is not None and test is not None:
                out[number, column] = anchor.to(test)
    return out


def compared(anchor: Sampled, test: Sampled, resampled: Floats, method: Interpolation) -> Comparison:
    """BD-rate and BD-accuracy; their intervals from `resampled`, [resamples, 2]."""
    whole = curves.difference(anchor.row(0), test.row(0), method)
    if isinstance(whole, Refusal):
        return Comparison(anchor=anchor.label, test=test.label, refusal=whole.why)
    gain = None if whole.bd_accuracy is None else interval(whole.bd_accuracy, resampled[:, 1])
    return Comparison(
        anchor=anchor.label,
        test=test.label,
        bd_rate=whole.bd_rate,
        bd_rate_interval=_percent(log_interval(1 + whole.bd_rate / 100, resampled[:, 0])),
        bd_accuracy=whole.bd_accuracy,
        bd_accuracy_interval=_bounds(gain),
        overlap=whole.overlap,
        overlap_share=whole.share,
        anchor_left_out=whole.left_out[0],
        test_left_out=whole.left_out[1],
    )


def targets(curve: Sampled, reference: Floats) -> list[LossTarget]:
    """The rate at each of LOSSES; `reference` is the uncompressed network's metric, [1 + resamples]."""
    drawn = curve.rate_curves()
    out = []
    for loss in LOSSES:
        wanted = reference * (1 - loss / 100)
        whole, *again = (each.rate_at(float(target)) for each, target in zip(drawn, wanted, strict=False))
        found = None if isinstance(whole, Refusal) else log_interval(whole, _numbers(again))
        out.append(
            LossTarget(
                loss=loss,
                accuracy=float(wanted[0]),
                bytes=None if isinstance(whole, Refusal) else whole,
                interval=_bounds(found),
                refusal=whole.why if isinstance(whole, Refusal) else None,
            )
        )
    return out


def at_equal_accuracy(anchor: Sampled, points: Sequence[tuple[Floats, Score]]) -> list[EqualAccuracy]:
    """Of each point, mean bytes [1 + resamples] and score, its bytes beside those of an anchor as accurate."""
    drawn = anchor.rate_curves()
    out = []
    for sizes, score in points:
        whole, *again = (each.rate_at(float(value)) for each, value in zip(drawn, score.values, strict=False))
        if isinstance(whole, Refusal):
            refusal = f"anchor {whole.why}"
            out.append(EqualAccuracy(anchor=anchor.label, rate_change=None, interval=None, refusal=refusal))
            continue
        ratio = float(sizes[0] / whole)
        found = _percent(log_interval(ratio, sizes[1 : 1 + len(again)] / _numbers(again)))
        change = 100 * (ratio - 1)
        out.append(EqualAccuracy(anchor=anchor.label, rate_change=change, interval=found, refusal=None))
    return out


def _numbers(rates: Sequence[float | Refusal]) -> Floats:
    return np.array([np.nan if isinstance(rate, Refusal) else rate for rate in rates])


def point_result(
    key: str,
    pipeline: AnyPipeline,
    record: PointRecord,
    scores: Scores,
    reference: Scores,
    sizes: Floats,
    links: Sequence[float],
    clips: Mapping[str, range],
) -> PointResult:
    """A point's own figures; what it is beside anchors is left empty. `clips` are the places of each clip's frames."""
    times = dict(zip(STAGES, (1e3 * record.seconds.mean(0)).tolist(), strict=True))
    wait = 1e3 * record.wait_s
    spent = wait + sum(times.values())
    bits = 8 * float(record.sizes.sum())
    return PointResult(
        key=key,
        spec=pipeline.spec(),
        label=pipeline.label(),
        description=record.description,
        bytes=float(sizes[0]),
        bytes_interval=_bounds(log_interval(float(sizes[0]), sizes[1:])),
        bytes_by_clip={name: float(record.sizes[places].mean()) for name, places in clips.items()},
        bits_per_pixel=bits / record.pixels,
        bits_per_element=None if record.elements is None else bits / record.elements,
        accuracy={name: _accuracy(score, reference[name]) for name, score in scores.items()},
        milliseconds=Milliseconds(**times),
        memory=MemoryMb(encode=_mega(record.memory.encode), decode=_mega(record.memory.decode)),
        wait_ms=wait,
        latency_ms={f"{link:g}": spent + transmission_ms(float(sizes[0]), link) for link in links},
        at_equal_accuracy=[],
    )


def transmission_ms(size: float, link: float) -> float:
    """Of so many bytes over a link of so many Mbit/s (10^6 bits a second), nothing else on it."""
    return 8 * size / (link * 1e6) * 1e3


def _accuracy(score: Score, reference: Score) -> MetricResult:
    with np.errstate(invalid="ignore", divide="ignore"):
        losses = 100 * (1 - score.values / reference.values)
    value = float(score.values[0])
    return MetricResult(
        value=value,
        interval=_bounds(interval(value, score.values[1:])),
        loss=float(losses[0]) if np.isfinite(losses[0]) else 0.0,
        loss_interval=_bounds(interval(float(losses[0]), losses[1:])) if np.isfinite(losses[0]) else None,
        by_class=score.by_class,
        by_size=score.by_size,
    )


def _bounds(found: Interval | None) -> Bounds | None:
    return None if found is None else Bounds(low=found.low, high=found.high)


def _percent(found: Interval | None) -> Bounds | None:
    return None if found is None else Bounds(low=100 * (found.low - 1), high=100 * (found.high - 1))


def _mega(value: int | None) -> float | None:
    return None if value is None else value / _MEGA
