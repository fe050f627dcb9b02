"""Split inference over gRPC: the server, the client, and `push`, which feeds a server from a camera.

`midstream.serve.work` is the server's half of a frame without any of it, and needs no extra.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from midstream.lazy import loader

if TYPE_CHECKING:
    from midstream.halves.edge import Edge
    from midstream.serve.client import AsyncClient, Client
    from midstream.serve.flights import Answer
    from midstream.serve.link import Link
    from midstream.serve.server import ServerSettings, Settings, run
    from midstream.serve.work import Served, prepare

__all__ = ["Answer", "AsyncClient", "Client", "Edge", "Link", "Served", "ServerSettings", "Settings", "prepare", "run"]

_DEVICE = {"Answer": "flights", "AsyncClient": "client", "Client": "client", "Edge": "client", "Link": "link"}
_SERVER = {"Served": "work", "ServerSettings": "server", "Settings": "server", "prepare": "work", "run": "server"}


def __getattr__(name: str) -> Any:
    homes, extra = (_DEVICE, "client") if name in _DEVICE else (_SERVER, "serve")
    return loader(__name__, homes, extra)(name)


def __dir__() -> list[str]:
    return __all__
