"""A codec of another package: examples/codec-plugin, built, installed into a folder of its own, used as any other."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.helpers import serving, toy

import midstream as ms
from midstream.codec import registry
from midstream.errors import InputError
from midstream.files import write_pyramid

EXAMPLE = Path(__file__).parents[2] / "examples" / "codec-plugin"
PYRAMID = {"p3": np.linspace(-2, 2, 5 * 8 * 8, dtype=np.float32).reshape(5, 8, 8), "p4": np.ones((5, 4, 4), np.float16)}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source, target = tmp_path_factory.mktemp("source") / "plugin", tmp_path_factory.mktemp("plugin")
    shutil.copytree(EXAMPLE, source)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--disable-pip-version-check", "--target", target, source], check=True)
    return target


def python(installed: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(installed), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )


def midstream(installed: Path, *arguments: object) -> str:
    done = python(installed, "-m", "midstream", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_is_on_the_command_line_with_its_options(installed: Path) -> None:
    for command in (["encode"], ["eval"], ["push"], ["batch", "encode"], ["batch", "eval"], ["bench"]):
        shown = midstream(installed, *command, "--help")
        assert "paper, calibrated, halves." in shown, command
        assert "Codec halves" in shown, command
        assert "Effort of zlib, 0 to 9. [default: (6)]" in shown, command
    assert json.loads(midstream(installed, "codecs", "--json"))["halves"]["properties"]["level"]["maximum"] == 9


def test_it_encodes_decodes_and_shows_its_bytes(installed: Path, tmp_path: Path) -> None:
    write_pyramid(str(tmp_path / "x.npz"), PYRAMID)
    coded = tmp_path / "x.mids"
    midstream(installed, "encode", tmp_path / "x.npz", "-o", coded, "--codec", "halves", "--level", 9)
    midstream(installed, "decode", coded, "-o", tmp_path / "back.npz", "--levels", "p3")
    with np.load(tmp_path / "back.npz", allow_pickle=False) as back:
        np.testing.assert_allclose(back["p3"], PYRAMID["p3"], rtol=1e-3)
        assert list(back) == ["p3"]
    info = json.loads(midstream(installed, "inspect", coded, "--json"))
    assert info["codec"] == "halves"
    assert info["total_bytes"] == coded.stat().st_size
    assert info["header_bytes"] + info["payload_bytes"] + info["checksum_bytes"] == info["total_bytes"]
    assert "codec halves" in midstream(installed, "inspect", coded)


def test_a_wrong_option_is_one_line(installed: Path, tmp_path: Path) -> None:
    write_pyramid(str(tmp_path / "x.npz"), PYRAMID)
    arguments = ("-m", "midstream", "encode", tmp_path / "x.npz", "-o", tmp_path / "x.mids", "--codec", "halves")
    for more, message in {
        ("--level", "10"): "--level '10': Input should be less than or equal to 9",
        ("--symbols", "4"): "--symbols is no option of the codec halves; its own are --level",
    }.items():
        done = python(installed, *arguments, *more)
        assert done.returncode == 2
        assert message in done.stderr


_SPOILT = """
import numpy as np, midstream as ms
data = ms.encode({"x": np.ones((3, 4, 5), np.float32)}, "halves")
for at in range(len(data)):
    for value in (0, 1, 255):
        spoilt = data[:at] + bytes([value]) + data[at + 1 :]
        if spoilt != data:
            for wrong in (spoilt, data[:at]):
                try:
                    ms.decode(wrong)
                    raise SystemExit(f"byte {at}: {value} went unnoticed")
                except ms.BitstreamError:
                    pass
