"""`midstream serve` and its clients as their users meet them."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import trustme
from grpc._cython import cygrpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from tests.helpers import profiles, serving, toy
from tests.helpers.calibration import calibrated
from tests.helpers.serving import SIZE, Server

import midstream as ms
from midstream import models
from midstream.calibration.settings import CalibrationSettings, Tools
from midstream.serve import AsyncClient, Client, Link, link
from midstream.serve import server as server_module
from midstream.serve.proto import serve_pb2 as pb
from midstream.serve.proto import serve_pb2_grpc

TOKEN = "0123456789abcdef0123"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy.write_toy(tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="module")
def server(model: Path) -> Iterator[Server]:
    with Server(model, "--metrics-port", serving.free_port(), "--in-flight", 4) as running:
        yield running


@pytest.fixture
def stub(server: Server) -> Iterator[Any]:
    with grpc.insecure_channel(server.address) as channel:
        yield serve_pb2_grpc.SplitInferenceStub(channel)


def refused(*options: object) -> str:
    command = [sys.executable, "-m", "midstream", *map(str, options)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 2, done
    lines = [line for line in done.stderr.splitlines() if "trying again" not in line]
    assert len(lines) == 1, done.stderr
    return lines[0]


def image(seed: int = 0) -> np.ndarray[Any, Any]:
    return serving.image(np.random.default_rng(seed))


@cache
def loaded(model: Path) -> models.SplitModel:
    return models.load(str(model))


def request(model: Path, frame: int = 0, **changes: Any) -> pb.InferRequest:
    network = loaded(model)
    data = ms.encode(network.front(image(frame)), symbols=4, z=1.5)
    fields = {"session": "test", "frame": frame, "bitstream": data, "height": SIZE[0], "width": SIZE[1]}
    return pb.InferRequest(**(fields | changes))


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


def test_sigterm_finishes_what_is_in_flight(model: Path) -> None:
    with (
        Server(model, "--workers", 1, "--in-flight", 64, "--drain", "300s") as server,
        Client(Link(server.address, in_flight=64, retry_s=10), str(model)) as client,
    ):
        bitstream = client.edge.encode(image())
        frames = [client._submit(client._async.send(bitstream, SIZE)) for _ in range(50)]
        frames[0].result()
        assert server.stop() == 0
        done = [frame for frame in frames if frame.exception() is None]
        answered = [frame.result() for frame in done]
        assert all(answer.error is None for answer in answered)
        assert server.events("draining")[0]["signal"] == "SIGTERM"
        assert server.events("stopped")[0]["unanswered"] == 0
        for frame in frames:
            if frame.exception() is not None:
                assert "cannot reach the server" in str(frame.exception())


def test_a_draining_server_is_not_serving_and_takes_no_new_work(model: Path) -> None:
    with Server(model, "--drain", "300s") as server, grpc.insecure_channel(server.address) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=""))
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        server.process.send_signal(signal.SIGTERM)
        assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
        watch.cancel()
        assert server.process.wait(300) == 0


def test_tokens(model: Path, tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text(f"camera {TOKEN}\n")
    with Server(model, "--tokens", tmp_path / "tokens") as server:
        for token, message in ((None, "it wants a token"), ("wrong" * 5, "a token it knows")):
            with pytest.raises(ms.errors.ServiceError, match=message), Client(Link(server.address, token), str(model)):
                pass
        with Client(Link(server.address, TOKEN), str(model)) as client:
            assert len(client.infer(image()))
        with grpc.insecure_channel(server.address) as channel:
            assert health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest()).status == 1
        assert TOKEN not in str(server.log)


def test_tls_and_certificates_of_clients(model: Path, tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    for name in ("server", "client"):
        made = authority.issue_cert("localhost", "127.0.0.1")
        made.private_key_pem.write_to_path(tmp_path / f"{name}.key")
        made.cert_chain_pems[0].write_to_path(tmp_path / f"{name}.pem")
    ca, cert, key = tmp_path / "ca.pem", tmp_path / "client.pem", tmp_path / "client.key"
    options = ["--host", "0.0.0.0", "--tls-cert", tmp_path / "server.pem", "--tls-key", tmp_path / "server.key"]
    with Server(model, *options, "--tls-client-ca", ca) as server:
        with Client(Link(server.address, tls_ca=ca, tls_cert=cert, tls_key=key), str(model)) as client:
            assert len(client.infer(image()))
        for link in (
            Link(server.address, retry_s=0.1),
            Link(server.address, tls_ca=ca, retry_s=0.1),
        ):
            with pytest.raises(ms.errors.ServiceError, match="cannot reach the server"), Client(link, str(model)):
                pass


def test_traces_are_written_where_the_environment_says(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "console")
    with Server(model) as server:
        with Client(server.address, str(model)) as client:
            client.infer(image())
        assert server.stop() == 0
    spans = {entry["name"]: entry for entry in server.log if "trace_id" in entry.get("context", {})}
    assert {"queue", "decode", "back", "InferStream"} <= spans.keys()
    assert spans["back"]["parent_id"] == spans["InferStream"]["context"]["span_id"]


def test_traces_reach_a_collector_below_the_caller_s(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spans: list[Any] = []

    class Collector(trace_service_pb2_grpc.TraceServiceServicer):
        def Export(self, request: Any, context: Any) -> Any:  # noqa: N802
            for resource in request.resource_spans:
                name = next(a.value.string_value for a in resource.resource.attributes if a.key == "service.name")
                spans.extend((name, span) for scope in resource.scope_spans for span in scope.spans)
            return trace_service_pb2.ExportTraceServiceResponse()

    collector = grpc.server(ThreadPoolExecutor(1))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(Collector(), collector)
    port = collector.add_insecure_port("127.0.0.1:0")
    collector.start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "gate")
    trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    with Server(model) as server, grpc.insecure_channel(server.address) as channel:
        stub = serve_pb2_grpc.SplitInferenceStub(channel)  # type: ignore[no-untyped-call]
        stub.Infer(request(model), metadata=(("traceparent", f"00-{trace}-{parent}-01"),))
        assert server.stop() == 0
    collector.stop(None).wait()
    assert {name for name, _ in spans} == {"gate"}
    found = {span.name: span for _, span in spans}
    assert found.keys() == {"Infer", "queue", "decode", "back"}
    assert {span.trace_id.hex() for span in found.values()} == {trace}
    assert found["Infer"].parent_span_id.hex() == parent


def test_refusals_of_the_server(model: Path, tmp_path: Path, server: Server) -> None:
    assert "can be reached by others" in refused("serve", "--model", model, "--host", "0.0.0.0")
    assert "address is in use" in refused("serve", "--model", model, "--port", server.port)
    profile = tmp_path / "other.profile"
    profiles.profile().write(profile)
    assert "was made for toy, cut graph 0000" in refused("serve", "--model", model, "--profile", profile)


def test_an_unreachable_server_says_what_was_tried(model: Path, tmp_path: Path) -> None:
    port = serving.free_port()
    images = serving.write_images(tmp_path / "images", 2)
    message = refused("push", images, "--to", f"127.0.0.1:{port}", "--model", model, "--retry", "300ms")
    assert re.search(rf"cannot reach the server 127.0.0.1:{port} without TLS \(tried \d+ times in \d+ s\)", message)
    assert "Connection refused" in message


def test_another_network_is_found_at_connection(model: Path, tmp_path: Path, server: Server) -> None:
    text = toy.write_toy(tmp_path).read_text()
    (tmp_path / "toy.toml").write_text(text.replace("127.5", "120.0"))
    with pytest.raises(ms.errors.ServiceError) as error, Client(server.address, str(tmp_path / "toy.toml")):
        pass
    assert error.value.code == "FAILED_PRECONDITION"
    assert "the client sends features of toy, cut graph " in str(error.value)
    assert "the server runs toy, cut graph " in str(error.value)


def test_profiles_are_compared_at_connection(server: Server, model: Path, tmp_path: Path) -> None:
    toy.write_toy(tmp_path)
    serving.write_images(tmp_path / "calib", 20)
    settings = CalibrationSettings(images=20, tools=replace(Tools(), power=False))
    profile = calibrated(tmp_path, tmp_path / "work", settings).profile
    profile.write(tmp_path / "toy.profile")
    network = models.load(str(model))
    coded = ms.encode(network.front(image()), "calibrated", profile=profile)
    expected = network.back(ms.decode(coded, profile=profile), SIZE)
    with Server(model, "--profile", tmp_path / "toy.profile", "--allow-embedded-profiles") as fitted:
        for embed in (False, True):
            with Client(
                fitted.address, network, "calibrated", profile=profile, embed=embed, importance="probe"
            ) as client:
                np.testing.assert_array_equal(client.infer(image()).boxes, expected.boxes)
    with (
        pytest.raises(ms.errors.ServiceError, match="start the server with --allow-embedded-profiles"),
        Client(server.address, network, "calibrated", profile=profile, embed=True, importance="probe") as client,
    ):
        client.infer(image())
    with (
        pytest.raises(ms.errors.ServiceError) as error,
        Client(server.address, network, "calibrated", profile=tmp_path / "toy.profile"),
    ):
        pass
    assert f"codes with the profile {profile.name}, the server has no profile" in str(error.value)


def test_push_names_what_it_cannot_read_and_answers_the_rest(model: Path, tmp_path: Path, server: Server) -> None:
    images, output = serving.write_images(tmp_path / "images", 4), tmp_path / "out.jsonl"
    (images / "00001.png").write_bytes(b"no image")
    done = subprocess.run(
        serving.push_command(images, server.address, model, output), capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "00001.png: it is not a whole image" in done.stderr
    assert "3 frames answered" in done.stderr
    assert "1 unreadable" in done.stderr
    lines = serving.read_lines(output)
    assert [line["source"] for line in lines] == [f"0000{i}.png" for i in range(4)]
    assert [line.get("error", {}).get("code") for line in lines] == [None, "UNREADABLE", None, None]


def test_push_of_a_video_draws_what_was_found(model: Path, tmp_path: Path, server: Server) -> None:
    av = pytest.importorskip("av")
    with av.open(str(tmp_path / "in.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for i in range(15):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 15 * i, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    output, drawn = tmp_path / "out.jsonl", tmp_path / "drawn.mp4"
    options = ["--draw", drawn, "--realtime", "--rate-limit", "1Mbit", "--timeout", "300s"]
    command = serving.push_command(tmp_path / "in.mp4", server.address, model, output, *options)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = serving.read_lines(output)
    assert [line["frame"] for line in lines] == list(range(15))
    assert [line["time_s"] for line in lines] == pytest.approx([i / 25 for i in range(15)])
    with av.open(str(drawn)) as container:
        assert container.streams.video[0].average_rate == 25
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(frames) == 15
    assert frames[0].shape == (48, 64, 3)
    assert frames[5].std() > 5  # a grey image with boxes in it
    assert not list(tmp_path.glob(".*"))


def test_a_signal_ends_the_source_and_finishes_what_is_in_flight(model: Path, tmp_path: Path, server: Server) -> None:
    images, output = serving.write_images(tmp_path / "images", 200), tmp_path / "out.jsonl"
    push = serving.start_push(images, server.address, model, output, "--rate-limit", "30kbit")
    serving.wait_for_lines(output, 5, push)
    push.send_signal(signal.SIGINT)
    _, errors = push.communicate(timeout=300)
    assert push.returncode == 0, errors
    lines = serving.read_lines(output)
    assert 5 <= len(lines) < 200
    assert f"{len(lines)} frames answered" in errors
    assert lines == serving.local_lines(models.load(str(model)), images)[: len(lines)]
