"""Who may ask a server: hosts, tokens, certificates."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme

import midstream as ms
from midstream.serve import security


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "[::1]", "localhost"])
def test_loopback_is_served_without_more(host: str) -> None:
    security.check_exposure(host, secured=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.1", "example.org", ""])
def test_other_hosts_need_tls_or_tokens(host: str) -> None:
    with pytest.raises(ms.InputError, match="--tls-cert and --tls-key with --tls-client-ca, or --tokens"):
        security.check_exposure(host, secured=False)
    security.check_exposure(host, secured=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no tokens"),
        ("# only a comment\n", "no tokens"),
        ("camera\n", "line 1 is not NAME TOKEN"),
        ("camera short\n", "line 1: a token has at least 16"),
        ("a 0123456789abcdef\n\nb 0123456789abcdef\n", "line 3: a name or token occurs twice"),
    ],
)
def test_a_bad_file_of_tokens(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "tokens").write_text(text)
    with pytest.raises(ms.InputError, match=message):
        security.read_tokens(tmp_path / "tokens")


def test_a_file_of_tokens_with_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text("camera 0123456789abcdef\n", encoding="utf-8-sig")
    assert list(security.read_tokens(tmp_path / "tokens").values()) == ["camera"]


def test_tls_files(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("no certificate")
    assert security.server_credentials(None, None, None) is None
    for files, message in (
        ((text, None, None), "go together"),
        ((None, None, text), "go together"),
        ((text, text, None), "the key is not a PEM file"),
        ((text, tmp_path / "nothing", None), "cannot be read"),
    ):
        with pytest.raises(ms.InputError, match=message):
            security.server_credentials(*files)


def test_a_certificate_goes_with_its_key(tmp_path: Path) -> None:
    authority = trustme.CA()
    for name in ("one", "other"):
        made = authority.issue_cert("localhost")
        made.private_key_pem.write_to_path(tmp_path / f"{name}.key")
        made.cert_chain_pems[0].write_to_path(tmp_path / f"{name}.pem")
    assert security.server_credentials(tmp_path / "one.pem", tmp_path / "one.key", None) is not None
    with pytest.raises(ms.InputError, match="not a certificate and its key"):
        security.server_credentials(tmp_path / "one.pem", tmp_path / "other.key", None)


def test_whom_a_call_counts_for(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text("camera 0123456789abcdef\n")
    tokens = security.read_tokens(tmp_path / "tokens")
    for scheme in ("Bearer", "bearer", "BEARER"):
        assert security.holder_of(tokens, {"authorization": f"{scheme} 0123456789abcdef"}) == "camera"
    for other in ("Bearer 0123456789abcdee", "Basic 0123456789abcdef", "0123456789abcdef", "bearer", ""):
        assert security.holder_of(tokens, {"authorization": other}) is None
    assert security.holder_of(tokens, {}) is None
    assert security.client_of("camera", "ipv4:1.2.3.4:5") == "camera"
    assert security.client_of(None, "ipv4:1.2.3.4:5") == "1.2.3.4"
    assert security.client_of(None, "ipv6:%5B2001:db8::1%5D:5") == "2001:db8::1"
    assert security.client_of(None, "ipv4:127.0.0.1:5") == "ipv4:127.0.0.1:5"
    assert security.owner_of("camera", "ipv4:1.2.3.4:5") == "camera"
    assert security.owner_of(None, "ipv4:127.0.0.1:5") == "127.0.0.1"