"""


def test_spoilt_bytes_are_refused(installed: Path) -> None:
    done = python(installed, "-c", _SPOILT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_compare_takes_it_as_a_spec(installed: Path, tmp_path: Path) -> None:
    network, images = toy.write_toy(tmp_path), serving.write_images(tmp_path / "images", 2)
    midstream(
        installed, "compare", "-m", network, "-d", images, "-o", tmp_path / "out", "--resamples", 20, "--jobs", 1,
        "--test", "halves:level=1,9", "--anchor", "jpeg:quality=90",
    )  # fmt: skip
    points = {each["label"]: each for each in json.loads((tmp_path / "out" / "results.json").read_text())["points"]}
    assert 0 < points["halves:level=9"]["bytes"] <= points["halves:level=1"]["bytes"]
    assert points["halves:level=9"]["description"]["options"] == {"level": 9}


def test_push_sends_it_and_the_server_answers(installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network, images = toy.write_toy(tmp_path), serving.write_images(tmp_path / "images", 2)
    monkeypatch.setenv("PYTHONPATH", str(installed))
    with serving.Server(network) as server:
        arguments = (images, "--to", server.address, "-m", network, "-o", tmp_path / "found", "--codec", "halves")
        midstream(installed, "push", *arguments)
    assert len(serving.read_lines(tmp_path / "found")) == 2


def test_without_the_package_it_is_unknown() -> None:
    with pytest.raises(InputError, match="unknown codec 'halves'; valid: paper, calibrated"):
        ms.encode(PYRAMID, "halves")


class _Point:
    value, dist = "elsewhere:Thing", None

    def __init__(self, name: str, loaded: object) -> None:
        self.name, self._loaded = name, loaded

    def load(self) -> object:
        if isinstance(self._loaded, BaseException):
            raise self._loaded
        return self._loaded


class _Abstract(ms.Codec):
    name, number = "abstract", 201


class _Fractional(ms.Paper):
    name, number = "fractional", 205.5


class _Oddly(ms.Paper):
    name, number = "[bold]x y:,=", 206


class _Low(ms.Paper):
    name, number = "low", 7


class _Taken(ms.Paper):
    name, number = "paper", 200


@pytest.mark.parametrize(
    ("loaded", "message"),
    [
        (ImportError("no module"), "does not load: ImportError: no module"),
        (SystemExit(3), "does not load: SystemExit: 3"),
        (dict, "is no subclass of midstream.Codec"),
        (ms.Codec, "is no subclass of midstream.Codec with all that a codec has"),
        (_Abstract, "is no subclass of midstream.Codec with all that a codec has"),
        (_Fractional, "its number is no whole number"),
        (_Oddly, "has no name of letters"),
        (_Low, "its number 7 is not from 128 to 255"),
        (_Taken, "the name 'paper' or the number 200 is taken"),
    ],
)
def test_a_plugin_that_cannot_be_one_is_named_and_left_out(
    loaded: object, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry.metadata, "entry_points", lambda group: [_Point("x", loaded)])
    registry._foreign.cache_clear()
    try:
        with pytest.warns(RuntimeWarning, match=f"elsewhere:Thing.*{message}"):
            assert list(registry.codecs()) == ["paper", "calibrated"]
        with pytest.raises(InputError, match=f"unknown codec 'x'; valid: paper, calibrated; .*{message}"):
            ms.encode(PYRAMID, "x")
        with pytest.raises(ms.UnsupportedError, match=f"codec number 200; this release knows .*{message}"):
            registry.codec_numbered(200)
    finally:
        monkeypatch.undo()
        registry._foreign.cache_clear()


def test_a_broken_plugin_costs_one_line_and_stops_nothing(installed: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(installed, broken)
    (broken / "midstream_halves" / "__init__.py").write_text("import no_such_package\n")
    write_pyramid(str(tmp_path / "x.npz"), PYRAMID)
    done = python(broken, "-m", "midstream", "encode", tmp_path / "x.npz", "-o", tmp_path / "x.mids")
    assert done.returncode == 0
    said = "warning: the codec midstream_halves:Halves of the package midstream-halves does not load: "
    assert done.stderr.startswith(f"{said}ModuleNotFoundError")
    assert len(done.stderr.splitlines()) == 2


_RUDE = """
from typing import Annotated, ClassVar
from pydantic import Field
import midstream as ms
from midstream.codec.base import Capabilities, Decoder, Shown

class Rude(ms.Paper):
    \"\"\"Takes the names of everybody.\"\"\"
    name: ClassVar[str] = "rude"
    number: ClassVar[int] = 222
    threads: Annotated[int, Field(description="Not those.")] = 1
    source: Annotated[str, Field(description="Of it.")] = "x"
    help: Annotated[str, Field(description="None.")] = "x"
    lively: Annotated[bool, Field(description="As it is.")] = True
    grid: Annotated[int, Field(description="A grid."), Shown(old=("symbols",))] = 1

    def encode(self, levels, hints=None, threads=None):
        if self.lively:
            raise SystemExit(7)
        return "no bytes"
"""


def test_a_plugin_takes_no_command_s_own_names_and_ends_no_program(installed: Path, tmp_path: Path) -> None:
    rude = tmp_path / "rude"
    shutil.copytree(installed, rude)
    (rude / "midstream_halves" / "__init__.py").write_text(_RUDE.replace('\\"', '"') + "\nHalves = Rude\n")
    write_pyramid(str(tmp_path / "x.npz"), PYRAMID)
    shown = midstream(rude, "encode", "--help")
    assert "--lively" in shown
    assert "--no-lively" in shown
    assert "Not those." not in shown
    ours = ("-m", "midstream", "encode", tmp_path / "x.npz", "-o", tmp_path / "x.mids")
    assert python(rude, *ours, "--symbols", "3", "--threads", "1").returncode == 0
    for more, message in {(): "SystemExit: 7", ("--no-lively",): "it encodes to str, not bytes"}.items():
        done = python(rude, *ours, "--codec", "rude", *more)
        assert done.returncode == 2
        assert "midstream: the codec rude failed: " in done.stderr
        assert message in done.stderr
        assert len(done.stderr.splitlines()) == 1
