"""The commands init and split, from an ONNX file on."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tests.helpers.commands import call, midstream, mistake, process
from tests.helpers.graphs import Builder, pyramid

from midstream import models


@pytest.fixture
def network(tmp_path: Path) -> Path:
    onnx.save(pyramid(), str(tmp_path / "best.onnx"))
    return tmp_path / "best.onnx"


def test_init_writes_a_description_that_loads(network: Path) -> None:
    done = midstream("init", network, "-o", network.with_suffix(".toml"))
    said = " ".join(done.stdout.decode().split())
    for part in ("best.onnx: tensors", "recognised: input 'x' float32 [1, 3, 32, 32]", "guessed: preprocessing",
                 "cut: p3, p4, p5", "the neck's outputs", "wrote "):  # fmt: skip
        assert part in said
    model = models.load(str(network.with_suffix(".toml")))
    assert model.task.name == "tensors"
    assert [level.shape for level in model.front(np.zeros((9, 9, 3), np.uint8)).values()] == [
        (8, 16, 16), (16, 8, 8), (16, 4, 4),
    ]  # fmt: skip


def test_init_only_looks_without_a_file(network: Path) -> None:
    found = json.loads(midstream("init", network, "--at", "sum3,p4", "--at", "p5", "--json").stdout)
    assert [level["tensor"] for level in found["description"]["pyramid"]] == ["sum3", "p4", "p5"]
    assert found["written"] is None
    assert len(found["proposals"]) == 3
    assert all(0 < cut["work_before"] < 1 for cut in found["cuts"])
    assert list(network.parent.iterdir()) == [network]


def test_what_init_cannot_use_is_one_line(network: Path, tmp_path: Path) -> None:
    assert "a description ends in .toml" in mistake("init", network, "-o", tmp_path / "x.yaml")
    assert "does not separate the graph" in mistake("init", network, "--at", "p3")
    assert "fit no head of the task 'depth'" in mistake("init", network, "--task", "depth")
    assert "unknown task 'cats'" in mistake("init", network, "--task", "cats")
    assert "fixes its input to 32x32" in mistake("init", network, "--size", "64x64")
    (tmp_path / "x.tflite").write_bytes(b"")
    assert "convert it with tf2onnx" in mistake("init", tmp_path / "x.tflite")


def test_a_description_in_another_folder_finds_its_weights(network: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere" / "best.toml"
    elsewhere.parent.mkdir()
    done = midstream("init", network, "-o", elsewhere)
    assert (done.returncode, done.stderr) == (0, b"")
    assert f'file = "../{network.name}"' in elsewhere.read_text()
    assert models.load(str(elsewhere)).fingerprint == models.load(str(network)).fingerprint


def test_a_description_that_was_edited_is_kept(network: Path, tmp_path: Path) -> None:
    output, kept = tmp_path / "best.toml", [tmp_path / f"best.toml.bak{number}" for number in ("", "2", "3")]
    for _ in range(2):
        assert call("init", network, "-o", output) == 0
        assert not kept[0].exists()
    kept[0].symlink_to(tmp_path / "other")  # somebody else's: nothing goes through it
    for file, words in zip(kept[1:], ("# mine\n", "# mine, too\n"), strict=True):
        made = output.read_text()
        output.write_text(made + words)
        done = midstream("init", network, "-o", output)
        assert f"what it said is in {file}" in " ".join(done.stderr.decode().split())
        assert (file.read_text(), output.read_text()) == (made + words, made)
    assert not (tmp_path / "other").exists()


def test_names_in_a_strangers_graph_do_not_drive_the_terminal(network: Path, tmp_path: Path) -> None:
    model, evil = onnx.load(str(network)), "\x1b[31mred\x1b]0;title\x07\nline"
    for names in (each for node in model.graph.node for each in (node.input, node.output)):
        names[:] = [f"{name}{evil}" if name else "" for name in names]
    for each in (*model.graph.input, *model.graph.output, *model.graph.initializer):
        each.name += evil
    onnx.save(model, str(network))
    output = tmp_path / "best.toml"
    for command in (["init", network, "-o", output], ["split", network]):
        done = midstream(*command)
        assert done.returncode == 0
        assert b"\x1b" not in done.stdout + done.stderr
    assert b"\x1b" not in output.read_bytes()
    assert models.load(str(output)).fingerprint == models.load(str(network)).fingerprint
    odd = network.rename(tmp_path / "a\nb.onnx")
    assert "which has control characters: rename the file" in mistake("init", odd)


def test_an_onnx_file_is_a_network(network: Path, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "photo.png"), np.full((20, 30, 3), 90, np.uint8))
    midstream("extract", tmp_path / "photo.png", "-m", network, "-o", tmp_path / "out")
    with np.load(tmp_path / "out" / "photo.npz") as levels:
        assert {name: levels[name].shape for name in levels.files} == {
            "p1": (8, 16, 16), "p2": (16, 8, 8), "p3": (16, 4, 4),
        }  # fmt: skip


def test_split_without_tensors_lists_the_cuts(network: Path, tmp_path: Path) -> None:
    said = midstream("split", network).stdout.decode()
    assert "to cut: midstream split" in said
    assert "--at p3,p4,p5" in said
    found = json.loads(midstream("split", network, "--json").stdout)
    assert [cut["work_before"] for cut in found["cuts"]] == sorted(cut["work_before"] for cut in found["cuts"])
    assert "say with --at where to cut" in mistake("split", network, "-o", tmp_path / "parts")
    assert "say with -o DIR" in mistake("split", network, "--at", "p3,p4,p5")


def test_split_takes_arrays_for_its_check(network: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=np.zeros((1, 3, 32, 32), np.float32))
    arguments = ["split", network, "--at", "p3,p4,p5", "-o", tmp_path / "parts", "--input"]
    assert "difference" in midstream(*arguments, tmp_path / "x.npz").stdout.decode()
    np.savez(tmp_path / "y.npz", y=np.zeros(3))
    assert "unknown input 'y'; valid: x" in mistake(*arguments, tmp_path / "y.npz")
    (tmp_path / "z.npz").write_bytes(b"no")
    assert "not an .npz file of arrays" in mistake(*arguments, tmp_path / "z.npz")
    assert "no such file" in mistake(*arguments, tmp_path / "none.npz")


def test_split_names_the_float_beside_an_integer_tensor(tmp_path: Path) -> None:
    b = Builder(side=8)
    b.conv("x", "c", 3, 4)
    b.constant("step", np.float32(0.1))
    b.constant("zero", np.int8(0))
    b.node("QuantizeLinear", ["c", "step", "zero"], "whole")
    b.node("DequantizeLinear", ["whole", "step", "zero"], "again")
    b.conv("again", "y", 4, 2)
    onnx.save(b.model("y"), str(tmp_path / "q.onnx"))
    said = midstream("split", tmp_path / "q.onnx", "--at", "whole", "-o", tmp_path / "parts").stdout.decode()
    assert "'whole' is of integers" in said
    assert "'c' beside it is float" in said


def test_a_network_of_arrays_needs_a_shape(tmp_path: Path) -> None:
    b = Builder()
    b.inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, "samples"])]
    b.constant("shape", np.array([1, 1, -1], np.int64))
    b.constant("w", np.ones((4, 1, 3), np.float32))
    b.node("Reshape", ["x", "shape"], "line")
    b.node("Conv", ["line", "w"], "c")
    b.node("Relu", ["c"], "a")
    b.node("ReduceMean", ["a"], "y", axes=[2], keepdims=0)
    onnx.save(b.model("y"), str(tmp_path / "a.onnx"))
    assert "give one, such as --shape x=1,512" in mistake("init", tmp_path / "a.onnx")
    midstream("init", tmp_path / "a.onnx", "--shape", "x=1,64", "-o", tmp_path / "a.toml")
    model = models.load(str(tmp_path / "a.toml"))
    pyramid_of = model.front(np.zeros((1, 64), np.float32))  # type: ignore[arg-type]
    assert {name: level.shape for name, level in pyramid_of.items()} == {"f1": (4, 1, 62)}


def test_a_network_without_a_description_says_what_is_worth_knowing(
    network: Path, caplog: pytest.LogCaptureFixture
) -> None:
    models.load(str(network))
    assert [record.getMessage() for record in caplog.records] == [
        f"{network}: its outputs are of no head that is recognised: what is measured is how far they move"
    ]
    done = process("extract", "-q", "-m", network, "-o", network.parent / "out", _photo(network.parent))
    assert "of no head that is recognised" in done.stderr.decode()


def _photo(folder: Path) -> Path:
    cv2.imwrite(str(folder / "photo.png"), np.zeros((9, 9, 3), np.uint8))
    return folder / "photo.png"


def test_a_size_that_is_guessed_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    b = Builder()
    b.inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, "h", "w"])]
    b.conv(b.node("Relu", [b.conv("x", "c", 3, 4, 8)], "a"), "y", 4, 2)
    onnx.save(b.model("y"), str(tmp_path / "open.onnx"))
    models.load(str(tmp_path / "open.onnx"))
    said = [record.getMessage() for record in caplog.records]
    assert any(
        "leaves its size open: 640x640 (width x height) is taken; say another with midstream init" in m for m in said
    )
