"""Small detectors made on the spot: a two-level gfl network and a yolox one, with random weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from midstream import models
from midstream.data import read_image

SIDE = 32
CLASSES = ("cat", "dog", "cow")
BINS = 4
CHANNELS = 5


def _conv(name: str, source: str, output: str, shape: tuple[int, ...], stride: int, rng: np.random.Generator) -> tuple:
    weight = numpy_helper.from_array((rng.normal(size=shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32), name)
    pad = shape[2] // 2
    node = helper.make_node("Conv", [source, name], [output], strides=[stride] * 2, pads=[pad] * 4)
    return node, weight


def write_gfl(path: Path, initialisers_as_inputs: bool = False, side: int = SIDE) -> Path:
    """Input `image` [1, 3, 32, 32] by default; pyramid `fine` [5, 4, 4] (stride 8), `coarse` [5, 2, 2] (stride 16)."""
    rng = np.random.default_rng(0)
    nodes, weights = [], []

    def conv(name: str, source: str, output: str, shape: tuple[int, ...], stride: int) -> None:
        node, weight = _conv(name, source, output, shape, stride, rng)
        nodes.append(node)
        weights.append(weight)

    conv("w0", "image", "stem", (CHANNELS, 3, 3, 3), 8)
    nodes.append(helper.make_node("Relu", ["stem"], ["fine"]))
    conv("w1", "fine", "down", (CHANNELS, CHANNELS, 3, 3), 2)
    nodes.append(helper.make_node("Relu", ["down"], ["coarse"]))
    outputs = []
    for kind, width in (("scores", len(CLASSES)), ("boxes", 4 * BINS)):
        for level, cells in (("fine", (side // 8) ** 2), ("coarse", (side // 16) ** 2)):
            name = f"{kind}_{level}"
            conv(f"w_{name}", level, f"{name}_map", (width, CHANNELS, 1, 1), 1)
            activation = "Sigmoid" if kind == "scores" else "Identity"
            nodes.append(helper.make_node(activation, [f"{name}_map"], [f"{name}_act"]))
            nodes.append(helper.make_node("Flatten", [f"{name}_act"], [f"{name}_flat"], axis=2))
            shape = numpy_helper.from_array(np.array([1, width, cells], np.int64), f"shape_{name}")
            weights.append(shape)
            nodes.append(helper.make_node("Reshape", [f"{name}_flat", f"shape_{name}"], [f"{name}_rows"]))
            nodes.append(helper.make_node("Transpose", [f"{name}_rows"], [name], perm=[0, 2, 1]))
            outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, cells, width]))
    inputs = [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, side, side])]
    if initialisers_as_inputs:
        inputs += [helper.make_tensor_value_info(w.name, w.data_type, list(w.dims)) for w in weights]
    graph = helper.make_graph(nodes, "toy", inputs, outputs, weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(path))
    return path


DESCRIPTION = f"""
name = "toy"
classes = {list(CLASSES)}

[weights]
file = "toy.onnx"
source = "this test"

[input]
name = "image"
size = [{SIDE}, {SIDE}]
mean = [127.5, 127.5, 127.5]
std = [64.0, 64.0, 64.0]

[[pyramid]]
name = "p3"
tensor = "fine"
stride = 8

[[pyramid]]
name = "p4"
tensor = "coarse"
stride = 16

