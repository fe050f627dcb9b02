"""What heads make of outputs that are written down here: boxes, scores, and suppression."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from midstream.errors import InputError
from midstream.models.detector_heads import GflHead, YoloV5Head, YoloV8Head, YoloxHead
from midstream.models.heads import candidates, decode_head
from midstream.models.heads.nms import Candidates, suppress


def test_gfl_boxes_are_distances_from_cell_centres() -> None:
    head = GflHead(kind="gfl", strides=(8,), bins=4, score_threshold=0.1, nms_iou=0.5)
    scores = np.zeros((1, 4, 2), np.float32)
    scores[0, 3, 1] = 0.9  # cell (1, 1), centre (12, 12)
    boxes = np.full((1, 4, 4, 4), -50, np.float32)
    for side, distance in enumerate((1, 0, 2, 3)):
        boxes[0, 3, side, distance] = 50
    found = decode_head(head, {"s": scores, "b": boxes.reshape(1, 4, 16)}, (16, 16), 2)
    np.testing.assert_allclose(found.boxes, [[12 - 8, 12, 12 + 16, 12 + 24]])
    assert found.labels.tolist() == [1]


def test_gfl_logits_pass_the_sigmoid() -> None:
    head = GflHead(kind="gfl", strides=(8,), bins=4, score_threshold=0.4, nms_iou=0.5, sigmoid=True)
    scores = np.array([[[0.0, -100.0]]], np.float32)
    found = decode_head(head, {"s": scores, "b": np.zeros((1, 1, 16), np.float32)}, (8, 8), 2)
    assert found.scores.tolist() == [0.5]


def test_yolox_boxes_are_exponentials_of_cells() -> None:
    head = YoloxHead(kind="yolox", strides=(8, 16), score_threshold=0.1, nms_iou=0.5)
    rows = np.zeros((1, 5, 5 + 2), np.float32)
    rows[0, 2] = [0.5, 0.25, np.log(2), np.log(3), 0.8, 0.0, 0.5]  # cell (0, 1) of stride 8
    found = decode_head(head, {"output": rows}, (16, 16), 2)
    np.testing.assert_allclose(found.boxes, [[4 - 8, 10 - 12, 4 + 8, 10 + 12]], rtol=1e-6)
    np.testing.assert_allclose(found.scores, [0.4])
    rows[0, 2, 2] = 1000  # what a damaged feature may ask for
    assert np.isfinite(decode_head(head, {"output": rows}, (16, 16), 2).boxes).all()


def slow_suppression(boxes: np.ndarray, scores: np.ndarray, threshold: float, iou: float, most: int) -> list[tuple]:
    """The definition: all candidates by score, one dropped for a better one of its class that it overlaps."""
    candidates = sorted(
        ((-scores[i, c], i, c) for i, c in np.argwhere(scores > threshold)), key=lambda candidate: candidate[0]
    )
    kept: list[tuple] = []
    for score, i, c in candidates:
        if all(c != k or overlap(boxes[i], boxes[j]) <= iou for _, j, k in kept):
            kept.append((score, i, c))
    return [(i, c) for _, i, c in kept[:most]]


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    inside = float(np.prod(np.maximum(sides, 0)))
    return inside / float(np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - inside)


@given(st.integers(0, 2**32), st.integers(0, 60), st.integers(1, 6))
def test_suppression_is_exact_however_few_are_kept(seed: int, count: int, most: int) -> None:
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, 20, (count, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(5, 15, (count, 2))], axis=1).astype(np.float32)
    scores = rng.permutation(count * 3).reshape(count, 3).astype(np.float32) / max(count * 3, 1)
    found = suppress(Candidates(boxes, scores), 0.1, 0.45, most)
    expected = slow_suppression(boxes.astype(np.float64), scores, 0.1, 0.45, most)
    assert found.labels.tolist() == [c for _, c in expected]
    np.testing.assert_array_equal(found.boxes, boxes[[i for i, _ in expected]].reshape(-1, 4))


def test_a_yolov8_head_gives_centres_and_sides_in_pixels() -> None:
    head = YoloV8Head(kind="yolov8", score_threshold=0.1, nms_iou=0.5)
    rows = np.array([[10.0, 20.0, 4.0, 6.0, 0.9, 0.1], [1.0, 2.0, 2.0, 2.0, 0.2, 0.3]], np.float32)
    found = candidates(head, {"output0": rows.T[None]}, (32, 32), 2)
    assert found.boxes.tolist() == [[8, 17, 12, 23], [0, 1, 2, 3]]
    assert np.array_equal(found.scores, rows[:, 4:])
    for shape in ((1, 7, 2), (1, 2, 6), (6,), (2, 6, 2)):
        with pytest.raises(InputError, match=r"'output0' has shape .* the head expects \[1, 6, boxes\]"):
            candidates(head, {"output0": np.zeros(shape, np.float32)}, (32, 32), 2)


def test_a_yolov5_head_decodes_anchors_level_by_level() -> None:
    anchors = (((4.0, 6.0), (10.0, 8.0)), ((16.0, 32.0),))
    head = YoloV5Head(kind="yolov5", strides=(8, 16), anchors=anchors, decoded=False, score_threshold=0.1, nms_iou=0.5)
    values = np.random.default_rng(0).random((1, 2 * 4 + 1, 5 + 2)).astype(np.float32)
    found = candidates(head, {"output": values}, (16, 16), 2)
    expected = []
    for number, row in enumerate(values[0].astype(np.float64)):
        stride, cell, (w, h) = (8, number % 4, ((4, 6), (10, 8))[number // 4]) if number < 8 else (16, 0, (16, 32))
        y, x = divmod(cell, 16 // stride)
        centre = np.array([2 * row[0] - 0.5 + x, 2 * row[1] - 0.5 + y]) * stride
        half = (2 * row[2:4]) ** 2 * (w, h) / 2
        expected.append([*(centre - half), *(centre + half)])
    assert np.allclose(found.boxes, expected, atol=1e-3)
    assert np.allclose(found.scores, values[0, :, 4:5] * values[0, :, 5:])
    logits = head.model_copy(update={"sigmoid": True})
    again = candidates(logits, {"output": np.log(values / (1 - values))}, (16, 16), 2)
    assert np.allclose(again.boxes, found.boxes, atol=1e-2)
    decoded = head.model_copy(update={"decoded": True})
    assert np.allclose(candidates(decoded, {"output": values}, (16, 16), 2).boxes[:, 2:].sum(),
                       (values[0, :, :2] + values[0, :, 2:4] / 2).sum(), atol=1e-4)  # fmt: skip
    with pytest.raises(InputError, match=r"the head expects \[1, 9, 7\]"):
        candidates(head, {"output": values[:, :8]}, (16, 16), 2)


def test_a_yolov5_head_s_anchors_and_logits_are_checked() -> None:
    fields = {"kind": "yolov5", "strides": [8, 16], "score_threshold": 0.1, "nms_iou": 0.5}
    with pytest.raises(ValueError, match="one for each of the 2 strides"):
        YoloV5Head.model_validate(fields)
    with pytest.raises(ValueError, match="decoded boxes are no logits"):
        YoloV5Head.model_validate(fields | {"strides": [8, 16, 32], "sigmoid": True})
