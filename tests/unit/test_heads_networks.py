"""Networks with masks, keypoints and the data set's ids, from an image through both halves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from midstream import models
from midstream.errors import InputError
from midstream.masks import decode_mask
from midstream.models import Detections
from midstream.models.onnx_model import OnnxModel

SIDE, BOXES = 64, 16
IMAGE = np.random.default_rng(0).integers(0, 256, (48, 96, 3), dtype=np.uint8)
DESCRIPTION = """
name = "made"
classes = ["a", "b"]
category_ids = [3, 7]
[weights]
file = "made.onnx"
[input]
size = [64, 64]
resize = "letterbox"
anchor = "center"
scale = 0.00392156862745098
[[pyramid]]
name = "p3"
tensor = "p3"
stride = 8
[head]
"""


def network(outputs: dict[str, NDArray[np.float32]]) -> onnx.ModelProto:
    """A graph whose outputs are these values, and a little of the image's level p3 [1, 3, 8, 8]."""
    nodes = [
        helper.make_node("AveragePool", ["image"], ["p3"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("ReduceMean", ["p3"], ["mean"], keepdims=0),
    ]
    weights, infos = [], []
    for name, value in outputs.items():
        share = np.array(0 if name == "labels" else 1e-4, np.float32)
        weights += [numpy_helper.from_array(value, f"{name}/value"), numpy_helper.from_array(share, f"{name}/share")]
        nodes.append(helper.make_node("Mul", ["mean", f"{name}/share"], [f"{name}/crumb"]))
        nodes.append(helper.make_node("Add", [f"{name}/value", f"{name}/crumb"], [name]))
        infos.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, value.shape))
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, SIDE, SIDE])
    graph = helper.make_graph(nodes, "made", [image], infos, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def loaded(folder: Path, outputs: dict[str, NDArray[np.float32]], head: str) -> OnnxModel:
    onnx.save(network(outputs), str(folder / "made.onnx"))
    (folder / "made.toml").write_text(DESCRIPTION + head)
    made = models.load(str(folder / "made.toml"))
    assert isinstance(made, OnnxModel)
    return made


def seen(made: OnnxModel) -> Detections:
    found = made.back(made.front(IMAGE), IMAGE.shape[:2])
    assert isinstance(found, Detections)
    assert found.fault(2) == ""
    return found


def table(more: int) -> NDArray[np.float32]:
    """Sixteen boxes of 8 x 8 pixels on a grid, and `more` numbers each after the scores of two classes."""
    rng = np.random.default_rng(0)
    rows = np.zeros((BOXES, 6 + more), np.float32)
    rows[:, :2] = np.stack(np.meshgrid([12, 25, 38, 51], [20, 28, 36, 44]), axis=-1).reshape(-1, 2)
    rows[:, 2:4], rows[:, 4:6] = 8, rng.uniform(0.2, 0.9, (BOXES, 2))
    return rows


V8 = 'kind = "yolov8"\nscore_threshold = 0.1\nnms_iou = 0.5\n'


def test_a_network_with_keypoints(tmp_path: Path) -> None:
    rows = table(9)
    rows[:, 6::3], rows[:, 7::3], rows[:, 8::3] = rows[:, :1], rows[:, 1:2], 0.5
    made = loaded(tmp_path, {"o": rows.T[None]}, V8 + "keypoints = 3\n")
    found = seen(made)
    assert found.keypoints is not None
    assert found.keypoints.shape == (len(found), 3, 3)
    middles = (found.boxes[:, None, :2] + found.boxes[:, None, 2:]) / 2
    np.testing.assert_allclose(found.keypoints[:, :, :2], np.repeat(middles, 3, axis=1), atol=0.01)
    assert not made.has_masks
    assert made.proposes


def test_a_network_with_masks(tmp_path: Path) -> None:
    prototypes = np.ones((1, 2, 16, 16), np.float32)
    prototypes[0, 1] = np.indices((16, 16))[1] - 7.5  # the right half of the input
    rows = table(2)
    rows[:, 7] = 1
    made = loaded(tmp_path, {"o": rows.T[None], "p": prototypes}, V8 + 'prototypes = "p"\n')
    found = seen(made)
    assert made.has_masks
    assert found.masks is not None
    for box, rle in zip(found.boxes, found.masks, strict=True):
        mask = decode_mask(rle)
        assert mask.shape == IMAGE.shape[:2]
        assert mask.any() == (box[2] > 49)
        assert not mask[:, :47].any()


def test_labels_that_are_the_data_set_s_ids(tmp_path: Path) -> None:
    rows = table(0)
    corners = np.concatenate([rows[:, :2] - 4, rows[:, :2] + 4], axis=1)
    labels = np.resize(np.array([3, 7, 5], np.float32), BOXES)
    outputs = {"labels": labels, "boxes": corners, "scores": rows[:, 4]}
    head = 'kind = "boxes"\nscores = "scores"\nlabels = "labels"\n'
    made = loaded(tmp_path, outputs, head + "category_labels = true\n")
    found = seen(made)
    order = np.argsort(-rows[:, 4], kind="stable")
    assert found.labels.tolist() == [{3: 0, 7: 1}[int(label)] for label in labels[order] if label != 5]
    assert not made.proposes
    assert not made.batches
    with pytest.raises(InputError, match=r"made\.onnx: output 'labels' has labels from 3 to 7, the 2 classes"):
        loaded(tmp_path, outputs, head)


def test_an_output_that_is_named_wrongly_is_found_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"made\.onnx: unknown output 'q'; valid: o"):
        loaded(tmp_path, {"o": table(2).T[None]}, V8 + 'prototypes = "q"\n')
