"""From a client to a server: address, TLS, token, and the greeting that finds out whether the two fit."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from midstream.errors import InputError, ServiceError
from midstream.serve import messages
from midstream.serve.proto import serve_pb2 as pb
from midstream.serve.proto import serve_pb2_grpc
from midstream.serve.security import read_pem
from midstream.wording import readable

_Code = grpc.StatusCode
#: Failures of a connection after which another one may work; all others are the caller's to mend.
PASSING = frozenset(
    {_Code.UNAVAILABLE, _Code.RESOURCE_EXHAUSTED, _Code.INTERNAL, _Code.UNKNOWN, _Code.CANCELLED,
     _Code.DEADLINE_EXCEEDED, _Code.ABORTED, _Code.DATA_LOSS}
)  # fmt: skip
_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[^:/\[\]\s]+):(\d{1,5})")
#: A server that does not answer a ping is gone; one that does not greet in time is not one of ours.
_PING_MS, _PONG_MS = 10_000, 5_000
_GREETING_S = 10.0
#: Answers are small, but masks of crowded images can pass gRPC's 4 MiB.
_MOST_ANSWER_BYTES = 64 << 20


@dataclass(frozen=True)
class Link:
    """How to reach a server.

    Attributes:
        address: HOST:PORT.
        token: one that the server knows.
        tls: whether to use TLS; the machine's certificate authorities are trusted, or those of `tls_ca`.
        tls_ca, tls_cert, tls_key: PEM files; the last two where the server wants a client's certificate.
        in_flight: the most frames that are unanswered at a time; the server may allow fewer.
        retry_s: how long to go on trying without one answer before giving up; a server that can be reached has at least
            three seconds for one, and for its greeting.
    """

    address: str
    token: str | None = None
    tls: bool = False
    tls_ca: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    in_flight: int = 8
    retry_s: float = 60.0

    def __post_init__(self) -> None:
        """Refuse what can never work. Raises InputError."""
        match = _ADDRESS.fullmatch(self.address)
        if match is None or not 0 < int(match[2]) < 1 << 16:
            raise InputError(f"a server is HOST:PORT, such as 127.0.0.1:8440, not '{self.address}'")
        if (self.tls_cert is None) != (self.tls_key is None):
            raise InputError("a client's TLS certificate and key go together")
        if self.in_flight < 1:
            raise InputError(f"at least one frame is in flight, not {self.in_flight}")
        if self.token is not None and not (self.token.isascii() and self.token.isprintable() and self.token):
            raise InputError("a token is printable ASCII text")

    @property
    def secured(self) -> bool:
        """Whether TLS is used."""
        return self.tls or self.tls_ca is not None or self.tls_cert is not None

    def credentials(self) -> grpc.ChannelCredentials | None:
        """TLS of this side, None without. Raises InputError."""
        if not self.secured:
            return None
        root = None if self.tls_ca is None else read_pem(self.tls_ca, "authority")
        if self.tls_cert is None or self.tls_key is None:
            return grpc.ssl_channel_credentials(root)
        return grpc.ssl_channel_credentials(root, read_pem(self.tls_key, "key"), read_pem(self.tls_cert, "certificate"))


@dataclass(frozen=True)
class Connection:
    """A connection to a server that fits."""

    channel: grpc.aio.Channel
    stub: Any
    offer: pb.DescribeReply
    metadata: tuple[tuple[str, str], ...]

    @property
    def alive(self) -> bool:
        """Whether it has not been lost."""
        return self.channel.get_state() is grpc.ChannelConnectivity.READY


@asynccontextmanager
async def connect(link: Link, own: pb.Side, greeting_s: float = _GREETING_S) -> AsyncIterator[Connection]:
    """Connect and greet, which may take `greeting_s`, and never more than 10 s.

    Raises:
        grpc.aio.AioRpcError: the server cannot be reached, or does not fit: see `failure`.
    """
    options: list[tuple[str, Any]] = [
        ("grpc.keepalive_time_ms", _PING_MS),
        ("grpc.keepalive_timeout_ms", _PONG_MS),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.max_receive_message_length", _MOST_ANSWER_BYTES),
        ("grpc.max_send_message_length", -1),  # the server's limit holds, which the greeting tells
        ("grpc.use_local_subchannel_pool", 1),  # a new connection is a new one
        ("grpc.enable_retries", 0),
    ]
    credentials = link.credentials()
    channel = (
        grpc.aio.insecure_channel(link.address, options)
        if credentials is None
        else grpc.aio.secure_channel(link.address, credentials, options)
    )
    metadata: tuple[tuple[str, str], ...] = ((messages.CUT_KEY, own.cut),) if own.cut else ()
    if link.token is not None:
        metadata += (("authorization", f"Bearer {link.token}"),)
    async with channel:
        stub = serve_pb2_grpc.SplitInferenceStub(channel)  # type: ignore[no-untyped-call]
        request = pb.DescribeRequest(client=own)
        offer = await stub.Describe(request, metadata=metadata, timeout=min(greeting_s, _GREETING_S))
        yield Connection(channel, stub, offer, metadata)


def failure(link: Link, error: grpc.aio.AioRpcError, tried: str = "") -> ServiceError:
    """What a failed call means to people; `tried` says how often, for how long."""
    code, details = error.code(), readable(error.details() or "")
    if code is _Code.UNIMPLEMENTED:
        details = "it is a gRPC server, but not one of midstream"
    elif code is _Code.UNAUTHENTICATED and link.token is None:
        details = "it wants a token: --token-file FILE, or the variable MIDSTREAM_TOKEN"
    if code in PASSING:
        how = "with TLS" if link.secured else "without TLS"
        hint = "is 'midstream serve' running there, with TLS or without as here?"
        return ServiceError(
            code.name, f"cannot reach the server {link.address} {how}{tried}: {details or code.name}; {hint}"
        )
    return ServiceError(code.name, f"the server {link.address} refuses: {details or code.name}")


def check_same(link: Link, before: pb.DescribeReply, now: pb.DescribeReply) -> None:
    """Hold a greeting against an earlier one. Raises ServiceError: answers would mean something else now."""
    if change := messages.change(before, now):
        reason = f"the server {link.address} is another one now: {readable(change)}"
        raise ServiceError(_Code.FAILED_PRECONDITION.name, f"{reason}; start anew")
