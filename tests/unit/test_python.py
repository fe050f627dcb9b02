"""Load, split, calibrate, evaluate: each in one call, on small networks, and as the command line does it."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.helpers import toy
from tests.helpers.commands import call

import midstream as ms
from midstream.data.given import given
from midstream.errors import InputError
from midstream.models.tasks.function import FunctionTask
from midstream.models.tasks.tensors import Tensors


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = toy.write_labelled(tmp_path_factory.mktemp("toy"))
    toy.write_images(folder / "calib", 22)
    return folder


@pytest.fixture(scope="module")
def images(folder: Path) -> list[np.ndarray[Any, np.dtype[np.uint8]]]:
    return [ms.data.read_image(each.path) for each in ms.data.load(str(folder / "calib")).images]


def example(function: Any, *changes: tuple[str, str]) -> str:
    """The lines that a docstring shows, with other files in the place of the reader's."""
    lines = re.findall(r"^ *(?:>>>|\.\.\.) ?(.*)$", function.__doc__, re.MULTILINE)
    code = "\n".join(lines)
    for old, new in changes:
        assert old in code, old
        code = code.replace(old, new)
    return code


def test_loading_does_what_its_docstring_shows(folder: Path, images: list[Any]) -> None:
    names: dict[str, Any] = {"ms": ms, "image": images[0]}
    exec(example(ms.load_model, ('"streets-r16"', repr(str(folder / "toy.toml")))), names)
    assert repr(names["model"]) == (
        "<network toy: detection, 3 classes (cat, dog, ...), input 32x32, cut at p3/8 p4/16>"
    )
    assert list(names["pyramid"]) == ["p3", "p4"]
    assert isinstance(names["found"], ms.models.Detections)
    assert ms.load_model is ms.models.load
    assert repr(ms.load_model(folder / "toy.toml")) == repr(names["model"])


def test_calibrating_does_what_its_docstring_shows(
    folder: Path, images: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"ms": ms, "image": images[0]}
    toml, calib = repr(str(folder / "toy.toml")), repr(str(folder / "calib"))
    exec(example(ms.calibrate, ('"streets-r16"', toml), ('"scenes:20,10000"', calib)), names)
    assert ms.Profile.read("streets.profile").data == names["profile"].data
    assert ms.decode(names["data"], profile=names["profile"]).keys() == {"p3", "p4"}
    assert {path.name for path in tmp_path.iterdir()} == {"streets.profile"}


