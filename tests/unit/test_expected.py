"""The precision that is to be expected of detections, where scores stand for chances."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pycocotools.mask
import pytest
from numpy.typing import ArrayLike

from midstream.calibration.expected import OVERLAPS, ExpectedTruth, chance_power
from midstream.errors import InputError
from midstream.models import Detections

CLASSES = 3


def detections(boxes: ArrayLike, scores: ArrayLike, labels: ArrayLike | None = None) -> Detections:
    scores = np.asarray(scores, np.float32)
    there = np.zeros(len(scores)) if labels is None else labels
    return Detections(np.asarray(boxes, np.float32).reshape(-1, 4), scores, np.asarray(there, np.int64))


FAR = [[10.0 * n, 0, 10.0 * n + 8, 8] for n in range(8)]


def test_by_hand() -> None:
    """Two objects of which the network is as good as sure, and one that is there or not."""
    truth = ExpectedTruth({1: detections(FAR[:3], [1.0, 1.0, 0.5])}, CLASSES)
    assert truth.objects == pytest.approx(2.5)
    # In order of the scores: 1 of 1, 2 of 2, 2.5 of 3.
    assert truth.precision({1: detections(FAR[:3], [0.9, 0.8, 0.1])}) == pytest.approx((1 + 1 + 0.5 * 2.5 / 3) / 2.5)
    # What is nowhere in the truth ranks first: 1 of 2, 2 of 3.
    assert truth.precision({1: detections(FAR[3:4] + FAR[:2], [0.9, 0.8, 0.7])}) == pytest.approx((1 / 2 + 2 / 3) / 2.5)
    assert truth.precision({1: detections([], [])}) == 0
    assert truth.precision({}) == 0
    assert ExpectedTruth({1: detections([], [])}, CLASSES).precision({1: detections(FAR[:1], [1.0])}) == 0


def test_boxes_that_overlap_less_count_at_fewer_overlaps() -> None:
    truth = ExpectedTruth({1: detections(FAR[:1], [1.0])}, CLASSES)
    moved = [truth.precision({1: detections([[0, 0, 8, height]], [1.0])}) for height in (8, 8 * 0.62, 8 * 0.45)]
    assert moved == pytest.approx([1, np.mean(OVERLAPS < 0.62), 0])


def test_each_object_is_found_once_and_by_its_class() -> None:
    truth = ExpectedTruth({1: detections(FAR[:2], [1.0, 1.0], [0, 1])}, CLASSES)
    assert truth.precision({1: detections(FAR[:1] * 2, [1.0, 0.9], [0, 0])}) == pytest.approx(1 / 2)
    assert truth.precision({1: detections(FAR[:2], [1.0, 0.9], [1, 0])}) == 0
    assert truth.precision({1: detections(FAR[:2], [1.0, 0.9], [0, 1])}) == 1
    assert truth.precision({2: detections(FAR[:2], [1.0, 0.9], [0, 1])}) == 0, "another image"


def test_what_overlaps_more_is_taken_first() -> None:
    two = [[0, 0, 8, 8], [0, 2, 8, 10]]  # which overlap by 0.6
    truth = ExpectedTruth({1: detections(two, [0.5, 1.0])}, CLASSES)
    assert truth.precision({1: detections(two[::-1], [0.9, 0.8])}) == pytest.approx((1 + 0.5 * 1.5 / 2) / 1.5)


def test_what_is_as_good_as_nothing_does_not_count() -> None:
    truth = ExpectedTruth({1: detections(FAR, [1.0] + [0.01] * 7)}, CLASSES)
    assert truth.objects == 1
    assert truth.precision({1: detections(FAR[::-1], [0.005] * 7 + [0.9])}) == 1


def test_masks_count_where_there_are_some() -> None:
    left, right = (np.asfortranarray(np.arange(8)[None] // 4 == side, np.uint8).repeat(8, 0) for side in (0, 1))
    box = [[0, 0, 8, 8]]

    def with_mask(pixels: np.ndarray[tuple[int, int], np.dtype[np.uint8]]) -> Detections:
        return replace(detections(box, [1.0]), masks=[pycocotools.mask.encode(np.asfortranarray(pixels))])

    truth = ExpectedTruth({1: with_mask(left)}, CLASSES)
    assert truth.precision({1: with_mask(left)}) == 1
    assert truth.precision({1: with_mask(right)}) == 0
    assert ExpectedTruth({1: detections(box, [1.0])}, CLASSES).precision({1: with_mask(right)}) == 1


def test_what_cannot_be_is_refused() -> None:
    broken = detections(FAR[:1], [np.nan])
    with pytest.raises(InputError, match="image 1: a box, a score"):
        ExpectedTruth({1: broken}, CLASSES)
    with pytest.raises(InputError, match="image 1: a label is not one of the 3 classes"):
        ExpectedTruth({1: detections(FAR[:1], [1.0])}, CLASSES).precision({1: detections(FAR[:1], [1.0], [3])})


@pytest.mark.parametrize(
    ("unsure", "power"),
    # What 0.2 to the power is beside 0.7, so many times for 40: 0.45 and 1.1 at the ends, as far as powers go.
    [(10, 0.75), (50, 0.816), (64, 1), (100, 1), (150, 1), (160, 1.03), (240, 1.353), (1000, 1.6)],
)
def test_unsure_detections_hold_as_many_objects_as_they_may(unsure: int, power: float) -> None:
    scores = np.concatenate([np.full(40, 0.7), np.full(unsure, 0.2), np.full(500, 0.09)]).astype(np.float32)
    assert chance_power([scores[:5], scores[5:], scores[:0]]) == pytest.approx(power, abs=0.013)


@pytest.mark.parametrize("sure", [0, 1, 19])
def test_of_few_sure_detections_nothing_is_told(sure: int) -> None:
    scores = np.concatenate([np.full(sure, 0.9), np.full(1000, 0.2)]).astype(np.float32)
    assert chance_power([scores]) == 1
    assert chance_power([]) == 1
    assert chance_power([np.append(scores, np.full(20, 0.9, np.float32))]) > 1


def test_chances_to_a_power_by_hand() -> None:
    truth = ExpectedTruth({1: detections(FAR[:2], [1.0, 0.5])}, CLASSES, power=2)
    assert truth.objects == pytest.approx(1.25)
    assert truth.precision({1: detections(FAR[:1], [0.9])}) == pytest.approx(1 / 1.25)
    assert truth.precision({1: detections(FAR[1:2], [0.9])}) == pytest.approx(0.25**2 / 1.25)
