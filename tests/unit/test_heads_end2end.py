"""Heads whose graph has a row for each box, with suppression inside."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from midstream.errors import InputError
from midstream.models.detector_heads import End2EndHead
from midstream.models.heads import batched, decode_head, proposes

SIZE = (64, 96)
#: x1, y1, x2, y2, score, class; the last rows are padding.
ROWS = np.array(
    [[1, 2, 11, 22, 0.9, 1], [30, 20, 50, 60, 0.3, 0], [5, 5, 90, 60, 0.7, 2], [0, 0, 0, 0, 0, 0], [9, 9, 9, 9, 0, -1]],
    np.float32,
)
BEST_FIRST = [0, 2, 1]


def head(**fields: object) -> End2EndHead:
    return End2EndHead.model_validate({"kind": "end2end", **fields})


def moved(column: int, by: float) -> NDArray[np.float32]:
    """The rows that are detections, with something added to a column."""
    rows = ROWS[:3].copy()
    rows[:, column] += by
    return rows


def table(order: list[int], batch: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
    columns = ROWS[:, order]
    return columns if batch is None else np.concatenate([batch[:, None], columns], axis=1)


@pytest.mark.parametrize("shape", [(1, 5, 6), (5, 6), (1, 1, 5, 6)])
def test_six_columns_are_corners_score_and_class_best_first(shape: tuple[int, ...]) -> None:
    found = decode_head(head(), {"o": ROWS.reshape(shape)}, SIZE, 3)
    np.testing.assert_array_equal(found.boxes, ROWS[BEST_FIRST, :4])
    np.testing.assert_array_equal(found.scores, ROWS[BEST_FIRST, 4])
    assert found.labels.tolist() == [1, 2, 0]
    assert (found.masks, found.keypoints) == (None, None)


def test_seven_columns_begin_with_the_image_s_index_and_end_with_class_and_score() -> None:
    rows = table([0, 1, 2, 3, 5, 4], np.array([0, 0, 1, 0, -1], np.float32))
    found = decode_head(head(), {"o": rows}, SIZE, 3)
    np.testing.assert_array_equal(found.boxes, ROWS[[0, 1], :4])  # the third row is another image's
    assert found.labels.tolist() == [1, 0]


def test_other_orders_shares_of_the_sides_and_labels_from_one() -> None:
    """A row of SSD's DetectionOutput: index, class, score, corners in shares."""
    rows = table([5, 4, 0, 1, 2, 3], np.zeros(5, np.float32))
    rows[:, 1] += 1
    rows[:, 3:] /= [96, 64, 96, 64]
    ssd = head(order=["batch", "class", "score", "x1", "y1", "x2", "y2"], normalised=True, first_label=1)
    found = decode_head(ssd, {"o": rows[None, None]}, SIZE, 3)
    np.testing.assert_allclose(found.boxes, ROWS[BEST_FIRST, :4], rtol=1e-6)
    assert found.labels.tolist() == [1, 2, 0]


def test_keypoints_and_masks_follow_the_class() -> None:
    points = np.arange(5 * 6, dtype=np.float32).reshape(5, 2, 3)
    found = decode_head(head(keypoints=2), {"o": np.concatenate([ROWS, points.reshape(5, 6)], axis=1)}, SIZE, 3)
    assert found.keypoints is not None
    np.testing.assert_array_equal(found.keypoints, points[BEST_FIRST])
    flat = decode_head(
        head(keypoints=2), {"o": np.concatenate([ROWS, points[:, :, :2].reshape(5, 4)], axis=1)}, SIZE, 3
    )
    assert flat.keypoints is not None
    np.testing.assert_array_equal(flat.keypoints[:, :, :2], points[BEST_FIRST, :, :2])
    assert (flat.keypoints[:, :, 2] == 1).all()
    prototypes = np.zeros((1, 4, 16, 24), np.float32)
    wide = np.concatenate([ROWS, np.ones((5, 4), np.float32)], axis=1)
    masked = decode_head(head(prototypes="p"), {"o": wide, "p": prototypes}, SIZE, 3)
    assert masked.masks is not None
    assert len(masked.masks.taken(np.array([0, 2])).weights) == 2  # type: ignore[union-attr]


def test_a_threshold_and_the_number_of_detections() -> None:
    assert decode_head(head(score_threshold=0.5), {"o": ROWS}, SIZE, 3).labels.tolist() == [1, 2]
    assert decode_head(head(max_detections=1), {"o": ROWS}, SIZE, 3).labels.tolist() == [1]
    assert not len(decode_head(head(), {"o": np.zeros((1, 0, 6), np.float32)}, SIZE, 3).boxes)
    assert not len(decode_head(head(), {"o": np.zeros((1, 300, 6), np.float32)}, SIZE, 3).boxes)


def test_labels_that_are_the_data_set_s_ids() -> None:
    rows = ROWS.copy()
    rows[:, 5] = [90, 12, 1, 0, -1]
    found = decode_head(head(category_labels=True), {"o": rows}, SIZE, 2, ids=[1, 90])
    assert found.labels.tolist() == [1, 0]  # 12 is none of the classes


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (ROWS[:, :5], r"has shape \[5, 5\], the head expects \[1, boxes, 6 or 7\] \(outputs: o \[5, 5\]; they fit no"),
        (ROWS.reshape(5, 3, 2), r"has shape \[5, 3, 2\]"),
        (moved(2, np.nan), r"not finite \(NaN\)$"),
        (moved(5, 1), r"labels from 1 to 3, the 3 classes are 0 to 2: correct .*`category_labels`$"),
        (moved(5, 0.5), "not whole numbers"),
        (moved(4, 1), r"a score is 1\.9, which is no chance"),
        (np.concatenate([moved(0, 0.3), np.ones((3, 1), np.float32)], axis=1), "oriented boxes"),
    ],
)
def test_rows_that_cannot_be(rows: NDArray[np.float32], message: str) -> None:
    with pytest.raises(InputError, match=message):
        decode_head(head(), {"o": rows}, SIZE, 3)


def test_the_order_names_every_column_once() -> None:
    for order in (["x1", "y1", "x2", "y2", "score"], ["x1", "y1", "x2", "y2", "score", "class", "class"]):
        with pytest.raises(ValueError, match="order lists"):
            head(order=order)
    with pytest.raises(ValueError, match="a head has keypoints or masks"):
        head(keypoints=17, prototypes="p")


def test_a_graph_that_selected_is_not_asked_before_and_may_have_several_images() -> None:
    assert not proposes(head(), ["o"])
    assert batched(head(), {"o": ["batch", 300, 6]})
    assert not batched(head(), {"o": ["n", 6]})
    assert not batched(head(), {"o": ["batch", 300, 7]})
