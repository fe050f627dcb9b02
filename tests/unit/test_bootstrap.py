"""Which images are drawn, and intervals."""

from __future__ import annotations

import numpy as np
import pytest

from midstream.metrics.bootstrap import interval, log_interval, resamples


def test_resamples_are_the_same_every_time_and_as_large_as_the_set() -> None:
    drawn = resamples(50, 9)
    assert (drawn == resamples(50, 9)).all()
    assert (drawn[0] == 1).all()
    assert (drawn.sum(1) == 9).all()
    assert len({tuple(row) for row in drawn}) > 40


def test_the_basic_interval_mirrors_the_resamples() -> None:
    # Resamples that lie above their value by 1 on average: the interval lies below it by as much.
    drawn = np.linspace(-1, 3, 100_001)
    found = interval(0.0, drawn)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((-2.9, 0.9), abs=1e-3)
    ratio = log_interval(2.0, 2 * np.exp(drawn))
    assert ratio is not None
    assert (ratio.low, ratio.high) == pytest.approx((2 * np.exp(-2.9), 2 * np.exp(0.9)), rel=1e-3)


def test_no_interval_where_more_than_a_tenth_is_undefined() -> None:
    assert interval(1.0, np.array([])) is None
    assert interval(1.0, np.array([1.0] * 89 + [np.nan] * 11)) is None
    assert interval(1.0, np.array([1.0] * 90 + [np.nan] * 10)) is not None
