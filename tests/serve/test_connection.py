"""What is found before any frame: options, addresses, networks and profiles that do not fit."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.helpers import profiles, serving, toy
from tests.helpers.calibration import calibrated
from tests.helpers.requests import image
from tests.helpers.serving import SIZE, Server

import midstream as ms
from midstream import models
from midstream.calibration.settings import CalibrationSettings, Tools
from midstream.serve import Client


@pytest.fixture(scope="module")
def server(model: Path) -> Iterator[Server]:
    with Server(model) as running:
        yield running


def refused(*options: object) -> str:
    command = [sys.executable, "-m", "midstream", *map(str, options)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 2, done
    lines = [line for line in done.stderr.splitlines() if "trying again" not in line]
    assert len(lines) == 1, done.stderr
    return lines[0]


def test_refusals_of_the_server(model: Path, tmp_path: Path, server: Server) -> None:
    assert "can be reached by others" in refused("serve", "--model", model, "--host", "0.0.0.0")
    assert "address is in use" in refused("serve", "--model", model, "--port", server.port)
    profile = tmp_path / "other.profile"
    profiles.profile().write(profile)
    assert "was made for toy, cut graph 0000" in refused("serve", "--model", model, "--profile", profile)


def test_an_unreachable_server_says_what_was_tried(model: Path, tmp_path: Path) -> None:
    port = serving.free_port()
    images = serving.write_images(tmp_path / "images", 2)
    message = refused("push", images, "--to", f"127.0.0.1:{port}", "--model", model, "--retry", "300ms")
    assert re.search(rf"cannot reach the server 127.0.0.1:{port} without TLS \(tried \d+ times? in \d+ s\)", message)
    assert "Connection refused" in message


def test_another_network_is_found_at_connection(model: Path, tmp_path: Path, server: Server) -> None:
    text = toy.write_toy(tmp_path).read_text()
    (tmp_path / "toy.toml").write_text(text.replace("127.5", "120.0"))
    with pytest.raises(ms.errors.ServiceError) as error, Client(server.address, str(tmp_path / "toy.toml")):
        pass
    assert error.value.code == "FAILED_PRECONDITION"
    assert "the client sends features of toy, cut graph " in str(error.value)
    assert "the server runs toy, cut graph " in str(error.value)


def test_profiles_are_compared_at_connection(server: Server, model: Path, tmp_path: Path) -> None:
    toy.write_toy(tmp_path)
    serving.write_images(tmp_path / "calib", 20)
    settings = CalibrationSettings(images=20, tools=replace(Tools(), power=False))
    profile = calibrated(tmp_path, tmp_path / "work", settings).profile
    profile.write(tmp_path / "toy.profile")
    network = models.load(str(model))
    coded = ms.encode(network.front(image()), "calibrated", profile=profile)
    expected = network.back(ms.decode(coded, profile=profile), SIZE)
    with Server(model, "--profile", tmp_path / "toy.profile", "--allow-embedded-profiles") as fitted:
        for embed in (False, True):
            with Client(
                fitted.address, network, "calibrated", profile=profile, embed=embed, importance="probe"
            ) as client:
                np.testing.assert_array_equal(client.infer(image()).boxes, expected.boxes)
    with (
        pytest.raises(ms.errors.ServiceError, match="start the server with --allow-embedded-profiles"),
        Client(server.address, network, "calibrated", profile=profile, embed=True, importance="probe") as client,
    ):
        client.infer(image())
    with (
        pytest.raises(ms.errors.ServiceError) as error,
        Client(server.address, network, "calibrated", profile=tmp_path / "toy.profile"),
    ):
        pass
    assert f"codes with the profile {profile.name}, the server has no profile" in str(error.value)
