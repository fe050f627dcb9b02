"""SCRFD's and YuNet's heads, beside plain loops and OpenCV's own detector."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from midstream.errors import InputError
from midstream.models.detector_heads import RetinaFaceHead, ScrfdHead, YunetHead
from midstream.models.heads import candidates, decode_head, has_keypoints, output_names

SIZE = (64, 96)
STRIDES = (8, 16, 32)
CELLS = {stride: (64 // stride, 96 // stride) for stride in STRIDES}
YUNET = YunetHead(kind="yunet", score_threshold=0.3, nms_iou=0.3, max_detections=500)
SCRFD = ScrfdHead(kind="scrfd", score_threshold=0.5, nms_iou=0.4)


def made(kinds: dict[str, int], each: int, seed: int = 0) -> dict[str, NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    values = {}
    for kind, columns in kinds.items():
        for stride, (rows, across) in CELLS.items():
            shape = (1, rows * across * each, columns)
            values[f"{kind}_{stride}"] = rng.random(shape).astype(np.float32)
    return values


def test_scrfd_s_sides_and_landmarks_are_distances_in_strides_two_rows_a_cell() -> None:
    values = made({"score": 1, "bbox": 4, "kps": 10}, 2)
    found = candidates(SCRFD, values, SIZE, 1)
    boxes, points = [], []
    for stride, (rows, across) in CELLS.items():
        for number in range(rows * across * 2):
            y, x = divmod(number // 2, across)
            left, top, right, bottom = values[f"bbox_{stride}"][0, number] * stride
            boxes.append([x * stride - left, y * stride - top, x * stride + right, y * stride + bottom])
            marks = values[f"kps_{stride}"][0, number].reshape(5, 2) * stride
            points.append(marks + np.array([x * stride, y * stride]))
    np.testing.assert_allclose(found.boxes, boxes, rtol=1e-5, atol=1e-4)
    assert found.keypoints is not None
    np.testing.assert_allclose(found.keypoints[:, :, :2], points, rtol=1e-5, atol=1e-4)
    assert (found.keypoints[:, :, 2] == 1).all()
    np.testing.assert_array_equal(found.scores[:, 0], np.concatenate([values[f"score_{s}"][0, :, 0] for s in STRIDES]))
    detections = decode_head(SCRFD, values, SIZE, 1)
    assert detections.keypoints is not None
    assert len(detections.keypoints) == len(detections.boxes) > 3


def test_scrfd_without_landmarks_without_a_batch_and_with_names() -> None:
    values = made({"score": 1, "bbox": 4}, 2)
    expected = candidates(SCRFD, values, SIZE, 1)
    assert expected.keypoints is None
    assert not has_keypoints(SCRFD, values)
    assert has_keypoints(SCRFD, made({"score": 1, "bbox": 4, "kps": 10}, 2))
    assert has_keypoints(YUNET, values)
    flat = {name: value[0] for name, value in values.items()}
    np.testing.assert_array_equal(candidates(SCRFD, flat, SIZE, 1).boxes, expected.boxes)
    names = {kind: [f"{short}_{s}" for s in STRIDES] for kind, short in (("scores", "score"), ("boxes", "bbox"))}
    named = ScrfdHead.model_validate({**SCRFD.model_dump(), **names})
    mixed = dict(reversed(list(values.items())))
    np.testing.assert_array_equal(candidates(named, mixed, SIZE, 1).boxes, expected.boxes)
    with pytest.raises(ValueError, match="one output for each stride, or none"):
        ScrfdHead.model_validate({**SCRFD.model_dump(), "scores": ["a"]})
    with pytest.raises(ValueError, match="one output for each stride, or none"):
        YunetHead.model_validate({**YUNET.model_dump(), **names})


def yunet_graph(values: dict[str, NDArray[np.float32]]) -> onnx.ModelProto:
    """A graph with these outputs for any image."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["input"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
    ]
    weights, outputs = [], []
    for name, value in values.items():
        weights.append(numpy_helper.from_array(np.zeros((3, value.size), np.float32), f"{name}/w"))
        weights.append(numpy_helper.from_array(value.reshape(-1), f"{name}/b"))
        weights.append(numpy_helper.from_array(np.array(value.shape, np.int64), f"{name}/s"))
        nodes.append(helper.make_node("Gemm", ["flat", f"{name}/w", f"{name}/b"], [f"{name}/row"]))
        nodes.append(helper.make_node("Reshape", [f"{name}/row", f"{name}/s"], [name]))
        outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, value.shape))
    image = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, *SIZE])
    graph = helper.make_graph(nodes, "faces", [image], outputs, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=8)


