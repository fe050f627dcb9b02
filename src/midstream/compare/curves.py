"""Rate-accuracy curves: the monotone envelope, BD-rate and BD-AP, and the rate at an accuracy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from midstream.compare.results import Interpolation
from midstream.errors import MissingExtraError

try:
    import bjontegaard
    from scipy.interpolate import PchipInterpolator
except ImportError as error:
    raise MissingExtraError("comparing pipelines", "compare") from error

Floats = NDArray[np.float64]
#: A curve is at least so many points.
LEAST_POINTS = 2
#: Share of resamples on which a figure must be defined for its interval to be one.
_MOST_UNDEFINED = 0.1
_TAILS = (2.5, 97.5)


@dataclass(frozen=True)
class Interval:
    """Of 95 % confidence."""

    low: float
    high: float


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


def interval(value: float, resampled: Floats) -> Interval | None:
    """The basic bootstrap interval, from the values on resamples (NaN where undefined); None where too many are.

    Basic, not percentile: AP on a resample is higher on average than on the set it is drawn from (a class with few
    objects has its AP raised more by pictures that come twice than lowered by those that do not come), and by as much,
    one estimates, on the set than on all pictures there are. The basic interval corrects for this bias, the percentile
    interval doubles it (Davison and Hinkley, Bootstrap Methods and their Application, section 5.2).
    """
    there = resampled[~np.isnan(resampled)]
    if not len(resampled) or len(there) < (1 - _MOST_UNDEFINED) * len(resampled):
        return None
    low, high = np.percentile(there, _TAILS)
    return Interval(float(2 * value - high), float(2 * value - low))


def log_interval(value: float, resampled: Floats) -> Interval | None:
    """The same for a rate or a ratio of rates, which is positive: of its logarithm."""
    with np.errstate(invalid="ignore", divide="ignore"):
        found = interval(float(np.log(value)), np.log(resampled))
    return None if found is None else Interval(float(np.exp(found.low)), float(np.exp(found.high)))


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


def rate_at(rates: Floats, accuracies: Floats, target: float) -> float | Refusal:
    """The rate at which the envelope has the accuracy `target`: PCHIP of the logarithm of the rate."""
    rates, accuracies = envelope(rates, accuracies)
    if not len(rates) or accuracies[-1] < target:
        best = accuracies[-1] if len(rates) else float("nan")
        return Refusal(f"not reached: the best point has {best:.2f}, the target is {target:.2f}")
    if accuracies[0] > target:
        return Refusal(f"less than {rates[0]:,.0f}: the cheapest point is still above the target of {target:.2f}")
    if len(rates) == 1:
        return float(rates[0])
    return float(np.exp(PchipInterpolator(accuracies, np.log(rates))(target)))
