"""Results put together: points, curves with their targets, and every curve beside every anchor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from midstream.compare import statistics
from midstream.compare.curves import Floats
from midstream.compare.results import Comparison, CurveResult, EqualAccuracy, Interpolation, PointResult, Role
from midstream.compare.scoring import Scores
from midstream.compare.statistics import Sampled
from midstream.compare.store import PointRecord
from midstream.pipelines.clips import AnyPipeline

#: The curve of the best of several anchors.
BEST = "best of the anchors"
#: From which on there is such a curve.
LEAST_ANCHORS = 2


@dataclass(frozen=True)
class Drawn:
    """A curve whose points are there: keys, cheapest first."""

    label: str
    role: Role
    keys: tuple[str, ...]


@dataclass(frozen=True)
class Findings:
    """What was measured and scored, by a point's key.

    Attributes:
        pipelines: the points' own.
        sizes: mean bytes, [1 + resamples].
        reference: the uncompressed network's key.
        clips: of each clip, the places of its frames; empty for images.
    """

    pipelines: Mapping[str, AnyPipeline]
    records: Mapping[str, PointRecord]
    scores: Mapping[str, Scores]
    sizes: Mapping[str, Floats]
    reference: str
    clips: Mapping[str, range] = field(default_factory=dict)


def with_best(drawn: Sequence[Drawn], findings: Findings, metric: str) -> list[Drawn]:
    """With the best of the anchors at each accuracy, where there are several, as the first of them.

    It is made of the points that no other anchor's equals in accuracy for as few bytes.
    """
    anchors = [curve for curve in drawn if curve.role == "anchor" and curve.keys]
    if len(anchors) < LEAST_ANCHORS:
        return list(drawn)
    keys = list(dict.fromkeys(key for curve in anchors for key in curve.keys))
    keys.sort(key=lambda key: float(findings.sizes[key][0]))
    best, kept = -np.inf, []
    for key in keys:
        value = float(findings.scores[key][metric].values[0])
        if value > best:
            best = value
            kept.append(key)
    first = next(place for place, curve in enumerate(drawn) if curve.role == "anchor")
    return [*drawn[:first], Drawn(BEST, "anchor", tuple(kept)), *drawn[first:]]


class Assembly:
    """Puts results together; what takes long, the bootstrap of curves, runs in the workers."""

    def __init__(
        self,
        pool: ProcessPoolExecutor,
        jobs: int,
        findings: Findings,
        curves: Sequence[Drawn],
        metric: str,
        method: Interpolation,
    ) -> None:
        self._pool, self._jobs = pool, jobs
        self._findings, self._curves = findings, curves
        self._metric, self._method = metric, method
        self._sampled = {curve.label: self._sample(curve) for curve in curves if curve.keys}
        self._anchors = [curve for curve in curves if curve.role == "anchor" and curve.keys]

    def _sample(self, curve: Drawn) -> Sampled:
        found = self._findings
        scores = [found.scores[key][self._metric] for key in curve.keys]
        return statistics.sampled(curve.label, [found.sizes[key] for key in curve.keys], scores)

    def _pairs(self) -> list[tuple[str, str]]:
        """Anchor and test of each comparison: every test beside every anchor, every anchor beside those before it."""
        tests = [curve.label for curve in self._curves if curve.role == "test" and curve.keys]
        labels = [anchor.label for anchor in self._anchors]
        return [(a, b) for i, a in enumerate(labels) for b in [*labels[i + 1 :], *tests]]

    def comparisons(self) -> list[Comparison]:
        """BD-rates of all pairs."""
        pairs, sampled = self._pairs(), list(self._sampled.values())
        numbers = {label: number for number, label in enumerate(self._sampled)}
        rows = max(len(each.rates) for each in sampled)
        edges = np.linspace(1, rows, self._jobs + 1).astype(int).tolist()
        work = [
            self._pool.submit(
                statistics.resampled_differences,
                sampled,
                [(numbers[a], numbers[b]) for a, b in pairs],
                range(start, end),
                self._method,
            )
            for start, end in pairwise(edges)
        ]
        resampled = np.concatenate([each.result() for each in work], axis=1)
        return [
            statistics.compared(self._sampled[a], self._sampled[b], found, self._method)
            for (a, b), found in zip(pairs, resampled, strict=True)
        ]

    def curves(self) -> list[CurveResult]:
        """All curves, also those of which no point is there, with the rates at the targets."""
        reference = self._findings.scores[self._findings.reference][self._metric].values
        drawn = [curve for curve in self._curves if curve.keys and curve.role != "reference"]
        work = {
            curve.label: self._pool.submit(statistics.targets, self._sampled[curve.label], reference) for curve in drawn
        }
        return [
            CurveResult(
                label=curve.label,
                role=curve.role,
                points=list(curve.keys),
                left_out=statistics.left_out(self._sampled[curve.label]) if curve.keys else 0,
                targets=work[curve.label].result() if curve.label in work else [],
            )
            for curve in self._curves
        ]

    def points(self, links: Sequence[float]) -> list[PointResult]:
        """All points, each once."""
        found = self._findings
        beside = self._at_equal_accuracy()
        out, reference = [], found.scores[found.reference]
        for key, record in found.records.items():
            scores, sizes = found.scores[key], found.sizes[key]
            point = statistics.point_result(
                key, found.pipelines[key], record, scores, reference, sizes, links, found.clips
            )
            out.append(point.model_copy(update={"at_equal_accuracy": beside[key]}))
        return out

    def _at_equal_accuracy(self) -> dict[str, list[EqualAccuracy]]:
        """Every point but an anchor's own beside every anchor."""
        found = self._findings
        out: dict[str, list[EqualAccuracy]] = {key: [] for key in found.records}
        work = []
        for anchor in self._anchors:
            keys = [key for key in found.records if key not in anchor.keys and key != found.reference]
            points = [(found.sizes[key], found.scores[key][self._metric]) for key in keys]
            work.append((keys, self._pool.submit(statistics.at_equal_accuracy, self._sampled[anchor.label], points)))
        for keys, each in work:
            for key, equal in zip(keys, each.result(), strict=True):
                out[key].append(equal)
        return out
