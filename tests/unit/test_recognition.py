"""Networks described from their file alone: inputs, preprocessing, heads and tasks, on graphs made here."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tests.helpers import toy
from tests.helpers.graphs import Builder, pyramid

from midstream import models
from midstream.errors import InputError
from midstream.models.description import parse_description
from midstream.models.heads.metadata import Metadata
from midstream.models.heads.nms import cell_grid
from midstream.models.recognition import draft
from midstream.models.recognition.inputs import recognise_inputs
from midstream.models.recognition.outputs import recognise_outputs
from midstream.models.recognition.preprocessing import preprocessing
from midstream.models.recognition.single import endings
from midstream.models.recognition.toml import to_toml


def inputs_model(*inputs: tuple[str, int, list[Any]]) -> onnx.ModelProto:
    infos = [helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in inputs]
    nodes = [helper.make_node("Identity", [inputs[0][0]], ["y"])]
    output = helper.make_tensor_value_info("y", inputs[0][1], None)
    return helper.make_model(helper.make_graph(nodes, "g", infos, [output]))


FLOAT, INT64, UINT8 = TensorProto.FLOAT, TensorProto.INT64, TensorProto.UINT8


@pytest.mark.parametrize(
    ("shape", "kind", "layout", "channels", "sizes"),
    [
        ([1, 3, 48, 64], FLOAT, "NCHW", 3, [(48, 64)]),
        (["n", 3, 48, 64], FLOAT, "NCHW", 3, [(48, 64)]),
        ([1, 48, 64, 3], UINT8, "NHWC", 3, [(48, 64)]),
        ([1, 1, 28, 28], FLOAT, "NCHW", 1, [(28, 28)]),
        ([1, 28, 28, 1], FLOAT, "NHWC", 1, [(28, 28)]),
        ([1, 3, "h", "w"], FLOAT, "NCHW", 3, None),
        ([1, "h", "w", 3], FLOAT, "NHWC", 3, None),
    ],
)
def test_the_image_is_found_with_its_layout(
    shape: list[Any], kind: int, layout: str, channels: int, sizes: list[tuple[int, int]] | None
) -> None:
    found = recognise_inputs(inputs_model(("x", kind, shape)), None, {})
    assert (found.layout, found.channels) == (layout, channels)
    assert found.sizes == sizes if sizes else found.sizes[0] == (640, 640)


def test_other_inputs_get_what_is_usual() -> None:
    model = inputs_model(
        ("images", FLOAT, [1, 3, 32, 48]), ("orig_target_sizes", INT64, [1, 2]), ("im_shape", FLOAT, [1, 2]),
        ("scale_factor", FLOAT, [1, 2]), ("pixel_mask", INT64, [1, 32, 48]), ("sr", INT64, []),
        ("state", FLOAT, [2, 1, 8]), ("strange", INT64, [1]),
    )  # fmt: skip
    found = recognise_inputs(model, None, {})
    assert found.image.name == "images"
    assert found.constants((32, 48)) == {
        "orig_target_sizes": [[48, 32]], "im_shape": [[32, 48]], "scale_factor": 1.0, "pixel_mask": 1, "sr": 16000,
        "state": 0.0, "strange": 0,
    }  # fmt: skip
    assert "a guess" in found.constant_notes((32, 48)).guessed[-1]
    assert found.constant_notes((32, 48)).warnings == []


def test_a_second_image_that_nothing_gives_is_a_warning() -> None:
    model = inputs_model(
        ("before", FLOAT, [1, 3, 32, 48]), ("after", FLOAT, [1, 3, 32, 48]), ("table", FLOAT, [1, 4]),
    )  # fmt: skip
    notes = recognise_inputs(model, None, {}).constant_notes((32, 48))
    assert notes.guessed == []
    image, table = notes.warnings
    assert "input 'after' float32 [1, 3, 32, 48] looks like a second image, and nothing here gives it" in image
    assert "figures mean nothing until [constants] has its values" in image
    assert "input 'table' float32 [1, 4] has a name that says nothing" in table


def test_a_fixed_batch_is_named() -> None:
    with pytest.raises(InputError, match=r"'x' .*: the graph has a fixed batch of 4; export it with 1 or a free one"):
        recognise_inputs(inputs_model(("x", FLOAT, [4, 1, 64, 64])), None, {})


def test_a_tensor_that_is_no_image_needs_a_shape() -> None:
    model = inputs_model(("input", FLOAT, [1, "n"]), ("state", FLOAT, [2, 1, 8]))
    with pytest.raises(InputError, match=r"give one, such as --shape input=1,512"):
        recognise_inputs(model, None, {})
    with pytest.raises(InputError, match=r"such as --shape mel=1,80,512$"):
        recognise_inputs(inputs_model(("mel", FLOAT, [1, 80, "t"])), None, {})
    found = recognise_inputs(model, None, {"input": [1, 512]})
    assert (found.image.name, found.shape, found.constants((1, 1))) == ("input", (1, 512), {"state": 0.0})
    with pytest.raises(InputError, match=r"--shape input=3: the graph has the input 'input' float32 \[1, \?\]"):
        recognise_inputs(model, None, {"input": [3]})
    with pytest.raises(InputError, match="unknown input 'x'; valid: input, state"):
        recognise_inputs(model, None, {"x": [3]})


def test_a_size_that_the_graph_fixes_otherwise_is_refused() -> None:
    with pytest.raises(InputError, match="fixes its input to 64x48"):
        recognise_inputs(inputs_model(("x", FLOAT, [1, 3, 48, 64])), (64, 64), {})


SIZE = (64, 64)
CELLS = 64 + 16 + 4
GRID = np.concatenate([cell_grid(SIZE, stride, 0.5) for stride in (8, 16, 32)])


def rows(decoded: bool, each: int = 1, classes: int = 3) -> np.ndarray:
    """Boxes of cells with scores that say nothing."""
    rng = np.random.default_rng(0)
    table = np.full((CELLS * each, 4 + classes), 0.01, np.float32)
    grid = np.repeat(GRID, each, axis=0)
    table[:, :2] = grid if decoded else rng.random((len(grid), 2))
    table[:, 2:4] = 12 if decoded else 0.5
    return table


def vector(*values: float) -> np.ndarray:
    return np.array([values], np.float32)


CASES: dict[str, tuple[dict[str, np.ndarray], str, str, dict[str, Any]]] = {
    "yolov8": ({"y": rows(True).T[None]}, "detection", "yolov8", {}),
    "yolov5": (
        {"y": np.insert(rows(True, 3), 4, 0.9, axis=1)[None]}, "detection", "yolov5", {"decoded": True},
    ),
    "yolov5 in cells": (
        {"y": np.insert(rows(False, 3), 4, 0.9, axis=1)[None]}, "detection", "yolov5", {"decoded": False},
    ),
    "yolox": ({"y": np.insert(rows(False), 4, 0.9, axis=1)[None]}, "detection", "yolox", {"decoded": False}),
    "yolox of one class": (
        {"y": np.insert(rows(False, classes=1), 4, 0.9, axis=1)[None]}, "detection", "yolox", {"decoded": False},
    ),
    "gfl": (
        {**{f"s{n}": np.full((1, n, 80), 0.01, np.float32) for n in (64, 16, 4)},
         **{f"b{n}": np.zeros((1, n, 32), np.float32) for n in (64, 16, 4)}}, "detection", "gfl", {"bins": 8},
    ),
    "end2end": ({"y": np.zeros((1, 300, 6), np.float32)}, "detection", "end2end", {}),
    "boxes": (
        {"labels": np.zeros((1, 9), np.int64), "boxes": np.zeros((1, 9, 4), np.float32),
         "scores": np.zeros((1, 9), np.float32)}, "detection", "boxes", {"labels": "labels"},
    ),
    "classification": ({"y": np.zeros((1, 1000), np.float32)}, "classification", "classification", {"softmax": True}),
    "chances": ({"y": vector(0.2, 0.3, 0.5)}, "classification", "classification", {"softmax": False}),
    "embedding": ({"y": np.ones((1, 512), np.float32)}, "embedding", "embedding", {}),
    "segmentation": (
        {"y": np.zeros((1, 21, 64, 64), np.float32)}, "semantic segmentation", "segmentation", {"threshold": None},
    ),
    "labels": ({"y": np.zeros((1, 64, 64), np.int64)}, "semantic segmentation", "segmentation", {}),
    "text": (
        {"y": np.full((1, 1, 64, 64), 0.1, np.float32)}, "semantic segmentation", "segmentation", {"threshold": 0.3},
    ),
    "six classes": ({"y": vector(3, -1, 0.5, 2, -4, 1)}, "classification", "classification", {"softmax": True}),
    "seven classes": ({"y": vector(3, -1, 0.5, 2, -4, 1, 0)}, "classification", "classification", {"softmax": True}),
    "rows that are padding": ({"y": np.zeros((0, 7), np.float32)}, "detection", "end2end", {}),
    "logarithms": ({"y": np.log(vector(0.2, 0.3, 0.5))}, "classification", "classification", {"softmax": True}),
    "depth": ({"y": np.full((1, 1, 64, 64), 7.5, np.float32)}, "depth", "depth", {}),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_heads_are_found_by_shapes_and_values(name: str) -> None:
    outputs, task, kind, fields = CASES[name]
    found = recognise_outputs(outputs, SIZE, None, None)
    assert (found.task, found.kind) == (task, kind)
    assert found.head is not None
    for key, value in fields.items():
        assert found.head.get(key) == value, key


@pytest.mark.parametrize(
    "outputs",
    [
        {"y": np.zeros((1, 288, 2, 2), np.float32)},
        {"a": np.zeros((1, 7), np.float32), "b": np.zeros((1, 9), np.float32)},
        {"y": np.zeros((), np.float32)},
        {"y": np.full((1, 40, 6625), 0.1, np.float32)},  # text: a sequence of characters
        {"y": np.full((1, 17, 64), -1.0, np.float32)},  # tokens
    ],
)
def test_what_is_not_recognised_is_tensors_and_says_so(outputs: dict[str, np.ndarray]) -> None:
    found = recognise_outputs(outputs, SIZE, None, None)
    assert (found.task, found.head) == ("tensors", None)
    assert "of no known head: the task is `tensors`" in found.notes.guessed[0]


@pytest.mark.parametrize("shape", [(1, 3, 128, 128), (1, 128, 128, 3), (1, 1, 128, 128)])
@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_a_map_larger_than_the_input_is_no_segmentation(shape: tuple[int, ...], dtype: Any) -> None:
    found = recognise_outputs({"y": np.ones(shape, dtype)}, SIZE, None, None)
    assert (found.task, found.head) == ("tensors", None)
    assert "a map larger than the input of [64, 64]" in found.notes.guessed[0]


def test_an_image_in_whole_numbers_is_no_map_of_labels() -> None:
    assert recognise_outputs({"y": np.ones((1, 3, 64, 64), np.uint8)}, SIZE, None, None).task == "tensors"


@pytest.mark.parametrize(
    ("shape", "said"),
    [((1, 3, 64, 64), "an image's colours, for which --task tensors"), ((1, 17, 16, 16), "points of a pose")],
)
def test_maps_that_may_be_something_else_say_so(shape: tuple[int, ...], said: str) -> None:
    found = recognise_outputs({"y": np.full(shape, -1, np.float32)}, SIZE, None, None)
    assert found.task == "semantic segmentation"
    assert said in found.notes.guessed[0]
    assert found.notes.recognised == []


def test_several_classes_at_once_are_no_classification() -> None:
    outputs = {"y": vector(0.9, 0.8, 0.1)}
    for ends in ({}, {"y": "Sigmoid"}):
        found = recognise_outputs(outputs, SIZE, None, None, ends)
        assert (found.task, found.head) == ("tensors", None)
        assert "several classes at once (multi-label)" in found.notes.guessed[0]
    wide = {"y": np.full((1, 512), 0.5, np.float32)}
    assert recognise_outputs(wide, SIZE, None, None).task == "embedding"
    assert recognise_outputs(wide, SIZE, None, None, {"y": "Sigmoid"}).task == "tensors"
    assert recognise_outputs(outputs, SIZE, None, None, {"y": "Gemm"}).head == {
        "kind": "classification", "softmax": True,
    }  # fmt: skip
    with pytest.raises(InputError, match="a classification has one class: leave --task out"):
        recognise_outputs(outputs, SIZE, None, "classification", {"y": "Sigmoid"})


def test_the_end_of_an_output_is_behind_what_moves_numbers() -> None:
    b = Builder()
    b.node("Sigmoid", [b.conv("x", "c", 3, 4)], "s")
    b.node("Flatten", ["s"], "y")
    assert endings(b.model("y")) == {"y": "Sigmoid"}


def test_logarithms_of_chances_are_said_to_be_some() -> None:
    found = recognise_outputs({"y": np.log(vector(0.2, 0.3, 0.5))}, SIZE, None, None)
    assert "logarithms of chances" in found.notes.recognised[0]


def test_one_row_is_a_table_of_boxes_only_if_something_says_so() -> None:
    row = {"y": vector(1, 2, 30, 40, 0.9, 1)}
    assert recognise_outputs(row, SIZE, None, None).kind == "classification"
    assert recognise_outputs(row, SIZE, None, "detection").kind == "end2end"
    assert recognise_outputs(row, SIZE, Metadata("detect", ("hat", "coat")), None).kind == "end2end"
    assert recognise_outputs({"a": vector(1, 2, 3, 4), "b": vector(0.1, 0.2, 0.7)}, SIZE, None, None).head is None


def corners(name: str, columns: tuple[int, ...] = (0, 1, 2, 3)) -> dict[str, np.ndarray]:
    low = np.random.default_rng(0).random((9, 2)).astype(np.float32) / 2
    boxes = np.concatenate([low, low + 0.3], axis=1)[:, columns]
    return {"labels": np.zeros(9, np.int64), name: boxes, "scores": np.full(9, 0.9, np.float32)}


def test_the_format_of_boxes_is_written_and_guessed_unless_the_name_says_it() -> None:
    found = recognise_outputs(corners("boxes"), SIZE, None, None)
    assert found.head is not None
    assert found.head["format"] == "xyxy"
    assert any("boxes are xyxy (left, top, right, bottom): check" in line for line in found.notes.guessed)
    for name in ("rois", "detection_boxes"):
        found = recognise_outputs(corners(name), SIZE, None, None)
        assert found.head is not None
        assert found.head["format"] == "yxyx"
        assert not any("boxes are" in line for line in found.notes.guessed)


def test_logits_and_centres_are_boxes_as_a_guess() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(1, 100, 3)).astype(np.float32) * 3
    boxes = np.concatenate([rng.random((1, 100, 2)) * 64, rng.random((1, 100, 2)) * 20 + 5], axis=2).astype(np.float32)
    found = recognise_outputs({"cls": logits, "bbox": boxes}, SIZE, None, None)
    assert found.head is not None
    assert (found.kind, found.head["format"], found.head.get("sigmoid")) == ("boxes", "cxcywh", True)
    assert any("boxes are cxcywh" in line for line in found.notes.guessed)
    found = recognise_outputs({"cls": logits, "bbox": boxes * -1e6}, SIZE, None, None)
    assert (
        "the shapes would fit boxes (3 classes), boxes (2 classes, `background = true`), but" in found.notes.guessed[0]
    )


def test_ultralytics_boxes_are_suppressed_as_its_own_validation_does() -> None:
    found = recognise_outputs({"y": rows(True).T[None]}, SIZE, None, None)
    assert found.head is not None
    assert found.head["nms_iou"] == 0.7


def test_a_task_may_be_asked_for() -> None:
    outputs = {"y": np.ones((1, 512), np.float32)}
    assert recognise_outputs(outputs, SIZE, None, "classification").task == "classification"
    assert recognise_outputs(outputs, SIZE, None, "tensors").head is None
    with pytest.raises(InputError, match=r"outputs 'y' \[1, 512\] fit no head of the task 'depth'"):
        recognise_outputs(outputs, SIZE, None, "depth")
    with pytest.raises(InputError, match="unknown task 'poses'"):
        recognise_outputs(outputs, SIZE, None, "poses")


def test_metadata_decides() -> None:
    names = ("hat", "coat", "shoe")
    found = recognise_outputs({"y": rows(True).T[None]}, SIZE, Metadata("detect", names), None)
    assert (found.kind, found.classes) == ("yolov8", names)
    assert found.notes.guessed == []
    found = recognise_outputs({"y": vector(1, 2, 3)}, SIZE, Metadata("classify", names), None)
    assert (found.task, found.classes) == ("classification", names)
    found = recognise_outputs({"y": np.zeros((1, 20, 84), np.float32)}, SIZE, Metadata("obb", names), None)
    assert found.task == "tensors"
    assert "oriented boxes" in found.notes.recognised[0]


def test_eighty_names_of_coco_are_the_word() -> None:
    names = models.description.coco_names()
    found = recognise_outputs({"y": rows(True, classes=80).T[None]}, SIZE, Metadata("detect", names), None)
    assert found.classes == "coco"


def normalising(operation: str, value: float) -> onnx.ModelProto:
    b = Builder()
    b.constant("k", np.full((1, 3, 1, 1), value, np.float32))
    b.node(operation, ["x", "k"], "y")
    return b.model("y")


@pytest.mark.parametrize(
    ("operation", "value", "scale"),
    [("Div", 255.0, None), ("Mul", 1 / 255, None), ("Sub", 123.0, None), ("Sub", 0.48, 1 / 255), ("Div", 0.2, 1 / 255)],
)
def test_a_graph_that_normalises_itself_is_seen(operation: str, value: float, scale: float | None) -> None:
    fields, notes = preprocessing(normalising(operation, value), "x", "float32", 3, "detr", "")
    assert fields == ({} if scale is None else {"scale": scale})
    assert any("itself" in line for line in notes.recognised)


def test_preprocessing_is_that_of_the_heads_origin_and_said_to_be_a_guess() -> None:
    model = Builder().model()
    fields, notes = preprocessing(model, "x", "float32", 3, "yolov5", "")
    assert fields == {"resize": "letterbox", "anchor": "center", "pad_value": 114, "scale": 1 / 255}
    assert "check color, scale" in notes.guessed[0]
    assert preprocessing(model, "x", "float32", 3, "yolox", "")[0]["color"] == "BGR"
    assert preprocessing(model, "x", "uint8", 3, "boxes", "")[0] == {}
    assert preprocessing(model, "x", "int8", 3, "boxes", "")[0] == {"mean": (128.0,)}
    assert preprocessing(model, "x", "float32", 1, "", "")[0] == {"color": "gray", "scale": 1 / 255}
    assert preprocessing(model, "x", "float32", 3, "classification", "classify")[0] == {"scale": 1 / 255}
    assert preprocessing(model, "x", "float32", 3, "yolov8", "detect")[1].guessed == []


def test_toml_is_read_as_it_was_meant() -> None:
    names = [f'a.b.c.d {i} "q" \\ é\x7f\'' for i in range(200)]
    values = {"name": "x", "classes": names[:3], "n": {"odd key": names, "t": True, "f": 1e-05, "s": [[1, 2], [3]]}}
    text = to_toml({**values, "level": [{"a": 1}, {"a": 2}]}, ["a comment " * 40])
    import tomllib

    assert tomllib.loads(text) == {**values, "level": [{"a": 1}, {"a": 2}]}
    assert max(line.count(".") for line in text.splitlines()) <= 100


def test_a_detector_goes_from_its_file_to_detections(tmp_path: Path) -> None:
    path = toy.write_gfl(tmp_path / "toy.onnx")
    found = draft(path)
    assert found.task == "tensors"  # two levels only are less than any head's
    assert {level.tensor for level in found.description.pyramid} <= {"stem", "fine", "coarse", "down"}
    assert parse_description(found.text, "toy.toml") == found.description
    assert found.proposals[0].cut.bytes
    assert "# Made by `midstream init` from toy.onnx; task tensors." in found.text
    (tmp_path / "toy.toml").write_text(found.text)
    described, direct = models.load(str(tmp_path / "toy.toml")), models.load(str(path))
    assert described.fingerprint == direct.fingerprint
    image = np.zeros((50, 40, 3), np.uint8)
    for level, values in described.front(image).items():
        np.testing.assert_array_equal(values, direct.front(image)[level])
    with pytest.raises(InputError, match="has its weights in it: leave --weights out"):
        models.load(str(path), path)


def test_cuts_may_be_asked_for_and_are_checked(tmp_path: Path) -> None:
    onnx.save(pyramid(), str(tmp_path / "p.onnx"))
    found = draft(tmp_path / "p.onnx", at=["sum3", "p4", "p5"])
    assert [(level.name, level.tensor, level.stride) for level in found.description.pyramid] == [
        ("p1", "sum3", 2), ("p2", "p4", 4), ("p3", "p5", 8),
    ]  # fmt: skip
    with pytest.raises(InputError, match="does not separate the graph"):
        draft(tmp_path / "p.onnx", at=["p3", "p4"])
    with pytest.raises(InputError, match="unknown tensor 'p9'"):
        draft(tmp_path / "p.onnx", at=["p9"])


def test_a_graph_without_a_cut_says_so(tmp_path: Path) -> None:
    b = Builder()
    b.conv("x", "y", 3, 4)
    onnx.save(b.model("y"), str(tmp_path / "y.onnx"))
    with pytest.raises(InputError, match="no complete cut of up to six float tensors was found: name one with --at"):
        draft(tmp_path / "y.onnx")


def test_a_size_that_is_open_is_tried_out(tmp_path: Path) -> None:
    b = Builder()
    b.inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, "h", "w"])]
    b.constant("shape", np.array([1, 4 * 112 * 112], np.int64))
    b.node("Relu", [b.conv("x", "c", 3, 4, stride=2)], "a")
    b.node("Reshape", ["a", "shape"], "flat")  # only 224 x 224 will do
    b.node("ReduceMean", ["flat"], "y", axes=[1], keepdims=1)
    b.constant("w", np.ones((1, 10), np.float32))
    b.node("MatMul", ["y", "w"], "z")
    onnx.save(b.model("z"), str(tmp_path / "z.onnx"))
    found = draft(tmp_path / "z.onnx")
    assert found.description.input.size == (224, 224)
    assert any("leaves its size open: 224x224" in line for line in found.notes.guessed)
    with pytest.raises(InputError, match="does not run"):
        draft(tmp_path / "z.onnx", size=(64, 64))


def test_a_graph_that_takes_no_usual_size_says_what_to_do(tmp_path: Path) -> None:
    b = Builder()
    b.inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, "h", "w"])]
    b.constant("shape", np.array([1, 4 * 9 * 9], np.int64))
    b.node("Reshape", [b.conv("x", "c", 3, 4, stride=2), "shape"], "y")  # only 18 x 18 will do
    onnx.save(b.model("y"), str(tmp_path / "y.onnx"))
    with pytest.raises(InputError, match=r"none of 640x640, 320x48, .* fits: say which with midstream init --size"):
        draft(tmp_path / "y.onnx")


def test_outputs_that_do_not_bear_a_task_out_are_no_guess_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    b = Builder()
    b.node("Relu", [b.conv("x", "c", 3, 4, stride=2)], "a")
    b.conv("a", "y", 4, 5)
    onnx.save(b.model("y"), str(tmp_path / "y.onnx"))
    assert draft(tmp_path / "y.onnx").task == "semantic segmentation"
    tried: list[str] = []

    def refuse_first(network: Any) -> None:
        tried.append(network.task.name)
        if len(tried) == 1:
            raise InputError("it does not")

    monkeypatch.setattr(import_module("midstream.models.recognition.draft"), "try_out", refuse_first)
    found = draft(tmp_path / "y.onnx")
    assert tried == ["semantic segmentation", "tensors"]
    assert any("they are `tensors` now" in line for line in found.notes.warnings)
    assert not any("semantic segmentation" in line for line in [*found.notes.guessed, *found.notes.recognised])
    assert "Guessed: output" not in found.text
