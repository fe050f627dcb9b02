"""A server that lies about which frame its answers are to: what was not asked is not heard, whatever it says."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from typing import Any

import grpc
import grpc.aio
import pytest
from tests.helpers import toy
from tests.helpers.streaming import CODEC, Recorded, ready

import midstream as ms
from midstream import models
from midstream.errors import MissingReferenceError
from midstream.serve import Edge, Link, messages
from midstream.serve.client import side_of
from midstream.serve.flights import RateLimiter
from midstream.serve.proto import serve_pb2 as pb
from midstream.serve.proto import serve_pb2_grpc
from midstream.serve.session import Session

SIZE, FRAMES = (6, 5), 30
LIE = pb.Detections(boxes=[0, 0, 1, 1], scores=[0.25], labels=[0])
OFFER = {"max_in_flight": 8, "max_message_bytes": 1 << 20, "takes_streams": True, "classes": ["cat", "dog", "cow"]}


class Liar(serve_pb2_grpc.SplitInferenceServicer):
    """Decodes and answers as it should, and says more: see `lies`. Forgets streams, and now and then ends the call."""

    def __init__(self, network: models.SplitModel) -> None:
        self._network, self._random = network, random.Random(0)
        self._decoders: dict[str, ms.StreamDecoder] = {}
        self._asked: dict[tuple[str, int], int] = {}

    async def Describe(self, request: Any, context: Any) -> pb.DescribeReply:  # noqa: N802
        return pb.DescribeReply(**OFFER)

    async def InferStream(self, requests: Any, context: Any) -> Any:  # noqa: N802
        async for request in requests:
            truth = self.truth(request)
            if self._random.random() < 0.05:  # decoded, and not answered
                await context.abort(grpc.StatusCode.UNAVAILABLE, "bye")
            if self._random.random() < 0.1:
                self._decoders.clear()
            replies = [truth, *(lie for lie in self.lies(request) if self._random.random() < 0.3)]
            if self._random.random() < 0.1:
                replies.insert(0, reply(request, error=pb.Error(code=9, message="send a key frame")))
            self._random.shuffle(replies)
            for each in replies:
                each.timings.queue_us = self._random.choice([0, 2**64 - 1])
                yield each

    def truth(self, request: pb.InferRequest) -> pb.InferReply:
        decoder = self._decoders.setdefault(request.session, ms.StreamDecoder(threads=1, kept_frames=1))
        self._asked[request.session, request.frame] = request.attempt
        try:
            found = self._network.back(decoder.decode(request.bitstream), (request.height, request.width))
        except MissingReferenceError as error:
            return reply(request, error=pb.Error(code=9, message=str(error)))
        out = reply(request)
        messages.set_output(out, self._network.task, found)
        return out

    def lies(self, request: pb.InferRequest) -> Iterator[pb.InferReply]:
        yield reply(request, detections=LIE, attempt=request.attempt + 1000)
        yield reply(request, detections=LIE, frame=request.frame + 1000)
        yield reply(request, detections=LIE, frame=2**64 - 1)
        for session in ("", request.session[::-1], *self._decoders):
            if session != request.session:
                yield reply(request, detections=LIE, session=session)
        for (session, frame), attempt in self._asked.items():
            if attempt:
                yield reply(request, detections=LIE, session=session, frame=frame, attempt=attempt - 1)


def reply(request: pb.InferRequest, **more: Any) -> pb.InferReply:
    return pb.InferReply(
        **({"session": request.session, "frame": request.frame, "attempt": request.attempt} | more)
    )  # fmt: skip


async def serving(servicer: Any) -> tuple[grpc.aio.Server, Link]:
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    serve_pb2_grpc.add_SplitInferenceServicer_to_server(servicer, server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return server, Link(f"127.0.0.1:{port}", retry_s=30)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> models.SplitModel:
    return models.load(str(toy.write_toy(tmp_path_factory.mktemp("toy"))), threads=1)


def test_of_all_answers_those_to_what_was_sent_count(network: models.SplitModel) -> None:
    async def one(session: Session, seed: int) -> int:
        edge, clip = Recorded(network), ready(network, FRAMES, seed)
        stream = session.stream(edge)
        waiting = [await stream.send(frame) for frame in clip]
        answers = [await each for each in waiting]
        for frame, answer in zip(clip, answers, strict=True):
            if answer.error is None:
                edge.check(frame, answer)
            else:  # a key for which a key was asked
                assert (answer.error.code, answer.key) == ("FAILED_PRECONDITION", True)
        return sum(answer.error is None for answer in answers)

    async def run() -> None:
        server, link = await serving(Liar(network))
        try:
            async with Session(link, side_of(Edge(network, CODEC))) as session:
                answered = await asyncio.gather(*(one(session, seed) for seed in range(2)))
                assert session.unanswered == 0
                assert session.traffic.lost > 0
                assert session.traffic.keys_asked > 0
            assert min(answered) > FRAMES / 2
        finally:
            await server.stop(None)

    asyncio.run(asyncio.wait_for(run(), 60))


def test_an_answer_before_its_frame_is_sent_is_none() -> None:
    class Ahead(serve_pb2_grpc.SplitInferenceServicer):
        async def Describe(self, request: Any, context: Any) -> pb.DescribeReply:  # noqa: N802
            return pb.DescribeReply(**OFFER)

        async def InferStream(self, requests: Any, context: Any) -> Any:  # noqa: N802
            async for request in requests:
                yield reply(request, detections=pb.Detections())
                yield reply(request, detections=LIE, frame=request.frame + 1)

    async def run() -> None:
        server, link = await serving(Ahead())
        try:
            async with Session(link, pb.Side(), limiter=RateLimiter(100)) as session:
                first, second = [await session.send(b"frame", SIZE) for _ in range(2)]  # the second one waits
                assert len((await first).found()) == 0
                assert len((await second).found()) == 0
        finally:
            await server.stop(None)

    asyncio.run(asyncio.wait_for(run(), 60))
