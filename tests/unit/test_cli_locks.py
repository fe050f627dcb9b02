"""Every command that writes a folder, or a file bit by bit, is the only one to do so."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.helpers import toy
from tests.helpers.commands import midstream, mistake

from midstream.files import locked, own_folder

COMMANDS = {
    "extract": ["extract", "-m", "toy.toml", "images/0.png", "-o", "out"],
    "split": ["split", "toy.onnx", "--at", "fine,coarse", "-o", "out"],
    "scenes": ["scenes", "--count", "1", "--size", "64x48", "-o", "out"],
    "compare": ["compare", "-m", "toy.toml", "-d", "coco:images,truth.json", "--test", "paper", "-o", "out"],
    "demo": ["demo", "-o", "out"],
    "calibrate": ["calibrate", "-m", "toy.toml", "--images", "images", "-o", "x.profile", "--work", "out"],
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_folder_that_is_being_written_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    data = toy.write_labelled(tmp_path)
    for number in range(4, 20):  # calibrate wants as many
        (data / "images" / f"{number}.png").write_bytes((data / "images" / "0.png").read_bytes())
    monkeypatch.chdir(data)
    with own_folder(data / "out"):
        assert "midstream: out: process " in (said := mistake(*command))
        assert "is writing to it: wait for that one, or give another name" in said
    assert not (data / "out").exists()
    if command[0] in ("extract", "split", "scenes"):  # the others take longer
        midstream(*command)
        assert not [path for path in data.rglob("*") if path.name.endswith("lock")]


def test_a_file_that_is_being_written_is_refused_before_the_work(tmp_path: Path) -> None:
    with locked(tmp_path / "x.mids"):
        assert "is writing to it" in mistake("encode", tmp_path / "nothing.npz", "-o", tmp_path / "x.mids")
