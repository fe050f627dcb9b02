"""serve."""

from __future__ import annotations

import dataclasses
import os
import time
from pathlib import Path
from typing import Annotated

import typer

from midstream import models
from midstream.cli import options
from midstream.cli.console import quiet_grpc
from midstream.codec.calibrated.profile import Profile
from midstream.errors import InputError
from midstream.models.reference import Reference
from midstream.quantities import byte_count, seconds

_SAFETY = "Who may connect"
_LIMITS = "Limits"
_WATCHING = "Watching it"
_ON_RAY = "On Ray"
_CORES = os.cpu_count() or 1


def serve_command(
    model: options.ModelName,
    profile: Annotated[
        Path | None,
        typer.Option(help="The profile that clients code with, if they use the codec calibrated.", show_default=False),
    ] = None,
    weights: options.Weights = None,
    host: Annotated[
        str,
        typer.Option(
            help="Address to listen on. Any address but loopback needs TLS or tokens.", rich_help_panel=_SAFETY
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(help="Port to listen on; with 0 any that is free, which the log shows.", min=0, max=65535)
    ] = 8440,
    workers: Annotated[
        int | None, typer.Option(help="Threads that decode and run the back.", min=1, show_default="all cores")
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option(help="The server's certificate, PEM.", rich_help_panel=_SAFETY)
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(help="The key of the certificate, PEM.", rich_help_panel=_SAFETY)
    ] = None,
    tls_client_ca: Annotated[
        Path | None,
        typer.Option(help="Clients must show a certificate of this authority, PEM.", rich_help_panel=_SAFETY),
    ] = None,
    tokens: Annotated[
        Path | None,
        typer.Option(help="Clients must send a token from this file of lines 'NAME TOKEN'.", rich_help_panel=_SAFETY),
    ] = None,
    queue: Annotated[
        int,
        typer.Option(
            help="Frames that may wait; clients with more are asked to try again.", min=1, rich_help_panel=_LIMITS
        ),
    ] = 64,
    in_flight: Annotated[
        int,
        typer.Option(help="Unanswered frames that one client may have.", min=1, rich_help_panel=_LIMITS),
    ] = 16,
    batch: Annotated[
        int,
        typer.Option(
            help="Waiting frames that the back takes at once, if the first axis of its graph is free.",
            min=1,
            rich_help_panel=_LIMITS,
        ),
    ] = 8,
    max_message_bytes: Annotated[
        int | None,
        typer.Option(
            help="The largest request.",
            show_default="4 MiB, or 1.25 bytes an element of larger pyramids",
            min=1,
            rich_help_panel=_LIMITS,
        ),
    ] = None,
    max_stream_memory: Annotated[
        str | None,
        typer.Option(
            help="Memory for what streams of frames refer to, of all clients: 256MiB, 2GiB. Beyond it, streams that "
            "were not used for longest begin anew; with 0 clients code each frame by itself.",
            metavar="SIZE",
            show_default="256MiB, or four streams of a larger network",
            rich_help_panel=_LIMITS,
        ),
    ] = None,
    stream_idle: Annotated[
        str,
        typer.Option(
            help="Forget a stream of which no frame has come for so long.", metavar="TIME", rich_help_panel=_LIMITS
        ),
    ] = "60s",
    max_elements: Annotated[
        int | None,
        typer.Option(
            help="The largest pyramid.", show_default="those of the network's largest", min=1, rich_help_panel=_LIMITS
        ),
    ] = None,
    max_pixels: Annotated[
        int, typer.Option(help="The largest image; masks are drawn at its size.", min=1, rich_help_panel=_LIMITS)
    ] = 1 << 24,
    allow_embedded_profiles: Annotated[
        bool,
        typer.Option(
            "--allow-embedded-profiles",
            help="Accept bitstreams that bring their own profile, which is read anew for every frame.",
            rich_help_panel=_SAFETY,
        ),
    ] = False,
    drain: Annotated[
        str, typer.Option(metavar="TIME", help="Time to finish frames in flight after SIGTERM: 10s, 500ms, 1m.")
    ] = "10s",
    metrics_port: Annotated[
        int | None,
        typer.Option(help="Port at which Prometheus finds metrics.", min=1, max=65535, rich_help_panel=_WATCHING),
    ] = None,
    metrics_host: Annotated[
        str, typer.Option(help="Address at which Prometheus finds metrics.", rich_help_panel=_WATCHING)
    ] = "127.0.0.1",
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Compute in replicas on Ray Serve, not in threads: HOST:PORT, 'auto' for this machine's Ray, "
            "'local' to start one here.",
            rich_help_panel=_ON_RAY,
        ),
    ] = None,
    replicas: Annotated[
        str | None,
        typer.Option(
            metavar="LEAST-MOST",
            help="Number of replicas, each on one core; with two numbers the load decides between them.",
            show_default="1 to all cores",
            rich_help_panel=_ON_RAY,
        ),
    ] = None,
) -> None:
    """Start a gRPC server that decodes bitstreams and runs the network's back on them.

    Logs are JSON lines on standard error. Traces are sent to OTEL_EXPORTER_OTLP_ENDPOINT. After SIGTERM, health
    reports NOT_SERVING, new frames are refused, and frames in flight are finished.

    Example: midstream serve --model picodet-s-416 --profile picodet.profile

    Example: midstream serve --model picodet-s-416 --ray auto --replicas 2-16

    Example: midstream serve --model picodet-s-416 --host 0.0.0.0 --tls-cert cert.pem --tls-key key.pem --tokens tokens
    """
    quiet_grpc()
    from midstream import serve
    from midstream.serve.telemetry import configure_logs, configure_traces, end_process

    chosen = serve.ServerSettings(
        host=host,
        port=port,
        workers=workers or _CORES,
        queue=queue,
        in_flight=in_flight,
        message_bytes=max_message_bytes,
        stream_memory=None if max_stream_memory is None else byte_count(max_stream_memory),
        stream_idle_s=seconds(stream_idle),
        drain_s=seconds(drain),
        tls_cert=tls_cert,
        tls_key=tls_key,
        tls_client_ca=tls_client_ca,
        tokens=tokens,
        metrics_host=metrics_host,
        metrics_port=metrics_port,
    )
    chosen.check()
    if replicas is not None and ray is None:
        raise InputError("--replicas belongs to --ray")
    least, most = (1, _CORES) if replicas is None else _span(replicas)
    configure_logs()
    configure_traces()
    threads = max(_CORES // chosen.workers, 1)
    network = models.load(model, weights, threads)
    known = None if profile is None else Profile.read(profile)
    served = serve.prepare(
        network, known, max_pixels=max_pixels, batch=batch, threads=threads, elements=max_elements,
        embedded=allow_embedded_profiles,
    )  # fmt: skip
    if ray is None:
        if not serve.run(chosen, served):
            end_process()
        return
    from midstream.serve.replicas import ONGOING, ReplicaPlan
    from midstream.serve.replicas import replicas as started
    from midstream.serve.reports import Reports

    streams = chosen.stream_limits(served, most)
    plan = ReplicaPlan(
        Reference.of(network, model, weights), known, max_pixels, served.batch, max_elements, served.embedded, streams
    )
    reports = None if streams is None else Reports(streams.idle_s, time.monotonic)
    with started(ray, plan, least, most, reports) as work:
        ended = serve.run(dataclasses.replace(chosen, workers=ONGOING * most), served, work=work, reports=reports)
    if not ended:
        end_process()


def _span(text: str) -> tuple[int, int]:
    """Least and most from N or LEAST-MOST. Raises InputError."""
    least, dash, most = text.partition("-")
    try:
        span = int(least), int(most if dash else least)
    except ValueError:
        span = 0, 0
    if not 1 <= span[0] <= span[1]:
        raise InputError(f"--replicas {text}: expected a number such as 4, or LEAST-MOST such as 1-4")
    return span
