"""Training a transform through the back of toy networks, and of the real ones where their files are."""

from __future__ import annotations

import itertools
import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from tests.helpers import toy, toy_tasks
from tests.helpers.calibration import FAST, calibrated
from tests.helpers.commands import midstream
from tests.helpers.torch_threads import one_thread  # noqa: F401, a fixture

import midstream as ms
from midstream import models
from midstream.calibration import made
from midstream.calibration.settings import Training
from midstream.calibration.training import run as training_run
from midstream.calibration.training.backs import TorchBack
from midstream.calibration.training.heads import proposals_of
from midstream.calibration.training.teacher import Teacher, _of_outputs
from midstream.calibration.training.trainer import LAPS, Trainer
from midstream.calibration.training.transform import TrainedTransform
from midstream.codec.calibrated.transform import forward, inverse
from midstream.errors import InputError

ASSETS = Path(os.environ.get("MIDSTREAM_ASSETS", "../shared/assets"))
pytestmark = pytest.mark.usefixtures("one_thread")
TRAINED = replace(FAST, passes=4, training=Training(0, 40))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = toy.write_labelled(tmp_path_factory.mktemp("toy"))
    toy.write_images(folder / "calib", 26)
    return folder


def shipped(name: str) -> Any:
    if not ASSETS.is_dir():
        pytest.skip("no assets")
    return models.load(name)


def pyramid_of(model: Any, rng: np.random.Generator) -> dict[str, np.ndarray]:
    return model.front(rng.integers(0, 255, (240, 320, 3), np.uint8))