def test_evaluating_does_what_its_docstring_shows(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = repr(f"coco:{folder / 'images'},{folder / 'truth.json'}")
    changes = ('"streets-r16"', repr(str(folder / "toy.toml"))), ('"scenes:5,0"', data), ("segm_ap", "ap")
    names: dict[str, Any] = {"ms": ms}
    exec(example(ms.evaluate, *changes), names)
    assert capsys.readouterr().out.splitlines()[1].split()[0] == "AP"
    result = names["result"]
    again = ms.evaluation.run(names["model"], ms.data.load(eval(data)), [ms.Paper(symbols=4, z=1.5)])[0]
    assert (again.scores, again.bytes_per_image) == (result.scores, result.bytes_per_image)


def test_an_onnx_file_is_split_as_the_docstring_shows(folder: Path, images: list[Any]) -> None:
    shown = example(ms.split).splitlines()[-1]
    names: dict[str, Any] = {"ms": ms}
    exec(shown.replace("best.onnx", str(folder / "toy.onnx")).replace('"p3", "p4", "p5"', '"fine", "coarse"'), names)
    model = names["model"]
    assert "tensors" in repr(model)
    pyramid = model.front(images[0])
    whole = ms.load_model(folder / "toy.toml").front(images[0])
    assert [level.shape for level in pyramid.values()] == [level.shape for level in whole.values()]
    assert model.back(pyramid, (80, 96)).values
    with pytest.raises(InputError, match="does not separate"):
        ms.split(folder / "toy.onnx", at="coarse")


def test_what_is_of_torch_alone_is_refused_for_onnx(folder: Path) -> None:
    path = folder / "toy.onnx"
    with pytest.raises(InputError, match="grid is for torch modules"):
        ms.split(path, at=["fine", "coarse"], grid=(2, 2))
    with pytest.raises(InputError, match="name the task of an ONNX file"):
        ms.split(path, at=["fine", "coarse"], task=lambda before, now: 0.0)
    with pytest.raises(InputError, match="unknown task 'detecton'"):
        ms.split(path, at=["fine", "coarse"], task="detecton")
    with pytest.raises(InputError, match="say with `preprocess`"):
        ms.split(object(), at=["fine"])
    with pytest.raises(InputError, match="goes with a function for the task"):
        ms.split(object(), at=["fine"], preprocess=ms.models.Input(size=(32, 32)), metric=lambda before, now: 1.0)


def test_the_command_line_calibrates_as_the_function_does(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    work, told = tmp_path / "work", logging.getLogger("midstream")
    with caplog.at_level(logging.INFO, told.name):
        options: dict[str, Any] = {"passes": 2, "max_images": 20, "seed": 3, "without": ["power"]}
        mine = ms.calibrate(str(folder / "toy.toml"), folder / "calib", work=work, **options)
    assert "reading images" in caplog.text
    assert list(work.iterdir())
    command = ["calibrate", "-m", folder / "toy.toml", "--images", folder / "calib", "-o", tmp_path / "p.profile"]
    chosen = ["--passes", "2", "--max-images", "20", "--seed", "3", "--without", "power", "--quiet"]
    call(*command, *chosen)
    assert (tmp_path / "p.profile").read_bytes() == mine.data
    assert not (tmp_path / "p.profile.work").exists()


def test_arrays_and_files_are_images(folder: Path, images: list[Any], caplog: pytest.LogCaptureFixture) -> None:
    paths = [each.path for each in ms.data.load(str(folder / "calib")).images]
    model = ms.load_model(folder / "toy.toml")
    mixed = ms.evaluate(model, [images[0], str(paths[1]), paths[2]], symbols=4)
    files = ms.evaluate(model, folder / "calib", limit=3, symbols=4)
    assert (mixed.images, mixed.scores, mixed.bytes_per_image) == (3, files.scores, files.bytes_per_image)
    assert mixed.data == "a list of 3"
    broken = folder / "broken.png"
    broken.write_bytes(b"no image")
    profile = ms.calibrate(model, [*images[:10], broken, *paths[10:22]], passes=1, without=["power", "sensitivity"])
    assert f"cannot read the image {broken}" in caplog.text
    assert profile.about.images == 22
    with pytest.raises(InputError, match="cannot read the image"):
        ms.calibrate(model, [*paths, broken], strict=True)


def test_a_list_of_something_else_is_refused(images: list[Any]) -> None:
    with (
        pytest.raises(InputError, match=r"entry 2 of the images: .* not float32 \[80, 96, 3\]"),
        given([images[0], np.zeros((80, 96, 3), np.float32)]),
    ):
        pass
    for bad in (np.full(4, np.nan), np.array(["a"]), np.array([None])):
        with pytest.raises(InputError, match="entry 1 of the images: "), given([bad]):
            pass
    with given([np.arange(6.0).reshape(2, 3)]) as dataset:
        np.testing.assert_array_equal(ms.data.read_image(dataset.images[0].path), np.arange(6.0).reshape(2, 3))
    for grey in (images[0][..., 0], images[0].transpose(2, 0, 1)):
        with (
            pytest.raises(InputError, match=r"entry 2 of the images: an image is .* not uint8 \["),
            given([images[0], grey], arrays=False),
        ):
            pass
    with pytest.raises(InputError, match="no images in the list"), given([]):
        pass
    with given(images, limit=4) as dataset:
        files = [image.path for image in dataset.images]
        for image, path in zip(images, files, strict=False):
            np.testing.assert_array_equal(ms.data.read_image(path), image)
    assert len(files) == 4
    assert not any(path.exists() for path in files)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"budget": 0}, "budget 0: a time such as 90s"),
        ({"max_images": 5}, "at least 20 images"),
        ({"without": ["sensitivty"]}, "unknown part of the method 'sensitivty'"),
        ({"video": ["nowhere.mp4"]}, "there is no 'nowhere.mp4'"),
    ],
)
def test_unusable_options_of_a_calibration(folder: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ms.calibrate(str(folder / "toy.toml"), folder / "calib", **options)


def test_a_result_is_what_the_command_prints(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = f"coco:{folder / 'images'},{folder / 'truth.json'}"
    result = ms.evaluate(str(folder / "toy.toml"), data, "paper", symbols=3)
    command = ["eval", "-m", folder / "toy.toml", "-d", data, "--symbols", "3", "--quiet"]
    call(*command, "--json")
    printed = json.loads(capsys.readouterr().out)
    mine = json.loads(json.dumps(result.to_dict()))
    assert {k: v for k, v in printed.items() if not k.endswith("_ms")} == {
        k: v for k, v in mine.items() if not k.endswith("_ms")
    }
    call(*command)
    table, text = capsys.readouterr().out, str(result)
    for name in ("AP50", "bytes per image", "bits per element", "ratio to input"):
        (row,) = (re.sub("[│|]", " ", line).split() for line in table.splitlines() if f" {name} " in line)
        assert row in [line.split() for line in text.splitlines()]
    assert "[" not in text.splitlines()[1]


def near(before: Any, now: Any) -> float:
    return float(np.abs(before - now).mean())


def test_a_function_is_a_task() -> None:
    a, b = Tensors({"x": np.zeros(4, np.float32)}), Tensors({"x": np.full(4, 0.25, np.float32)})
    task = FunctionTask(near)
    assert task.disagreement([a, a], [a, b]) == pytest.approx(0.125)
    assert task.agreement(a, b) == pytest.approx(0.75)
    assert FunctionTask(near, lambda before, now: 0.5).agreement(a, b) == 0.5
    assert FunctionTask(lambda before, now: 7.0).disagreement([a], [b]) == 1
    assert FunctionTask(lambda before, now: -1e-7).disagreement([a], [b]) == 0
    several = Tensors({"x": np.zeros(2), "y": np.ones(3)})
    assert FunctionTask(lambda before, now: float(before["y"].sum() != 3)).disagreement([several], [several]) == 0
    for bad in (float("nan"), -1.0):
        with pytest.raises(InputError, match="the task's function <lambda> gives"):
            FunctionTask(lambda before, now, bad=bad: bad).disagreement([a], [b])
    assert task.unpack(task.pack(a)).values.keys() == {"x"}
    assert task.kept(a).values["x"] is not a.values["x"]
