"""Graphs that never end, and how often a large one is run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tests.helpers.graphs import Builder
from tests.helpers.progress import Quiet

import midstream as ms
from midstream.errors import InputError
from midstream.models import running, survey
from midstream.models.cuts import find_cuts
from midstream.models.graph import cut_graph, recomposition_error
from midstream.models.random_inputs import random_inputs
from midstream.models.recognition import draft

DESCRIPTION = """
name = "loop"
[weights]
file = "loop.onnx"
[input]
size = [16, 16]
[[pyramid]]
name = "p0"
tensor = "a"
stride = 1
"""


def looping(times: int | None, open_size: bool = False) -> onnx.ModelProto:
    """A convolution before and after a Loop of so many rounds; of None it never ends."""
    b = Builder()
    if open_size:
        b.inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, "h", "w"])]
    b.conv("x", "a", 3, 4)
    kinds = {"i": (TensorProto.INT64, []), "c": (TensorProto.BOOL, []), "v": (TensorProto.FLOAT, None)}
    inputs = [helper.make_tensor_value_info(name, *kind) for name, kind in kinds.items()]
    outputs = [helper.make_tensor_value_info(f"{name}2", *kinds[name]) for name in "cv"]
    inner = [helper.make_node("Identity", ["c"], ["c2"]), helper.make_node("Sigmoid", ["v"], ["v2"])]
    b.constant("true", np.array(True))
    rounds = "" if times is None else b.constant("rounds", np.array(times))
    b.node("Loop", [rounds, "true", "a"], "l", body=helper.make_graph(inner, "body", inputs, outputs))
    b.conv("l", "y", 4, 2)
    return b.model("y")


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "LOOP_S", 0.3)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("open_size", [False, True])
def test_a_loop_that_does_not_end(tmp_path: Path, open_size: bool) -> None:
    onnx.save(looping(None, open_size), tmp_path / "loop.onnx")
    with pytest.raises(InputError, match=r"loop\.onnx: the network does not run: it has a Loop that did not end"):
        draft(tmp_path / "loop.onnx")  # of the sizes to try, the first ends it
    (tmp_path / "loop.toml").write_text(DESCRIPTION)
    with pytest.raises(InputError, match="a Loop that did not end within"):
        ms.load_model(tmp_path / "loop.toml")


@pytest.mark.usefixtures("hasty")
def test_the_check_of_two_halves_ends() -> None:
    model = looping(None)
    with pytest.raises(InputError, match="a Loop that did not end within"):
        recomposition_error(model, cut_graph(model, ["a"]), random_inputs(model, {}))


def test_a_loop_that_ends_runs(tmp_path: Path) -> None:
    onnx.save(looping(3), tmp_path / "loop.onnx")
    found = draft(tmp_path / "loop.onnx", task="tensors")
    assert ("l",) in {cut.names for cut in found.cuts}


def test_a_graph_is_run_a_few_times_however_many_tensors_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    b, tensor = Builder(side=4), "x"
    b.conv("x", "t0", 3, 4)
    for i in range(1, 700):
        tensor = b.node("Sigmoid", [f"t{i - 1}"], f"t{i}")
    b.conv(tensor, "y", 4, 2)
    made: list[Any] = []
    build = survey.session
    monkeypatch.setattr(survey, "session", lambda *given, **more: made.append(0) or build(*given, **more))
    model, progress = b.model("y"), Quiet()
    seen = survey.survey(model, "x", random_inputs(model, {}), progress)
    assert len(made) == 2
    assert len(find_cuts(seen, progress=progress)) == 1
    assert [what for what, _ in progress.stages] == ["looking at tensors", "looking for cuts"]
    monkeypatch.setattr(survey, "_BYTES", 40 * seen.tensors["t0"].nbytes)
    made.clear()
    values = dict(survey.values_of(seen, random_inputs(model, {}), [f"t{i}" for i in range(100)]))
    assert list(values) == [f"t{i}" for i in range(100)]
    assert len(made) == 3
