"""Tensors of a cut that are no maps [1, C, H, W]: tokens, sequences, vectors."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from midstream.errors import InputError
from midstream.models.cuts import CutTensor
from midstream.models.description import PyramidLevel, parse_description
from midstream.models.levels import level_names, to_levels, to_value
from midstream.models.onnx_model import OnnxModel
from midstream.models.recognition.draft import axes_of


def level(**more: Any) -> PyramidLevel:
    return PyramidLevel(name="t", tensor="x", **more)


@pytest.mark.parametrize(
    ("about", "shape", "shapes"),
    [
        (level(stride=8), (1, 5, 3, 4), {"t": (5, 3, 4)}),
        (level(axes="1NC"), (1, 12, 7), {"t": (7, 1, 12)}),
        (level(axes="1NC", grid=(3, 4)), (1, 12, 7), {"t": (7, 3, 4)}),
        (level(axes="1NC", grid=(3, 4), extra=1), (1, 13, 7), {"t": (7, 3, 4), "t+extra": (7, 1, 1)}),
        (level(axes="1CN", grid=(3, 4)), (1, 7, 12), {"t": (7, 3, 4)}),
        (level(axes="1CT"), (1, 7, 9), {"t": (7, 1, 9)}),
        (level(axes="1C"), (1, 7), {"t": (7, 1, 1)}),
        (level(axes="1HWC"), (1, 3, 4, 7), {"t": (7, 3, 4)}),
    ],
)
def test_there_and_back(about: PyramidLevel, shape: tuple[int, ...], shapes: dict[str, tuple[int, ...]]) -> None:
    value = np.arange(math.prod(shape), dtype=np.float32).reshape(shape)
    pyramid = to_levels(about, value)
    assert {name: each.shape for name, each in pyramid.items()} == shapes
    assert tuple(pyramid) == level_names(about)
    np.testing.assert_array_equal(to_value(about, pyramid), value)


def test_what_cannot_be_is_named() -> None:
    with pytest.raises(InputError, match=r"level 't' has shape \[4, 3\], without a first axis of one"):
        to_levels(level(), np.zeros((4, 3), np.float32))
    with pytest.raises(InputError, match=r"level 't' of shape \[1, 12, 7\]: axes 1C are 2, the array has 3"):
        to_levels(level(axes="1C"), np.zeros((1, 12, 7), np.float32))
    with pytest.raises(InputError, match=r"level 't' of shape \[1, 12, 7\]: .*are 10 tokens, the array has 12"):
        to_levels(level(axes="1NC", grid=(2, 5)), np.zeros((1, 12, 7), np.float32))
    with pytest.raises(InputError, match=r"no level 't\+extra'; it has t"):
        to_value(level(axes="1NC", extra=1), {"t": np.zeros((7, 1, 12))})
    with pytest.raises(InputError, match="expected"):
        to_value(level(axes="1NC"), {"t": np.zeros((7, 12))})
    with pytest.raises(InputError, match="of axes 1CT has a level of 2 x 3"):
        to_value(level(axes="1CT"), {"t": np.zeros((7, 2, 3))})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ("grid = [3, 4]", "grid and extra are of tokens: say axes"),
        ('axes = "NC"', "1 for the batch first"),
        ('axes = "1NT"', "1 for the batch first"),
        ('axes = "1XC"', "axes"),
    ],
)
def test_axes_that_cannot_be_are_named(fields: str, message: str) -> None:
    text = 'name = "t"\n[weights]\nfile = "t.onnx"\n[input]\nsize = [4, 4]\n[[pyramid]]\nname = "p"\ntensor = "f"\n'
    with pytest.raises(InputError, match=message):
        parse_description(text + fields, "t.toml")


@pytest.mark.parametrize(
    ("shape", "size", "fields"),
    [
        ((1, 196, 384), (224, 224), {"axes": "1NC", "grid": [14, 14]}),
        ((1, 197, 384), (224, 224), {"axes": "1NC", "grid": [14, 14], "extra": 1}),
        ((1, 261, 384), (224, 224), {"axes": "1NC", "grid": [16, 16], "extra": 5}),
        ((1, 256, 400), (320, 320), {"axes": "1CN", "grid": [20, 20]}),
        ((1, 300, 256), (320, 320), {"axes": "1NC"}),
        ((1, 128, 1), None, {"axes": "1CT"}),
        ((1, 576), (224, 224), {"axes": "1C"}),
        ((1, 5, 1, 1), (224, 224), {}),
    ],
)
def test_axes_are_guessed_from_the_patches_of_an_image(
    shape: tuple[int, ...], size: tuple[int, int] | None, fields: dict[str, Any]
) -> None:
    assert axes_of(CutTensor("x", shape), size) == fields


def test_a_network_cut_at_tokens_has_maps_for_levels(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Reshape", ["x", "shape"], ["rows"]),
        helper.make_node("Transpose", ["rows"], ["tokens"], perm=[0, 2, 1]),
        helper.make_node("ReduceMean", ["tokens"], ["y"], axes=[1], keepdims=0),
    ]
    infos = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("x", [1, 3, 4, 6]), ("y", [1, 3]))]
    shape = numpy_helper.from_array(np.array([1, 3, -1]), "shape")
    graph = helper.make_graph(nodes, "g", infos[:1], infos[1:], [shape])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(tmp_path / "t.onnx")
    )
    text = (
        'name = "t"\n[weights]\nfile = "t.onnx"\n[input]\nsize = [4, 6]\n'
        '[[pyramid]]\nname = "p"\ntensor = "tokens"\nstride = 1\naxes = "1NC"\ngrid = [4, 6]'
    )
    model = OnnxModel(parse_description(text, "t.toml"), tmp_path / "t.onnx")
    image = np.random.default_rng(0).integers(0, 256, (4, 6, 3)).astype(np.uint8)
    pyramid = model.front(image)
    np.testing.assert_array_equal(pyramid["p"], image.transpose(2, 0, 1))
    values: Any = model.back(pyramid, (4, 6))
    np.testing.assert_allclose(values.values["y"], image.reshape(-1, 3).mean(0), rtol=1e-5)
