"""The link that tests send frames over: it loses nothing, keeps to its rate, and holds back what it has no room for."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from tests.helpers.shaping import ShapedLink


@pytest.fixture
def far() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


@contextlib.contextmanager
def connected(far: socket.socket) -> Iterator[tuple[ShapedLink, socket.socket, socket.socket]]:
    with ShapedLink(far.getsockname()[1]) as link:
        host, port = link.address.split(":")
        with socket.create_connection((host, int(port))) as here:
            there, _ = far.accept()
            with there:
                yield link, here, there


def received(end: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (more := end.recv(1 << 16)):
        data += more
    return data


def test_both_ways_bytes_arrive_as_they_were(far: socket.socket) -> None:
    data = bytes(range(256)) * 400
    with connected(far) as (link, here, there):
        link.up.delay_s = link.down.delay_s = 0.02
        threading.Thread(target=here.sendall, args=[data]).start()
        assert received(there, len(data)) == data
        there.sendall(data[:5000])
        assert received(here, 5000) == data[:5000]
        assert (link.up.passed, link.down.passed) == (len(data), 5000)


def test_a_rate_is_kept_and_may_change(far: socket.socket) -> None:
    with connected(far) as (link, here, there):
        link.up.rate = 400e3
        start = time.monotonic()
        threading.Thread(target=here.sendall, args=[bytes(60_000)]).start()
        received(there, 20_000)
        assert time.monotonic() - start >= 0.9 * 20_000 * 8 / 400e3  # never faster; slower on a busy machine
        link.up.rate = None
        assert len(received(there, 1)) > 0


def test_a_link_that_stands_fills_its_queue_and_then_holds_the_sender_back(far: socket.socket) -> None:
    with connected(far) as (link, here, there):
        link.up.rate = 0
        here.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        here.settimeout(1)
        with pytest.raises(TimeoutError):
            here.sendall(bytes(4 << 20))
        assert link.up.passed == 0
        link.up.rate = None
        there.settimeout(10)
        assert received(there, 16_384)


def test_an_end_is_passed_on(far: socket.socket) -> None:
    with connected(far) as (_, here, there):
        there.settimeout(30)
        here.sendall(b"last words")
        assert received(there, 10) == b"last words"
        here.close()
        assert there.recv(1) == b""
