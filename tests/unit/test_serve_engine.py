"""The queue of a server: who waits, who is turned away, what is computed once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from midstream.models import Detections
from midstream.serve.engine import BusyError, Engine, ExpiredError, key_of
from midstream.serve.telemetry import Telemetry
from midstream.serve.work import Done, Outcome, Refused, Work

SIZE = (60, 50)


class Gate:
    """Work that waits until it is let through; remembers what has come to it."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.seen: list[bytes] = []

    def __call__(self, works: Sequence[Work]) -> list[Outcome]:
        self.seen += [work.bitstream for work in works]
        self.open.wait(30)
        nothing = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))
        return [Done(nothing, 0.0, 0.0) for _ in works]


def with_engine(test: Callable[[Engine, Gate], Any], **options: int) -> None:
    async def run() -> None:
        gate = Gate()
        engine = Engine(gate, Telemetry(), **({"workers": 1, "queue": 2, "in_flight": 2, "batch": 1} | options))
        try:
            await asyncio.wait_for(test(engine, gate), 300)
        finally:
            gate.open.set()
            await engine.close()

    asyncio.run(run())


def ask(engine: Engine, name: str, timeout_s: float | None = None) -> asyncio.Task[Any]:
    work = Work(name.encode(), SIZE)
    return asyncio.create_task(engine.answer("client", key_of("owner", "session", 1, work), work, timeout_s))


async def reached(gate: Gate, count: int) -> None:
    while len(gate.seen) < count:
        await asyncio.sleep(0.001)


def test_a_full_queue_turns_away_and_says_when_to_come_again() -> None:
    async def test(engine: Engine, gate: Gate) -> None:
        tasks = [ask(engine, "a")]
        await reached(gate, 1)
        tasks += [ask(engine, name) for name in "bc"]
        await asyncio.sleep(0)
        with pytest.raises(BusyError) as busy:
            await ask(engine, "d")
        assert 0.05 <= busy.value.retry_s <= 5
        gate.open.set()
        assert len(await asyncio.gather(*tasks)) == 3

    with_engine(test)


def test_a_client_has_so_many_frames_in_flight() -> None:
    async def test(engine: Engine, gate: Gate) -> None:
        engine.take("one")
        engine.take("one")
        with pytest.raises(BusyError, match="2 frames in flight"):
            engine.take("one")
        engine.take("other")
        engine.release("one")
        engine.take("one")

    with_engine(test)


def test_late_and_abandoned_frames_are_dropped_before_they_are_computed() -> None:
    async def test(engine: Engine, gate: Gate) -> None:
        first = ask(engine, "first")
        await reached(gate, 1)
        late, abandoned = ask(engine, "late", 0.01), ask(engine, "abandoned")
        with pytest.raises(ExpiredError):
            await late
        abandoned.cancel()
        await asyncio.gather(abandoned, return_exceptions=True)
        with pytest.raises(ExpiredError):
            await ask(engine, "was late", -1.0)
        gate.open.set()
        await first
        await ask(engine, "last")
        assert gate.seen == [b"first", b"last"]

    with_engine(test)


def test_a_frame_sent_again_is_not_computed_again() -> None:
    async def test(engine: Engine, gate: Gate) -> None:
        first = ask(engine, "frame")
        await reached(gate, 1)
        again = ask(engine, "frame")  # while it is being computed
        await asyncio.sleep(0)
        first.cancel()  # the connection that asked first is gone
        gate.open.set()
        assert (await again).repeated
        assert (await ask(engine, "frame")).repeated
        assert not (await ask(engine, "another under its number")).repeated
        assert gate.seen == [b"frame", b"another under its number"]
        assert engine.busy == 0

    with_engine(test)


def test_waiting_frames_are_batched() -> None:
    async def test(engine: Engine, gate: Gate) -> None:
        tasks = [ask(engine, "a")]
        await reached(gate, 1)
        tasks += [ask(engine, name) for name in "bcd"]
        await asyncio.sleep(0.01)
        gate.open.set()
        queued = [(await task).queue_s for task in tasks]
        assert queued[1] > 0
        assert queued[0] < queued[1]
        assert sorted(gate.seen) == [b"a", b"b", b"c", b"d"]

    with_engine(test, queue=8, batch=8)


def test_work_that_raises_is_an_internal_error_and_ends_no_worker() -> None:
    async def run() -> None:
        def broken(works: Sequence[Work]) -> list[Outcome]:
            raise RuntimeError("broken")

        engine = Engine(broken, Telemetry(), workers=1, queue=4, in_flight=4, batch=1)
        for name in "ab":
            outcome = (await ask(engine, name)).outcome
            assert isinstance(outcome, Refused)
            assert outcome.kind == "internal"
        await engine.close()

    asyncio.run(run())
