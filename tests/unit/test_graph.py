"""Cuts of ONNX graphs: side inputs, control flow, inputs that skip the cut, graphs that do not run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.helpers import toy

from midstream.errors import InputError
from midstream.models.graph import Cut, cut_graph, graph_hash, load_graph, recomposition_error
from midstream.models.random_inputs import random_inputs

SHAPE = [1, 3, 4, 4]


def graph_of(nodes: list[Any], inputs: list[str], outputs: list[str], weights: list[Any] | None = None) -> Any:
    infos = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, SHAPE) for name in names] for names in (inputs, outputs)
    ]
    graph = helper.make_graph(nodes, "g", *infos, weights or [])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def node(kind: str, inputs: list[str], output: str, **attributes: Any) -> Any:
    return helper.make_node(kind, inputs, [output], **attributes)


def check(model: Any, *names: str) -> Cut:
    cut = cut_graph(model, names)
    assert recomposition_error(model, cut, random_inputs(model, {})) == 0
    return cut


def inputs_of(model: Any) -> list[str]:
    return [value.name for value in model.graph.input]


@pytest.mark.parametrize("as_inputs", [False, True])
def test_a_cut_recomposes(tmp_path: Path, as_inputs: bool) -> None:
    cut = check(load_graph(toy.write_gfl(tmp_path / "toy.onnx", as_inputs)), "fine", "coarse")
    assert inputs_of(cut.front) == ["image"]
    assert inputs_of(cut.back) == ["fine", "coarse"]


def test_an_incomplete_cut_says_what_is_missing(tmp_path: Path) -> None:
    graph = load_graph(toy.write_gfl(tmp_path / "toy.onnx"))
    with pytest.raises(InputError, match=r"does not separate the graph: input 'image' still reaches .* 'fine'; cut"):
        cut_graph(graph, ["coarse"])


def test_an_input_of_the_back_alone_stays_its_input() -> None:
    model = graph_of([node("Relu", ["x"], "a"), node("Mul", ["a", "scale"], "y")], ["x", "scale"], ["y"])
    cut = check(model, "a")
    assert inputs_of(cut.front) == ["x"]
    assert inputs_of(cut.back) == ["a", "scale"]


def test_an_input_that_skips_the_cut_is_a_dead_end_and_says_so() -> None:
    model = graph_of([node("Relu", ["x"], "a"), node("Add", ["a", "x"], "y")], ["x"], ["y"])
    with pytest.raises(InputError, match="reaches an output through 'y'; cut there too, or further on"):
        cut_graph(model, ["a"])


def test_advice_never_is_to_send_the_input_in_another_form_unsaid() -> None:
    weight = numpy_helper.from_array(np.ones((3, 3, 1, 1), np.float32), "w")
    nodes = [
        node("Neg", ["x"], "scaled"), node("Conv", ["scaled", "w"], "a"), node("Relu", ["a"], "b"),
        node("Exp", ["a"], "c"), node("Add", ["b", "scaled"], "d"), node("Add", ["c", "d"], "y"),
    ]  # fmt: skip
    model = graph_of(nodes, ["x"], ["y"], [weight])
    with pytest.raises(InputError, match=r"through 'd'; .* further on: 'scaled', the input in another form, goes past"):
        cut_graph(model, ["b", "c"])
    with pytest.raises(InputError, match="through 'a'; cut there too, and at or behind 'd', where 'scaled', the input"):
        cut_graph(model, ["b"])
    check(model, "d", "c")


def test_an_output_beside_the_cut_is_named() -> None:
    nodes = [node("Relu", ["x"], "a"), node("Abs", ["a"], "y"), node("Neg", ["x"], "z")]
    with pytest.raises(InputError, match="output 'z' does not come through the cut"):
        cut_graph(graph_of(nodes, ["x"], ["y", "z"]), ["a"])


def test_a_cut_that_separates_nothing_is_refused() -> None:
    constant = helper.make_node("Constant", [], ["w"], value=numpy_helper.from_array(np.ones(SHAPE, np.float32)))
    model = graph_of([constant, node("Add", ["x", "w"], "y")], ["x"], ["y"])
    with pytest.raises(InputError, match="'w' does not depend on any input"):
        cut_graph(model, ["w"])


def test_one_output_of_a_node_may_be_cut_and_another_needed() -> None:
    halves = numpy_helper.from_array(np.array([1, 2], np.int64), "halves")
    split = helper.make_node("Split", ["a", "halves"], ["b", "c"], axis=1)
    nodes = [node("Relu", ["x"], "a"), split, helper.make_node("Concat", ["b", "c"], ["y"], axis=1)]
    check(graph_of(nodes, ["x"], ["y"], [halves]), "a", "b")
    check(graph_of(nodes, ["x"], ["y"], [halves]), "b", "c")


@pytest.mark.parametrize("dims", [[1, 3, 1 << 40, 1 << 40], [1, 3, -1, 4]])
def test_impossible_shapes_are_named(dims: list[int]) -> None:
    model = graph_of([node("Relu", ["x"], "y"), node("Neg", ["y"], "z")], ["x"], ["z"])
    for dim, size in zip(model.graph.input[0].type.tensor_type.shape.dim, dims, strict=True):
        dim.dim_value = size
    with pytest.raises(InputError, match="input 'x'"):
        random_inputs(model, {})


def branch(output: str, *nodes: Any) -> Any:
    info = helper.make_tensor_value_info(output, TensorProto.FLOAT, SHAPE)
    return helper.make_graph(list(nodes), output, [], [info])


def test_bodies_may_use_weights_and_tensors_from_outside() -> None:
    weight = numpy_helper.from_array(np.ones(SHAPE, np.float32), "k")
    true = numpy_helper.from_array(np.array(True), "true")
    choice = helper.make_node(
        "If", ["true"], ["chosen"],
        then_branch=branch("t", node("Add", ["b", "k"], "t")), else_branch=branch("e", node("Neg", ["a"], "e")),
    )  # fmt: skip
    nodes = [node("Relu", ["x"], "a"), node("Exp", ["a"], "b"), choice, node("Abs", ["chosen"], "y")]
    model = graph_of(nodes, ["x"], ["y"], [weight, true])
    assert inputs_of(check(model, "a").back) == ["a"]
    assert inputs_of(check(model, "a", "b").back) == ["a", "b"]
    assert inputs_of(check(model, "chosen").back) == ["chosen"]
    with pytest.raises(InputError, match="input 'x' still reaches an output through 'a'; cut there too"):
        cut_graph(model, ["b"])


def test_operators_of_another_domain_are_left_to_the_runtime() -> None:
    strange = helper.make_node("Foo", ["a"], ["y"], domain="my")
    model = graph_of([node("Relu", ["x"], "a"), strange], ["x"], ["y"])
    cut = cut_graph(model, ["a"])
    with pytest.raises(InputError, match="ONNX Runtime cannot run this model"):
        recomposition_error(model, cut, random_inputs(model, {}))


def test_a_network_that_fails_or_gives_nothing_is_no_success() -> None:
    shape = numpy_helper.from_array(np.array([5, 5], np.int64), "shape")
    broken = graph_of([node("Relu", ["x"], "a"), node("Reshape", ["a", "shape"], "y")], ["x"], ["y"], [shape])
    with pytest.raises(InputError, match=r"cannot run this model|does not run on a random input"):
        recomposition_error(broken, cut_graph(broken, ["a"]), random_inputs(broken, {}))
    minus = numpy_helper.from_array(np.full(SHAPE, -9, np.float32), "minus")
    nothing = graph_of(
        [node("Relu", ["x"], "a"), node("Min", ["a", "minus"], "b"), node("Sqrt", ["b"], "y")], ["x"], ["y"], [minus]
    )
    with pytest.raises(InputError, match="nothing finite on a random input"):
        recomposition_error(nothing, cut_graph(nothing, ["a"]), random_inputs(nothing, {}))


def test_open_dimensions_need_a_shape() -> None:
    model = graph_of([node("Relu", ["x"], "y"), node("Neg", ["y"], "z")], ["x"], ["z"])
    for i, name in enumerate(("batch", "", "height")):
        if name:
            model.graph.input[0].type.tensor_type.shape.dim[i].dim_param = name
    with pytest.raises(InputError, match="--shape x=1,3,H,4"):
        random_inputs(model, {})
    inputs = random_inputs(model, {"x": [1, 3, 5, 4]})
    assert inputs["x"].shape == (1, 3, 5, 4)


def test_the_hash_sees_weights_in_other_files(tmp_path: Path) -> None:
    hashes = set()
    for value in (1.0, 2.0):
        model = onnx.load(str(toy.write_gfl(tmp_path / "toy.onnx")))
        weight = numpy_helper.to_array(model.graph.initializer[0]) * np.float32(value)
        model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weight, model.graph.initializer[0].name))
        onnx.save(model, str(tmp_path / "x.onnx"), save_as_external_data=True, location=f"w{value}", size_threshold=0)
        hashes.add(graph_hash(load_graph(tmp_path / "x.onnx")))
    assert len(hashes) == 2


def resized_to_input(sides: list[int | str]) -> Any:
    """What segmenters do: the logits are brought to the size of the input."""
    nodes = [
        node("Relu", ["x"], "a"), node("AveragePool", ["a"], "small", kernel_shape=[2, 2], strides=[2, 2]),
        node("Neg", ["small"], "logits"), node("Shape", ["x"], "all"), node("Slice", ["all", "two", "four"], "sides"),
        node("Shape", ["logits"], "own"), node("Slice", ["own", "zero", "two"], "channels"),
        node("Concat", ["channels", "sides"], "size", axis=0),
        node("Resize", ["logits", "", "", "size"], "y", mode="linear"),
    ]  # fmt: skip
    places = [
        numpy_helper.from_array(np.array([i], np.int64), name) for name, i in (("zero", 0), ("two", 2), ("four", 4))
    ]
    model = graph_of(nodes, ["x"], ["y"], places)
    for value in (*model.graph.input, *model.graph.output):
        value.CopyFrom(helper.make_tensor_value_info(value.name, TensorProto.FLOAT, sides))
    return model


@pytest.mark.parametrize("at", ["small", "a"])
def test_a_known_shape_past_the_cut_becomes_a_constant(at: str) -> None:
    cut = check(resized_to_input([1, 3, 8, 12]), at)
    assert inputs_of(cut.back) == [at]
    assert cut.shapes == ()


def test_an_open_shape_past_the_cut_crosses_as_integers() -> None:
    model = resized_to_input(["n", 3, "h", "w"])
    cut = cut_graph(model, ["small"])
    assert cut.shapes == ("all",)
    assert inputs_of(cut.back) == ["small", "all"]
    assert cut.back.graph.input[1].type.tensor_type.elem_type == TensorProto.INT64
    for shape in ([1, 3, 8, 12], [2, 3, 6, 4]):
        assert recomposition_error(model, cut, random_inputs(model, {"x": shape})) == 0
    assert cut_graph(model, ["small", "all"]).shapes == ()


def test_an_open_batch_past_the_cut_crosses_and_a_known_number_of_elements_does_not() -> None:
    nodes = [
        node("Relu", ["x"], "a"), node("Size", ["x"], "count"), node("Cast", ["count"], "float", to=1),
        node("Mul", ["a", "float"], "y"),
    ]  # fmt: skip
    assert inputs_of(check(graph_of(nodes, ["x"], ["y"]), "a").back) == ["a"]
    nodes = [node("Relu", ["x"], "a"), node("Shape", ["x"], "s"), node("Reshape", ["a", "s"], "y")]
    model = graph_of(nodes, ["x"], ["y"])
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "n"
    assert check(model, "a").shapes == ("s",)


def test_content_that_goes_past_the_cut_beside_a_shape_is_still_refused() -> None:
    nodes = [
        node("Relu", ["x"], "a"),
        node("Shape", ["x"], "s"),
        node("Reshape", ["a", "s"], "b"),
        node("Add", ["b", "x"], "y"),
    ]
    with pytest.raises(InputError, match="input 'x' still reaches an output"):
        cut_graph(graph_of(nodes, ["x"], ["y"]), ["a"])


def test_a_cut_tensor_may_be_an_output() -> None:
    model = graph_of([node("Relu", ["x"], "a"), node("Neg", ["a"], "y")], ["x"], ["a", "y"])
    cut = check(model, "a")
    assert [value.name for value in cut.back.graph.output] == ["a", "y"]
    with pytest.raises(InputError, match="'y' is the end of the graph"):
        cut_graph(graph_of([node("Relu", ["x"], "y")], ["x"], ["y"]), ["y"])


def test_numbers_of_tokens_are_those_of_the_table() -> None:
    nodes = [node("Cast", ["x"], "ids", to=7), node("Gather", ["table", "ids"], "rows"), node("Relu", ["rows"], "y")]
    table = numpy_helper.from_array(np.zeros((30, 8), np.float32), "table")
    model = graph_of(nodes, ["x"], ["y"], [table])
    model.graph.input[0].CopyFrom(helper.make_tensor_value_info("x", TensorProto.INT32, [1, 500]))
    values = random_inputs(model, {})["x"]
    assert (values.min(), values.max()) == (0, 29)
    model.graph.input[0].CopyFrom(helper.make_tensor_value_info("x", TensorProto.UINT8, [1, 5000]))
    assert random_inputs(model, {})["x"].max() == 255
