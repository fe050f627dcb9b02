"""What a server computes: from a frame's bytes to its answer, or to why there is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.helpers import profiles, toy

import midstream as ms
from midstream import models
from midstream.models import Detections, FloatPyramid
from midstream.serve.work import Done, Refused, Served, Work, infer, prepare

SIZE = (60, 50)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Served:
    model = models.load(str(toy.write_toy(tmp_path_factory.mktemp("toy"))))
    return prepare(model, None, max_pixels=10_000, batch=8, threads=1, elements=None)


def images(count: int) -> list[np.ndarray[Any, Any]]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8) for _ in range(count)]


def test_work_is_what_a_local_run_gives(served: Served) -> None:
    model = served.model
    coded = [ms.encode(model.front(image), symbols=4, z=1.5) for image in images(5)]
    for data, outcome in zip(coded, infer(served, [Work(data, SIZE) for data in coded]), strict=True):
        assert isinstance(outcome, Done)
        expected = model.back(ms.decode(data), SIZE)
        np.testing.assert_array_equal(outcome.output.boxes, expected.boxes)
        np.testing.assert_array_equal(outcome.output.scores, expected.scores)


def test_a_back_with_a_free_first_axis_takes_several_frames(tmp_path: Path) -> None:
    description = toy.write_toy(tmp_path)
    graph = onnx.load(str(tmp_path / "toy.onnx"))
    for value in (*graph.graph.input, *graph.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    for weight in graph.graph.initializer:
        if weight.name.startswith("shape_"):
            shape = onnx.numpy_helper.to_array(weight).copy()
            shape[0] = -1
            weight.CopyFrom(onnx.numpy_helper.from_array(shape, weight.name))
    onnx.save(graph, str(tmp_path / "toy.onnx"))
    model = models.load(str(description))
    served = prepare(model, None, max_pixels=10_000, batch=4, threads=1, elements=None)
    assert served.batch == 4
    calls = []
    back_batch = model.back_batch  # type: ignore[attr-defined]
    model.back_batch = lambda *given: calls.append(len(given[0])) or back_batch(*given)  # type: ignore[attr-defined]
    coded = [ms.encode(model.front(image), symbols=4, z=1.5) for image in images(6)]
    works = [Work(data, (60 + i, 50)) for i, data in enumerate(coded)]
    outcomes = infer(served, [*works[:3], Work(b"damaged", SIZE), *works[3:]])
    assert calls == [4, 2]
    assert isinstance(outcomes.pop(3), Refused)
    for work, outcome in zip(works, outcomes, strict=True):
        assert isinstance(outcome, Done)
        expected = model.back(ms.decode(work.bitstream), work.size)
        np.testing.assert_allclose(outcome.output.boxes, expected.boxes, rtol=1e-5)


def test_a_graph_that_declares_a_free_axis_and_fixes_it_inside_is_not_batched(tmp_path: Path) -> None:
    description = toy.write_toy(tmp_path)
    graph = onnx.load(str(tmp_path / "toy.onnx"))
    for value in (*graph.graph.input, *graph.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    onnx.save(graph, str(tmp_path / "toy.onnx"))
    model = models.load(str(description))
    assert prepare(model, None, max_pixels=10_000, batch=4, threads=1, elements=None).batch == 1


def test_what_a_frame_holds_spoils_only_its_own_answer(served: Served) -> None:
    good = ms.encode(served.model.front(images(1)[0]))
    other = ms.encode({"p3": np.ones((5, 4, 4), np.float32), "p4": np.ones((5, 2, 1), np.float32)})
    large = ms.encode({"p3": np.ones((50, 40, 40), np.float32)})
    calibrated = ms.encode(profiles.pyramid(), codec="calibrated", profile=profiles.profile())
    works = {
        ("truncated", "TruncatedError"): Work(good[:-3], SIZE),
        ("corrupt", "CorruptError"): Work(b"junk", SIZE),
        ("limit", "LimitError"): Work(large, SIZE),
        ("shapes", "toy takes 'p3'"): Work(other, SIZE),
        ("profile", "another profile than this server has: none"): Work(calibrated, SIZE),
        ("size", "1 to 10,000 pixels (its --max-pixels)"): Work(good, (1000, 1000)),
        ("size", "an image of 0x5"): Work(good, (5, 0)),
    }
    outcomes = infer(served, [Work(good, SIZE), *works.values(), Work(good, SIZE)])
    assert isinstance(outcomes[0], Done)
    assert isinstance(outcomes[-1], Done)
    for (kind, reason), outcome in zip(works, outcomes[1:-1], strict=True):
        assert isinstance(outcome, Refused)
        assert outcome.kind == kind
        assert reason in outcome.reason


@given(st.data())
def test_no_bytes_are_an_internal_error(served: Served, data: st.DataObject) -> None:
    spoilt = bytearray(ms.encode(served.model.front(images(1)[0]), symbols=data.draw(st.integers(2, 9))))
    for _ in range(data.draw(st.integers(0, 4))):
        spoilt[data.draw(st.integers(0, len(spoilt) - 1))] = data.draw(st.integers(0, 255))
    kept = data.draw(st.one_of(st.just(len(spoilt)), st.integers(0, len(spoilt))))
    outcome = infer(served, [Work(bytes(spoilt[:kept]), SIZE)])[0]
    assert isinstance(outcome, Done) or outcome.kind != "internal"


@pytest.mark.parametrize("value", [1e38, -1e38, 3e38])
def test_extreme_features_are_answered_or_refused(served: Served, value: float) -> None:
    pyramid = {"p3": np.full((5, 4, 4), value, np.float32), "p4": np.full((5, 2, 2), value, np.float32)}
    pyramid["p3"][:, 0, 0] = 0
    outcome = infer(served, [Work(ms.encode(pyramid), SIZE)])[0]
    assert isinstance(outcome, Done) or outcome.kind == "not finite"


def test_the_unforeseen_is_refused_without_its_message(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    def back(pyramid: FloatPyramid, size: tuple[int, int]) -> Detections:
        raise RuntimeError("/secret/path")

    monkeypatch.setattr(served.model, "back", back)
    outcome = infer(served, [Work(ms.encode(served.model.front(images(1)[0])), SIZE)])[0]
    assert isinstance(outcome, Refused)
    assert (outcome.kind, "/secret" in outcome.reason) == ("internal", False)
    assert str(outcome.cause) == "/secret/path"


def test_boxes_that_are_not_finite_are_refused(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    found = Detections(np.full((1, 4), np.nan, np.float32), np.ones(1, np.float32), np.zeros(1, np.int64))
    monkeypatch.setattr(served.model, "back", lambda pyramid, size: found)
    outcome = infer(served, [Work(ms.encode(served.model.front(images(1)[0])), SIZE)])[0]
    assert isinstance(outcome, Refused)
    assert "not finite" in outcome.reason
