"""Raw maps of YOLO's generations, and MediaPipe's detectors, recognised from graphs made here."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from tests.helpers.graphs import Builder

from midstream import models
from midstream.models.heads.metadata import Metadata
from midstream.models.recognition import Draft, draft
from midstream.models.recognition.anchors import Origin, of_maps, origin_of
from midstream.models.recognition.outputs import recognise_outputs

SIDE = 64
V3_FINE = [10.0, 13.0]


def detector(strides: list[int], channels: int, activation: str, objectness: float = -5.0, each: int = 3) -> Builder:
    """A chain of convolutions, and one of 1x1 at each of the strides that gives a map `mSTRIDE`."""
    b = Builder(side=SIDE)
    b.constant("floor", np.zeros(1, np.float32))
    at, into = "x", 3
    for stride in (2, 4, 8, 16, 32):
        name = f"f{stride}"
        b.conv(at, f"c{stride}", into, 8, stride=2)
        if activation == "Mish":
            b.node("Softplus", [f"c{stride}"], f"s{stride}")
            b.node("Tanh", [f"s{stride}"], f"t{stride}")
            b.node("Mul", [f"c{stride}", f"t{stride}"], name)
        elif activation == "LeakyRelu":
            b.node("LeakyRelu", [f"c{stride}"], name, alpha=0.1)
        else:
            b.node(activation, [f"c{stride}"], name)
        at, into = name, 8
    bias = np.zeros((each, channels // each), np.float32)
    bias[:, 4] = objectness
    b.constant("bias", bias.reshape(1, -1, 1, 1))
    for stride in strides:
        b.conv(f"f{stride}", f"raw{stride}", 8, channels, kernel=1)
        b.constant(f"small{stride}", np.float32(0.02))
        b.node("Mul", [f"raw{stride}", f"small{stride}"], f"scaled{stride}")
        b.node("Add", [f"scaled{stride}", "bias"], f"m{stride}")
    return b


def drafted(folder: Path, b: Builder, strides: list[int], name: str = "best.onnx") -> Draft:
    onnx.save(b.model(*[f"m{stride}" for stride in strides]), str(folder / name))
    return draft(folder / name)


@pytest.mark.parametrize(
    ("strides", "activation", "exponential", "first", "said"),
    [
        ([32, 16, 8], "LeakyRelu", True, V3_FINE, "YOLOv3's .* the coarse map comes first"),
        ([8, 16, 32], "Mish", True, [12.0, 16.0], "YOLOv4's .* the activation Mish"),
        ([32, 16], "LeakyRelu", True, [10.0, 14.0], "YOLOv3's .* two maps"),
        ([8, 16, 32], "Relu", False, V3_FINE, "YOLOv5's .* none of darknet's activations"),
        ([8, 16, 32], "LeakyRelu", False, [12.0, 16.0], "YOLOv7's .* the graph does not tell YOLOv3 and v4 from v7"),
    ],
)
def test_the_arithmetic_of_raw_maps_is_that_of_their_generation_or_a_warning(
    strides: list[int], activation: str, exponential: bool, first: list[float], said: str, tmp_path: Path
) -> None:
    found = drafted(tmp_path, detector(strides, 255, activation), strides)
    head: Any = found.description.head
    assert (found.task, head.kind, head.strides) == ("detection", "yolov5", tuple(sorted(strides)))
    assert head.maps == tuple(f"m{stride}" for stride in sorted(strides))
    assert (head.exponential, head.sigmoid, head.decoded, head.softmax) == (exponential, True, False, False)
    assert list(head.anchors[0][0]) == first
    (warning,) = [line for line in found.notes.warnings if line.startswith("maps are taken for")]
    assert re.search(said, warning)
    assert ("take `exponential` out" if exponential else "`exponential = true` is missing") in warning
    assert found.worth_knowing()[0] == warning  # with -m best.onnx, too
    assert any("anchors are those of" in line and "check them" in line for line in found.notes.guessed)
    assert found.description.input.resize == ("stretch" if exponential else "letterbox")


@pytest.mark.parametrize(("name", "exponential"), [("yolov3.onnx", True), ("yolov7-tiny.onnx", False)])
def test_a_name_decides_without_a_warning(name: str, exponential: bool, tmp_path: Path) -> None:
    strides = [8, 16, 32]
    found = drafted(tmp_path, detector(strides, 255, "LeakyRelu"), strides, name)
    head: Any = found.description.head
    assert head.exponential == exponential
    assert not found.notes.warnings
    assert any("a name says so" in line for line in found.notes.recognised)


@pytest.mark.parametrize(("classes", "anchor"), [(20, 1.08 * 32), (80, 0.57273 * 32)])
def test_one_map_of_darknet_is_yolo_v2_with_a_softmax(classes: int, anchor: float, tmp_path: Path) -> None:
    found = drafted(tmp_path, detector([32], 5 * (5 + classes), "LeakyRelu", each=5), [32])
    head: Any = found.description.head
    assert (head.kind, head.softmax, head.exponential, len(head.anchors[0])) == ("yolov5", True, True, 5)
    assert head.anchors[0][0][0] == pytest.approx(anchor)
    assert len(models.load(str(tmp_path / "best.onnx")).classes) == classes


def test_maps_of_features_are_no_detector(tmp_path: Path) -> None:
    strides = [8, 16, 32]
    found = drafted(tmp_path, detector(strides, 96, "Relu", objectness=0.0), strides)
    assert found.task == "tensors"
    assert not found.notes.warnings


def test_maps_of_chances_are_yolo_v5s_whatever_the_activations() -> None:
    maps = {f"m{s}": np.full((1, 3, SIDE // s, SIDE // s, 85), 0.01, np.float32) for s in (8, 16, 32)}
    found = of_maps(maps, (SIDE, SIDE), Origin(leaky=True))
    assert found is not None
    assert (found.whose, found.sure) == ("YOLOv5", True)
    assert "sigmoid" not in found.tables[0]
    assert "exponential" not in found.tables[0]


@pytest.mark.parametrize(("names", "task"), [(("a", "b"), "tensors"), (("a",), "detection")])
def test_names_in_the_file_have_to_be_as_many_as_the_maps_have_classes(names: tuple[str, ...], task: str) -> None:
    maps = {f"m{s}": np.full((1, 3, SIDE // s, SIDE // s, 6), -3.0, np.float32) for s in (8, 16, 32)}
    found = recognise_outputs(maps, (SIDE, SIDE), Metadata("detect", names), None, origin=Origin(3))
    assert found.task == task


@pytest.mark.parametrize(
    "shapes",
    [
        [(1, 255, 8, 8), (1, 255, 8, 8)],  # two of a stride
        [(1, 255, 7, 7), (1, 255, 4, 4)],  # of no stride
        [(1, 255, 8, 8), (1, 27, 4, 4)],
        [(1, 254, 8, 8), (1, 254, 4, 4)],
        [(1, 15, 8, 8), (1, 15, 4, 4)],  # no class
        [(1, 2, 8, 8, 85), (1, 2, 4, 4, 85)],
        [(255, 8, 8)],
    ],
)
def test_other_maps_are_left_to_others(shapes: list[tuple[int, ...]]) -> None:
    outputs = {str(i): np.full(shape, -3.0, np.float32) for i, shape in enumerate(shapes)}
    assert of_maps(outputs, (SIDE, SIDE), Origin(3)) is None
    assert of_maps({}, (SIDE, SIDE), Origin()) is None


@pytest.mark.parametrize(
    ("name", "generation"),
    [("yolov3-tiny", 3), ("yolo_v4", 4), ("YOLO2", 2), ("yolox_nano", 0), ("yolov10n", 10), ("best", 0)],
)
def test_generations_in_names(name: str, generation: int) -> None:
    assert origin_of(Builder().model(), name).generation == generation


def mediapipe(size: int, counts: list[int], width: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    outputs = {f"r{n}": rng.normal(0, size / 8, (1, n, width)).astype(np.float32) for n in counts}
    for values in outputs.values():
        values[..., 2:4] = np.abs(values[..., 2:4]) + 4
    return outputs | {f"c{n}": rng.normal(-3, 4, (1, n, 1)).astype(np.float32) for n in counts}


@pytest.mark.parametrize(
    ("size", "counts", "width", "strides", "what"),
    [
        (128, [896], 16, [8, 16], "face"),
        (128, [512, 384], 16, [8, 16], "face"),
        (128, [384, 512], 16, [8, 16], "face"),
        (256, [896], 16, [16, 32], "face"),
        (192, [2304], 16, [4], "face"),
        (192, [2016], 18, [8, 16], "palm"),
        (224, [2254], 12, [8, 16, 32], "person"),
    ],
)
def test_mediapipes_detectors(size: int, counts: list[int], width: int, strides: list[int], what: str) -> None:
    found = recognise_outputs(mediapipe(size, counts, width), (size, size), None, None)
    assert (found.task, found.kind, found.classes) == ("keypoints", "mediapipe", (what,))
    assert found.head is not None
    assert found.head["strides"] == strides
    assert found.head["sigmoid"]
    assert found.head["boxes"] == found.head["keypoints"]
    first = found.head["boxes"] if len(counts) == 1 else found.head["boxes"][0]
    assert first == f"r{max(counts)}"  # the fine level's rows come first


def test_blazeface_goes_from_its_file_to_faces(tmp_path: Path) -> None:
    b = Builder(side=128)
    b.node("Relu", [b.conv("x", "c2", 3, 8, 2)], "f2")
    b.node("Relu", [b.conv("f2", "c4", 8, 8, 2)], "f4")
    b.node("Relu", [b.conv("f4", "k8", 8, 8, 2)], "f8")
    b.node("Relu", [b.conv("f8", "k16", 8, 8, 2)], "f16")
    for stride, each in ((8, 2), (16, 6)):
        for name, width in (("r", 16), ("c", 1)):
            b.conv(f"f{stride}", f"{name}m{stride}", 8, each * width, kernel=1)
            b.node("Transpose", [f"{name}m{stride}"], f"{name}t{stride}", perm=[0, 2, 3, 1])
            b.constant(f"{name}s{stride}", np.array([1, -1, width], np.int64))
            b.node("Abs" if name == "r" else "Neg", [f"{name}t{stride}"], f"{name}a{stride}")  # sides are above 0
            b.node("Reshape", [f"{name}a{stride}", f"{name}s{stride}"], f"{name}{stride}")
    onnx.save(b.model("r8", "r16", "c8", "c16"), str(tmp_path / "blaze.onnx"))
    found = draft(tmp_path / "blaze.onnx")
    head: Any = found.description.head
    assert (found.task, head.boxes, head.scores, head.keypoints) == (
        "keypoints", ("r8", "r16"), ("c8", "c16"), ("r8", "r16"),
    )  # fmt: skip
    assert found.description.input.mean == (127.5,) * 3
    (tmp_path / "blaze.toml").write_text(found.text)
    model = models.load(str(tmp_path / "blaze.toml"))
    faces: Any = model.back(model.front(np.zeros((50, 40, 3), np.uint8)), (50, 40))
    assert model.classes == ("face",)
    assert faces.keypoints.shape[1:] == (6, 3)


def test_retinafaces_scores_are_chances_or_logits() -> None:
    rng = np.random.default_rng(0)
    count = sum(2 * (SIDE // stride) ** 2 for stride in (8, 16, 32))
    logits = rng.normal(0, 3, (1, count, 2)).astype(np.float32)
    chances = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    rest = {"loc": np.zeros((1, count, 4), np.float32), "landms": np.zeros((1, count, 10), np.float32)}
    for scores, softmax in ((logits, True), (chances, None)):
        found = recognise_outputs({**rest, "conf": scores}, (SIDE, SIDE), None, None)
        assert found.head is not None
        assert (found.kind, found.classes, found.head.get("softmax")) == ("retinaface", ("face",), softmax)