[head]
kind = "gfl"
strides = [8, 16]
bins = {BINS}
score_threshold = 0.05
nms_iou = 0.6
"""


def write_yolox(path: Path) -> Path:
    """As `write_gfl`, but with the one output `rows` [1, 20, 5 + 3] of a yolox head, not decoded."""
    rng = np.random.default_rng(1)
    nodes, weights = [], []
    width = 5 + len(CLASSES)
    for source, target, channels, stride in (("image", "fine", 3, 8), ("fine", "coarse", CHANNELS, 2)):
        node, weight = _conv(f"w_{target}", source, f"{target}_map", (CHANNELS, channels, 3, 3), stride, rng)
        nodes += [node, helper.make_node("Relu", [f"{target}_map"], [target])]
        weights.append(weight)
    weights.append(numpy_helper.from_array(np.array([1, width, -1], np.int64), "shape"))
    for level in ("fine", "coarse"):
        node, weight = _conv(f"w_{level}_rows", level, f"{level}_all", (width, CHANNELS, 1, 1), 1, rng)
        nodes += [node, helper.make_node("Reshape", [f"{level}_all", "shape"], [f"{level}_cells"])]
        weights.append(weight)
    nodes.append(helper.make_node("Concat", ["fine_cells", "coarse_cells"], ["cells"], axis=2))
    nodes.append(helper.make_node("Transpose", ["cells"], ["raw"], perm=[0, 2, 1]))
    nodes.append(helper.make_node("Split", ["raw", "parts"], ["boxes", "logits"], axis=2))
    weights.append(numpy_helper.from_array(np.array([4, width - 4], np.int64), "parts"))
    nodes.append(helper.make_node("Sigmoid", ["logits"], ["chances"]))
    nodes.append(helper.make_node("Concat", ["boxes", "chances"], ["rows"], axis=2))
    inputs = [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, SIDE, SIDE])]
    outputs = [helper.make_tensor_value_info("rows", TensorProto.FLOAT, [1, 20, width])]
    graph = helper.make_graph(nodes, "toy", inputs, outputs, weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(path))
    return path


def decode_boxes(model: onnx.ModelProto, side: int, strides: tuple[int, ...] = (8, 16)) -> onnx.ModelProto:
    """A yolox network with the arithmetic behind its head appended, as exporters do: an output of the same shape."""
    (old,) = model.graph.output
    counts = [(side // stride) ** 2 for stride in strides]
    cells = np.concatenate([np.indices((side // s, side // s)).reshape(2, -1).T[:, ::-1] for s in strides])
    width = old.type.tensor_type.shape.dim[2].dim_value
    constants = {
        "grid": cells.astype(np.float32)[None],
        "stride": np.repeat(np.array(strides, np.float32), counts)[None, :, None],
        "axis": np.array([2], np.int64),
    } | {f"at{place}": np.array([place], np.int64) for place in (0, 2, 4, width)}
    model.graph.initializer.extend(
        numpy_helper.from_array(value, f"decode/{name}") for name, value in constants.items()
    )
    for kind, inputs, output in (
        ("Slice", [old.name, "at0", "at2", "axis"], "xy"),
        ("Slice", [old.name, "at2", "at4", "axis"], "log"),
        ("Slice", [old.name, "at4", f"at{width}", "axis"], "rest"),
        ("Add", ["xy", "grid"], "cell"),
        ("Mul", ["cell", "stride"], "centre"),
        ("Exp", ["log"], "sides"),
        ("Mul", ["sides", "stride"], "size"),
        ("Concat", ["centre", "size", "rest"], "decoded"),
    ):
        names = [name if name == old.name else f"decode/{name}" for name in inputs]
        options = {"axis": 2} if kind == "Concat" else {}
        model.graph.node.append(helper.make_node(kind, names, [f"decode/{output}"], **options))
    old.name = "decode/decoded"
    return model


#: Of the networks of `write_yolox`.
YOLOX_HEAD = """[head]
kind = "yolox"
strides = [8, 16]
score_threshold = 0.05
nms_iou = 0.6
"""


def write_toy(folder: Path, side: int = SIDE) -> Path:
    """toy.onnx and toy.toml in a folder; the description's path."""
    write_gfl(folder / "toy.onnx", side=side)
    (folder / "toy.toml").write_text(DESCRIPTION.replace(f"size = [{SIDE}, {SIDE}]", f"size = [{side}, {side}]"))
    return folder / "toy.toml"


def write_labelled(folder: Path) -> Path:
    """The toy network, four images in `images`, and truth.json: some of the network's own detections on them."""
    write_toy(folder)
    (folder / "images").mkdir()
    rng = np.random.default_rng(0)
    for i in range(4):
        coarse = rng.integers(0, 256, (6, 5, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / "images" / f"{i}.png"), cv2.resize(coarse, (50, 60)))
    model = models.load(str(folder / "toy.toml"))
    truth: dict[str, Any] = {"images": [], "annotations": [], "categories": []}
    truth["categories"] = [{"id": 10 + i, "name": name} for i, name in enumerate(CLASSES)]
    for i in range(4):
        found = model.back(model.front(read_image(folder / "images" / f"{i}.png")), (60, 50))
        truth["images"].append({"id": i + 1, "file_name": f"{i}.png", "width": 50, "height": 60})
        for box, label in list(zip(found.boxes.tolist(), found.labels.tolist(), strict=True))[:3]:
            left, top, right, bottom = box
            sides = [left, top, right - left, bottom - top]
            truth["annotations"].append(
                {"id": len(truth["annotations"]) + 1, "image_id": i + 1, "category_id": 10 + label, "bbox": sides,
                 "area": sides[2] * sides[3], "iscrowd": 0}
            )  # fmt: skip
    (folder / "truth.json").write_text(json.dumps(truth))
    return folder


def write_images(folder: Path, count: int) -> None:
    """So many smooth images of 48 x 40, as 00.png, 01.png and so on."""
    folder.mkdir()
    rng = np.random.default_rng(9)
    for i in range(count):
        coarse = rng.integers(0, 256, (5, 6, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{i:02}.png"), cv2.resize(coarse, (48, 40)))


def smooth_symbols(symbols: int, shape: tuple[int, int, int], seed: int = 0) -> NDArray[np.uint8]:
    """Maps whose neighbours are alike, and every second channel a noisy copy of the one before."""
    rng = np.random.default_rng(seed)
    channels, height, width = shape
    noise = rng.normal(size=(channels, height + 4, width + 4))
    for axis in (1, 2):
        noise = noise + np.roll(noise, 1, axis) + np.roll(noise, 2, axis)
    values = noise[:, 4:, 4:] / 5
    values[1::2] = values[0::2][: channels // 2] + rng.normal(size=values[1::2].shape) * 0.2
    return np.clip(np.floor((values + 1) * symbols / 2), 0, symbols - 1).astype(np.uint8)
