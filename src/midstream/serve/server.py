"""The server: gRPC with its limits, health, reflection and metrics, from start to an orderly end."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from midstream.errors import InputError
from midstream.serve.admission import METADATA_BYTES, SERVICE, CallLimits, Gate, Room
from midstream.serve.engine import Engine
from midstream.serve.proto import serve_pb2_grpc
from midstream.serve.reports import Reports
from midstream.serve.security import check_exposure, is_loopback, read_tokens, server_credentials
from midstream.serve.service import Offer, Service
from midstream.serve.streams import StreamLimits, Streams
from midstream.serve.telemetry import Telemetry, log, sparing
from midstream.serve.work import Outcome, Served, Work, infer, remembered, stream_bytes

#: gRPC's own default, 4 MiB, holds every bitstream of a network of three million elements; larger networks get this
#: many bytes an element, which is more than any coder writes.
_LEAST_MESSAGE = 4 << 20
_BYTES_PER_ELEMENT = 1.25
#: For streams of frames: so many bytes, and those of so many of a large network.
_LEAST_STREAM_MEMORY, _STREAMS = 256 << 20, 4
#: A client that does not answer a ping is gone: its frames are dropped.
_PING_S, _PONG_S = 30, 10
#: How often it is looked for streams that are idle.
_FORGET_S = 1.0
#: Pings of clients that are no abuse.
_LEAST_PING_S = 5
#: Of gRPC's own limits of calls and metadata, which refuse without telling anybody, to those that are counted here.
_GRPC_FACTOR = 2
#: A call's first message is awaited for so long, and as long as the largest takes at so many bytes a second.
_PATIENCE_S, _LEAST_BYTES_PER_S = 3.0, 1 << 20
#: A client may have so many times the calls that its frames in flight take, and so many such clients fill the server.
_CALLS_A_FRAME, _CLIENTS = 2, 4
#: Of health and reflection, where the client may be unknown. Their messages are small, but nothing says so before they
#: are there: 16 of the largest are 64 MiB.
_CHECKS = CallLimits(calls=128, of_client=8, unread=16)


@dataclass(frozen=True)
class ServerSettings:
    """How to serve.

    Attributes:
        host, port: where; port 0 for any that is free. Other hosts than loopback need TLS or tokens.
        workers: threads that decode and run the back.
        queue: frames that may wait for one; more are turned away.
        in_flight: frames of one client that may be unanswered; more are turned away.
        calls: open calls of all clients, streams included, and at least those of four clients; a client may have twice
            `in_flight`. Where all are taken, the one that has been idle for longest makes way.
        message_bytes: of a request; by default 4 MiB, or 1.25 bytes for each element of the network's pyramid.
        stream_memory: bytes for what is remembered of streams of frames, of all clients; beyond that the streams that
            were not used for longest are forgotten, of the clients with most. By default 256 MiB, or what four streams
            of a larger network may take. 0 for a server that takes no streams.
        stream_idle_s: a stream of which nothing has come for so long is forgotten.
        drain_s: after SIGTERM, seconds for what is in flight.
        tls_cert, tls_key, tls_client_ca: PEM files. With the last, clients must show a certificate of it.
        tokens: file of lines NAME TOKEN. Clients must send one of the tokens.
        metrics_host, metrics_port: where Prometheus finds metrics; no port for nowhere.
    """

    host: str = "127.0.0.1"
    port: int = 8440
    workers: int = field(default_factory=lambda: os.cpu_count() or 1)
    queue: int = 64
    in_flight: int = 16
    calls: int = 128
    message_bytes: int | None = None
    stream_memory: int | None = None
    stream_idle_s: float = 60.0
    drain_s: float = 10.0
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_client_ca: Path | None = None
    tokens: Path | None = None
    metrics_host: str = "127.0.0.1"
    metrics_port: int | None = None

    def stream_limits(self, served: Served, places: int = 1) -> StreamLimits | None:
        """Of the streams at one of so many places; None for no streams. Raises InputError: there is no room for one."""
        if self.stream_memory == 0:
            return None
        least = stream_bytes(served)
        memory = (self.stream_memory or max(_LEAST_STREAM_MEMORY, _STREAMS * places * least)) // places
        if memory < least:
            share = f", of which each of {places} replicas has a part" if places > 1 else ""
            raise InputError(
                f"--max-stream-memory {self.stream_memory:,} bytes{share}: one stream of {served.model.name} takes up "
                f"to {least:,}; with 0 clients code each frame by itself"
            )
        return StreamLimits(memory, self.stream_idle_s)

    def check(self) -> Secured:
        """What of them is read from files; before a network is loaded. Raises InputError."""
        credentials = server_credentials(self.tls_cert, self.tls_key, self.tls_client_ca)
        tokens = {} if self.tokens is None else read_tokens(self.tokens)
        check_exposure(self.host, secured=credentials is not None or bool(tokens))
        return Secured(credentials, tokens)


#: The same, by the name that it had first.
Settings = ServerSettings


@dataclass(frozen=True)
class Secured:
    """TLS credentials, None without; SHA-256 of each token -> its holder."""

    credentials: grpc.ServerCredentials | None
    tokens: dict[bytes, str]


def run(
    settings: ServerSettings,
    served: Served,
    on_ready: Callable[[str], None] = lambda address: None,
    work: Callable[[Sequence[Work]], list[Outcome]] | None = None,
    reports: Reports | None = None,
) -> bool:
    """Serve until SIGTERM or SIGINT, then drain.

    Args:
        settings: how.
        served: what.
        on_ready: called with HOST:PORT when clients can connect.
        work: what to do with a batch of frames, from any thread; by default, `infer` here.
        reports: of the streams that `work` remembers by itself; without, it is given no units of them.

    Returns:
        Whether all that was begun has ended. If not, threads of this process go on computing what nobody waits for, and
        keep it from ending: nothing can interrupt them but `os._exit`.

    Raises:
        InputError: the address or a file cannot be used.
    """
    return asyncio.run(_run(settings, settings.check(), served, on_ready, work, reports))


async def _run(
    settings: ServerSettings,
    secured: Secured,
    served: Served,
    on_ready: Callable[[str], None],
    work: Callable[[Sequence[Work]], list[Outcome]] | None,
    reports: Reports | None,
) -> bool:
    telemetry = Telemetry()
    streams, limits = None, settings.stream_limits(served) if work is None else None
    if limits is not None:
        streams = remembered(served, limits, lambda why: telemetry.forgotten.labels(why).inc())
        telemetry.watch(streams)
    elif reports is not None:
        reports.dropped = lambda why, count: telemetry.forgotten.labels(why).inc(count)
        telemetry.watch(reports)
    engine = Engine(
        work or partial(infer, served, streams=streams),
        telemetry,
        workers=settings.workers,
        queue=settings.queue,
        in_flight=settings.in_flight,
        batch=served.batch,
    )
    size = settings.message_bytes or max(_LEAST_MESSAGE, int(_BYTES_PER_ELEMENT * served.limits.elements))
    offer = Offer(settings.in_flight, size, streams is not None or reports is not None, secured.tokens)
    service = Service(served, engine, telemetry, offer)
    checks = health.aio.HealthServicer()
    server = _server(settings, secured, size, telemetry)
    serve_pb2_grpc.add_SplitInferenceServicer_to_server(service, server)  # type: ignore[no-untyped-call]
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    reflection.enable_server_reflection((SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
    forgetting: asyncio.Task[None] | None = None
    try:
        address = _bind(server, settings, secured)
        if settings.metrics_port is not None:
            telemetry.expose(settings.metrics_host, settings.metrics_port)
        stop = _on_signals()
        await server.start()
        for name in ("", SERVICE):
            await checks.set(name, health_pb2.HealthCheckResponse.SERVING)
        log.info("serving", address=address, network=served.model.name, workers=settings.workers, batch=served.batch,
                 message_bytes=size, elements=served.limits.elements, tls=secured.credentials is not None,
                 tokens=len(secured.tokens))  # fmt: skip
        on_ready(address)
        forgetting = asyncio.create_task(_forget_idle(streams))
        log.info("draining", signal=await stop, frames=engine.busy, seconds=settings.drain_s)
        await checks.enter_graceful_shutdown()
        service.leave()
        await server.stop(settings.drain_s)
        sparing.flush()
        log.info("stopped", unanswered=engine.busy)
    finally:
        if forgetting is not None:
            forgetting.cancel()
        await server.stop(None)
        ended = await engine.close()
    return ended


async def _forget_idle(streams: Streams | None) -> None:
    while streams is not None:
        await asyncio.sleep(_FORGET_S)
        streams.forget_idle()


def _server(settings: ServerSettings, secured: Secured, message_bytes: int, telemetry: Telemetry) -> grpc.aio.Server:
    milliseconds = 1000
    of_client = _CALLS_A_FRAME * settings.in_flight
    calls = max(settings.calls, _CLIENTS * of_client)
    patience_s = _PATIENCE_S + message_bytes / _LEAST_BYTES_PER_S
    frames = Room(CallLimits(calls, of_client, unread=calls), patience_s)
    gate = Gate(secured.tokens, telemetry, frames, Room(_CHECKS, _PATIENCE_S))
    options: list[tuple[str, Any]] = [
        ("grpc.max_receive_message_length", message_bytes),
        ("grpc.max_send_message_length", message_bytes),
        ("grpc.max_metadata_size", _GRPC_FACTOR * METADATA_BYTES),
        ("grpc.max_concurrent_streams", _GRPC_FACTOR * calls),  # of a connection
        ("grpc.keepalive_time_ms", _PING_S * milliseconds),
        ("grpc.keepalive_timeout_ms", _PONG_S * milliseconds),
        ("grpc.http2.min_ping_interval_without_data_ms", _LEAST_PING_S * milliseconds),
        ("grpc.so_reuseport", 0),  # a second server on one port is a mistake, not half of the frames
    ]
    return grpc.aio.server(interceptors=[gate], options=options)


def _bind(server: grpc.aio.Server, settings: ServerSettings, secured: Secured) -> str:
    host = f"[{settings.host}]" if ":" in settings.host and not settings.host.startswith("[") else settings.host
    address = f"{host}:{settings.port}"
    try:
        if secured.credentials is None:
            port = server.add_insecure_port(address)
        else:
            port = server.add_secure_port(address, secured.credentials)
    except RuntimeError as error:
        raise InputError(f"cannot serve at {address}: the address is in use, or not one of this machine") from error
    if not is_loopback(settings.host):
        if secured.credentials is None:
            log.warning("tokens and features cross the network in the clear: give --tls-cert and --tls-key")
        elif not secured.tokens and settings.tls_client_ca is None:
            log.warning("whoever can connect can use this server: give --tls-client-ca or --tokens")
    return f"{host}:{port}"


def _on_signals() -> asyncio.Future[str]:
    """Done with the signal's name at the first SIGTERM or SIGINT; a second one ends at once."""
    loop = asyncio.get_running_loop()
    stop: asyncio.Future[str] = loop.create_future()

    def received(number: signal.Signals) -> None:
        if not stop.done():
            stop.set_result(number.name)
        else:
            log.warning("ended", signal=number.name)
            os._exit(128 + number)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, received, number)
    return stop
