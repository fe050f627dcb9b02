"""AP against ground truth, and agreement with reference detections."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pycocotools.mask
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midstream.data import Dataset, ImageFile
from midstream.errors import InputError
from midstream.metrics.accuracy import Accuracy, accuracy_of
from midstream.metrics.agreement import reference_dataset
from midstream.models import Detections

CLASSES = ("cat", "dog", "traffic_light")
SIZE = 64


def _found(boxes: list[tuple[float, ...]], scores: list[float], labels: list[int], masks: bool = False) -> Detections:
    codes = [_mask(box) for box in boxes] if masks else None
    array = np.array(boxes, np.float32).reshape(-1, 4)
    return Detections(array, np.array(scores, np.float32), np.array(labels, np.int64), codes)


def _mask(box: tuple[float, ...]) -> dict[str, Any]:
    image = np.zeros((SIZE, SIZE), np.uint8, order="F")
    left, top, right, bottom = (int(v) for v in box)
    image[top:bottom, left:right] = 1
    code: dict[str, Any] = pycocotools.mask.encode(image)
    return code


def _images(count: int) -> Dataset:
    images = tuple(ImageFile(i, Path(f"{i}.png")) for i in range(1, count + 1))
    return Dataset(spec="test", labels=None, images=images, ground_truth=None)


def _labelled(objects: list[tuple[int, int, tuple[float, ...], int]], masks: bool = False, images: int = 3) -> Dataset:
    """Objects are image, category (11 cat, 12 dog, 13 traffic light, 14 horse), box and iscrowd."""
    annotations = []
    for number, (identity, category, box, crowd) in enumerate(objects):
        left, top, right, bottom = box
        entry: dict[str, Any] = {
            "id": number,
            "image_id": identity,
            "category_id": category,
            "bbox": [left, top, right - left, bottom - top],
            "area": (right - left) * (bottom - top),
            "iscrowd": crowd,
        }
        if masks:
            entry["segmentation"] = _mask(box)
        annotations.append(entry)
    truth = {
        "images": [{"id": i, "height": SIZE, "width": SIZE, "file_name": f"{i}.png"} for i in range(1, images + 1)],
        "categories": [
            {"id": 12, "name": "dog"},
            {"id": 11, "name": "Cat"},
            {"id": 13, "name": "traffic light"},
            {"id": 14, "name": "horse"},
        ],
        "annotations": annotations,
    }
    return Dataset("test", "coco", _images(images).images, truth)


A, B, C = (0.0, 0.0, 20.0, 20.0), (30.0, 30.0, 60.0, 60.0), (5.0, 40.0, 25.0, 60.0)


def test_perfect_by_name(capfd: pytest.CaptureFixture[str]) -> None:
    dataset = _labelled([(1, 11, A, 0), (1, 12, B, 0), (2, 13, C, 0)], masks=True)
    found = {1: _found([A, B], [0.9, 0.8], [0, 1], True), 2: _found([C], [0.3], [2], True), 9: _found([A], [1], [0])}
    result = accuracy_of(dataset, found, CLASSES)
    assert (result.ap, result.ap50, result.segm_ap, result.segm_ap50) == pytest.approx((100,) * 4)
    assert result.metric == "COCO box and mask AP (pycocotools)"
    assert capfd.readouterr() == ("", "")


def test_the_ground_truth_is_not_changed_by_an_evaluation() -> None:
    dataset = _labelled([(1, 11, A, 0)], masks=True)
    keys = set(dataset.ground_truth["annotations"][0])
    first = accuracy_of(dataset, {1: _found([A], [0.9], [0], True)}, CLASSES)
    assert set(dataset.ground_truth["annotations"][0]) == keys
    assert accuracy_of(dataset, {1: _found([A], [0.9], [0], True)}, CLASSES) == first


def test_half_of_the_classes_found() -> None:
    dataset = _labelled([(1, 11, A, 0), (1, 12, B, 0)])
    result = accuracy_of(dataset, {1: _found([A], [0.9], [0])}, CLASSES)
    assert result == Accuracy(pytest.approx(50), pytest.approx(50), None, None, "COCO box AP (pycocotools)")


def test_a_class_that_the_network_lacks_counts_with_zero() -> None:
    dataset = _labelled([(1, 11, A, 0), (1, 14, B, 0)])
    assert accuracy_of(dataset, {1: _found([A], [0.9], [0])}, CLASSES).ap == pytest.approx(50)


def test_a_class_that_the_data_set_lacks_is_dropped() -> None:
    dataset = _labelled([(1, 11, A, 0)])
    found = {1: _found([A, A], [0.9, 0.95], [0, 1])}
    assert accuracy_of(dataset, found, ("cat", "zebra")).ap == pytest.approx(100)
    with pytest.raises(InputError, match=r"no class name in common.*zebra.*dog"):
        accuracy_of(dataset, found, ("lion", "zebra"))


def test_crowds_are_ignored() -> None:
    dataset = _labelled([(1, 11, A, 0), (1, 11, B, 1)])
    assert accuracy_of(dataset, {1: _found([B, A], [0.9, 0.8], [0, 0])}, CLASSES).ap == pytest.approx(100)
    assert accuracy_of(dataset, {1: _found([C, A], [0.9, 0.8], [0, 0])}, CLASSES).ap == pytest.approx(50)


def test_ap50_of_a_loose_box() -> None:
    dataset = _labelled([(1, 11, (0, 0, 10, 10), 0)])
    result = accuracy_of(dataset, {1: _found([(0, 0, 10, 6.2)], [0.9], [0])}, CLASSES)
    assert result.ap50 == pytest.approx(100)
    assert result.ap == pytest.approx(30)


def test_nothing_found() -> None:
    dataset = _labelled([(1, 11, A, 0)], masks=True)
    assert accuracy_of(dataset, {}, CLASSES).ap == 0
    empty = {i: _found([], [], [], True) for i in (1, 2, 3)}
    result = accuracy_of(dataset, empty, CLASSES)
    assert (result.ap, result.ap50, result.segm_ap, result.segm_ap50) == (0, 0, 0, 0)


def test_a_missed_image_counts() -> None:
    dataset = _labelled([(1, 11, A, 0), (2, 11, A, 0)])
    found = {1: _found([A], [0.9], [0]), 2: _found([A], [0.9], [0])}
    assert accuracy_of(dataset, found, CLASSES).ap == pytest.approx(100)
    assert accuracy_of(dataset, {1: found[1]}, CLASSES).ap == pytest.approx(50, abs=1)
    assert accuracy_of(dataset.head(1), found, CLASSES).ap == pytest.approx(100)


def test_nothing_to_evaluate_against() -> None:
    with pytest.raises(InputError, match="no labels"):
        accuracy_of(_images(2), {}, CLASSES)
    with pytest.raises(InputError, match="no labelled object in its 3 images"):
        accuracy_of(_labelled([(1, 11, A, 1)]), {}, CLASSES)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (_found([(0, 0, 1, float("nan"))], [0.5], [0]), "not a finite number"),
        (_found([A], [float("inf")], [0]), "not a finite number"),
        (_found([A], [0.5], [3]), "not one of the 3 classes"),
        (_found([A], [0.5], [-1]), "not one of the 3 classes"),
        (_found([A], [0.5, 0.4], [0, 0]), "shapes"),
        (Detections(np.array([A], np.float32), np.array([0.5]), np.array([0]), []), "there are 0 masks of 1 objects"),
        (
            Detections(
                np.array([A], np.float32),
                np.array([0.5]),
                np.array([0]),
                [pycocotools.mask.encode(np.ones((5, 6), np.uint8, order="F"))],
            ),
            r"a mask of \[5, 6\], the image has \[64, 64\]",
        ),
    ],
)
def test_malformed_detections(found: Detections, message: str) -> None:
    with pytest.raises(InputError, match=f"image 1: .*{message}"):
        accuracy_of(_labelled([(1, 11, A, 0)]), {1: found}, CLASSES)


def test_polygons_and_uncompressed_run_lengths() -> None:
    dataset = _labelled([(1, 11, A, 0), (1, 12, B, 0)])
    first, second = dataset.ground_truth["annotations"]
    first["segmentation"] = [[0, 0, 20, 0, 20, 20, 0, 20]]
    second["segmentation"] = {"size": [64, 64], "counts": [30 * 64 + 30] + [30, 34] * 29 + [30, 64 * 4 + 4]}
    found = {1: _found([A, B], [0.9, 0.8], [0, 1], True)}
    assert accuracy_of(dataset, found, CLASSES).segm_ap == pytest.approx(100)
    second["segmentation"] = []
    assert accuracy_of(dataset, found, CLASSES).segm_ap == pytest.approx(100), "of the masks that there are"
    first["segmentation"] = None
    assert accuracy_of(dataset, found, CLASSES).segm_ap is None


def test_reference() -> None:
    found = {1: _found([A, B], [0.9, 0.2], [0, 1]), 2: _found([C], [0.5], [1])}
    dataset = reference_dataset(_images(3), found, CLASSES)
    assert len(dataset.ground_truth["annotations"]) == 2
    result = accuracy_of(dataset, found, CLASSES)
    assert result.ap == pytest.approx(100)
    assert result.metric == "agreement with the uncompressed network: COCO box AP (pycocotools)"
    assert (_images(3).labels, dataset.labels, dataset.agreement) == (None, "network", True)
    assert accuracy_of(dataset, {1: found[1]}, CLASSES).ap == pytest.approx(50)
    assert len(dataset.head(1).ground_truth["annotations"]) == 1
    assert dataset.ground_truth["annotations"][0].keys() >= {"id", "image_id", "category_id", "bbox", "area", "iscrowd"}


def test_reference_of_nothing() -> None:
    with pytest.raises(InputError, match=r"finds nothing with a score of 0\.3 or more in the 2 images"):
        reference_dataset(_images(2), {1: _found([A], [0.2], [0])}, CLASSES)
    with pytest.raises(InputError, match="0 to 1"):
        reference_dataset(_images(2), {}, CLASSES, threshold=1.5)


_coordinate = st.integers(0, 12).map(lambda v: v * 5)
_box = st.tuples(_coordinate, _coordinate, _coordinate, _coordinate).map(
    lambda b: (min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]), max(b[1], b[3]))
)
_detection = st.tuples(_box, st.sampled_from([0.05, 0.29, 0.3, 0.31, 0.7, 1.0]), st.integers(0, 2))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(_detection, max_size=12), min_size=1, max_size=4), st.booleans())
def test_the_reference_agrees_with_itself(images: list[list[Any]], masks: bool) -> None:
    """Ties, duplicates, empty boxes and empty images included."""
    found = {}
    for identity, there in enumerate(images, start=1):
        there.sort(key=lambda d: -d[1])
        found[identity] = _found([d[0] for d in there], [d[1] for d in there], [d[2] for d in there], masks)
    try:
        dataset = reference_dataset(_images(len(images)), found, ("cat", "dog", "cat"))
    except InputError:
        assert not any(s >= 0.3 and b[0] < b[2] and b[1] < b[3] for there in images for b, s, _ in there)
        return
    result = accuracy_of(dataset, found, ("cat", "dog", "cat"))
    assert result.ap == pytest.approx(100)
    assert result.ap50 == pytest.approx(100)
    if masks:
        assert result.segm_ap == pytest.approx(100)


def test_a_reference_of_more_than_a_hundred() -> None:
    boxes = [(float(x), float(y), x + 3.0, y + 3.0) for x in range(0, 60, 4) for y in range(0, 60, 4)]
    found = {1: _found(boxes, [0.9 - 0.001 * i for i in range(len(boxes))], [0] * len(boxes))}
    assert accuracy_of(reference_dataset(_images(1), found, CLASSES), found, CLASSES).ap == pytest.approx(100)
