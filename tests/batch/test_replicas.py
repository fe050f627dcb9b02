"""`midstream serve --ray`: the answers of a server without it, whatever becomes of the replicas."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.helpers import toy
from tests.helpers.cluster import Cluster
from tests.helpers.serving import Server

import midstream as ms
from midstream import models
from midstream.errors import ServiceError

FRAMES = 60


@pytest.fixture
def server(tmp_path: Path, cluster: Cluster) -> Iterator[Server]:
    started = Server(toy.write_toy(tmp_path), "--ray", cluster.address, "--replicas", "2")
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
