"""At which replica a stream is: it stays, streams are shared out evenly, and what is gone is left."""

from __future__ import annotations

import numpy as np

from midstream.serve.homes import Homes


def placed(homes: Homes[str], streams: int, places: list[str], now: float = 0.0) -> list[str]:
    return [homes.of(f"stream {i}", places, now) for i in range(streams)]


def test_a_stream_stays_and_each_place_has_as_many_as_any_other() -> None:
    homes = Homes[str](60)
    first = placed(homes, 8, ["a", "b"])
    assert sorted(first) == 4 * ["a"] + 4 * ["b"]
    assert placed(homes, 8, ["b", "a"]) == first
    assert len(homes) == 8


def test_a_place_that_is_new_gets_its_share_and_no_stream_moves_twice() -> None:
    homes = Homes[str](60)
    first = placed(homes, 9, ["a"])
    after = placed(homes, 9, ["a", "b", "c"])
    assert set(first) == {"a"}
    assert [after.count(place) for place in "abc"] == [3, 3, 3]
    assert placed(homes, 9, ["a", "b", "c"]) == after


def test_streams_of_a_place_that_is_gone_are_shared_out_and_others_stay() -> None:
    homes = Homes[str](60)
    before = placed(homes, 9, ["a", "b", "c"])
    after = placed(homes, 9, ["a", "c"])
    assert all(new == old for new, old in zip(after, before, strict=True) if old != "b")
    assert abs(after.count("a") - after.count("c")) <= 1


def test_idle_streams_are_forgotten_and_count_no_more() -> None:
    homes = Homes[str](10)
    places = placed(homes, 4, ["a", "b"])
    stays = places.index("a")
    for now in (6.0, 12.0):
        assert homes.of(f"stream {stays}", ["a", "b"], now) == "a"
    assert len(homes) == 1
    assert [homes.of(name, ["a", "b"], 12.0) for name in ("x", "y", "z")].count("b") == 2


def test_shares_stay_even_whatever_comes_and_goes() -> None:
    rng = np.random.default_rng(0)
    homes = Homes[int](1e9)
    for _ in range(200):
        places = sorted(rng.choice(6, rng.integers(1, 6), replace=False).tolist())
        for _ in range(2):  # in the first round some still count where they were
            at = [homes.of(f"stream {i}", places, 0.0) for i in range(20)]
        counts = [at.count(place) for place in places]
        assert max(counts) - min(counts) <= 1
        assert [homes.of(f"stream {i}", places, 0.0) for i in range(20)] == at
