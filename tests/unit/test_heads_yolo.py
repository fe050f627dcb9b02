"""YOLO's heads with more than boxes: keypoints, masks of prototypes, raw maps a level."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from midstream.errors import InputError
from midstream.masks import decode_mask
from midstream.models.detector_heads import YoloV5Head, YoloV8Head
from midstream.models.heads import candidates, decode_head, has_keypoints, has_masks, output_names
from midstream.models.heads.located import located
from midstream.models.heads.nms import Boxes, PrototypeMasks
from midstream.models.preprocess import Placement

SIZE = (64, 96)
PLAIN = {"kind": "yolov8", "score_threshold": 0.1, "nms_iou": 0.5}
#: Centre and sides, then scores of two classes.
ROWS = np.array([[30, 20, 20, 20, 0.2, 0.9], [31, 20, 20, 20, 0.1, 0.8], [70, 40, 30, 30, 0.6, 0.3]], np.float32)


def v8(**fields: object) -> YoloV8Head:
    return YoloV8Head.model_validate({**PLAIN, **fields})


def test_keypoints_stay_with_their_boxes() -> None:
    points = np.arange(3 * 5 * 3, dtype=np.float32).reshape(3, 5, 3)
    value = np.concatenate([ROWS, points.reshape(3, 15)], axis=1).T[None]
    found = decode_head(v8(keypoints=5), {"o": value}, SIZE, 2)
    assert found.keypoints is not None
    rows = [int(np.flatnonzero((ROWS[:, 4:] == score).any(axis=1))[0]) for score in found.scores]
    assert rows[:2] == [0, 2]
    np.testing.assert_array_equal(found.keypoints, points[rows])
    assert has_keypoints(v8(keypoints=5), ["o"])
    assert not has_masks(v8(keypoints=5))


def test_keypoints_without_scores_have_a_score_of_one() -> None:
    value = np.concatenate([ROWS, np.full((3, 10), 7, np.float32)], axis=1).T[None]
    found = decode_head(v8(keypoints=5), {"o": value}, SIZE, 2)
    assert found.keypoints is not None
    assert np.unique(found.keypoints[:, :, :2]).tolist() == [7]
    assert np.unique(found.keypoints[:, :, 2]).tolist() == [1]


@pytest.mark.parametrize(
    ("rows", "fields", "classes", "message"),
    [
        (7, {}, 2, r"expects \[1, 6, boxes\]; a row more is another class or the angle of oriented boxes"),
        (50, {"keypoints": 17}, 1, r"expects \[1, 56, boxes\] or \[1, 39, boxes\]"),
        (84, {}, 3, r"has shape \[1, 84, 300\].*outputs: o \[1, 84, 300\]; .* would fit: yolov8 \(80 classes\)"),
    ],
)
def test_rows_of_another_number(rows: int, fields: dict[str, object], classes: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        decode_head(v8(**fields), {"o": np.zeros((1, rows, 300), np.float32)}, SIZE, classes)


def test_prototypes_have_to_be_there() -> None:
    head, value = v8(prototypes="p"), np.zeros((1, 6 + 8, 30), np.float32)
    assert list(output_names(head)) == ["p"]
    with pytest.raises(InputError, match="unknown output 'p'; valid: o"):
        decode_head(head, {"o": value}, SIZE, 2)
    with pytest.raises(InputError, match=r"expects \[1, weights, height, width\], the prototypes"):
        decode_head(head, {"o": value, "p": np.zeros((2, 8, 16, 24))}, SIZE, 2)
    with pytest.raises(InputError, match=r"expects \[1, 15, boxes\]"):
        decode_head(head, {"o": value, "p": np.zeros((1, 9, 16, 24))}, SIZE, 2)


def scene(at: Placement, size: tuple[int, int], input_size: tuple[int, int]) -> tuple[NDArray[np.bool_], Boxes]:
    """A disc in an image, and what a network that is right about it says of it, at a quarter of the input's size."""
    y, x = np.indices(size)
    disc = (x - size[1] * 0.6) ** 2 + (y - size[0] * 0.4) ** 2 < (min(size) * 0.25) ** 2
    inside = cv2.resize(disc.astype(np.float32), (at.width, at.height), interpolation=cv2.INTER_AREA)
    padded = np.zeros(input_size, np.float32)
    padded[at.top : at.top + at.height, at.left : at.left + at.width] = inside
    quarter = cv2.resize(padded, (input_size[1] // 4, input_size[0] // 4), interpolation=cv2.INTER_AREA)
    rows, columns = np.nonzero(disc)
    corners = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], np.float32)
    boxes = corners * np.array([at.scale_x, at.scale_y] * 2)
    boxes = boxes + np.array([at.left, at.top] * 2)
    masks = PrototypeMasks(np.array([[8.0, -4.0]], np.float32), np.stack([quarter, np.ones_like(quarter)]))
    return disc, Boxes(boxes[None].astype(np.float32), np.ones(1, np.float32), np.zeros(1, np.int64), masks)


