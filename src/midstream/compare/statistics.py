"""From measured points and their scores to results: intervals, losses, targets, BD-rates, latency."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from midstream.compare import curves
from midstream.compare.curves import Difference, Floats, Interval, Refusal
from midstream.compare.metrics.base import Score
from midstream.compare.results import (
    Accuracy,
    Bounds,
    Comparison,
    EqualAccuracy,
    Interpolation,
    MemoryMb,
    Milliseconds,
    PointResult,
    Target,
)
from midstream.compare.scoring import Scores
from midstream.compare.store import STAGES, PointRecord
from midstream.pipelines.base import Codec

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


def sampled(label: str, sizes: Sequence[Floats], scores: Sequence[Score]) -> Sampled:
    """A curve from the mean bytes [1 + resamples] and the scores of its points; one row for a bare metric."""
    rows = min(len(score.values) for score in scores)
    rates = np.stack([size[:rows] for size in sizes], axis=1)
    return Sampled(label, rates, np.stack([score.values[:rows] for score in scores], axis=1))


def left_out(curve: Sampled) -> int:
    """How many of its points are not on the monotone envelope."""
    return len(curve.rates[0]) - len(curves.envelope(*curve.row(0))[0])


def mean_bytes(record: PointRecord, weights: Floats) -> Floats:
    """Of a picture, on the whole set and on each resample."""
    return np.asarray(weights @ record.sizes / weights.sum(1), np.float64)


def compared(anchor: Sampled, test: Sampled, method: Interpolation) -> Comparison:
    """BD-rate and BD-accuracy with their intervals: both curves on the same resamples."""
    whole = curves.difference(anchor.row(0), test.row(0), method)
    if isinstance(whole, Refusal):
        return Comparison(anchor=anchor.label, test=test.label, refusal=whole.why)
    again = [
        curves.difference(anchor.row(b), test.row(b), method) for b in range(1, min(len(anchor.rates), len(test.rates)))
    ]
    rates = np.array([1 + d.bd_rate / 100 if isinstance(d, Difference) else np.nan for d in again])
    gains = [d.bd_accuracy if isinstance(d, Difference) else None for d in again]
    ratio = curves.log_interval(1 + whole.bd_rate / 100, rates)
    gain = None
    if whole.bd_accuracy is not None:
        gain = curves.interval(whole.bd_accuracy, np.array([np.nan if g is None else g for g in gains]))
    return Comparison(
        anchor=anchor.label,
        test=test.label,
        bd_rate=whole.bd_rate,
        bd_rate_interval=_percent(ratio),
        bd_accuracy=whole.bd_accuracy,
        bd_accuracy_interval=_bounds(gain),
        overlap=whole.overlap,
        overlap_share=whole.share,
        anchor_left_out=whole.left_out[0],
        test_left_out=whole.left_out[1],
    )


def targets(curve: Sampled, reference: Floats) -> list[Target]:
    """The rate at each of LOSSES; `reference` is the uncompressed network's metric, [1 + resamples]."""
    out = []
    for loss in LOSSES:
        wanted = reference * (1 - loss / 100)
        whole = curves.rate_at(*curve.row(0), float(wanted[0]))
        refused = isinstance(whole, Refusal)
        again = [curves.rate_at(*curve.row(b), float(wanted[b])) for b in range(1, len(curve.rates)) if not refused]
        numbers = np.array([np.nan if isinstance(rate, Refusal) else rate for rate in again])
        out.append(
            Target(
                loss=loss,
                accuracy=float(wanted[0]),
                bytes=None if isinstance(whole, Refusal) else whole,
                interval=None if isinstance(whole, Refusal) else _bounds(curves.log_interval(whole, numbers)),
                refusal=whole.why if isinstance(whole, Refusal) else None,
            )
        )
    return out


def at_equal_accuracy(anchor: Sampled, sizes: Floats, score: Score) -> EqualAccuracy:
    """A point's bytes beside those that an anchor takes for the same accuracy."""
    whole = curves.rate_at(*anchor.row(0), float(score.values[0]))
    if isinstance(whole, Refusal):
        return EqualAccuracy(anchor=anchor.label, rate_change=None, interval=None, refusal=f"anchor {whole.why}")
    rows = min(len(anchor.rates), len(score.values))
    again = [curves.rate_at(*anchor.row(b), float(score.values[b])) for b in range(1, rows)]
    ratios = np.array([np.nan if isinstance(r, Refusal) else s / r for r, s in zip(again, sizes[1:], strict=False)])
    ratio = float(sizes[0] / whole)
    found = _percent(curves.log_interval(ratio, ratios))
    return EqualAccuracy(anchor=anchor.label, rate_change=100 * (ratio - 1), interval=found, refusal=None)


def point_result(
    key: str,
    codec: Codec,
    record: PointRecord,
    scores: Scores,
    reference: Scores,
    sizes: Floats,
    links: Sequence[float],
) -> PointResult:
    """A point's own figures; what it is beside anchors is left empty."""
    times = dict(zip(STAGES, (1e3 * record.seconds.mean(0)).tolist(), strict=True))
    bits = 8 * float(record.sizes.sum())
    return PointResult(
        key=key,
        spec=codec.spec(),
        label=codec.label(),
        description=record.description,
        bytes=float(sizes[0]),
        bytes_interval=_bounds(curves.log_interval(float(sizes[0]), sizes[1:])),
        bits_per_pixel=bits / record.pixels,
        bits_per_element=None if record.elements is None else bits / record.elements,
        accuracy={name: _accuracy(score, reference[name]) for name, score in scores.items()},
        milliseconds=Milliseconds(**times),
        memory=MemoryMb(encode=_mega(record.memory.encode), decode=_mega(record.memory.decode)),
        latency_ms={f"{link:g}": sum(times.values()) + transmission_ms(float(sizes[0]), link) for link in links},
        at_equal_accuracy=[],
    )


def transmission_ms(size: float, link: float) -> float:
    """Of so many bytes over a link of so many Mbit/s (10^6 bits a second), nothing else on it."""
    return 8 * size / (link * 1e6) * 1e3


def _accuracy(score: Score, reference: Score) -> Accuracy:
    with np.errstate(invalid="ignore", divide="ignore"):
        losses = 100 * (1 - score.values / reference.values)
    value = float(score.values[0])
    return Accuracy(
        value=value,
        interval=_bounds(curves.interval(value, score.values[1:])),
        loss=float(losses[0]) if np.isfinite(losses[0]) else 0.0,
        loss_interval=_bounds(curves.interval(float(losses[0]), losses[1:])),
        by_class=score.by_class,
        by_size=score.by_size,
    )


def _bounds(found: Interval | None) -> Bounds | None:
    return None if found is None else Bounds(low=found.low, high=found.high)


def _percent(found: Interval | None) -> Bounds | None:
    return None if found is None else Bounds(low=100 * (found.low - 1), high=100 * (found.high - 1))


def _mega(value: int | None) -> float | None:
    return None if value is None else value / _MEGA
