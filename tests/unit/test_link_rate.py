"""The rate for a link: latency, use and drops on made links, by a clock of their own."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.helpers.link_model import MadeLink, Seen, Simulation

from midstream.serve.link_rate import LinkRate

MBIT = 1e6
FALLING = MadeLink([(0, MBIT), (15, MBIT / 10), (30, MBIT)])
STEADY = {
    "1 Mbit": (MadeLink([(0, MBIT)]), 25),
    "100 kbit": (MadeLink([(0, MBIT / 10)]), 25),
    "10 frames/s": (MadeLink([(0, 3e5)]), 10),
    "5 frames/s": (MadeLink([(0, 3e5)]), 5),
    "far away": (MadeLink([(0, MBIT)], delay_s=0.2), 25),
    "jitter": (MadeLink([(0, MBIT)], jitter_s=0.06), 25),
}


def follow(link: MadeLink, fps: float = 25, seconds: float = 30, seed: int = 0) -> Seen:
    return Simulation(link, LinkRate(), fps, seed=seed).run(seconds)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", STEADY)
def test_a_steady_link_is_used_and_never_filled_and_nothing_is_dropped(name: str, seed: int) -> None:
    link, fps = STEADY[name]
    seen = follow(link, fps, 35, seed)
    assert seen.latency(2, 35) < 0.8
    assert 0.85 <= seen.use(link, 10, 35) <= 1.01
    assert seen.lost(5, 35) == 0


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("jitter_s", [0.0, 0.03])
def test_a_link_that_falls_to_a_tenth_and_back(jitter_s: float, seed: int) -> None:
    link = replace(FALLING, jitter_s=jitter_s)
    seen = follow(link, 25, 45, seed)
    for begin, end in ((2, 15), (17, 30), (30, 45)):
        assert seen.latency(begin, end) < 1.0
    assert seen.use(link, 8, 15) >= 0.85
    assert seen.use(link, 20, 30) >= 0.85
    assert seen.use(link, 38, 45) >= 0.85
    # What was on its way when the link fell takes it two seconds: nothing else is left out.
    assert seen.lost(0, 15) == seen.lost(18, 45) == 0
    assert seen.lost(15, 18) <= 3 * 25


def test_a_fixed_rate_on_the_same_link_waits_for_seconds_or_leaves_most_of_it_unused() -> None:
    high, low = (Simulation(FALLING, rate).run(45) for rate in (0.9 * MBIT, 0.09 * MBIT))
    assert high.latency(17, 30) > 3
    assert high.lost(17, 30) > 200
    assert low.use(FALLING, 8, 15) < 0.15


@pytest.mark.parametrize("fps", [5, 10])
def test_few_large_frames_settle_later_and_stay_settled(fps: float) -> None:
    seen = follow(FALLING, fps, 45)
    assert seen.latency(20, 30) < 1.0
    assert seen.latency(32, 45) < 1.0
    assert seen.use(FALLING, 22, 30) >= 0.85
    assert seen.lost(30, 45) == 0


@pytest.mark.parametrize("rate", [MBIT / 10, MBIT])
def test_losses_that_come_later_cost_neither_the_rate_nor_many_frames(rate: float) -> None:
    link = MadeLink([(0, rate)], loss=0.02)
    seen = follow(link, seconds=40)
    assert seen.latency(2, 40) < 0.8
    assert seen.use(link, 5, 40) >= 0.75
    assert seen.lost(3, 40) <= 0.03 * 37 * 25


def test_a_link_that_stands_still_gets_a_few_frames_and_recovers() -> None:
    link = MadeLink([(0, MBIT), (15, 1.0), (18, MBIT)])
    seen = follow(link, seconds=40)
    assert 8 * sum(size for at, size in seen.sent if 15 <= at < 18) < 0.5 * MBIT
    assert seen.latency(20, 40) < 0.8
    assert seen.use(link, 25, 40) >= 0.85
    assert seen.lost(20, 40) == 0


def test_a_machine_that_is_busy_with_something_else_is_no_link_that_falls() -> None:
    link = MadeLink([(0, MBIT)], busy_s=0.08)
    seen = follow(link, seconds=40)
    assert seen.latency(2, 40) < 0.8
    assert seen.use(link, 10, 40) >= 0.8
    assert seen.lost(2, 40) <= 0.02 * 38 * 25


@pytest.mark.parametrize("server_s", [0.1, 0.25])
def test_a_slow_server_is_no_slow_link(server_s: float) -> None:
    link = MadeLink([(0, MBIT)], server_s=server_s)
    seen = follow(link)
    assert seen.latency(5, 30) < 1.1
    assert np.median([rate for at, rate in seen.rates if at > 10]) > 0.7 * MBIT
    assert len(seen.answered) >= 0.9 * 30 / server_s  # dropped is what it cannot compute, no more


def test_a_server_that_stops_for_a_while_does_not_cost_the_rate() -> None:
    link = MadeLink([(0, MBIT)], server_s=lambda at: 1.0 if 15 <= at < 15.05 else 0.02)
    seen = follow(link)
    assert np.median([rate for at, rate in seen.rates if 20 < at < 22]) > 0.7 * MBIT
    assert seen.lost(19, 30) == 0


def test_a_way_that_becomes_longer_is_no_queue_for_ever() -> None:
    link = MadeLink([(0, MBIT)])
    simulation = Simulation(link, LinkRate(), 25)
    simulation.at(15.0, lambda now: object.__setattr__(link, "delay_s", 0.15))
    seen = simulation.run(40)
    assert seen.use(link, 25, 40) >= 0.8
    assert seen.latency(17, 40) < 0.8
    assert seen.lost(3, 40) == 0


def test_a_link_that_takes_anything_gets_the_most_and_no_more() -> None:
    link = MadeLink([(0, 50 * MBIT)])
    seen = Simulation(link, LinkRate(most=2e6), 25).run(20)
    assert max(rate for _, rate in seen.rates) <= 2e6
    assert 8 * sum(size for at, size in seen.sent if at >= 10) / 10 == pytest.approx(2e6, rel=0.1)
    assert seen.dropped == []


def test_a_link_below_the_least_gets_it_and_frames_are_dropped() -> None:
    link = MadeLink([(0, 60e3)])
    seen = Simulation(link, LinkRate(least=120e3), 25).run(20)
    assert min(rate for _, rate in seen.rates) == 120e3
    assert seen.lost(2, 20) > 50
    assert seen.latency(2, 20) < 5


def test_frames_that_need_little_do_not_let_the_rate_run_away() -> None:
    link, now = LinkRate(), 0.0
    for _ in range(500):
        ticket = link.sent(150, 100, now)
        link.answered(ticket, now + 0.03, 0.0, 0.01)
        now += 0.04
    assert link.bitrate(now) <= 200e3


def test_answers_that_never_come_hold_nothing_back_for_ever() -> None:
    link = LinkRate()
    link.answered(link.sent(500, 400, 0.0), 0.05, 0.0, 0.01)
    link.sent(5000, 4900, 0.1)
    link.sent(50_000, 49_900, 0.2)
    assert not any(link.ready(now / 10) for now in range(3, 100))
    assert link.ready(10.3)


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["sent", "sent", "answered", "answered", "left", "reconnected"]),
        st.floats(0, 2),
        st.integers(1, 200_000),
        st.integers(0, 30),
    ),
    max_size=120,
)


@given(EVENTS)
@settings(max_examples=150, deadline=None)
def test_whatever_comes_the_rate_keeps_its_bounds_and_the_stream_goes_on(
    events: list[tuple[str, float, int, int]],
) -> None:
    link, now, tickets = LinkRate(60e3, 4e6), 100.0, [0]
    for kind, passed, size, which in events:
        now += passed
        ticket = tickets[-1 - which % len(tickets)]
        if kind == "sent":
            tickets.append(link.sent(size, size // 2, now))
        elif kind == "answered":
            link.answered(ticket, now, passed * (which % 3), 0.01 * which)
        elif kind == "left":
            link.left(ticket)
        else:
            link.reconnected()
        rate = link.bitrate(now)
        assert 60e3 <= rate <= 4e6
        assert math.isfinite(rate)
        link.ready(now)
    for ticket in tickets:
        link.left(ticket)
    assert link.ready(now)
