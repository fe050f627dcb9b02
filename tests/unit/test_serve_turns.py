"""Turns between clients, places for calls, lines that callers provoke."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import Counter
from collections.abc import Sequence
from typing import Any

import grpc
import numpy as np
import pytest

from midstream.models import Detections
from midstream.serve import telemetry
from midstream.serve.admission import CallLimits, RefusedError, Room
from midstream.serve.engine import BusyError, Engine, key_of
from midstream.serve.telemetry import Sparing, Telemetry
from midstream.serve.turns import FullError, Turns
from midstream.serve.work import Done, Outcome, Work


def run_out(turns: Turns[str], takes: dict[str, float], count: int, free: int = 2) -> Counter[str]:
    """Seconds of workers that each client gets of so many frames, one after the other."""
    had: Counter[str] = Counter()
    for number in range(count):
        (turn,) = turns.take(1, free)
        had[turn.client] += takes[turn.client]  # type: ignore[assignment]
        turns.done(turn, takes[turn.client])
        turns.put(turn.client, f"{turn.client} {number}")
    return had


def test_clients_share_the_time_and_not_the_frames() -> None:
    turns: Turns[str] = Turns(2, 64)
    for name in ("slow", "fast"):
        for number in range(8):
            turns.put(name, f"{name} {number}")
    had = run_out(turns, {"slow": 1.0, "fast": 0.125}, 500)
    assert had["fast"] == pytest.approx(had["slow"], abs=2.0)


def test_who_was_away_has_saved_nothing_up() -> None:
    turns: Turns[str] = Turns(2, 64)
    for number in range(4):
        turns.put("always", str(number))
    run_out(turns, {"always": 1.0}, 50)
    for number in range(4):
        turns.put("new", str(number))
    had = run_out(turns, {"always": 1.0, "new": 1.0}, 20)
    assert had["always"] == pytest.approx(10, abs=2)


def test_who_goes_and_comes_back_owes_what_it_had() -> None:
    turns: Turns[str] = Turns(1, 64)
    turns.put("greedy", "1")
    (first,) = turns.take(1, 1)
    turns.put("other", "2")
    turns.done(first, 5.0)
    turns.put("greedy", "3")
    for number in range(4):
        turns.put("other", f"other {number}")
    assert [turns.take(1, 1)[0].client for _ in range(5)] == ["other"] * 5


def test_the_last_worker_is_kept_from_frames_that_take_much_longer() -> None:
    turns: Turns[str] = Turns(2, 64)
    for name, seconds in (("slow", 1.0), ("fast", 0.1)):
        turns.put(name, "first")
        (turn,) = turns.take(1, 2)
        turns.done(turn, seconds)
    turns.put("slow", "second")
    turns.put("slow", "third")
    assert turns.take(1, 2)[0].client == "slow"
    assert turns.take(1, 1) == []  # the fast one may send at any time
    turns.put("new", "one that nothing is known of")
    assert turns.take(1, 1) == []
    turns.put("fast", "second")
    assert turns.take(1, 1)[0].client == "fast"


def test_a_refused_frame_says_nothing_of_what_a_client_s_frames_take() -> None:
    turns: Turns[str] = Turns(2, 64)
    for name, seconds in (("damaged", 0.0001), ("honest", 0.05)):
        turns.put(name, "first")
        turns.done(turns.take(1, 2)[0], seconds, refused=name == "damaged")
    turns.put("honest", "second")
    assert turns.take(1, 1)[0].client == "honest"


def test_refused_frames_that_take_long_are_kept_from_the_last_worker() -> None:
    turns: Turns[str] = Turns(2, 64)
    for name, seconds in (("damaged", 1.0), ("honest", 0.05)):
        turns.put(name, "first")
        turns.done(turns.take(1, 2)[0], seconds, refused=name == "damaged")
    turns.put("damaged", "second")
    assert turns.take(1, 1) == []


def test_frames_of_next_to_nothing_keep_nobody_waiting() -> None:
    turns: Turns[str] = Turns(2, 64)
    for name, seconds in (("tiny", 0.0001), ("honest", 0.03)):
        turns.put(name, "first")
        turns.done(turns.take(1, 2)[0], seconds)
    turns.put("honest", "second")
    assert turns.take(1, 1)[0].client == "honest"


def test_a_newcomer_need_not_wait_for_a_slow_client_s_frame() -> None:
    turns: Turns[str] = Turns(2, 64)
    for seconds in (1.0, None):
        turns.put("slow", "frame")
        (turn,) = turns.take(1, 2)
        if seconds is not None:
            turns.done(turn, seconds)
    turns.put("new", "frame")
    assert turns.take(1, 1)[0].client == "new"


def test_a_lone_client_has_all_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("midstream.serve.turns.time.monotonic", lambda: clock[0])
    turns: Turns[str] = Turns(2, 64)
    turns.put("fast", "1")
    turns.done(turns.take(1, 2)[0], 0.1)
    for number in range(3):
        turns.put("slow", str(number))
    turns.done(turns.take(1, 2)[0], 1.0)
    assert len(turns.take(1, 2)) == 1
    assert turns.take(1, 1) == []
    clock[0] += 6  # the other has been gone for a while
    assert len(turns.take(1, 1)) == 1


def test_frames_that_take_much_longer_share_no_batch() -> None:
    turns: Turns[str] = Turns(1, 64)
    for name, seconds in (("slow", 1.0), ("fast", 0.1), ("other", 0.2)):
        turns.put(name, "first")
        (turn,) = turns.take(1, 1)
        turns.done(turn, seconds)
    for name in ("slow", "fast", "other", "other"):
        turns.put(name, "next")
    assert Counter(turn.client for turn in turns.take(8, 1)) == {"fast": 1, "other": 2}
    assert [turn.client for turn in turns.take(8, 1)] == ["slow"]


def test_a_full_queue_takes_the_place_of_who_has_most() -> None:
    turns: Turns[str] = Turns(1, 4)
    for number in range(4):
        assert turns.put("greedy", str(number)) is None
    assert turns.put("one", "a") == "3"
    assert turns.put("one", "b") is None or len(turns) == 4
    with pytest.raises(FullError):
        turns.put("greedy", "4")
    assert turns.drop(lambda job: job != "0") == ["0"]
    assert len(turns) == 3


def test_who_loses_its_place_is_told_to_come_again() -> None:
    opened, begun = threading.Event(), threading.Event()

    def work(works: Sequence[Work]) -> list[Outcome]:
        begun.set()
        opened.wait(30)
        nothing = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))
        return [Done(nothing, 0.0, 0.0) for _ in works]

    async def run() -> None:
        engine = Engine(work, Telemetry(), workers=1, queue=2, in_flight=9, batch=1)

        def ask(client: str, number: int) -> asyncio.Task[Any]:
            frame = Work(str(number).encode(), (1, 1))
            return asyncio.create_task(engine.answer(client, key_of(client, "s", 1, frame), frame, None))

        greedy = [ask("greedy", 0)]
        await asyncio.to_thread(begun.wait)
        greedy += [ask("greedy", 1), ask("greedy", 2)]
        await asyncio.sleep(0)
        honest = ask("honest", 0)
        while not greedy[-1].done():
            await asyncio.sleep(0.001)
        assert isinstance(greedy[-1].exception(), BusyError)
        assert not await engine.close()  # a thread still computes: it is not waited for
        opened.set()
        for task in (*greedy, honest):
            task.cancel()
        await asyncio.gather(*greedy, honest, return_exceptions=True)

    asyncio.run(asyncio.wait_for(run(), 60))


def test_the_owner_belongs_to_the_key() -> None:
    frame = Work(b"frame", (1, 1))
    assert key_of("a", "session", 1, frame) == key_of("a", "session", 1, frame) != key_of("b", "session", 1, frame)


class Visitors:
    """Calls that stay until they are told to go, and the reason why each was refused."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self.reasons: list[tuple[str, str, grpc.StatusCode]] = []
        self._tasks: list[asyncio.Task[None]] = []
        self.open = 0

    async def come(self, client: str, heard: bool) -> None:
        self._tasks.append(asyncio.create_task(self._stay(client, heard)))
        await asyncio.sleep(0.005)

    async def _stay(self, client: str, heard: bool) -> None:
        try:
            async with self._room.entered(client) as call:
                self.open += 1
                try:
                    if heard:
                        call.message()
                    await asyncio.Event().wait()
                finally:
                    self.open -= 1
        except RefusedError as refused:
            self.reasons.append((client, refused.reason, refused.code))

    async def go(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def visited(places: CallLimits, visits: Sequence[tuple[str, bool]], patience_s: float = 60.0) -> tuple[list[Any], int]:
    async def run() -> tuple[list[Any], int]:
        visitors = Visitors(Room(places, patience_s))
        for client, heard in visits:
            await visitors.come(client, heard)
        found = visitors.reasons, visitors.open
        await visitors.go()
        return found

    return asyncio.run(run())


def test_a_client_has_so_many_calls() -> None:
    reasons, left = visited(CallLimits(10, 2, 10), [("a", True)] * 3 + [("b", True)])
    assert (reasons, left) == ([("a", "client's calls", grpc.StatusCode.RESOURCE_EXHAUSTED)], 3)


def test_where_all_places_are_taken_the_longest_unread_call_makes_way() -> None:
    made_way = grpc.StatusCode.UNAVAILABLE
    reasons, left = visited(CallLimits(3, 2, 3), [("a", True), ("b", False), ("c", False), ("d", True)])
    assert (reasons, left) == ([("b", "made way", made_way)], 3)
    reasons, left = visited(CallLimits(9, 2, 1), [("a", True), ("b", False), ("c", False)])
    assert (reasons, left) == ([("b", "made way", made_way)], 2)


def test_calls_at_work_do_not_make_way(monkeypatch: pytest.MonkeyPatch) -> None:
    visits = [("a", True), ("b", True), ("c", True)]
    reasons, left = visited(CallLimits(2, 2, 2), visits)
    assert (reasons, left) == ([("c", "all calls", grpc.StatusCode.RESOURCE_EXHAUSTED)], 2)
    monkeypatch.setattr("midstream.serve.admission._BUSY_S", 0.0)
    reasons, left = visited(CallLimits(2, 2, 2), visits)
    assert (reasons, left) == ([("a", "made way", grpc.StatusCode.UNAVAILABLE)], 2)


def test_who_has_most_calls_makes_way() -> None:
    made_way = ("b", "made way", grpc.StatusCode.UNAVAILABLE)
    probe_first = [("probe", False), ("b", False), ("b", False), ("new", False)]
    assert visited(CallLimits(9, 8, 3), probe_first) == ([made_way], 3)
    at_work = [("a", True), ("b", True), ("b", True), ("new", True)]
    assert visited(CallLimits(3, 8, 3), at_work) == ([made_way], 3)


def test_an_only_call_makes_way_for_no_second_one() -> None:
    none = ("b", "all calls", grpc.StatusCode.RESOURCE_EXHAUSTED)
    assert visited(CallLimits(2, 8, 2), [("a", False), ("b", True), ("b", True)]) == ([none], 2)


def test_a_call_that_says_nothing_ends() -> None:
    async def run() -> None:
        room = Room(CallLimits(2, 2, 2), 0.01)
        with pytest.raises(RefusedError) as refused:
            async with room.entered("a"):
                await asyncio.Event().wait()
        assert refused.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
        async with room.entered("a") as call:
            call.message()
            await asyncio.sleep(0.05)

    asyncio.run(run())


def test_a_caller_cannot_write_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[tuple[str, dict[str, Any]]] = []

    class Log:
        def warning(self, event: str, **fields: Any) -> None:
            lines.append((event, fields))

        error = warning

    clock = [0.0]
    monkeypatch.setattr(telemetry, "log", Log())
    monkeypatch.setattr("midstream.serve.telemetry.time.monotonic", lambda: clock[0])
    sparing = Sparing()
    clock[0] = 100.0
    for number in range(1000):
        sparing.say("warning", "refused", number=number)
    sparing.say("error", "frame failed")
    assert [event for event, _ in lines] == ["refused"] * 5 + ["frame failed"]
    clock[0] += 11
    sparing.say("warning", "refused", number=1000)
    assert lines[6:] == [("left out", {"lines": {"refused": 995}}), ("refused", {"number": 1000})]


def test_what_libraries_log_is_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(telemetry.sparing, "say", lambda level, event, **fields: said.append(event))
    record = logging.LogRecord("grpc", logging.ERROR, "", 0, "as %s asked", ("somebody",), None)
    telemetry._Libraries().emit(record)
    assert said == ["library"]


def test_refusals_are_counted() -> None:
    made = Telemetry()
    made.refuse("token", peer="ipv4:1.2.3.4:5")
    assert made.registry.get_sample_value("midstream_refused_total", {"reason": "token"}) == 1


def test_what_is_remembered_of_clients_is_bounded() -> None:
    turns: Turns[str] = Turns(1, 64)
    for number in range(5000):
        turns.put(f"client {number}", "frame")
        (turn,) = turns.take(1, 1)
        turns.done(turn, 0.01)
    assert len(turns._clients) <= 256
