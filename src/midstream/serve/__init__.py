"""Split inference over gRPC: the server, the client, and `push`, which feeds a server from a camera."""

from __future__ import annotations

from midstream.errors import MissingExtraError

try:
    import grpc  # noqa: F401
    import opentelemetry.trace  # noqa: F401
    import prometheus_client  # noqa: F401
    import structlog  # noqa: F401
except ImportError as error:
    raise MissingExtraError("split inference", "serve") from error

from midstream.serve.client import AsyncClient, Client, Edge
from midstream.serve.link import Link
from midstream.serve.server import Settings, run
from midstream.serve.session import Answer
from midstream.serve.work import Served, prepare

__all__ = ["Answer", "AsyncClient", "Client", "Edge", "Link", "Served", "Settings", "prepare", "run"]
