"""Small networks of other tasks than detection, made on the spot: three convolutions and a head, random weights."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIDE, CHANNELS, CLASSES = 32, 8, 4
#: What the description says of the head, and the classes of tasks that have some.
HEADS = {
    "classification": 'kind = "classification"\nsoftmax = true',
    "semantic segmentation": 'kind = "segmentation"',
    "depth": 'kind = "depth"',
    "embedding": 'kind = "embedding"',
    "tensors": "",
}


def write_network(folder: Path, task: str, unread: bool = False) -> Path:
    """A description and its network: input [1, 3, 32, 32], cut at `features` [8, 8, 8] (stride 4).

    With `unread` also at `aside`, of the same shape, which is multiplied by next to nothing.
    """
    rng = np.random.default_rng(len(task))
    nodes, weights = [], []

    def conv(source: str, output: str, inputs: int, outputs: int, stride: int) -> None:
        scale = np.sqrt(2 / (9 * inputs))
        weight = (rng.normal(size=(outputs, inputs, 3, 3)) * scale).astype(np.float32)
        weights.append(numpy_helper.from_array(weight, f"w_{output}"))
        nodes.append(helper.make_node("Conv", [source, f"w_{output}"], [output], strides=[stride] * 2, pads=[1] * 4))

    conv("image", "stem", 3, CHANNELS, 4)
    nodes.append(helper.make_node("Relu", ["stem"], ["features"]))
    source = "features"
    if unread:
        nodes.append(helper.make_node("Neg", ["stem"], ["aside"]))
        weights.append(numpy_helper.from_array(np.float32(1e-20), "little"))
        nodes.append(helper.make_node("Mul", ["aside", "little"], ["nothing"]))
        nodes.append(helper.make_node("Add", ["features", "nothing"], ["both"]))
        source = "both"
    conv(source, "deep", CHANNELS, CHANNELS, 1)
    nodes.append(helper.make_node("Relu", ["deep"], ["active"]))
    width = {"depth": 1, "embedding": 16}.get(task, CLASSES)
    conv("active", "maps", CHANNELS, width, 1)
    shape = [1, width, SIDE // 4, SIDE // 4]
    last = "maps"
    if task in ("classification", "embedding"):
        nodes.append(helper.make_node("GlobalAveragePool", ["maps"], ["pooled"]))
        nodes.append(helper.make_node("Flatten", ["pooled"], ["vector"]))
        last, shape = "vector", [1, width]
    if task == "depth":
        nodes.append(helper.make_node("Exp", ["maps"], ["positive"]))
        last = "positive"
    graph = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info(last, TensorProto.FLOAT, shape)],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(folder / "task.onnx"))
    classes = f"classes = {[f'class {i}' for i in range(CLASSES)]}\n" if task in ("classification",) else ""
    head = f"[head]\n{HEADS[task]}\n" if HEADS[task] else ""
    (folder / "task.toml").write_text(
        f'name = "toy {task}"\n{classes}[weights]\nfile = "task.onnx"\n[input]\nsize = [{SIDE}, {SIDE}]\n'
        f"scale = 0.0078125\nmean = [1.0, 1.0, 1.0]\n"
        f'[[pyramid]]\nname = "features"\ntensor = "features"\nstride = 4\n'
        + ('[[pyramid]]\nname = "aside"\ntensor = "aside"\nstride = 4\n' if unread else "")
        + head
    )
    return folder / "task.toml"


def with_labels_inside(path: Path) -> None:
    """Append what turns the maps of a segmenter into labels, int64 [1, h, w]."""
    model = onnx.load(str(path))
    (old,) = model.graph.output
    model.graph.node.append(helper.make_node("ArgMax", [old.name], ["labels"], axis=1, keepdims=0))
    shape = [dim.dim_value for dim in old.type.tensor_type.shape.dim]
    labels = helper.make_tensor_value_info("labels", TensorProto.INT64, [1, *shape[2:]])
    model.graph.output.remove(old)
    model.graph.output.append(labels)
    onnx.save(model, str(path))


def write_images(folder: Path, count: int) -> Path:
    """A folder of images in which there is something to tell apart."""
    (folder / "images").mkdir()
    rng = np.random.default_rng(1)
    for number in range(count):
        coarse = rng.integers(0, 256, (4, 5, 3)).astype(np.uint8)
        image = cv2.resize(coarse, (50, 40), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / "images" / f"{number}.png"), image)
    return folder / "images"
