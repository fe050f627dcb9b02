"""Training through a network of two stages, whose regions are pooled: the project's own Mask R-CNN."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.helpers.torch_threads import one_thread  # noqa: F401, a fixture

from midstream import models
from midstream.calibration.training import regions
from midstream.calibration.training.regions import TwoStages, _Pooling
from midstream.calibration.training.teacher import Teacher
from midstream.data.scenes import generate
from midstream.errors import InputError
from midstream.models.onnx_model import OnnxModel

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def model() -> OnnxModel:
    found = models.load("streets-r16")
    assert isinstance(found, OnnxModel)
    return found


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1000),
    side=st.integers(1, 7),
    samples=st.integers(1, 3),
    half=st.booleans(),
    scale=st.sampled_from([1.0, 0.25, 0.03]),
    count=st.integers(0, 5),
)
def test_regions_are_pooled_as_by_onnx_runtime(
    seed: int, side: int, samples: int, half: bool, scale: float, count: int
) -> None:
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((1, 3, *rng.integers(1, 12, 2))).astype(np.float32)
    corners = rng.uniform(-3, 14, (count, 2)) / scale
    wanted = np.concatenate([corners, corners + rng.uniform(0, 9, (count, 2)) / scale], 1).astype(np.float32)
    node = onnx.helper.make_node(
        "RoiAlign",
        ["features", "regions", "batch"],
        ["pooled"],
        output_height=side,
        output_width=side,
        sampling_ratio=samples,
        spatial_scale=scale,
        coordinate_transformation_mode="half_pixel" if half else "output_half_pixel",
    )
    inputs = [("features", 1, features.shape), ("regions", 1, wanted.shape), ("batch", 7, (count,))]
    infos = [onnx.helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in inputs]
    pooled = onnx.helper.make_tensor_value_info("pooled", 1, None)
    graph = onnx.helper.make_graph([node], "pooling", infos, [pooled])
    whole = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 16)], ir_version=8)
    session = onnxruntime.InferenceSession(whole.SerializeToString(), providers=["CPUExecutionProvider"])
    feeds = {"features": features, "regions": wanted, "batch": np.zeros(count, np.int64)}
    found = _Pooling.of_node(node)(torch.tensor(features), torch.tensor(wanted)).numpy()
    np.testing.assert_allclose(found, session.run(None, feeds)[0], atol=1e-3)


def maps_of(model: OnnxModel, image: np.ndarray) -> dict[str, torch.Tensor]:
    pyramid = model.front(image)
    return {name: torch.tensor(values) for name, values in pyramid.items() if name not in model.derived}


def test_heads_do_in_torch_what_they_do_and_have_a_gradient(model: OnnxModel) -> None:
    teacher = Teacher(model)
    teacher.check(model.front(generate(3).image))
    teacher.check(model.front(np.zeros((256, 512, 3), np.uint8)))


def test_other_values_in_torch_are_refused(model: OnnxModel, monkeypatch: pytest.MonkeyPatch) -> None:
    stages, maps = TwoStages(model), maps_of(model, generate(4).image)
    pooled = _Pooling.__call__
    monkeypatch.setattr(_Pooling, "__call__", lambda self, *given: 1.5 * pooled(self, *given))
    with pytest.raises(InputError, match="other values in torch"):
        stages.check(maps)


def test_nothing_is_lost_without_coding_and_noise_loses_more_the_more_there_is(model: OnnxModel) -> None:
    maps = maps_of(model, generate(5).image)
    distance = Teacher(model).distance(maps)
    noise = {name: torch.tensor(np.random.default_rng(6).standard_normal(each.shape)) for name, each in maps.items()}
    lost = []
    for share in (0.0, 0.1, 0.3, 1.0):
        moved = {name: (each + share * each.std() * noise[name]).float() for name, each in maps.items()}
        lost.append(float(distance.lost(moved)))
    assert lost[0] == pytest.approx(0, abs=1e-3)
    assert lost == sorted(lost)
    assert lost[1] > 0


@pytest.mark.parametrize("kind", ["classes", "boxes", "masks"])
def test_each_head_counts(model: OnnxModel, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    maps = maps_of(model, generate(5).image)
    distance = Teacher(model).distance(maps)
    moved = {name: each + 0.3 * each.std() for name, each in maps.items()}
    whole = float(distance.lost(moved))
    monkeypatch.setitem(regions._MEASURES, kind, lambda *_: torch.zeros(()))
    assert float(distance.lost(moved)) < whole


def test_graphs_without_a_first_stage_to_ask_are_refused(model: OnnxModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regions.rcnn, "proposals", lambda *_: None)
    with pytest.raises(InputError, match="`proposals` and `objectness`"):
        TwoStages(model)
