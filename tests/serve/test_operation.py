"""A server as its operators meet it: signals, tokens, TLS, traces."""

from __future__ import annotations

import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
from grpc_health.v1 import health_pb2, health_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from tests.helpers import serving
from tests.helpers.requests import image, request
from tests.helpers.serving import SIZE, Server

import midstream as ms
from midstream.serve import Client, Link
from midstream.serve.proto import serve_pb2_grpc

TOKEN = "0123456789abcdef0123"


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


def test_a_client_that_has_its_answers_and_goes_is_no_fault(model: Path, tmp_path: Path) -> None:
    images = serving.write_images(tmp_path / "images", 3)
    with Server(model, "--metrics-port", serving.free_port()) as server:
        with Client(server.address, str(model)) as client:
            assert [answer.frame for answer in client.stream([image(seed) for seed in range(3)])] == [0, 1, 2]
        with Client(server.address, str(model)) as client:
            client.infer(image())
        with Client(server.address, str(model)):
            pass
        push = serving.push_command(images, server.address, model, tmp_path / "out.jsonl")
        assert "lost the connection" not in subprocess.run(push, capture_output=True, text=True, check=True).stderr
        cut_off = server.metric('midstream_refused_total{reason="cut off"}')
        assert server.stop() == 0
    assert not server.events("cut off")
    assert cut_off == 0
    assert len(server.events("client")) == 4


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
