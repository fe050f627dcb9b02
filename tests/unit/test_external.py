"""Files beside an ONNX file, and those that it must not reach, wherever in it the tensor is."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from midstream.errors import InputError
from midstream.models.graph import load_graph
from midstream.models.running import session

VALUES = np.arange(4, dtype=np.float32)


def external(location: str, **more: str) -> Any:
    tensor = numpy_helper.from_array(VALUES, "w")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in ({"location": location} | more).items():
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    return tensor


def model_of(nodes: list[Any], weights: list[Any] | None = None) -> onnx.ModelProto:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [4])
    graph = helper.make_graph(nodes, "g", [value], [helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])])
    graph.initializer.extend(weights or [])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


ADD = helper.make_node("Add", ["x", "w"], ["y"])


def initialiser(tensor: Any) -> onnx.ModelProto:
    return model_of([ADD], [tensor])


def attribute(tensor: Any) -> onnx.ModelProto:
    return model_of([helper.make_node("Constant", [], ["w"], value=tensor), ADD])


def body(tensor: Any) -> onnx.ModelProto:
    out = helper.make_tensor_value_info("o", TensorProto.FLOAT, [4])
    inner = helper.make_graph([helper.make_node("Identity", ["w"], ["o"])], "b", [], [out], [tensor])
    test = numpy_helper.from_array(np.array(True), "test")
    branch = helper.make_node("If", ["test"], ["i"], then_branch=inner, else_branch=inner)
    return model_of([branch, helper.make_node("Add", ["x", "i"], ["y"])], [test])


def function(tensor: Any) -> onnx.ModelProto:
    model = model_of([helper.make_node("F", ["x"], ["y"], domain="own")])
    nodes = [helper.make_node("Constant", [], ["w"], value=tensor), ADD]
    opsets = [helper.make_opsetid("", 17)]
    model.functions.append(helper.make_function("own", "F", ["x"], ["y"], nodes, opsets))
    model.opset_import.append(helper.make_opsetid("own", 1))
    return model


def sparse(tensor: Any) -> onnx.ModelProto:
    model = model_of([ADD])
    indices = numpy_helper.from_array(np.arange(4, dtype=np.int64), "indices")
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(tensor, indices, [4]))
    return model


PLACES = [initialiser, attribute, body, function, sparse]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model's folder, with a secret outside and ways to it."""
    (tmp_path / "secret").write_bytes(VALUES.tobytes())
    inside = tmp_path / "model"
    (inside / "data").mkdir(parents=True)
    (inside / "data" / "w.bin").write_bytes(bytes(8) + VALUES.tobytes())
    (inside / "link").symlink_to(tmp_path / "secret")
    (inside / "out").symlink_to(tmp_path)
    os.mkfifo(inside / "pipe")
    return inside


@pytest.mark.parametrize("make", PLACES)
def test_data_in_the_models_folder_are_read(make: Callable[[Any], onnx.ModelProto], folder: Path) -> None:
    onnx.save(make(external("data/w.bin", offset="8", length="16")), str(folder / "m.onnx"))
    model = load_graph(folder / "m.onnx")
    assert b"w.bin" not in model.SerializeToString()
    (y,) = session(model).run(["y"], {"x": np.ones(4, np.float32)})
    np.testing.assert_array_equal(y, VALUES + 1)


@pytest.mark.parametrize("make", PLACES)
@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("../secret", "which is no file of the model's folder"),
        ("data/../../secret", "which is no file of the model's folder"),
        ("..\\\\secret", "which is no file of the model's folder"),
        ("C:secret", "which is no file of the model's folder"),
        ("", "which is no file of the model's folder"),
        (".", "which is no file of the model's folder"),
        ("./.", "which is no file of the model's folder"),
        ("{outside}", "which is no file of the model's folder"),
        ("link", "a symbolic link"),
        ("out/secret", "a symbolic link"),
        ("pipe", "is no file"),
        ("data", "is no file"),
        ("*/_ORT_MEM_ADDR_/*", "is no file"),
    ],
)
def test_what_lies_elsewhere_is_refused_by_name(
    make: Callable[[Any], onnx.ModelProto], location: str, message: str, folder: Path
) -> None:
    tensor = external(location.format(outside=folder.parent / "secret"))
    onnx.save(make(tensor), str(folder / "m.onnx"))
    with pytest.raises(InputError, match=rf"m\.onnx: tensor 'w' lies in '.*{message}"):
        load_graph(folder / "m.onnx")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"offset": "16", "length": "16"}, "too short"),
        ({"offset": "-1"}, "no number"),
        ({"length": "1e3"}, "no number"),
        ({"length": "9" * 5000}, "no number"),
    ],
)
def test_offsets_and_lengths_are_held_against_the_file(more: dict[str, str], message: str, folder: Path) -> None:
    onnx.save(initialiser(external("data/w.bin", **more)), str(folder / "m.onnx"))
    with pytest.raises(InputError, match=message):
        load_graph(folder / "m.onnx")


@pytest.mark.parametrize("length", [300, 5000])
def test_a_name_that_no_file_can_have(length: int, folder: Path) -> None:
    onnx.save(initialiser(external("w" * length)), str(folder / "m.onnx"))
    with pytest.raises(InputError, match=r"m\.onnx: the file of tensor 'w' cannot be looked at: File name too long"):
        load_graph(folder / "m.onnx")


def test_many_tensors_in_one_large_file_are_not_all_read(folder: Path) -> None:
    with (folder / "large").open("wb") as file:
        file.truncate(1 << 30)
    onnx.save(model_of([ADD], [external("large")] * 3), str(folder / "m.onnx"))
    with pytest.raises(InputError, match="more external data than there is in large"):
        load_graph(folder / "m.onnx")
