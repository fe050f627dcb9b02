"""The head of Mask R-CNN: what it takes from a graph's outputs, and masks pasted into images."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from midstream.errors import InputError
from midstream.masks import decode_mask
from midstream.models.detector_heads import RcnnHead
from midstream.models.heads import candidates, decode_head, output_names, proposes
from midstream.models.heads.nms import PastedMasks
from midstream.models.heads.rcnn import pasted

HEAD = RcnnHead(kind="rcnn")
SIZE = (64, 96)


def outputs(count: int = 3, anchors: int = 50) -> dict[str, NDArray[Any]]:
    rng = np.random.default_rng(count)
    corners = rng.uniform(0, 30, (count, 2)).astype(np.float32)
    return {
        "boxes": np.concatenate([corners, corners + 20], axis=1),
        "scores": np.sort(rng.random(count).astype(np.float32))[::-1],
        "labels": rng.integers(1, 9, count),
        "masks": rng.random((count, 1, 28, 28), np.float32),
        "proposals": rng.uniform(0, 60, (anchors, 4)).astype(np.float32),
        "objectness": rng.random(anchors, np.float32),
    }


def test_detections_come_as_the_graph_has_them_with_labels_from_0() -> None:
    given_outputs = outputs()
    found = decode_head(HEAD, given_outputs, SIZE, 8)
    np.testing.assert_array_equal(found.boxes, given_outputs["boxes"])
    np.testing.assert_array_equal(found.scores, given_outputs["scores"])
    np.testing.assert_array_equal(found.labels, given_outputs["labels"] - 1)
    assert isinstance(found.masks, PastedMasks)
    np.testing.assert_array_equal(found.masks.values, given_outputs["masks"][:, 0])
    asked = candidates(HEAD, given_outputs, SIZE, 8)
    assert (asked.boxes.shape, asked.scores.shape) == ((50, 4), (50, 1))
    assert set(output_names(HEAD)) == set(given_outputs) - {"proposals", "objectness"}
    assert proposes(HEAD, given_outputs)


def test_a_graph_without_a_first_stage_is_not_asked_before_suppression() -> None:
    given_outputs = {name: values for name, values in outputs().items() if name not in ("proposals", "objectness")}
    assert len(decode_head(HEAD, given_outputs, SIZE, 8).boxes) == 3
    assert not proposes(HEAD, given_outputs)
    with pytest.raises(InputError, match="cannot be asked before suppression"):
        candidates(HEAD, given_outputs, SIZE, 8)
    with pytest.raises(ValueError, match="proposals and objectness belong together"):
        RcnnHead(kind="rcnn", proposals="p")


def test_labels_may_be_the_data_sets_ids_and_others_are_left_out() -> None:
    head = RcnnHead(kind="rcnn", category_labels=True)
    given_outputs = outputs() | {"labels": np.array([7, 12, 90])}
    found = decode_head(head, given_outputs, SIZE, 2, ids=[90, 7])
    assert found.labels.tolist() == [1, 0]
    np.testing.assert_array_equal(found.boxes, given_outputs["boxes"][[0, 2]])
    with pytest.raises(InputError, match="`category_labels` needs the description's `category_ids`"):
        decode_head(head, given_outputs, SIZE, 2)


def test_a_image_without_anything() -> None:
    found = decode_head(HEAD, outputs(0), SIZE, 8)
    assert len(found.boxes) == len(found.scores) == len(found.labels) == 0


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("boxes", np.zeros((3, 5), np.float32), r"output 'boxes' has shape \[3, 5\]"),
        ("scores", np.zeros(2, np.float32), r"output 'scores' has shape \[2\], the head expects \[3\]"),
        ("masks", np.zeros((3, 2, 28, 28), np.float32), "output 'masks'"),
        ("labels", np.array([0, 1, 2]), "output 'labels' has labels from 0 to 2, the 8 classes are 1 to 8"),
        ("labels", np.array([1, 2, 9]), "output 'labels' has labels from 1 to 9, the 8 classes are 1 to 8"),
    ],
)
def test_outputs_that_do_not_fit(name: str, value: NDArray[Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        decode_head(HEAD, outputs() | {name: value}, SIZE, 8)


def test_a_full_mask_fills_its_box_and_an_empty_one_nothing() -> None:
    box = np.array([10, 20, 50, 44], np.float32)
    full = decode_mask(pasted(np.ones((28, 28), np.float32), box, SIZE))
    assert full.shape == SIZE
    inside = np.zeros(SIZE, bool)
    inside[20:44, 10:50] = True
    assert (full != inside).sum() <= 2 * (40 + 24)  # a pixel along the border
    assert full[22:42, 12:48].all()
    assert not decode_mask(pasted(np.zeros((28, 28), np.float32), box, SIZE)).any()


@given(st.lists(st.floats(0, 96, width=32), min_size=4, max_size=4), st.integers(0, 9))
def test_any_box_within_the_image_has_a_mask_of_its_size(sides: list[float], seed: int) -> None:
    x, y = sorted(sides[::2]), sorted(min(side, SIZE[0]) for side in sides[1::2])
    box = np.array([x[0], y[0], x[1], y[1]], np.float32)
    mask = decode_mask(pasted(np.random.default_rng(seed).random((28, 28), np.float32), box, SIZE))
    assert mask.shape == SIZE
    rows, columns = np.nonzero(mask)
    if len(rows):
        assert box[1] - 3 <= rows.min() <= rows.max() <= box[3] + 3
        assert box[0] - 3 <= columns.min() <= columns.max() <= box[2] + 3
