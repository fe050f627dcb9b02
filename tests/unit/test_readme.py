"""The Python of the README and of the first page of the documentation runs as it stands there."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.helpers.serving import Server
from tests.helpers.toy import write_images, write_labelled, write_toy

import midstream as ms

ROOT = Path(__file__).parents[2]
PROFILE = Path(ms.__file__).parent / "models" / "weights" / "streets-r16.profile"


@pytest.fixture(autouse=True)
def a_home_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))


def blocks(name: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", (ROOT / name).read_text(), re.MULTILINE | re.DOTALL)


def test_the_ten_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(PROFILE, tmp_path / "network.profile")
    monkeypatch.chdir(tmp_path)
    network = ms.load_model("streets-r16")
    image = ms.data.read_image(ms.data.load("scenes:1,0").images[0].path)
    pyramid = {name: level for name, level in network.front(image).items() if name not in network.derived}
    names: dict[str, Any] = {"pyramid": pyramid}
    lines = blocks("README.md")[0]
    # A bitstream of this network's first level is longer than 9,000 bytes: the coarsest one is within 30,000.
    exec(lines.replace("9000", "30000"), names)
    assert list(names["one"]) == ["p5"]
    assert {"p5"} <= set(names["coarse"]) < set(pyramid)
    assert names["info"].total_bytes == len(names["data"])
    assert len(names["small"]) <= 8000
    assert {name: level.shape for name, level in names["back"].items()} == {n: v.shape for n, v in pyramid.items()}


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the toy network and two folders of images, where one stands."""
    write_labelled(tmp_path)
    for name in ("photos", "others"):
        write_images(tmp_path / name, 20)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_calibrating_and_measuring(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = blocks("README.md")[1].replace('"picodet-s-416"', '"toy.toml"').replace('"photos"', '"photos", passes=1')
    exec(code, {"ms": ms})
    assert capsys.readouterr().out.startswith("toy, 20 images: codec calibrated")


def test_from_python(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    first, second = blocks("docs/tutorials/python.md")
    exec(first.replace('"best.onnx"', '"toy.toml"').replace('(model, "photos")', '(model, "photos", passes=1)'), names)
    assert "<network toy: detection" in capsys.readouterr().out
    assert names["figures"]["images"] == 20
    assert ms.Profile.read("best.profile").data == names["profile"].data
    exec(second.replace("photo.jpg", "photos/00.png"), names)
    assert isinstance(names["found"], ms.models.Detections)


def test_the_client(tmp_path: Path) -> None:
    toy = write_toy(tmp_path)
    with Server(toy) as server:
        lines = blocks("README.md")[2].replace("127.0.0.1:8440", server.address).replace("picodet-s-416", str(toy))
        names: dict[str, Any] = {"ms": ms, "image": np.full((60, 50, 3), 99, np.uint8)}
        exec(lines, names)
        assert server.stop() == 0
    assert len(names["found"].scores) == len(names["found"])


def test_no_block_is_left_out() -> None:
    assert len(blocks("README.md")) == 3
    assert len(blocks("docs/getting-started.md")) == 1
    assert len(blocks("docs/tutorials/python.md")) == 2


def test_getting_started(capsys: pytest.CaptureFixture[str]) -> None:
    exec(blocks("docs/getting-started.md")[0], {})
    assert re.fullmatch(r"\d+,\d+ bytes, \d+ objects\n", capsys.readouterr().out)


def test_the_tutorial_on_tokens() -> None:
    names: dict[str, Any] = {}
    found = blocks("docs/tutorials/tokens.md")
    assert len(found) == 2
    for block in found:
        exec(block, names)
    assert names["back"].shape == (1, 197, 384)
