"""Who may reach the server: the loopback rule, TLS, tokens."""

from __future__ import annotations

import hashlib
import ipaddress
import re
import ssl
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from midstream.errors import InputError

#: Health is what probes ask for, without a token.
_OPEN = ("/grpc.health.v1.Health/",)
_LEAST_TOKEN = 16
_BEARER = "Bearer "
_NAME = re.compile(r"[\w.@-]{1,64}")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_exposure(host: str, secured: bool) -> None:
    """Refuse to serve a network without TLS or tokens. Raises InputError."""
    if not is_loopback(host) and not secured:
        raise InputError(
            f"--host {host} can be reached by others, who could all use this server: give --tls-cert and --tls-key "
            "with --tls-client-ca, or --tokens; or serve 127.0.0.1 only"
        )


def read_pem(path: Path, what: str) -> bytes:
    """A PEM file. Raises InputError."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: the {what} cannot be read: {error.strerror}") from error
    if b"-----BEGIN " not in data:
        raise InputError(f"{path}: the {what} is not a PEM file")
    return data


def server_credentials(cert: Path | None, key: Path | None, client_ca: Path | None) -> grpc.ServerCredentials | None:
    """TLS of a server, None without; with `client_ca` clients must show a certificate of it. Raises InputError."""
    if cert is None and key is None and client_ca is None:
        return None
    if cert is None or key is None:
        raise InputError("--tls-cert and --tls-key go together; --tls-client-ca needs both")
    pair = (read_pem(key, "key"), read_pem(cert, "certificate"))
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, password="")
    except (OSError, ValueError) as error:  # gRPC would say that the address is in use
        raise InputError(f"{cert} and {key} are not a certificate and its key, unencrypted: {error}") from error
    root = None if client_ca is None else read_pem(client_ca, "clients' authority")
    return grpc.ssl_server_credentials([pair], root, require_client_auth=root is not None)


def read_tokens(path: Path) -> dict[bytes, str]:
    """SHA-256 of each token -> the client's name, from lines `NAME TOKEN`; `#` begins a comment. Raises InputError."""
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: the tokens cannot be read: {getattr(error, 'strerror', None) or error}") from error
    tokens: dict[bytes, str] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        parts = line.split()
        if len(parts) != 2 or not _NAME.fullmatch(parts[0]):
            raise InputError(f"{path}: line {number} is not NAME TOKEN")
        if len(parts[1]) < _LEAST_TOKEN or not parts[1].isascii():
            raise InputError(
                f"{path}: line {number}: a token has at least {_LEAST_TOKEN} ASCII characters: openssl rand -hex 32"
            )
        if parts[0] in tokens.values() or _digest(parts[1]) in tokens:
            raise InputError(f"{path}: line {number}: a name or token occurs twice")
        tokens[_digest(parts[1])] = parts[0]
    if not tokens:
        raise InputError(f"{path}: no tokens; a line is NAME TOKEN")
    return tokens


def _digest(token: str) -> bytes:
    # Comparing hashes takes a time that says nothing about the token.
    return hashlib.sha256(token.encode()).digest()


def client_of(tokens: Mapping[bytes, str], metadata: Mapping[str, str], peer: str) -> str:
    """Whom a call counts for: the token's name; without tokens the address; on loopback the connection."""
    if tokens:
        return _holder(tokens, metadata) or peer
    kind, _, rest = peer.partition(":")
    host = rest.rpartition(":")[0].replace("%5B", "").replace("%5D", "")
    return peer if kind not in ("ipv4", "ipv6") or is_loopback(host) else host


def _holder(tokens: Mapping[bytes, str], metadata: Mapping[str, str]) -> str | None:
    value = metadata.get("authorization", "")
    return tokens.get(_digest(value.removeprefix(_BEARER))) if value.startswith(_BEARER) else None


class TokenGuard(grpc.aio.ServerInterceptor):
    """Refuses calls without a token of the file, except to the health service."""

    def __init__(self, tokens: Mapping[bytes, str]) -> None:
        self._tokens = tokens

    async def intercept_service(
        self, continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]], details: grpc.HandlerCallDetails
    ) -> Any:
        """The handler of a call, or one that refuses it in the same form."""
        method, metadata = details.method, plain(details.invocation_metadata)
        handler = await continuation(details)
        if method.startswith(_OPEN) or _holder(self._tokens, metadata) is not None or handler is None:
            return handler
        if handler.request_streaming:
            return grpc.stream_stream_rpc_method_handler(_refuse)
        return grpc.unary_unary_rpc_method_handler(_refuse)


async def _refuse(request: Any, context: Any) -> None:
    del request
    await context.abort(grpc.StatusCode.UNAUTHENTICATED, "this server wants a token it knows: authorization: Bearer")


def plain(metadata: Any) -> dict[str, str]:
    """The metadata of a call that is text."""
    return {str(key): value for key, value in metadata or () if isinstance(value, str)}
