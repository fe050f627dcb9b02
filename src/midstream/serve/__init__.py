"""Split inference over gRPC: the server, the client, and `push`, which feeds a server from a camera.

`midstream.serve.work` is the server's half of a frame without any of it, and needs no extra.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from midstream.errors import MissingExtraError
from midstream.lazy import loader

if TYPE_CHECKING:
    from midstream.serve.client import AsyncClient, Client, Edge
    from midstream.serve.link import Link
    from midstream.serve.server import Settings, run
    from midstream.serve.session import Answer
    from midstream.serve.work import Served, prepare

__all__ = ["Answer", "AsyncClient", "Client", "Edge", "Link", "Served", "Settings", "prepare", "run"]

_HOMES = {
    "Answer": "session",
    "AsyncClient": "client",
    "Client": "client",
    "Edge": "client",
    "Link": "link",
    "Served": "work",
    "Settings": "server",
    "prepare": "work",
    "run": "server",
}
#: What the extra brings, and what here needs none of it.
_EXTRA = (
    "google.protobuf",
    "grpc",
    "grpc_health",
    "grpc_reflection",
    "opentelemetry",
    "prometheus_client",
    "structlog",
)
_WITHOUT = "work"


def __getattr__(name: str) -> Any:
    if _HOMES.get(name, _WITHOUT) != _WITHOUT:
        require()
    return loader(__name__, _HOMES)(name)


def __dir__() -> list[str]:
    return __all__


def require() -> None:
    """Raise MissingExtraError unless the extra `serve` is installed."""
    try:
        for package in _EXTRA:
            importlib.import_module(package)
    except ImportError as error:
        raise MissingExtraError("split inference", "serve") from error
