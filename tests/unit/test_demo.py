"""`make demo` builds once and says so; `midstream demo --image` shows an image to a network that knows its kind."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from tests.helpers import toy
from typer.testing import CliRunner

from midstream import models
from midstream.cli import demo_image
from midstream.cli.main import app
from midstream.data.scenes import write_scenes
from midstream.errors import InputError
from midstream.models.registry import ModelInfo

_ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize("target", ["demo", "compare", "test", "test-batch", "lint"])
def test_a_target_builds_the_core_once_and_says_so(target: str, tmp_path: Path) -> None:
    command = ["make", "--dry-run", "--no-print-directory", target, f"VENV={tmp_path / 'fresh'}"]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=True)
    installs = [line for line in done.stdout.splitlines() if "pip install" in line and "--editable" in line]
    assert len(installs) == 1
    assert "--quiet" not in installs[0]


def _demo(image: Path, output: Path) -> Any:
    return CliRunner().invoke(app, ["demo", "--image", str(image), "-o", str(output)])


def test_a_scene_is_shown_before_and_after_by_the_network_that_knows_it(tmp_path: Path) -> None:
    write_scenes(tmp_path, 1, 3, "val", (128, 256))
    image = next((tmp_path / "leftImg8bit").rglob("*.png"))
    done = _demo(image, tmp_path / "out")
    assert done.exception is None
    assert "what streets-r16 finds" in done.stderr
    shown = cv2.imread(str(tmp_path / "out" / "image.png"))
    assert shown is not None
    assert shown.shape[0] > 128
    assert shown.shape[1] > 3 * 256


def test_a_photograph_is_not_shown_to_a_network_of_scenes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even under the name of a scene."""
    monkeypatch.setenv("MIDSTREAM_ASSETS", str(tmp_path / "nowhere"))
    monkeypatch.setenv("HOME", str(tmp_path))
    pixels = np.random.default_rng(0).integers(0, 256, (128, 256, 3), np.uint8)
    for name in ("photo.jpg", "scenes_000003_000000_leftImg8bit.png"):
        cv2.imwrite(str(tmp_path / name), pixels)
        done = _demo(tmp_path / name, tmp_path / "out")
        assert isinstance(done.exception, InputError)
        assert "knows only the project's own scenes" in str(done.exception)
        assert "picodet-s-416" in str(done.exception)
    assert not (tmp_path / "out").exists()


def test_a_photograph_goes_to_a_detector_that_is_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = toy.write_labelled(tmp_path)
    known = [ModelInfo("streets-r16", "rcnn", "", "", "here", ""), ModelInfo("other", "gfl", "", "", None, "")]
    known += [ModelInfo("torch-one", "torch", "", "", "here", ""), ModelInfo("toy", "gfl", "", "", "here", "")]
    monkeypatch.setattr(demo_image, "known_models", lambda: known)
    toy_network = models.load(str(folder / "toy.toml"))
    monkeypatch.setattr(models, "load", {"toy": toy_network}.__getitem__)
    done = _demo(next((folder / "images").glob("*")), tmp_path / "out")
    assert done.exception is None
    assert "what toy finds" in done.stderr
    assert "midstream calibrate --model toy" in done.stderr
    assert (tmp_path / "out" / "image.png").stat().st_size > 0
