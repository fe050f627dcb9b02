"""What the first layers behind a cut multiply channels by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from midstream import models
from midstream.models.first_layers import first_weights
from midstream.models.running import session

CHANNELS = 4


def graph_of(nodes: list[Any], weights: Mapping[str, NDArray[Any]], outputs: list[str]) -> onnx.ModelProto:
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    entering = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, CHANNELS, 5, 6])]
    given_ = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "g", entering, infos, given_)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def kernel(outputs: int, inputs: int, side: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(outputs, inputs, side, side)).astype(np.float32)


def node(kind: str, inputs: list[str], output: str, **attributes: Any) -> Any:
    return helper.make_node(kind, inputs, [output], **attributes)


@given(st.sampled_from([1, 2, 4]), st.sampled_from([1, 3]), st.integers(1, 2), st.integers(0, 2**16))
def test_a_convolution_is_its_weights(groups: int, side: int, outputs_of_each: int, seed: int) -> None:
    weights = kernel(outputs_of_each * groups, CHANNELS // groups, side, seed)
    model = graph_of([node("Conv", ["x", "k"], "y", group=groups)], {"k": weights}, ["y"])
    rows = first_weights(model, ["x"])
    assert rows is not None
    assert rows.shape[1] == CHANNELS
    # A convolution's output at one place is the sum over positions of rows times what lies there.
    x = np.random.default_rng(seed).normal(size=(1, CHANNELS, 5, 6)).astype(np.float32)
    (y,) = session(model).run(["y"], {"x": x})
    there = x[0, :, :side, :side].reshape(CHANNELS, -1)
    products = rows.reshape(len(weights), side * side, CHANNELS)
    assert np.einsum("opc,cp->o", products, there) == pytest.approx(y[0, :, 0, 0], abs=1e-4)


def test_what_no_weight_sees_changes_nothing() -> None:
    model = graph_of([node("Conv", ["x", "k"], "y")], {"k": kernel(3, CHANNELS, 1)}, ["y"])
    rows = first_weights(model, ["x"])
    assert rows is not None
    unseen = np.linalg.svd(rows)[2][3]
    x = np.random.default_rng(1).normal(size=(1, CHANNELS, 5, 6)).astype(np.float32)
    (before,) = session(model).run(["y"], {"x": x})
    (after,) = session(model).run(["y"], {"x": x + 10 * unseen[:, None, None].astype(np.float32)})
    assert after == pytest.approx(before, abs=1e-4)


def test_several_convolutions_and_what_lies_before_them() -> None:
    nodes = [
        node("Cast", ["half"], "k", to=TensorProto.FLOAT),
        node("Conv", ["x", "k"], "a"),
        node("AveragePool", ["x"], "small", kernel_shape=[2, 2]),
        node("MaxPool", ["x"], "every_second", kernel_shape=[1, 1], strides=[2, 2]),
        node("Conv", ["small", "k2"], "b"),
        node("Conv", ["every_second", "k2"], "c"),
    ]
    half, other = kernel(2, CHANNELS, 1).astype(np.float16), kernel(3, CHANNELS, 1, 1)
    rows = first_weights(graph_of(nodes, {"half": half, "k2": other}, ["a", "b", "c"]), ["x"])
    expected = np.concatenate([half[:, :, 0, 0], other[:, :, 0, 0], other[:, :, 0, 0]])
    assert rows == pytest.approx(expected)


@pytest.mark.parametrize(
    "other",
    [
        node("Relu", ["x"], "z"),
        node("MaxPool", ["x"], "z", kernel_shape=[2, 2]),
        node("Conv", ["x", "made"], "z"),
        node("Conv", ["big", "x"], "z"),
        node("Identity", ["x"], "z"),
    ],
    ids=["activation", "maximum", "weights-from-the-image", "as-weights", "output"],
)
def test_other_readers_tell_nothing(other: Any) -> None:
    nodes = [
        node("Conv", ["x", "k"], "y"),
        node("ReduceMean", ["x"], "mean"),
        node("Mul", ["k", "mean"], "made"),
        other,
    ]
    if "made" not in other.input:
        del nodes[1:3]
    model = graph_of(nodes, {"k": kernel(2, CHANNELS, 1), "big": kernel(1, CHANNELS, 9)}, ["y", "z"])
    assert first_weights(model, ["x"]) is None


def test_a_body_that_reads_from_outside_tells_nothing() -> None:
    body = helper.make_graph(
        [node("Relu", ["x"], "inner")], "b", [], [helper.make_tensor_value_info("inner", TensorProto.FLOAT, None)]
    )
    nodes = [node("Conv", ["x", "k"], "y"), node("If", ["yes"], "z", then_branch=body, else_branch=body)]
    model = graph_of(nodes, {"k": kernel(2, CHANNELS, 1), "yes": np.array(True)}, ["y", "z"])
    assert first_weights(model, ["x"]) is None


def test_a_network_of_the_project() -> None:
    network = models.load("streets-r16")
    assert isinstance(network, models.TransparentModel)
    rows = network.first_weights()
    # One convolution from 256 to 96 channels reads every level; P5 also as P6, which is made of it.
    assert {name: each.shape for name, each in rows.items()} == {
        "p2": (96, 256), "p3": (96, 256), "p4": (96, 256), "p5": (192, 256)
    }  # fmt: skip
