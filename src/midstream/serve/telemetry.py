"""What the server tells of itself: metrics for Prometheus, traces by OpenTelemetry, logs as JSON lines."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections import Counter as Counts
from typing import Any, NoReturn

import structlog
from opentelemetry import propagate, trace
from opentelemetry.context import Context
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, start_http_server

from midstream.errors import InputError
from midstream.serve.reports import Reports
from midstream.serve.streams import Streams
from midstream.version import __version__

log: Any = structlog.get_logger("midstream.serve")
tracer = trace.get_tracer("midstream.serve", __version__)

#: Upper bounds of the latency histograms, in seconds.
_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_NANOSECONDS = 1e9
#: Lines of one event that callers can provoke, in so many seconds: enough to see who does what, nothing to fill a disk.
_MOST_LINES, _SPAN_S = 5, 10.0
#: For what is left of the traces when the process has to end.
_FLUSH_MS = 1000


class Sparing:
    """Lines that a caller can provoke: the first few of each event in a while, then how many were left out."""

    def __init__(self) -> None:
        self._lines: Counts[str] = Counts()
        self._until = 0.0
        self._lock = threading.Lock()

    def say(self, level: str, event: str, **fields: Any) -> None:
        """Log an event, of a name that no caller chooses, unless there have been too many of it."""
        with self._lock:
            over = time.monotonic() >= self._until
        if over:
            self.flush()
        with self._lock:
            self._lines[event] += 1
            said = self._lines[event] <= _MOST_LINES
        if said:
            getattr(log, level)(event, **fields)

    def flush(self) -> None:
        """Say what was left out, and begin anew."""
        with self._lock:
            left_out = {event: count - _MOST_LINES for event, count in self._lines.items() if count > _MOST_LINES}
            self._lines.clear()
            self._until = time.monotonic() + _SPAN_S
        if left_out:
            log.warning("left out", lines=left_out)


sparing = Sparing()


class Telemetry:
    """The server's metrics."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        common: dict[str, Any] = {"namespace": "midstream", "registry": self.registry}
        self.requests = Counter("requests", "Frames by method and status.", ["method", "code"], **common)
        self.errors = Counter("errors", "Frames that were not answered, by what was wrong.", ["kind"], **common)
        self.refused = Counter("refused", "Calls that were refused, or ended early, by why.", ["reason"], **common)
        self.repeated = Counter("repeated", "Frames answered without computing them again.", **common)
        self.dropped = Counter("dropped", "Frames dropped before they were computed: late, or given up.", **common)
        self.received = Counter("received_bytes", "Bytes of bitstreams.", **common)
        self.sent = Counter("sent_bytes", "Bytes of answers.", **common)
        self.streams = Gauge("streams", "Open streams.", **common)
        self.queue_depth = Gauge("queue_depth", "Frames that wait for a worker.", **common)
        self.sessions = Gauge("sessions", "Sessions whose streams are remembered.", **common)
        self.session_bytes = Gauge("session_bytes", "Bytes that is remembered of their streams.", **common)
        self.forgotten = Counter("sessions_forgotten", "Sessions that were forgotten, by why.", ["reason"], **common)
        self.stages = Histogram("stage_seconds", "Latency of a frame by stage.", ["stage"], buckets=_BUCKETS, **common)

    def refuse(self, reason: str, **fields: Any) -> None:
        """Count and log a call that is refused; `reason` is one of a few."""
        self.refused.labels(reason).inc()
        sparing.say("warning", "refused", reason=reason, **fields)

    def watch(self, streams: Streams | Reports) -> None:
        """Tell of what is remembered of streams."""
        self.sessions.set_function(lambda: len(streams))
        self.session_bytes.set_function(lambda: streams.size)

    def expose(self, host: str, port: int) -> None:
        """Serve them over HTTP, path /metrics. Raises InputError."""
        try:
            start_http_server(port, host, self.registry)
        except OSError as error:
            raise InputError(f"metrics cannot be served at {host}:{port}: {error.strerror}") from error


class _Libraries(logging.Handler):
    """What libraries log, as lines of ours."""

    def emit(self, record: logging.LogRecord) -> None:
        sparing.say("warning", "library", logger=record.name, said=record.getMessage())


def configure_logs() -> None:
    """JSON lines on standard error, those of libraries too; for people where that is a terminal."""
    logging.getLogger().addHandler(_Libraries(logging.WARNING))
    renderer: Any = structlog.processors.JSONRenderer()
    if sys.stderr.isatty():
        renderer = structlog.dev.ConsoleRenderer()
    processors: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        renderer,
    ]
    structlog.configure(
        processors=processors,
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


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


def end_process() -> NoReturn:
    """End with exit code 0 although threads still compute: native code cannot be interrupted, and nobody waits."""
    flush = getattr(trace.get_tracer_provider(), "force_flush", None)  # an SDK's provider has it
    if flush is not None:
        flush(_FLUSH_MS)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


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
