"""Who may reach the server: the loopback rule, TLS, tokens."""

from __future__ import annotations

import hashlib
import ipaddress
import re
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grpc

from midstream.errors import InputError

_LEAST_TOKEN = 16
_BEARER = "bearer"
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


def holder_of(tokens: Mapping[bytes, str], metadata: Mapping[str, str]) -> str | None:
    """Whose token a call carries, None for none that is known. The scheme's case does not matter (RFC 9110, 11.1)."""
    scheme, _, token = metadata.get("authorization", "").partition(" ")
    return tokens.get(_digest(token.strip(" "))) if scheme.lower() == _BEARER else None


def client_of(holder: str | None, peer: str) -> str:
    """Whom a call counts for: its token's holder; without one the address; on loopback the connection."""
    host = host_of(peer)
    return holder or (peer if is_loopback(host) else host)


def owner_of(holder: str | None, peer: str) -> str:
    """Who may hear that a frame was sent before: its token's holder; without tokens the machine it came from."""
    return holder or host_of(peer)


def host_of(peer: str) -> str:
    """The address of a peer, as gRPC writes it, without the port; what is no Internet address stays as it is."""
    kind, _, rest = peer.partition(":")
    return rest.rpartition(":")[0].replace("%5B", "").replace("%5D", "") if kind in ("ipv4", "ipv6") else peer


def plain(metadata: Any) -> dict[str, str]:
    """The metadata of a call that is text."""
    return {str(key): value for key, value in metadata or () if isinstance(value, str)}
