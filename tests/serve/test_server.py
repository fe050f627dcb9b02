"""`midstream serve` and its clients as their users meet them: answers, and errors that cost one frame."""

from __future__ import annotations

import asyncio
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc._cython import cygrpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from tests.helpers import serving
from tests.helpers.requests import image, request
from tests.helpers.serving import SIZE, Server

import midstream as ms
from midstream import models
from midstream.serve import AsyncClient, Client, Link, link
from midstream.serve import server as server_module
from midstream.serve.proto import serve_pb2 as pb
from midstream.serve.proto import serve_pb2_grpc


@pytest.fixture(scope="module")
def server(model: Path) -> Iterator[Server]:
    with Server(model, "--metrics-port", serving.free_port(), "--in-flight", 4) as running:
        yield running


@pytest.fixture
def stub(server: Server) -> Iterator[Any]:
    with grpc.insecure_channel(server.address) as channel:
        yield serve_pb2_grpc.SplitInferenceStub(channel)


def test_clients_of_both_kinds_give_the_answers_of_a_local_run(server: Server, model: Path) -> None:
    network = models.load(str(model))
    seen = [image(i) for i in range(12)]
    expected = [network.back(ms.decode(ms.encode(network.front(p), symbols=3, z=1)), SIZE) for p in seen]

    def check(found: models.Detections, right: models.Detections) -> None:
        np.testing.assert_array_equal(found.boxes, right.boxes)
        np.testing.assert_array_equal(found.scores, right.scores)

    with Client(server.address, network, symbols=3, z=1) as client:
        assert client.classes == network.classes
        check(client.infer(seen[0]), expected[0])
        answers = list(client.stream(seen))
        assert [answer.frame for answer in answers] == list(range(1, 13))
        for answer, right in zip(answers, expected, strict=True):
            check(answer.found(), right)
        bad = client.send(b"junk", SIZE)
        with pytest.raises(ms.errors.ServiceError, match="does not begin with 'MIDS'"):
            bad.found()
        large = client.send(bytes(5 << 20), SIZE)
        assert large.error is not None
        assert "this server takes messages of 4,194,304" in str(large.error)
    with pytest.raises(ms.errors.ServiceError, match="not open"):
        client.infer(seen[0])

    async def run() -> None:
        async with AsyncClient(server.address, network, symbols=3, z=1) as client:
            check(await client.infer(seen[0]), expected[0])
            found = [answer.found() async for answer in client.stream(seen)]
            for one, right in zip(found, expected, strict=True):
                check(one, right)

    asyncio.run(run())


def test_what_is_no_image_is_refused(server: Server, model: Path) -> None:
    with Client(server.address, str(model)) as client:
        for bad in (None, np.zeros((0, 0, 3), np.uint8), np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)):
            with pytest.raises(ms.InputError, match="an image is a uint8 array of RGB"):
                client.infer(bad)  # type: ignore[arg-type]


def test_what_is_no_message_gets_the_error_of_one_without_a_session(server: Server, model: Path) -> None:
    good = request(model).SerializeToString()
    with grpc.insecure_channel(server.address) as channel:
        with pytest.raises(grpc.RpcError) as refusal:
            channel.unary_unary("/midstream.v1.SplitInference/Infer")(b"\xff" * 100)
        assert refusal.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "protobuf" not in refusal.value.details()
        answers = channel.stream_stream("/midstream.v1.SplitInference/InferStream")(iter([b"\xff" * 100, good]))
        replies = [pb.InferReply.FromString(answer) for answer in answers]
    assert sorted(reply.error.code for reply in replies) == [0, grpc.StatusCode.INVALID_ARGUMENT.value[0]]


def test_options_of_grpc_are_known_to_it() -> None:
    library = Path(cygrpc.__file__).read_bytes()
    for module in (link, server_module):
        names = re.findall(r'"(grpc\.[a-z0-9_.]+)"', Path(module.__file__).read_text("utf-8"))
        assert len(names) > 4
        for name in names:
            assert name.encode() + b"\0" in library, name


def test_any_grpc_client_can_ask(server: Server, stub: Any, model: Path) -> None:
    with grpc.insecure_channel(server.address) as channel:
        status = health_pb2_grpc.HealthStub(channel).Check(
            health_pb2.HealthCheckRequest(service="midstream.v1.SplitInference")
        )
        assert status.status == health_pb2.HealthCheckResponse.SERVING
        asked = reflection_pb2.ServerReflectionRequest(list_services="")
        listed = next(reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter([asked])))
        names = {service.name for service in listed.list_services_response.service}
        assert {"midstream.v1.SplitInference", "grpc.health.v1.Health"} <= names
    reply = stub.Infer(request(model, 7))
    assert (reply.session, reply.frame, reply.repeated) == ("test", 7, False)
    assert len(reply.detections.boxes) == 4 * len(reply.detections.scores) > 0
    again = stub.Infer(request(model, 7))
    assert again.repeated
    assert again.detections == reply.detections
    offer = stub.Describe(pb.DescribeRequest())
    assert (offer.server.network, offer.max_in_flight, offer.max_elements) == ("toy", 4, 100)


