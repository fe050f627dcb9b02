"""Rate-accuracy curves: the monotone envelope, BD-rate and BD-AP, and the rate at an accuracy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from midstream.compare.results import Interpolation
from midstream.errors import MissingExtraError

try:
    import bjontegaard
    from scipy.interpolate import Akima1DInterpolator, PchipInterpolator, make_interp_spline
except ImportError as error:
    raise MissingExtraError("comparing pipelines", "compare") from error

Floats = NDArray[np.float64]
#: A curve is at least so many points.
LEAST_POINTS = 2


@dataclass(frozen=True)
class Refusal:
    """Why a figure cannot be given."""

    why: str


@dataclass(frozen=True)
class Difference:
    """Between two curves.

    Attributes:
        bd_rate: average difference in rate at equal accuracy, percent of the anchor's.
        bd_accuracy: average difference in accuracy at equal rate, in its own unit; None where the rates do not overlap.
        overlap: the accuracies on which `bd_rate` is averaged.
        share: of these in the range that both curves together span, 0 to 1.
        left_out: points of anchor and test that are not on the monotone envelope.
    """

    bd_rate: float
    bd_accuracy: float | None
    overlap: tuple[float, float]
    share: float
    left_out: tuple[int, int]


def envelope(rates: Floats, accuracies: Floats) -> tuple[Floats, Floats]:
    """The points that no cheaper or equally cheap one equals in accuracy, by rate; both strictly increase."""
    order = np.lexsort((-accuracies, rates))
    before = np.concatenate([[-np.inf], np.maximum.accumulate(accuracies[order])[:-1]])
    kept = order[accuracies[order] > before]
    return rates[kept], accuracies[kept]


def difference(
    anchor: tuple[Floats, Floats], test: tuple[Floats, Floats], method: Interpolation
) -> Difference | Refusal:
    """BD-rate and BD-accuracy of two curves (rates, accuracies), by the package bjontegaard, on their envelopes.

    Bjontegaard, VCEG-M33 (2001); interpolation as Herglotz et al., Beyond Bjontegaard (2022) recommend.
    """
    (rate_a, value_a), (rate_t, value_t) = envelope(*anchor), envelope(*test)
    left_out = (len(anchor[0]) - len(rate_a), len(test[0]) - len(rate_t))
    for whose, points in (("anchor", rate_a), ("test", rate_t)):
        if len(points) < LEAST_POINTS:
            return Refusal(f"the {whose} has {len(points)} point{'s' * (len(points) != 1)} on its monotone envelope")
    low, high = max(value_a[0], value_t[0]), min(value_a[-1], value_t[-1])
    if low >= high:
        return Refusal(
            f"no overlap: the anchor's accuracies are {value_a[0]:.2f} to {value_a[-1]:.2f}, "
            f"the test's {value_t[0]:.2f} to {value_t[-1]:.2f}"
        )
    share = (high - low) / (max(value_a[-1], value_t[-1]) - min(value_a[0], value_t[0]))
    settings = {"method": method, "require_matching_points": False, "min_overlap": 0}
    rate = bjontegaard.bd_rate(rate_a, value_a, rate_t, value_t, **settings)
    shared = max(rate_a[0], rate_t[0]) < min(rate_a[-1], rate_t[-1])
    accuracy = bjontegaard.bd_psnr(rate_a, value_a, rate_t, value_t, **settings) if shared else None
    return Difference(float(rate), accuracy and float(accuracy), (float(low), float(high)), float(share), left_out)


@dataclass(frozen=True)
class RateCurve:
    """A curve as the rate at any accuracy: PCHIP of the logarithm of the rate, on the monotone envelope."""

    rates: Floats
    accuracies: Floats

    @classmethod
    def of(cls, rates: Floats, accuracies: Floats) -> RateCurve:
        """From points in any order."""
        return cls(*envelope(rates, accuracies))

    @cached_property
    def _logarithm(self) -> Callable[[float], float]:
        return PchipInterpolator(self.accuracies, np.log(self.rates))  # type: ignore[no-any-return]

    def rate_at(self, accuracy: float) -> float | Refusal:
        """The rate, or why there is none."""
        if self.accuracies[-1] < accuracy:
            return Refusal(f"not reached: the best point has {self.accuracies[-1]:.2f}, the target is {accuracy:.2f}")
        if self.accuracies[0] > accuracy:
            least = f"less than {self.rates[0]:,.0f}"
            return Refusal(f"{least}: the cheapest point is still above the target of {accuracy:.2f}")
        return float(np.exp(self._logarithm(accuracy))) if len(self.rates) > 1 else float(self.rates[0])


@dataclass(frozen=True)
class SmoothCurve:
    """Both ways round, as the package bjontegaard interpolates them, but only once for all comparisons of the curve.

    It takes a thousand resamples to give a BD-rate an interval, and most of the package's time goes into interpolating
    the same two curves again and again. (The BD-rate itself is the package's, see `difference`; a test holds the two
    together.)

    Attributes:
        rates, accuracies: ends of the envelope, the rates as natural logarithms.
        rate, accuracy: one over the other; None for a curve of too few points.
    """

    rates: tuple[float, float]
    accuracies: tuple[float, float]
    rate: Any
    accuracy: Any

    @classmethod
    def of(cls, rates: Floats, accuracies: Floats, method: Interpolation) -> SmoothCurve:
        """From points in any order."""
        rates, accuracies = envelope(rates, accuracies)
        rates = np.log(rates)
        ends = (float(rates[0]), float(rates[-1])), (float(accuracies[0]), float(accuracies[-1]))
        if len(rates) < LEAST_POINTS:
            return cls(*ends, None, None)
        return cls(*ends, _through(accuracies, rates, method), _through(rates, accuracies, method))

    def to(self, test: SmoothCurve) -> tuple[float, float]:
        """Ratio of the rates and difference of the accuracies, from this curve as anchor; NaN where undefined."""
        if self.rate is None or test.rate is None:
            return np.nan, np.nan
        ratio = _mean_difference(self.rate, test.rate, self.accuracies, test.accuracies)
        return float(np.exp(ratio)), _mean_difference(self.accuracy, test.accuracy, self.rates, test.rates)


def _through(x: Floats, y: Floats, method: Interpolation) -> Any:
    if method == "pchip":
        return PchipInterpolator(x, y)
    return Akima1DInterpolator(x, y) if len(x) > LEAST_POINTS else make_interp_spline(x, y, k=1)


def _mean_difference(anchor: Any, test: Any, one: tuple[float, float], other: tuple[float, float]) -> float:
    low, high = max(one[0], other[0]), min(one[1], other[1])
    if low >= high:
        return np.nan
    return float((test.integrate(low, high) - anchor.integrate(low, high)) / (high - low))
