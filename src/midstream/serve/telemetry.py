"""What the server tells of itself: metrics for Prometheus, traces by OpenTelemetry, logs as JSON lines."""

from __future__ import annotations

import logging
import os
import sys
import time
from typing import Any

import structlog
from opentelemetry import propagate, trace
from opentelemetry.context import Context
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, start_http_server

import midstream
from midstream.errors import InputError

log: Any = structlog.get_logger("midstream.serve")
tracer = trace.get_tracer("midstream.serve", midstream.__version__)

#: Upper bounds of the latency histograms, in seconds.
_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_NANOSECONDS = 1e9


class Telemetry:
    """The server's metrics."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        common: dict[str, Any] = {"namespace": "midstream", "registry": self.registry}
        self.requests = Counter("requests", "Frames by method and status.", ["method", "code"], **common)
        self.errors = Counter("errors", "Frames that were not answered, by what was wrong.", ["kind"], **common)
        self.repeated = Counter("repeated", "Frames answered without computing them again.", **common)
        self.dropped = Counter("dropped", "Frames dropped before they were computed: late, or given up.", **common)
        self.received = Counter("received_bytes", "Bytes of bitstreams.", **common)
        self.sent = Counter("sent_bytes", "Bytes of answers.", **common)
        self.streams = Gauge("streams", "Open streams.", **common)
        self.queue_depth = Gauge("queue_depth", "Frames that wait for a worker.", **common)
        self.stages = Histogram("stage_seconds", "Latency of a frame by stage.", ["stage"], buckets=_BUCKETS, **common)

    def expose(self, host: str, port: int) -> None:
        """Serve them over HTTP, path /metrics. Raises InputError."""
        try:
            start_http_server(port, host, self.registry)
        except OSError as error:
            raise InputError(f"metrics cannot be served at {host}:{port}: {error.strerror}") from error


class _Libraries(logging.Handler):
    """What libraries log, as lines of ours."""

    def emit(self, record: logging.LogRecord) -> None:
        log.warning("library", logger=record.name, said=record.getMessage())


def configure_logs() -> None:
    """JSON lines on standard error, those of libraries too; for people where that is a terminal."""
    logging.getLogger().addHandler(_Libraries(logging.WARNING))
    renderer: Any = structlog.processors.JSONRenderer()
    if sys.stderr.isatty():
        renderer = structlog.dev.ConsoleRenderer()
    common: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*common, renderer],
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    # What libraries have to say, in the same form.
    handler = logging.StreamHandler(sys.stderr)
    last = [structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer]
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=common, processors=last))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


def configure_traces() -> None:
    """Export traces where the environment says where to (OTEL_EXPORTER_OTLP_ENDPOINT, or a console); else none.

    All else that the OpenTelemetry specification has variables for is read by its SDK: OTEL_SERVICE_NAME,
    OTEL_TRACES_SAMPLER, OTEL_EXPORTER_OTLP_HEADERS, ...
    """
    exporter = os.environ.get("OTEL_TRACES_EXPORTER", "otlp")
    if exporter not in ("otlp", "console", "none"):
        raise InputError(f"OTEL_TRACES_EXPORTER is '{exporter}'; valid: otlp, console, none")
    if exporter == "none" or (exporter == "otlp" and not any(map(os.environ.get, _ENDPOINTS))):
        return
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter

    lines = ConsoleSpanExporter(out=sys.stderr, formatter=lambda span: span.to_json(indent=None) + "\n")
    chosen = lines if exporter == "console" else OTLPSpanExporter()
    named = "OTEL_SERVICE_NAME" in os.environ
    resource = Resource.create({} if named else {"service.name": "midstream"})
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(chosen))
    trace.set_tracer_provider(provider)


def parent_of(metadata: dict[str, str]) -> Context:
    """The caller's trace, from the metadata of its call."""
    return propagate.extract(metadata)


def trace_stages(stages: dict[str, float]) -> None:
    """Spans for stages, in seconds, that have just ended one after the other, within the current span."""
    start = time.time_ns() - int(sum(stages.values()) * _NANOSECONDS)
    for name, seconds in stages.items():
        end = start + int(seconds * _NANOSECONDS)
        tracer.start_span(name, start_time=start).end(end)
        start = end