@pytest.mark.parametrize("size", [(240, 320), (321, 200), (100, 103), (640, 361)])
@pytest.mark.parametrize("centred", [False, True])
def test_a_mask_comes_back_to_its_place_in_the_image(size: tuple[int, int], centred: bool) -> None:
    ratio = min(320 / size[0], 320 / size[1])
    height, width = round(size[0] * ratio), round(size[1] * ratio)
    left, top = ((320 - width) // 2, (320 - height) // 2) if centred else (0, 0)
    at = Placement(width / size[1], height / size[0], left, top, width, height)
    disc, found = scene(at, size, (320, 320))
    (rle,) = located(found, at, (320, 320), size).masks or []
    mask = decode_mask(rle)
    assert mask.shape == size
    assert (mask & disc).sum() / (mask | disc).sum() > 0.95


def test_a_mask_ends_with_its_box() -> None:
    at = Placement(1, 1, 0, 0, 96, 64)
    masks = PrototypeMasks(np.ones((1, 1), np.float32), np.ones((1, 16, 24), np.float32))
    box = np.array([[10.2, 5, 40.5, 33]], np.float32)
    (rle,) = located(Boxes(box, np.ones(1), np.zeros(1, np.int64), masks), at, SIZE, SIZE).masks or []
    rows, columns = np.nonzero(decode_mask(rle))
    assert (columns.min(), rows.min(), columns.max(), rows.max()) == (11, 5, 40, 32)  # pixels from 10.2 to 40.5


@given(st.lists(st.floats(-50, 150, width=32), min_size=4, max_size=4), st.integers(1, 9), st.integers(1, 9))
def test_any_box_and_any_prototypes_give_a_mask(sides: list[float], height: int, width: int) -> None:
    at = Placement(0.7, 0.7, 3, 0, 90, 64)
    masks = PrototypeMasks(np.ones((1, 2), np.float32), np.ones((2, height, width), np.float32))
    found = Boxes(np.array([sides], np.float32), np.ones(1), np.zeros(1, np.int64), masks)
    (rle,) = located(found, at, SIZE, (91, 129)).masks or []
    assert decode_mask(rle).shape == (91, 129)


def test_keypoints_come_back_to_the_image_and_stay_in_it() -> None:
    points = np.array([[[23, 14, 0.3], [-50, 500, 0.9]]], np.float32)
    found = Boxes(np.zeros((1, 4), np.float32), np.ones(1), np.zeros(1, np.int64), None, points)
    moved = located(found, Placement(0.5, 0.25, 3, 4, 48, 50), SIZE, (200, 96)).keypoints
    assert moved is not None
    np.testing.assert_allclose(moved, [[[40, 40, 0.3], [0, 200, 0.9]]], rtol=1e-6)


ANCHORS = (((4.0, 6.0), (10.0, 8.0)), ((16.0, 32.0), (20.0, 9.0)))
V5 = {
    "kind": "yolov5",
    "strides": (8, 16),
    "anchors": ANCHORS,
    "decoded": False,
    "score_threshold": 0.1,
    "nms_iou": 0.5,
}


def maps(deep: bool) -> dict[str, NDArray[np.float32]]:
    rng = np.random.default_rng(0)
    values = {}
    for name, (h, w) in {"fine": (8, 12), "coarse": (4, 6)}.items():
        value = rng.random((1, 2, h, w, 7)).astype(np.float32)
        values[name] = value if deep else value.transpose(0, 1, 4, 2, 3).reshape(1, 14, h, w)
    return values


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("names", [(), ("fine", "coarse")])
def test_raw_maps_are_the_rows_of_an_export_that_puts_them_together(deep: bool, names: tuple[str, ...]) -> None:
    joined = np.concatenate([value.reshape(1, -1, 7) for value in maps(deep=True).values()], axis=1)
    expected = candidates(YoloV5Head.model_validate(V5), {"o": joined}, SIZE, 2)
    found = candidates(YoloV5Head.model_validate({**V5, "maps": names}), maps(deep), SIZE, 2)
    np.testing.assert_array_equal(found.boxes, expected.boxes)
    np.testing.assert_array_equal(found.scores, expected.scores)


@pytest.mark.parametrize("softmax", [False, True])
def test_maps_of_yolo_v2_and_v3_by_their_papers(softmax: bool) -> None:
    """One cell after the other, as the papers have it: b = sigmoid(t) + c, p e^t."""
    logits = {name: 8 * value - 4 for name, value in maps(deep=False).items()}
    fields = {"exponential": True, "sigmoid": True, "softmax": softmax, "maps": ("fine", "coarse")}
    found = candidates(YoloV5Head.model_validate({**V5, **fields}), logits, SIZE, 2)
    row = 0
    for (name, stride), shapes in zip({"fine": 8, "coarse": 16}.items(), ANCHORS, strict=True):
        table = logits[name].reshape(2, 7, *logits[name].shape[2:]).astype(np.float64)
        for anchor, y, x in np.ndindex(2, *table.shape[2:]):
            t = table[anchor, :, y, x]
            chance = 1 / (1 + np.exp(-t))
            centre = (chance[:2] + np.array([x, y])) * stride
            half = np.exp(t[2:4]) * shapes[anchor] / 2
            classes = np.exp(t[5:]) / np.exp(t[5:]).sum() if softmax else chance[5:]
            np.testing.assert_allclose(found.boxes[row], [*(centre - half), *(centre + half)], rtol=1e-4, atol=1e-3)
            np.testing.assert_allclose(found.scores[row], chance[4] * classes, rtol=1e-4)
            row += 1
    assert row == len(found.boxes)


def test_sides_beyond_all_numbers_are_large_and_no_warning() -> None:
    huge = {name: np.full_like(value, 1000) for name, value in maps(deep=False).items()}
    head = YoloV5Head.model_validate({**V5, "exponential": True, "sigmoid": True})
    boxes = candidates(head, huge, SIZE, 2).boxes
    assert np.isfinite(boxes).all()
    assert (boxes[:, 2:] - boxes[:, :2] > 1e5).all()
    with pytest.raises(ValueError, match="exponential and softmax are of numbers beside anchors"):
        YoloV5Head.model_validate({**V5, "decoded": True, "exponential": True})


def test_maps_that_do_not_fit() -> None:
    head = YoloV5Head.model_validate({**V5, "maps": ("coarse", "fine")})
    assert list(output_names(head)) == ["coarse", "fine"]
    with pytest.raises(InputError, match=r"'coarse' has shape .* expects \[1, 14, 8, 12\] or \[1, 2, 8, 12, 7\]"):
        candidates(head, maps(deep=False), SIZE, 2)
    for wrong in ({"maps": ("fine",)}, {"maps": ("fine", "coarse"), "decoded": True}):
        with pytest.raises(ValueError, match="maps name one output for each stride"):
            YoloV5Head.model_validate({**V5, **wrong})
