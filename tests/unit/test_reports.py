"""What a server adds up of what its replicas remember."""

from __future__ import annotations

from collections import Counter

from midstream.serve.reports import LOOK_S, Report, Reports

IDLE_S = 60.0


class Clock:
    """Goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_newest_word_of_each_replica_counts_and_silence_says_that_nothing_is_remembered() -> None:
    clock, forgotten = Clock(), Counter[str]()
    reports = Reports(IDLE_S, clock)
    reports.dropped = lambda why, count: forgotten.update({why: count})
    assert (len(reports), reports.size) == (0, 0)
    reports.add(Report("a", 0, 2, 200, {"memory": 1}))
    reports.add(Report("b", 0, 1, 100, {}))
    assert (len(reports), reports.size) == (3, 300)
    reports.add(Report("a", 2, 1, 90, {"memory": 3, "idle": 1}))
    reports.add(Report("a", 1, 2, 180, {"memory": 2}))  # overtaken on its way
    assert (len(reports), reports.size) == (2, 190)
    assert forgotten == {"memory": 3, "idle": 1}
    reports.ended("a")
    reports.ended("never heard of")
    assert (len(reports), reports.size) == (1, 100)
    clock.now += IDLE_S + LOOK_S
    assert (len(reports), reports.size) == (0, 0)
    reports.add(Report("b", 1, 1, 100, {"idle": 1}))
    assert (len(reports), reports.size) == (1, 100)
    assert forgotten == {"memory": 3, "idle": 2}
