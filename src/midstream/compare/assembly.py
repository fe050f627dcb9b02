"""Results put together: points, curves with their targets, and every curve beside every anchor."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from midstream.compare import statistics
from midstream.compare.curves import Floats
from midstream.compare.results import Comparison, CurveResult, EqualAccuracy, Interpolation, PointResult, Role
from midstream.compare.scoring import Scores
from midstream.compare.statistics import Sampled
from midstream.compare.store import PointRecord
from midstream.pipelines.base import Codec


@dataclass(frozen=True)
class Drawn:
    """A curve whose points are there: keys, cheapest first."""

    label: str
    role: Role
    keys: tuple[str, ...]


@dataclass(frozen=True)
class Evidence:
    """What was measured and scored, by a point's key.

    Attributes:
        codecs: the points' own.
        sizes: mean bytes, [1 + resamples].
        reference: the uncompressed network's key.
    """

    codecs: Mapping[str, Codec]
    records: Mapping[str, PointRecord]
    scores: Mapping[str, Scores]
    sizes: Mapping[str, Floats]
    reference: str


class Assembly:
    """Puts results together; what takes long, the bootstrap of curves, runs in the workers."""

    def __init__(
        self, pool: ProcessPoolExecutor, evidence: Evidence, curves: Sequence[Drawn], metric: str, method: Interpolation
    ) -> None:
        self._pool, self._evidence, self._curves = pool, evidence, curves
        self._metric, self._method = metric, method
        self._sampled = {curve.label: self._sample(curve) for curve in curves if curve.keys}
        self._anchors = [curve for curve in curves if curve.role == "anchor" and curve.keys]

    def _sample(self, curve: Drawn) -> Sampled:
        found = self._evidence
        scores = [found.scores[key][self._metric] for key in curve.keys]
        return statistics.sampled(curve.label, [found.sizes[key] for key in curve.keys], scores)

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Anchor and test of each comparison: every test beside every anchor, every anchor beside those before it."""
        tests = [curve.label for curve in self._curves if curve.role == "test" and curve.keys]
        labels = [anchor.label for anchor in self._anchors]
        return [(a, b) for i, a in enumerate(labels) for b in [*labels[i + 1 :], *tests]]

    def comparisons(self, on_pair: Callable[[], None]) -> list[Comparison]:
        """BD-rates of all pairs."""
        work = [
            self._pool.submit(statistics.compared, self._sampled[a], self._sampled[b], self._method)
            for a, b in self.pairs
        ]
        out = []
        for each in work:
            out.append(each.result())
            on_pair()
        return out

    def curves(self) -> list[CurveResult]:
        """All curves, also those of which no point is there, with the rates at the targets."""
        reference = self._evidence.scores[self._evidence.reference][self._metric].values
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
        found = self._evidence
        beside = {
            key: [
                self._pool.submit(
                    statistics.at_equal_accuracy,
                    self._sampled[anchor.label],
                    found.sizes[key],
                    found.scores[key][self._metric],
                )
                for anchor in self._anchors
                if key not in anchor.keys
            ]
            for key in found.records
            if key != found.reference
        }
        out = []
        for key, record in found.records.items():
            point = statistics.point_result(
                key,
                found.codecs[key],
                record,
                found.scores[key],
                found.scores[found.reference],
                found.sizes[key],
                links,
            )
            equal: list[EqualAccuracy] = [each.result() for each in beside.get(key, [])]
            out.append(point.model_copy(update={"at_equal_accuracy": equal}))
        return out
