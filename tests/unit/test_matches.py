"""AP from records of single pictures is pycocotools' AP, on the whole set and on repeated pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midstream.data import Dataset, PictureFile
from midstream.metrics.accuracy import evaluate
from midstream.metrics.case import Case
from midstream.metrics.coco import coco_evaluation
from midstream.metrics.matches import class_matches, mean_over_classes, resamples
from midstream.models import Detections

CLASSES = ("cat", "dog", "cow")


def _boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    corner = rng.integers(0, 40, (count, 2))
    return np.concatenate([corner, corner + rng.integers(4, 60, (count, 2))], 1).astype(np.float32)


def _scene(seed: int, pictures: int, ties: bool = True) -> tuple[Dataset, dict[int, Detections]]:
    """Objects, crowds among them, and detections near some of them; with `ties`, many have the same score."""
    rng = np.random.default_rng(seed)
    truth: dict[str, Any] = {"images": [], "annotations": []}
    truth["categories"] = [{"id": 7 - i, "name": name} for i, name in enumerate(CLASSES)]
    found = {}
    for identity in range(1, pictures + 1):
        truth["images"].append({"id": identity, "height": 100, "width": 100, "file_name": f"{identity}.png"})
        boxes, labels = _boxes(rng, rng.integers(0, 5)), None
        labels = rng.integers(0, 3, len(boxes))
        for box, label in zip(boxes, labels, strict=True):
            sides = [*box[:2].tolist(), *(box[2:] - box[:2]).tolist()]
            truth["annotations"].append(
                {"id": len(truth["annotations"]) + 1, "image_id": identity, "category_id": 7 - int(label),
                 "bbox": sides, "area": sides[2] * sides[3], "iscrowd": int(rng.random() < 0.2)}
            )  # fmt: skip
        near = boxes + rng.normal(0, 2, boxes.shape) if len(boxes) else boxes
        boxes = np.concatenate([near, _boxes(rng, rng.integers(0, 4))]).astype(np.float32)
        scores = rng.random(len(boxes)).astype(np.float32)
        scores = np.round(scores, 1) if ties else scores
        labels = np.concatenate([labels, rng.integers(0, 3, len(boxes) - len(labels))]).astype(np.int64)
        order = np.argsort(-scores, kind="stable")
        found[identity] = Detections(boxes[order], scores[order], labels[order])
    truth["annotations"].append(
        {"id": 999, "image_id": 1, "category_id": 7, "bbox": [1, 1, 50, 50], "area": 2500, "iscrowd": 0}
    )
    files = tuple(PictureFile(i, Path(f"{i}.png")) for i in range(1, pictures + 1))
    return Dataset("test", "coco", files, truth), found


def _repeated(dataset: Dataset, found: dict[int, Detections], counts: list[int]) -> tuple[Dataset, dict]:
    """Each picture as often as `counts` says, copies of one next to each other."""
    truth: dict[str, Any] = {"images": [], "annotations": [], "categories": dataset.ground_truth["categories"]}
    files, copies = [], {}
    for picture, count in zip(dataset.pictures, counts, strict=True):
        for _ in range(count):
            identity = len(files) + 1
            files.append(PictureFile(identity, picture.path))
            copies[identity] = found[picture.id]
            truth["images"].append({"id": identity, "height": 100, "width": 100, "file_name": "x.png"})
            truth["annotations"] += [
                {**a, "image_id": identity, "id": 10000 * identity + a["id"]}
                for a in dataset.ground_truth["annotations"]
                if a["image_id"] == picture.id
            ]
    return replace(dataset, pictures=tuple(files), ground_truth=truth), copies


def _ap(dataset: Dataset, found: dict[int, Detections], weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    matches = class_matches(coco_evaluation(Case.of(dataset, found, CLASSES), "bbox"))
    mean = 100 * mean_over_classes({key: each.average_precision(weights) for key, each in matches.items()})
    return mean.mean(1), mean[:, 0]


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.integers(1, 9))
def test_the_whole_set_as_pycocotools_has_it(seed: int, pictures: int) -> None:
    dataset, found = _scene(seed, pictures)
    result = evaluate(dataset, found, CLASSES)
    ap, ap50 = _ap(dataset, found, resamples(3, pictures))
    assert ap[0] == pytest.approx(result.ap, abs=1e-10)
    assert ap50[0] == pytest.approx(result.ap50, abs=1e-10)


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.lists(st.integers(0, 3), min_size=2, max_size=8))
def test_multiplicities_are_repeated_pictures(seed: int, counts: list[int]) -> None:
    counts[0] = max(counts[0], 1)  # the one that certainly has an object
    dataset, found = _scene(seed, len(counts), ties=False)  # the copies of those that tie rank as they come
    repeated, copies = _repeated(dataset, found, counts)
    ap, ap50 = _ap(dataset, found, np.array([counts]))
    result = evaluate(repeated, copies, CLASSES)
    assert ap[0] == pytest.approx(result.ap, abs=1e-10)
    assert ap50[0] == pytest.approx(result.ap50, abs=1e-10)


def test_by_size_as_pycocotools_has_it() -> None:
    dataset, found = _scene(3, 8)
    evaluation = coco_evaluation(Case.of(dataset, found, CLASSES), "bbox", by_size=True)
    evaluation.accumulate()
    for number, size in enumerate(("all", "small", "medium")):
        precision = evaluation.eval["precision"][:, :, :, number, 0]
        wanted = precision[precision > -1].mean()
        got = mean_over_classes(
            {k: m.average_precision(np.ones((1, 8), np.int64)) for k, m in class_matches(evaluation, size).items()}
        )
        assert got.mean() == pytest.approx(wanted, abs=1e-12)


def test_resamples_are_the_same_every_time_and_as_large_as_the_set() -> None:
    drawn = resamples(50, 9)
    assert (drawn == resamples(50, 9)).all()
    assert (drawn[0] == 1).all()
    assert (drawn.sum(1) == 9).all()
    assert len({tuple(row) for row in drawn}) > 40
