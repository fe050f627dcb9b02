"""`midstream serve --ray`: the answers of a server without it, whatever becomes of the replicas."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.helpers import serving, toy
from tests.helpers.cluster import Cluster
from tests.helpers.serving import Server
from tests.helpers.streaming import CODEC, Recorded, ready

import midstream as ms
from midstream import models
from midstream.errors import ServiceError
from midstream.serve import Edge, Link
from midstream.serve.client import side_of
from midstream.serve.session import Session

FRAMES = 60
#: More than replicas, so that some share one.
STREAMS = 5


@pytest.fixture
def server(tmp_path: Path, cluster: Cluster) -> Iterator[Server]:
    more = ["--metrics-port", serving.free_port()]
    started = Server(toy.write_toy(tmp_path), "--ray", cluster.address, "--replicas", "2", *more)
    yield started
    with started.process:  # closes its pipe
        started.process.kill()


def test_replicas_answer_as_threads_do_even_when_one_is_killed(
    server: Server, tmp_path: Path, cluster: Cluster
) -> None:
    network = models.load(str(tmp_path / "toy.toml"))
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (60, 50, 3), dtype=np.uint8) for _ in range(FRAMES)]
    killed = False
    with ms.serve.Client(server.address, network, symbols=4) as client:
        for number, (image, answer) in enumerate(zip(images, client.stream(images), strict=True)):
            coded = ms.encode(network.front(image), symbols=4)
            expected = network.back(ms.decode(coded), (60, 50))
            found = answer.found()
            assert answer.frame == number
            np.testing.assert_array_equal(found.boxes, expected.boxes)
            np.testing.assert_array_equal(found.scores, expected.scores)
            np.testing.assert_array_equal(found.labels, expected.labels)
            if number == FRAMES // 3:
                os.kill(cluster.pids("ray::ServeReplica")[0], signal.SIGKILL)
                killed = True
        with pytest.raises(ServiceError, match="TruncatedError"):
            client.send(coded[:-1], (60, 50)).found()
    assert killed
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(timeout=60) == 0
    assert "stopped" in [entry["event"] for entry in server.log]
    assert cluster.pids("ray::ServeReplica") == []


def test_streams_stay_at_their_replicas_and_begin_anew_with_a_key_when_one_is_killed(
    server: Server, tmp_path: Path, cluster: Cluster
) -> None:
    network = models.load(str(tmp_path / "toy.toml"))

    async def one(session: Session, seed: int, edge: Recorded, passed: asyncio.Barrier) -> None:
        """Half of the frames, then the other half; each answer is, to the last bit, that of a local run."""
        clip = ready(network, 2 * FRAMES, seed)
        stream = session.stream(edge)
        for half in (clip[:FRAMES], clip[FRAMES:]):
            waiting = [await stream.send(frame) for frame in half]
            for frame, future in zip(half, waiting, strict=True):
                edge.check(frame, await future)
            await passed.wait()
            await passed.wait()

    async def run() -> list[int]:
        edges = [Recorded(network) for _ in range(STREAMS)]
        passed = asyncio.Barrier(STREAMS + 1)
        asked = []
        async with Session(Link(server.address), side_of(Edge(network, CODEC))) as session:
            working = [
                asyncio.create_task(one(session, seed, edge, passed)) for seed, edge in enumerate(edges)
            ]  # fmt: skip
            await passed.wait()
            asked.append(session.traffic.keys_asked)
            assert sum(edge.keys for edge in edges) == STREAMS + asked[0]
            assert server.metric("midstream_sessions") >= STREAMS
            assert server.metric("midstream_session_bytes") > 1000 * STREAMS
            os.kill(cluster.pids("ray::ServeReplica")[0], signal.SIGKILL)
            await passed.wait()
            await passed.wait()
            asked.append(session.traffic.keys_asked)
            await passed.wait()
            await asyncio.gather(*working)
        assert all(edge.coded >= 2 * FRAMES for edge in edges)
        return asked

    before, after = asyncio.run(asyncio.wait_for(run(), 300))
    # A second replica that the server learns of only after the first streams have begun gets two of them.
    assert before <= STREAMS // 2
    # Two or three streams were at the one that ended, and when there is another, as many move to it.
    assert 2 <= after - before <= 2 * STREAMS
    assert server.metric('midstream_errors_total{kind="reference"}') >= after
    # What moved to another replica is remembered at both; what was at the one that ended is not.
    assert STREAMS <= server.metric("midstream_sessions") < 2 * STREAMS
