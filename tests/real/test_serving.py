"""Real detectors cut in two, with a network in between."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.helpers.detectors import NETWORKS, load
from tests.helpers.serving import Server

import midstream as ms
from midstream import data
from midstream.serve import Client


@pytest.mark.parametrize("name", NETWORKS)
def test_a_server_answers_as_a_local_run_does(name: str, assets: Path) -> None:
    network = load(name, assets)
    files = sorted((assets / "coco" / "calib").iterdir())[:4]
    pictures = [data.read_picture(file) for file in files]
    with Server(name, "--weights", network.weights) as server, Client(server.address, network) as client:
        for picture, answer in zip(pictures, client.stream(pictures), strict=True):
            size = (picture.shape[0], picture.shape[1])
            expected = network.back(ms.decode(ms.encode(network.front(picture))), size)
            np.testing.assert_array_equal(answer.found().boxes, expected.boxes)
            np.testing.assert_array_equal(answer.found().scores, expected.scores)
            assert len(expected)
