"""What a graph may make in memory, told before it runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from midstream.errors import InputError
from midstream.models.recognition import draft
from midstream.models.room import check_room, fitting, tensor_bytes

#: Of x: 12 kB. A tensor of as many of it as below has 3 GB.
SIDES = [1, 3, 32, 32]
COPIES = 250_000


def graph(nodes: Sequence[Any], copies: int, open_batch: bool = False) -> onnx.ModelProto:
    """x to y by some nodes, which find `copies` of x as the shape `many`."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n" if open_batch else 1, *SIDES[1:]])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    many = numpy_helper.from_array(np.array([copies, *SIDES[1:]]), "many")
    made = helper.make_graph(nodes, "g", [x], [y], [many])
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


EXPAND = helper.make_node("Expand", ["x", "many"], ["big"])
MEAN = helper.make_node("ReduceMean", ["big"], ["y"], axes=[0], keepdims=1)


def test_a_tensor_that_no_memory_holds_is_named(tmp_path: Path) -> None:
    model = graph([EXPAND, MEAN], 2_000_000)
    onnx.save(model, str(tmp_path / "bomb.onnx"))
    with pytest.raises(InputError, match=r"bomb\.onnx: tensor 'big' would take 24\.6 GB .* than the 8\.0 GB"):
        draft(tmp_path / "bomb.onnx")


def test_what_the_file_says_of_a_tensor_is_not_believed() -> None:
    model = graph([EXPAND, MEAN], 2_000_000)
    model.graph.value_info.append(helper.make_tensor_value_info("big", TensorProto.FLOAT, SIDES))
    assert tensor_bytes(model)["big"] == 4 * 2_000_000 * 3 * 32 * 32
    with pytest.raises(InputError, match="'big'"):
        check_room(model)


def test_what_is_there_at_once_counts() -> None:
    chain = [helper.make_node("Tanh", [a], [b]) for a, b in zip(["big", *"abc"], "abcd", strict=True)]
    last = [helper.make_node("ReduceMean", ["d"], ["y"], axes=[0], keepdims=1)]
    check_room(graph([EXPAND, *chain, *last], COPIES))  # five of 3 GB, of which two are there
    both = [helper.make_node("Sum", ["big", "a", "b"], ["y"])]
    with pytest.raises(InputError, match=r"take 3\.1 GB and all that is there with it 9\.2 GB"):
        check_room(graph([EXPAND, *chain, *both], COPIES))


def test_the_shapes_of_inputs_count_as_given() -> None:
    model = graph([helper.make_node("Tanh", ["x"], ["y"])], 1, open_batch=True)
    check_room(model)
    check_room(model, {"x": SIDES})
    with pytest.raises(InputError, match=r"'x' would take 6\.1 GB and all that is there with it 12\.3 GB"):
        check_room(model, {"x": [2 * COPIES, *SIDES[1:]]})


def test_a_graph_of_unknown_operators_is_left_to_onnx_runtime() -> None:
    check_room(graph([helper.make_node("Nothing", ["x"], ["y"], domain="nobody")], 1))


def test_tensors_that_are_looked_at_together() -> None:
    sizes = {"a": 4, "b": 4, "c": 4}
    assert fitting(["a", "b", "c"], sizes, 8) == 2
    assert fitting(["a", "unknown", "b"], sizes, 8) == 3
    assert fitting(["a", "b"], sizes, 1) == 1