@pytest.mark.parametrize("seed", range(3))
def test_yunet_reads_what_opencv_s_own_detector_reads(seed: int, tmp_path: Path) -> None:
    """Without suppression, for which OpenCV cuts boxes to whole pixels."""
    values = made({"cls": 1, "obj": 1, "bbox": 4, "kps": 10}, 1, seed)
    onnx.save(yunet_graph(values), str(tmp_path / "faces.onnx"))
    detector = cv2.FaceDetectorYN.create(str(tmp_path / "faces.onnx"), "", SIZE[::-1], 0.3, 1.0, 5000)
    expected = detector.detect(np.zeros((*SIZE, 3), np.uint8))[1]
    found = decode_head(YUNET.model_copy(update={"nms_iou": 1.0}), values, SIZE, 1)
    assert len(found.scores) == len(expected) > 5
    corners = np.concatenate([expected[:, :2], expected[:, :2] + expected[:, 2:4]], axis=1)
    order = np.argsort(-expected[:, 14], kind="stable")
    np.testing.assert_allclose(found.boxes, corners[order], rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(found.scores, expected[order, 14], rtol=1e-5)
    assert found.keypoints is not None
    np.testing.assert_allclose(found.keypoints[:, :, :2], expected[order, 4:14].reshape(-1, 5, 2), rtol=1e-4, atol=1e-3)


def test_retinaface_s_boxes_and_landmarks_are_offsets_against_anchors() -> None:
    head = RetinaFaceHead(
        kind="retinaface", boxes="loc", scores="conf", keypoints="landms", score_threshold=0.6, nms_iou=0.4
    )
    rng, count = np.random.default_rng(0), 2 * sum(rows * across for rows, across in CELLS.values())
    values = {name: rng.normal(size=(1, count, width)).astype(np.float32) for name, width in
              {"loc": 4, "conf": 2, "landms": 10}.items()}  # fmt: skip
    values["conf"] = rng.dirichlet([1, 1], count)[None].astype(np.float32)
    found = candidates(head, values, SIZE, 1)
    assert found.keypoints is not None
    number = 0
    for stride, lengths in zip(STRIDES, ((16, 32), (64, 128), (256, 512)), strict=True):
        rows, across = CELLS[stride]
        for y in range(rows):
            for x in range(across):
                for length in lengths:
                    dx, dy, dw, dh = values["loc"][0, number].astype(np.float64)
                    cx, cy = (x + 0.5) * stride, (y + 0.5) * stride
                    w, h = length * np.exp(0.2 * dw), length * np.exp(0.2 * dh)
                    left, top = cx + 0.1 * dx * length - w / 2, cy + 0.1 * dy * length - h / 2
                    np.testing.assert_allclose(
                        found.boxes[number], [left, top, left + w, top + h], rtol=1e-4, atol=0.01
                    )
                    marks = values["landms"][0, number].reshape(5, 2) * 0.1 * length + np.array([cx, cy])
                    np.testing.assert_allclose(found.keypoints[number, :, :2], marks, rtol=1e-4, atol=0.01)
                    number += 1
    assert number == count
    np.testing.assert_array_equal(found.scores[:, 0], values["conf"][0, :, 1])
    logits = head.model_copy(update={"softmax": True})
    again = candidates(logits, values | {"conf": np.log(values["conf"])}, SIZE, 1)
    np.testing.assert_allclose(again.scores, found.scores, atol=1e-5)
    assert set(output_names(head)) == {"loc", "conf", "landms"}
    assert has_keypoints(head, values)
    with pytest.raises(ValueError, match="one for each of the 1 strides"):
        RetinaFaceHead.model_validate({**head.model_dump(), "strides": [8]})


def test_blazeface_by_its_makers_decoding() -> None:
    """MediaPipe's: all in pixels of an input of 128, against points of cells, two and six of them."""
    step = 1 / 128
    head = RetinaFaceHead(
        kind="retinaface", boxes="regressors", scores="classificators", keypoints="regressors", strides=(8, 16),
        sizes=((128.0,) * 2, (128.0,) * 6), variances=(step, step), linear=True, sigmoid=True, score_threshold=0.5,
        nms_iou=0.3,
    )  # fmt: skip
    rng = np.random.default_rng(0)
    regressors = rng.normal(0, 20, (1, 896, 16)).astype(np.float32)
    regressors[..., 2:4] = np.abs(regressors[..., 2:4])
    logits = rng.normal(0, 3, (1, 896, 1)).astype(np.float32)
    found = candidates(head, {"regressors": regressors, "classificators": logits}, (128, 128), 1)
    points = [(x, y, 8) for y in range(16) for x in range(16) for _ in range(2)]
    points += [(x, y, 16) for y in range(8) for x in range(8) for _ in range(6)]
    assert found.keypoints is not None
    for number, (x, y, stride) in enumerate(points):
        centre = np.array([x + 0.5, y + 0.5]) * stride
        row = regressors[0, number].astype(np.float64)
        half = row[2:4] / 2
        expected = [*(centre + row[:2] - half), *(centre + row[:2] + half)]
        np.testing.assert_allclose(found.boxes[number], expected, rtol=1e-4, atol=1e-3)
        np.testing.assert_allclose(found.keypoints[number, :, :2], row[4:].reshape(6, 2) + centre, atol=1e-3)
    np.testing.assert_allclose(found.scores, 1 / (1 + np.exp(-logits[0].astype(np.float64))), atol=1e-6)
    with pytest.raises(ValueError, match="of a softmax or of a sigmoid, not of both"):
        RetinaFaceHead.model_validate({**head.model_dump(), "softmax": True})


@pytest.mark.parametrize(
    ("kinds", "each", "message"),
    [
        ({"score": 1, "bbox": 4}, 1, r"'score_8' has shape \[1, 96, 1\], the head expects \[1, 192, columns\].*"),
        ({"score": 1}, 2, "a head of 3 strides has 6 or 9 outputs, the network has 3"),
        ({"score": 2, "bbox": 4}, 2, "2 columns of scores, the head expects those of 1 classes"),
        ({"score": 1, "bbox": 4, "kps": 9}, 2, "9 columns, the head expects x and y of each landmark"),
        ({"cls": 1, "obj": 1, "bbox": 4, "kps": 10}, 1, "12.*by their shapes they would fit: yunet"),
    ],
)
def test_outputs_that_are_not_scrfd_s(kinds: dict[str, int], each: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        candidates(SCRFD, made(kinds, each), SIZE, 1)


def test_sizes_beyond_all_bounds_stay_finite() -> None:
    values: dict[str, Any] = made({"cls": 1, "obj": 1, "bbox": 4, "kps": 10}, 1)
    found = decode_head(YUNET, values | {"bbox_8": np.full((1, 96, 4), 1e4, np.float32)}, SIZE, 1)
    assert np.isfinite(found.boxes).all()
