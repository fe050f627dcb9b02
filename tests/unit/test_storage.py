"""Graphs that are more than a message holds, and files that are no ONNX."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from tests.helpers.graphs import Builder

from midstream.errors import InputError
from midstream.models import storage
from midstream.models.graph import cut_graph, graph_hash, load_graph, recomposition_error, save_graph
from midstream.models.random_inputs import random_inputs
from midstream.models.running import session


def wide() -> onnx.ModelProto:
    b = Builder(side=8)
    b.node("Relu", [b.conv("x", "c", 3, 64)], "a")
    b.conv("a", "y", 64, 64)
    return b.model("y")


@pytest.fixture
def little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages that hold 10 kB: the graph above has 150."""
    monkeypatch.setattr(storage, "MOST_BYTES", 10_000)


@pytest.mark.usefixtures("little_room")
def test_a_graph_beyond_a_message_is_cut_run_and_written(tmp_path: Path) -> None:
    model = wide()
    cut = cut_graph(model, ["a"])
    assert storage.is_large(cut.back)
    assert not storage.is_large(cut.front)
    assert recomposition_error(model, cut, random_inputs(model, {})) == 0
    sides = [dim.dim_value for dim in cut.back.graph.input[0].type.tensor_type.shape.dim]
    assert sides == [1, 64, 8, 8]
    files = save_graph(cut.back, tmp_path / "back.onnx")
    assert [file.name for file in files] == ["back.onnx", "back.onnx.data"]
    assert files[0].stat().st_size < 10_000
    again = load_graph(files[0])
    kept = {weight.name: numpy_helper.to_array(weight) for weight in cut.back.graph.initializer}
    for weight in again.graph.initializer:
        np.testing.assert_array_equal(numpy_helper.to_array(weight), kept[weight.name])
    feeds = {"a": np.ones((1, 64, 8, 8), np.float32)}
    np.testing.assert_array_equal(session(again).run(None, feeds)[0], session(cut.back).run(None, feeds)[0])


@pytest.mark.usefixtures("little_room")
def test_the_hash_of_a_large_graph_sees_its_weights() -> None:
    hashes = set()
    for value in (0.5, 0.5, 2.0):
        model = wide()
        last = model.graph.initializer[-1]
        last.CopyFrom(numpy_helper.from_array(np.full(last.dims, value, np.float32), last.name))
        hashes.add(graph_hash(model))
    assert len(hashes) == 2


def test_a_small_graph_is_one_file(tmp_path: Path) -> None:
    assert save_graph(wide(), tmp_path / "x.onnx") == [tmp_path / "x.onnx"]
    assert graph_hash(load_graph(tmp_path / "x.onnx")) == graph_hash(wide())


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.tflite", b"", "a TFLite network, not ONNX: convert it with tf2onnx"),
        ("x.onnx", b"\x1c\0\0\0TFL3" + bytes(99), "a TFLite network, not ONNX"),
        ("x.xml", b"<net/>", "an OpenVINO IR, not ONNX: it has no way back to ONNX"),
        ("x.bin", b"", "weights of an OpenVINO IR"),
        ("best.pt", b"", "a torch network, not ONNX: export it with torch.onnx.export"),
        ("best.onnx", b"PK\x03\x04" + bytes(99), "a torch network"),
        ("x.PTH", b"", "a torch network"),
        ("x.engine", b"", "a TensorRT engine, which is for one GPU, not ONNX: take the ONNX file"),
        ("x.mlmodel", b"", "a Core ML network"),
        ("x.pdmodel", b"", "paddle2onnx"),
    ],
)
def test_other_formats_are_named_with_the_way_to_onnx(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        load_graph(tmp_path / name)
