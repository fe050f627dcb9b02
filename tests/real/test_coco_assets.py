"""The labelled photographs of the assets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pycocotools.mask
import pytest

from midstream.data import Dataset, load, read_image
from midstream.metrics.accuracy import accuracy_of
from midstream.metrics.agreement import reference_dataset
from midstream.models import Detections


@pytest.fixture(scope="module")
def dataset(assets: Path) -> Dataset:
    return load(f"coco:{assets / 'coco/eval'},{assets / 'coco/instances_eval.json'}")


def _run_lengths(mask: Any, size: tuple[int, int]) -> dict[str, Any]:
    """The file has all three of COCO's forms: polygons, numbers, and compressed run lengths."""
    if isinstance(mask, list):
        return pycocotools.mask.merge(pycocotools.mask.frPyObjects(mask, *size))
    return pycocotools.mask.frPyObjects(mask, *size) if isinstance(mask["counts"], list) else mask


def _truth_as_detections(dataset: Dataset) -> tuple[dict[int, Detections], tuple[str, ...]]:
    truth = dataset.ground_truth
    names = tuple(category["name"] for category in truth["categories"])
    index = {category["id"]: position for position, category in enumerate(truth["categories"])}
    found = {}
    for image in truth["images"]:
        own = [a for a in truth["annotations"] if a["image_id"] == image["id"] and not a["iscrowd"]]
        boxes = np.array([a["bbox"] for a in own], np.float32).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        size = (image["height"], image["width"])
        found[image["id"]] = Detections(
            boxes,
            np.linspace(1, 0.5, len(own), dtype=np.float32),
            np.array([index[a["category_id"]] for a in own], np.int64),
            [_run_lengths(a["segmentation"], size) for a in own],
        )
    return found, names


def test_what_is_in_it(dataset: Dataset) -> None:
    truth = dataset.ground_truth
    assert len(dataset.images) == len(truth["images"]) == 284
    assert len(truth["annotations"]) == 2363
    assert sum(annotation["iscrowd"] for annotation in truth["annotations"]) == 24
    assert len(truth["categories"]) == 80
    for image, listed in list(zip(dataset.images, truth["images"], strict=True))[::20]:
        assert image.id == listed["id"]
        assert read_image(image.path).shape == (listed["height"], listed["width"], 3)


def test_the_ground_truth_scores_100(dataset: Dataset) -> None:
    """Crowds are neither found nor missed, so all that is to be found has been."""
    found, names = _truth_as_detections(dataset)
    result = accuracy_of(dataset, found, names)
    assert (result.ap, result.ap50, result.segm_ap, result.segm_ap50) == pytest.approx((100,) * 4, abs=1e-6)


def test_agreement_with_itself(dataset: Dataset) -> None:
    found, names = _truth_as_detections(dataset)
    reference = reference_dataset(dataset, found, names)
    assert sum(len(there) for there in found.values()) == len(reference.ground_truth["annotations"]) == 2363 - 24
    result = accuracy_of(reference, found, names)
    assert (result.ap, result.segm_ap) == pytest.approx((100, 100), abs=1e-6)


def test_folder(assets: Path) -> None:
    assert len(load(f"folder:{assets / 'coco/calib'}").images) == 200