def tensors(pyramid: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    return {name: torch.tensor(values) for name, values in pyramid.items()}


@pytest.mark.parametrize("name", ["toy", "picodet-s-416", "yolox-nano-416"])
def test_a_back_in_torch_gives_the_outputs_and_proposals_of_the_network(name: str, folder: Path) -> None:
    model = models.load(str(folder / "toy.toml")) if name == "toy" else shipped(name)
    pyramid = pyramid_of(model, np.random.default_rng(0))
    outputs = TorchBack(model, model.back_graph())(tensors(pyramid))
    for output, values in model._outputs([pyramid], [model.input_size((1, 1))]).items():
        np.testing.assert_allclose(outputs[output].numpy().ravel(), values.ravel(), rtol=1e-3, atol=1e-4)
    proposals = proposals_of(model)
    assert proposals is not None
    boxes, scores = proposals(outputs)
    wanted = model.candidates(pyramid)
    np.testing.assert_allclose(scores, wanted.scores, atol=1e-4)
    np.testing.assert_allclose(boxes, wanted.boxes, atol=0.05, rtol=1e-4)


def test_nothing_is_lost_without_coding_and_noise_loses_more_the_more_there_is(folder: Path) -> None:
    model = models.load(str(folder / "toy.toml"))
    maps = tensors(pyramid_of(model, np.random.default_rng(1)))
    distance = Teacher(model).distance(maps).lost
    noise = {name: torch.randn_like(each) for name, each in maps.items()}
    lost = [float(distance({name: each + much * noise[name] for name, each in maps.items()})) for much in (0, 0.1, 1)]
    assert lost[0] == pytest.approx(0, abs=1e-4)
    assert 0 < lost[1] < lost[2]


def test_the_transform_is_that_of_the_codec(folder: Path, tmp_path: Path) -> None:
    profile = calibrated(folder, tmp_path, FAST).profile
    model = models.load(str(folder / "toy.toml"))
    maps = pyramid_of(model, np.random.default_rng(2))
    groups = profile.groups[: profile.layers]
    fine = 1e-4
    grid = forward(groups[0], maps, 1).shape[1:]
    batch = {name: each[None] for name, each in tensors(maps).items()}
    with torch.no_grad():
        levels, bits = TrainedTransform(groups).coded(batch, torch.full((1, 1, *grid), fine))
    sizes = {name: each.shape[1:] for name, each in maps.items()}
    for group in groups:
        for name, wanted in inverse(group, forward(group, maps, 1), sizes, 1).items():
            np.testing.assert_allclose(levels[name][0], wanted, atol=0.02 * wanted.std() + 1e-3)
    assert bits.shape == (1,)
    assert float(bits) > 0


@pytest.fixture(scope="module")
def trained(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> ms.Profile:
    """Whatever the trial says."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(made, "best_training", lambda *_: 1)
        return calibrated(folder, tmp_path_factory.mktemp("trained"), TRAINED).profile


def test_a_training_makes_a_profile_that_says_so_and_decodes(trained: ms.Profile, folder: Path) -> None:
    assert trained.about.tools["trained"]
    maps = pyramid_of(models.load(str(folder / "toy.toml")), np.random.default_rng(3))
    decoded = ms.decode(ms.encode(maps, "calibrated", profile=trained, quality=90), profile=trained)
    assert all(np.isfinite(each).all() for each in decoded.values())


def test_what_takes_no_fewer_bytes_is_not_taken(
    trained: ms.Profile, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(made, "best_training", lambda *_: 0)
    kept = calibrated(folder, tmp_path / "work", TRAINED).profile
    plain = calibrated(folder, tmp_path / "plain", replace(TRAINED, training=None)).profile
    assert kept.data == plain.data != trained.data
    assert "trained" not in plain.about.tools


def test_a_training_loses_less_at_the_same_bits(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    state = Trainer._state

    def watched(self: Trainer, optimizer: Any) -> Any:
        with torch.no_grad():
            torch.manual_seed(0)
            found = [self._coded([self._sight(view)], np.array([2])) for view in self._views[:20]]
            seen.append([float(sum(each[i] for each in found)) for i in (0, 1)])
        return state(self, optimizer)

    monkeypatch.setattr(Trainer, "_state", watched)
    monkeypatch.setattr(made, "best_training", lambda *_: 1)
    calibrated(folder, tmp_path, replace(TRAINED, training=Training(0, 300)))
    (bits, lost), (last_bits, last_lost) = seen[0], seen[-1]
    assert last_bits / bits * (last_lost / lost) ** (1 / 1.6) < 0.97


class StoppedError(Exception):
    pass


def test_a_stopped_training_goes_on_to_the_same_profile(
    trained: ms.Profile, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(made, "best_training", lambda *_: 1)
    laps: list[int] = []
    lap = Trainer.lap

    def stops(self: Trainer, number: int, *rest: Any) -> Any:
        if number == 4 and 4 not in laps:
            laps.append(4)
            raise StoppedError
        laps.append(number)
        return lap(self, number, *rest)

    monkeypatch.setattr(Trainer, "lap", stops)
    with pytest.raises(StoppedError):
        calibrated(folder, tmp_path / "work", TRAINED)
    done = calibrated(folder, tmp_path / "work", TRAINED).profile
    assert laps == [0, 1, 2, 3, 4, *range(4, LAPS)]
    assert done.data == trained.data


def test_steps_are_as_many_as_the_time_allows(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cells are worth takes part of it, by this clock ten seconds."""
    monkeypatch.setattr(training_run, "time", SimpleNamespace(monotonic=itertools.count(0, 10).__next__))
    monkeypatch.setattr(Trainer, "steps_within", lambda _, seconds: int(2 * seconds))
    asked: list[int] = []

    def lap(self: Trainer, number: int, steps: int, state: Any, *_: Any) -> Any:
        asked.append(steps)
        return state

    monkeypatch.setattr(Trainer, "lap", lap)
    calibrated(folder, tmp_path / "work", replace(TRAINED, training=Training(100.0)))
    calibrated(folder, tmp_path / "short", replace(TRAINED, training=Training(1.0)))
    assert set(asked) == {180, training_run._LEAST_STEPS}


def test_outputs_that_are_selected_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = models.load(str(folder / "toy.toml"))
    teacher = Teacher(model)
    value, other = torch.zeros(3, 4), torch.zeros(2, 4)
    with pytest.raises(InputError, match="another shape each time"):
        _of_outputs("toy", {"boxes": value}, {"boxes": other})
    teacher._back = lambda maps: {"labels": maps["p3"].argmax(0)}  # type: ignore[assignment]
    teacher._proposals = None
    pyramid = pyramid_of(model, np.random.default_rng(5))
    monkeypatch.setattr(type(model), "outputs", lambda *_: {"labels": pyramid["p3"].argmax(0)})
    with pytest.raises(InputError, match="no gradient"):
        teacher.check(pyramid)


def test_black_images_and_constants_do_not_hide_a_gradient(folder: Path, tmp_path: Path) -> None:
    model = models.load(str(folder / "toy.toml"))
    maps = pyramid_of(model, np.random.default_rng(6))
    teacher = Teacher(model)
    teacher.check({name: np.zeros_like(each) for name, each in maps.items()})
    graph = onnx.load(folder / "toy.onnx")
    graph.graph.initializer.append(onnx.numpy_helper.from_array(np.ones(3, np.float32), "priors"))
    graph.graph.output.append(onnx.helper.make_tensor_value_info("also", onnx.TensorProto.FLOAT, [3]))
    graph.graph.node.append(onnx.helper.make_node("Identity", ["priors"], ["also"]))
    onnx.save(graph, tmp_path / "toy.onnx")
    names = [output.name for output in graph.graph.output]
    assert "also" in names
    (tmp_path / "toy.toml").write_text((folder / "toy.toml").read_text().partition("[head]")[0])
    other = models.load(str(tmp_path / "toy.toml"))
    assert "also" not in TorchBack(other, other.back_graph())(tensors(pyramid_of(other, np.random.default_rng(6))))


def test_steps_that_are_not_finite_are_left_out(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(made, "best_training", lambda *_: 1)
    coded, count = Trainer._coded, [0]

    def rarely_infinite(self: Trainer, *rest: Any) -> Any:
        bits, lost = coded(self, *rest)
        count[0] += 1
        return bits, lost * (np.nan if count[0] % every == 0 and lost.requires_grad else 1)

    monkeypatch.setattr(Trainer, "_coded", rarely_infinite)
    every = 3
    done = calibrated(folder, tmp_path / "rarely", TRAINED).profile
    assert done.about.tools["trained"]
    every = 1
    never = calibrated(folder, tmp_path / "always", TRAINED).profile
    assert "trained" not in never.about.tools


def test_what_has_no_gradient_is_refused_before_anything_else(folder: Path, tmp_path: Path) -> None:
    class Other:
        name = "other"

    with pytest.raises(InputError, match="through ONNX files"):
        training_run.check_trainable(Other())  # type: ignore[arg-type]
    if not ASSETS.is_dir():
        pytest.skip("no assets")
    weights = ASSETS / "networks" / "yolo11n_int8.onnx"
    midstream("init", weights, "-o", tmp_path / "y.toml")
    with pytest.raises(InputError, match="cannot be converted"):
        training_run.check_trainable(models.load(str(tmp_path / "y.toml")))


@pytest.mark.parametrize("task", sorted(toy_tasks.HEADS))
def test_networks_without_boxes_are_trained_by_their_outputs(task: str, tmp_path: Path) -> None:
    model = models.load(str(toy_tasks.write_network(tmp_path, task)))
    pyramid = pyramid_of(model, np.random.default_rng(4))
    maps, teacher = tensors(pyramid), Teacher(model)
    teacher.check(pyramid)
    noise = {name: torch.randn_like(each) for name, each in maps.items()}
    distance = teacher.distance(maps).lost
    lost = [float(distance({name: each + much * noise[name] for name, each in maps.items()})) for much in (0, 0.1, 1)]
    assert lost[0] == pytest.approx(0, abs=1e-6)
    assert 0 < lost[1] < lost[2]


def test_the_command_trains_and_prints_what_qualities_cost(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "toy.profile"
    midstream(
        "train", "--model", folder / "toy.toml", "--images", folder / "calib", "--max-images", 24, "--passes", 4,
        "--steps", 20, "-o", output, "--json",
    )  # fmt: skip
    assert ms.Profile.read(output).about.images == 24
    midstream("train", "-m", folder / "toy.toml", "--images", folder / "calib", "-o", "-", code=2)
