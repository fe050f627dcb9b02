"""DETR's raw outputs, beside its post-processing written out."""

from __future__ import annotations

import numpy as np
import pytest

from midstream.errors import InputError
from midstream.models.detector_heads import DetrHead
from midstream.models.heads import candidates, decode_head, proposes

SIZE = (64, 96)
RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(1, 20, 4)).astype(np.float32) * 3
BOXES = RNG.random((1, 20, 4)).astype(np.float32)
OUTPUTS = {"logits": LOGITS, "pred_boxes": BOXES}
SOFTMAX = DetrHead(kind="detr", score_threshold=0.2)
SIGMOID = DetrHead(kind="detr", activation="sigmoid", max_detections=15)


def corners() -> np.ndarray:
    x, y, w, h = BOXES[0].T
    return np.stack([(x - w / 2) * 96, (y - h / 2) * 64, (x + w / 2) * 96, (y + h / 2) * 64], axis=1)


def test_a_query_has_its_best_class_unless_it_is_no_object() -> None:
    chances = np.exp(LOGITS[0]) / np.exp(LOGITS[0]).sum(axis=1, keepdims=True)
    best = chances[:, :3].max(axis=1)
    order = [query for query in np.argsort(-best) if best[query] > 0.2]
    found = decode_head(SOFTMAX, OUTPUTS, SIZE, 3)
    np.testing.assert_allclose(found.scores, best[order], rtol=1e-5)
    np.testing.assert_array_equal(found.labels, chances[order, :3].argmax(axis=1))
    np.testing.assert_allclose(found.boxes, corners()[order], rtol=1e-5, atol=1e-4)
    assert candidates(SOFTMAX, OUTPUTS, SIZE, 3).scores.shape == (20, 3)
    assert proposes(SOFTMAX, OUTPUTS)


def test_with_the_sigmoid_a_query_counts_for_every_class() -> None:
    chances = 1 / (1 + np.exp(-LOGITS[0]))
    order = np.argsort(-chances.reshape(-1), kind="stable")[:15]
    found = decode_head(SIGMOID, OUTPUTS, SIZE, 4)
    np.testing.assert_allclose(found.scores, chances.reshape(-1)[order], rtol=1e-5)
    np.testing.assert_array_equal(found.labels, order % 4)
    np.testing.assert_allclose(found.boxes, corners()[order // 4], rtol=1e-5, atol=1e-4)
    assert not proposes(SIGMOID, OUTPUTS), "such networks select their queries, in an order of its own"


def test_columns_that_are_coco_s_ids() -> None:
    logits = np.full((1, 2, 92), -9, np.float32)
    logits[0, 0, 90] = logits[0, 1, 12] = 9
    head = DetrHead(kind="detr", category_labels=True, score_threshold=0.1)
    found = decode_head(head, {"logits": logits, "pred_boxes": BOXES[:, :2]}, SIZE, 2, ids=[1, 90])
    assert found.labels.tolist() == [1]


def test_logits_beyond_all_bounds() -> None:
    logits = LOGITS.copy()
    logits[0, 0] = [np.inf, -np.inf, 0, 0]
    found = decode_head(SOFTMAX, OUTPUTS | {"logits": logits}, SIZE, 3)
    assert found.scores[0] == 1
    assert np.isfinite(found.scores).all()


@pytest.mark.parametrize(
    ("outputs", "classes", "message"),
    [
        (OUTPUTS, 80, r"3 columns of scores, the head expects those of 80 classes .*would fit: detr \(3 classes\)"),
        (OUTPUTS | {"pred_boxes": BOXES[:, :5]}, 3, r"'pred_boxes' has shape \[1, 5, 4\], .* \[1, 20, 4\]"),
        ({"logits": LOGITS}, 3, "unknown output 'pred_boxes'; valid: logits"),
        (OUTPUTS | {"logits": LOGITS * np.nan}, 3, "'logits' has values that are not finite"),
    ],
)
def test_outputs_that_do_not_fit(outputs: dict[str, np.ndarray], classes: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        decode_head(SOFTMAX, outputs, SIZE, classes)