@pytest.mark.parametrize(
    ("changes", "code", "message"),
    [
        ({"bitstream": b"junk"}, "INVALID_ARGUMENT", "CorruptError"),
        ({"bitstream": b""}, "INVALID_ARGUMENT", "TruncatedError"),
        ({"session": ""}, "INVALID_ARGUMENT", "1 to 64 characters"),
        ({"session": "x" * 65}, "INVALID_ARGUMENT", "1 to 64 characters"),
        ({"height": 0}, "INVALID_ARGUMENT", "an image of 50x0"),
        ({"height": 1 << 31, "width": 1 << 31}, "INVALID_ARGUMENT", "pixels"),
        ({"bitstream": bytes(5 << 20)}, "RESOURCE_EXHAUSTED", "larger than max"),
    ],
)
def test_a_hostile_request_costs_one_error(
    stub: Any, model: Path, changes: dict[str, Any], code: str, message: str
) -> None:
    with pytest.raises(grpc.RpcError) as error:
        stub.Infer(request(model, 8, **changes))
    assert error.value.code().name == code
    assert message in error.value.details()
    assert str(model.parent) not in error.value.details()
    assert stub.Infer(request(model, 8)).detections.scores


def test_features_of_another_network_are_refused_in_every_call(stub: Any, model: Path) -> None:
    other = (("midstream-cut", "f" * 64),)
    for call in (
        lambda: stub.Describe(pb.DescribeRequest(client=pb.Side(network="yolox", cut="f" * 64))),
        lambda: stub.Infer(request(model), metadata=other),
        lambda: next(stub.InferStream(iter([request(model)]), metadata=other)),
    ):
        with pytest.raises(grpc.RpcError) as error:
            call()
        assert error.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert "cut graph ffffffffffffffff; the server runs toy, cut graph " in error.value.details()


def test_a_client_with_too_many_frames_is_told_when_to_come_again(model: Path) -> None:
    requests = [request(model, frame) for frame in range(30)]
    with Server(model, "--in-flight", 1, "--workers", 1) as server, grpc.insecure_channel(server.address) as channel:
        stub = serve_pb2_grpc.SplitInferenceStub(channel)  # type: ignore[no-untyped-call]
        calls = [stub.Infer.future(each) for each in requests]
        errors = [call.exception() for call in calls]
        turned_away = [error for error in errors if error is not None]
        assert 0 < len(turned_away) < 30
        for error in turned_away:
            assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            metadata = dict(error.trailing_metadata())
            assert int(metadata["grpc-retry-pushback-ms"]) >= 50


def test_the_client_comes_again_when_it_is_turned_away(model: Path) -> None:
    with Server(model, "--queue", 1, "--workers", 1) as server, Client(server.address, str(model)) as client:
        assert all(answer.error is None for answer in client.stream(image(i) for i in range(30)))


def test_time_that_is_over_is_an_error_of_the_frame(server: Server, model: Path, stub: Any) -> None:
    with Client(server.address, str(model)) as client:
        bitstream = client.edge.encode(image())
        late = client.send(bitstream, SIZE, timeout_s=0.0)
        assert late.error is not None
        assert late.error.code == "DEADLINE_EXCEEDED"
        assert client.send(bitstream, SIZE, timeout_s=300).error is None


def test_who_gives_up_on_a_frame_frees_its_place(model: Path) -> None:
    async def run() -> None:
        with Server(model) as server:
            link = Link(server.address, in_flight=1, retry_s=60)
            async with AsyncClient(link, str(model)) as client:
                bitstream = await asyncio.to_thread(client.edge.encode, image())
                await asyncio.to_thread(server.kill)
                for _ in range(3):
                    with pytest.raises(TimeoutError):
                        await asyncio.wait_for(client.send(bitstream, SIZE), 0.05)
                await asyncio.to_thread(server.start)
                assert (await client.send(bitstream, SIZE)).error is None

    asyncio.run(run())


def test_metrics_count_what_was_done(server: Server, model: Path, stub: Any) -> None:
    port = server.option("--metrics-port")
    read = lambda: urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10).read().decode()  # noqa: E731
    name = 'midstream_requests_total{code="OK",method="Infer"}'
    before = _value(read(), name)
    stub.Infer(request(model, 1000))
    text = read()
    assert _value(text, name) == before + 1
    for part in (
        "midstream_queue_depth",
        "midstream_received_bytes_total",
        'stage_seconds_bucket{le="0.001",stage="decode"}',
    ):
        assert part in text


def _value(text: str, name: str) -> float:
    return next((float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name)), 0.0)
