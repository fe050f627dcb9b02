"""Frames of streams that run out of time: they hold their client's places, until they are done."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tests.helpers import toy
from tests.helpers.streaming import CODEC, Recorded, ready

from midstream import models
from midstream.models import Detections
from midstream.serve.engine import Engine
from midstream.serve.proto import serve_pb2 as pb
from midstream.serve.service import Offer, Service
from midstream.serve.telemetry import Telemetry
from midstream.serve.work import LATE, Done, Outcome, Refused, Work, prepare

SIZE = (60, 50)
IN_FLIGHT, BUSY, EXPIRED = 4, 8, 4


class Call:
    """The server's side of a stream."""

    def __init__(self) -> None:
        self.replies: list[pb.InferReply] = []

    def invocation_metadata(self) -> tuple[Any, ...]:
        return ()

    def peer(self) -> str:
        return "ipv4:127.0.0.1:1"

    async def write(self, reply: pb.InferReply) -> None:
        self.replies.append(reply)

    async def answered(self, count: int) -> None:
        while len(self.replies) < count:
            await asyncio.sleep(0.001)


def test_late_units_of_a_stream_leave_their_client_no_more_than_its_places(tmp_path: Path) -> None:
    model = models.load(str(toy.write_toy(tmp_path)))
    unit = Recorded(model).code(ready(model, 1, codec=CODEC)[0])
    served = prepare(model, None, max_pixels=10_000, batch=1, threads=1, elements=None)
    gate, nothing = threading.Event(), np.zeros((0, 4), np.float32)
    done = Done(Detections(nothing, nothing[:, 0], np.zeros(0, np.int64)), 0.0, 0.0)

    def work(works: Sequence[Work]) -> list[Outcome]:
        gate.wait(60)
        return [Refused("too late", LATE) if each.late else done for each in works]

    def request(frame: int, timeout_ms: int) -> pb.InferRequest:
        height, width = SIZE
        return pb.InferRequest(
            session="s", frame=frame, bitstream=unit, height=height, width=width, timeout_ms=timeout_ms
        )

    async def run() -> None:
        engine = Engine(work, Telemetry(), workers=1, queue=64, in_flight=IN_FLIGHT, batch=1)
        service = Service(served, engine, Telemetry(), Offer(IN_FLIGHT, 1 << 20, True, {}))
        most, call = 0, Call()

        async def hostile() -> AsyncIterator[pb.InferRequest]:
            nonlocal most
            for frame in range(80):
                yield request(frame, 1)
                await call.answered(frame + 1)
                most = max(most, engine.busy)

        await service.InferStream(hostile(), call)
        assert most == engine.busy == IN_FLIGHT
        assert [reply.error.code for reply in call.replies] == IN_FLIGHT * [EXPIRED] + (80 - IN_FLIGHT) * [BUSY]

        gate.set()
        while engine.busy:
            await asyncio.sleep(0.001)
        call = Call()

        async def honest() -> AsyncIterator[pb.InferRequest]:
            for frame in range(IN_FLIGHT):  # all at once: every place is free again
                yield request(100 + frame, 0)
            await call.answered(IN_FLIGHT)

        await service.InferStream(honest(), call)
        assert [reply.error.code for reply in call.replies] == IN_FLIGHT * [0]
        await engine.close()

    try:
        asyncio.run(asyncio.wait_for(run(), 60))
    finally:
        gate.set()
