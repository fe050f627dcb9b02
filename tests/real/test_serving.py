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
    images = [data.read_image(file) for file in files]
    with Server(name, "--weights", network.weights) as server, Client(server.address, network) as client:
        for image, answer in zip(images, client.stream(images), strict=True):
            size = (image.shape[0], image.shape[1])
            expected = network.back(ms.decode(ms.encode(network.front(image))), size)
            np.testing.assert_array_equal(answer.found().boxes, expected.boxes)
            np.testing.assert_array_equal(answer.found().scores, expected.scores)
            assert len(expected)
