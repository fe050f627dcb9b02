"""What one image's detections are held to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from midstream.models import Detections

FOUND = Detections(
    np.array([[1, 2, 3, 4], [0, 0, 9, 9]], np.float32),
    np.array([0.9, 0.4], np.float32),
    np.array([1, 0]),
    keypoints=np.ones((2, 17, 3), np.float32),
)


def test_detections_with_keypoints_and_without_are_possible() -> None:
    assert FOUND.fault(2) == replace(FOUND, keypoints=None).fault(2) == ""
    assert FOUND.finite


@pytest.mark.parametrize("shape", [(1, 17, 3), (2, 17, 2), (2, 51), (2, 17, 3, 1)])
def test_keypoints_of_another_shape(shape: tuple[int, ...]) -> None:
    assert "keypoints of 2 objects have the shape" in replace(FOUND, keypoints=np.ones(shape, np.float32)).fault(2)


@pytest.mark.parametrize("part", ["boxes", "scores", "keypoints"])
def test_numbers_that_are_not_finite(part: str) -> None:
    values: NDArray[np.float32] = getattr(FOUND, part).copy()
    values.reshape(-1)[-1] = np.nan
    found = replace(FOUND, **{part: values})
    assert not found.finite
    assert "is not a finite number" in found.fault(2)


def test_too_few_masks_and_labels_beyond_the_classes() -> None:
    assert "0 masks of 2 objects" in replace(FOUND, masks=[]).fault(2)
    assert "not one of the 1 classes" in FOUND.fault(1)
