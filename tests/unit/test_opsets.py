"""Graphs of operator sets from 7 to the newest that ONNX Runtime runs: cut, surveyed, described."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper
from tests.helpers.graphs import Builder

from midstream import models
from midstream.models.graph import cut_graph, load_graph, recomposition_error
from midstream.models.random_inputs import random_inputs
from midstream.models.recognition import draft


def of_opset(version: int) -> onnx.ModelProto:
    b = Builder(side=16)
    b.node("Relu", [b.conv("x", "c", 3, 8, stride=2)], "a")
    b.node("GlobalAveragePool", [b.conv("a", "d", 8, 10)], "pooled")
    b.node("Flatten", ["pooled"], "flat")
    b.node("Softmax", ["flat"], "y")
    model = b.model("y", shapes={"y": [1, 10]})
    model.opset_import[0].version = version
    model.ir_version = 3 if version < 9 else 8
    if version < 9:  # weights are inputs, too
        infos = [helper.make_tensor_value_info(w.name, TensorProto.FLOAT, list(w.dims)) for w in b.weights]
        model.graph.input.extend(infos)
    return model


@pytest.mark.parametrize("version", [7, 8, 9, 11, 13, 17, 19, 21])
def test_from_its_file_to_its_task(version: int, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    onnx.save(of_opset(version), str(path))
    graph = load_graph(path)
    assert recomposition_error(graph, cut_graph(graph, ["a"]), random_inputs(graph, {})) < 1e-6
    found = draft(path)
    assert found.task == "classification"
    assert [level.tensor for level in found.description.pyramid] == ["a"]
    assert models.load(str(path)).task.name == "classification"
