"""Envelope, BD-rate, rate at a target."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from midstream.compare.curves import (
    Difference,
    RateCurve,
    Refusal,
    SmoothCurve,
    difference,
    envelope,
)

RATES = np.array([1000.0, 2000, 4000, 8000, 16000])
VALUES = np.array([20.0, 26, 30, 32, 33])


@pytest.mark.parametrize("method", ["pchip", "akima"])
def test_a_curve_at_half_the_rate_has_a_bd_rate_of_minus_half(method: str) -> None:
    found = difference((RATES, VALUES), (RATES / 2, VALUES), method)
    assert isinstance(found, Difference)
    assert found.bd_rate == pytest.approx(-50, abs=1e-6)
    assert found.bd_accuracy is not None
    assert found.bd_accuracy > 1
    assert found.overlap == (20, 33)
    assert found.share == 1
    assert found.left_out == (0, 0)


def test_the_order_of_points_does_not_matter_and_those_off_the_envelope_are_counted() -> None:
    mixed = np.array([3, 0, 4, 1, 2])
    worse_rates, worse_values = np.append(RATES[mixed], 9000.0), np.append(VALUES[mixed], 31.0)
    found = difference((RATES, VALUES), (worse_rates, worse_values), "pchip")
    assert isinstance(found, Difference)
    assert found.bd_rate == pytest.approx(0, abs=1e-9)
    assert found.left_out == (0, 1)


def test_refusals_say_why() -> None:
    apart = difference((RATES, VALUES), (RATES, VALUES - 20), "pchip")
    assert isinstance(apart, Refusal)
    assert apart.why == "no overlap: the anchor's accuracies are 20.00 to 33.00, the test's 0.00 to 13.00"
    single = difference((RATES, VALUES), (RATES[:1], VALUES[:1]), "pchip")
    assert single == Refusal("the test has 1 point on its monotone envelope")


def test_rates_that_do_not_overlap_have_no_bd_accuracy() -> None:
    found = difference((RATES, VALUES), (RATES / 100, VALUES), "pchip")
    assert isinstance(found, Difference)
    assert found.bd_rate == pytest.approx(-99, abs=1e-6)
    assert found.bd_accuracy is None


@given(st.lists(st.tuples(st.floats(1, 1e6), st.floats(0, 100)), min_size=1, max_size=12))
def test_the_envelope_increases_and_leaves_out_only_what_is_dominated(points: list[tuple[float, float]]) -> None:
    rates, values = (np.array(each) for each in zip(*points, strict=True))
    kept_rates, kept_values = envelope(rates, values)
    assert (np.diff(kept_rates) > 0).all()
    assert (np.diff(kept_values) > 0).all()
    for rate, value in points:
        assert ((kept_rates <= rate) & (kept_values >= value)).any()


def test_rate_at_goes_through_the_points_and_between_them() -> None:
    curve = RateCurve.of(RATES[::-1], VALUES[::-1])
    assert curve.rate_at(30.0) == pytest.approx(4000)
    between = curve.rate_at(29.0)
    assert isinstance(between, float)
    assert 2000 < between < 4000
    assert RateCurve.of(RATES[:1], VALUES[:1]).rate_at(20.0) == 1000
    assert curve.rate_at(33.5) == Refusal("not reached: the best point has 33.00, the target is 33.50")
    assert curve.rate_at(10.0) == Refusal("less than 1,000: the cheapest point is still above the target of 10.00")


@pytest.mark.parametrize("method", ["pchip", "akima"])
@given(
    st.lists(st.tuples(st.integers(10, 10**6), st.integers(0, 10_000)), min_size=1, max_size=6),
    st.lists(st.tuples(st.integers(10, 10**6), st.integers(0, 10_000)), min_size=1, max_size=6),
)
def test_the_quick_way_is_the_package_s(method: str, one: list[tuple[int, int]], other: list[tuple[int, int]]) -> None:
    (first, second) = (
        (np.array(r, float), np.array(v) / 100) for r, v in (zip(*each, strict=True) for each in (one, other))
    )
    slow = difference(first, second, method)
    ratio, gain = SmoothCurve.of(*first, method).to(SmoothCurve.of(*second, method))
    if isinstance(slow, Refusal):
        assert np.isnan(ratio)
    elif abs(np.log(ratio)) < 50:  # beyond, an overlap so small that both are rounding
        assert ratio == pytest.approx(1 + slow.bd_rate / 100, rel=1e-6)
        assert np.isnan(gain) == (slow.bd_accuracy is None)
        if slow.bd_accuracy is not None:
            assert gain == pytest.approx(slow.bd_accuracy, rel=1e-6, abs=1e-6)
