"""AP from records of single images is pycocotools' AP, on the whole set and on repeated images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from midstream.data import Dataset, ImageFile
from midstream.metrics.accuracy import accuracy_of
from midstream.metrics.agreement import reference_dataset
from midstream.metrics.bootstrap import resamples
from midstream.metrics.case import Case
from midstream.metrics.coco import CocoState
from midstream.metrics.matches import mean_over_classes
from midstream.models import Detections

CLASSES = ("cat", "dog", "cow")


def _boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    corner = rng.integers(0, 40, (count, 2))
    return np.concatenate([corner, corner + rng.integers(4, 60, (count, 2))], 1).astype(np.float32)


def _scene(seed: int, images: int, ties: bool = True) -> tuple[Dataset, dict[int, Detections]]:
    """Objects, crowds among them, and detections near some of them; with `ties`, many have the same score."""
    rng = np.random.default_rng(seed)
    truth: dict[str, Any] = {"images": [], "annotations": []}
    truth["categories"] = [{"id": 7 - i, "name": name} for i, name in enumerate(CLASSES)]
    found = {}
    for identity in range(1, images + 1):
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
    files = tuple(ImageFile(i, Path(f"{i}.png")) for i in range(1, images + 1))
    return Dataset("test", "coco", files, truth), found


def _repeated(dataset: Dataset, found: dict[int, Detections], counts: list[int]) -> tuple[Dataset, dict]:
    """Each image as often as `counts` says, copies of one next to each other."""
    truth: dict[str, Any] = {"images": [], "annotations": [], "categories": dataset.ground_truth["categories"]}
    files, copies = [], {}
    for image, count in zip(dataset.images, counts, strict=True):
        for _ in range(count):
            identity = len(files) + 1
            files.append(ImageFile(identity, image.path))
            copies[identity] = found[image.id]
            truth["images"].append({"id": identity, "height": 100, "width": 100, "file_name": "x.png"})
            truth["annotations"] += [
                {**a, "image_id": identity, "id": 10000 * identity + a["id"]}
                for a in dataset.ground_truth["annotations"]
                if a["image_id"] == image.id
            ]
    return replace(dataset, images=tuple(files), ground_truth=truth), copies


def _ap(dataset: Dataset, found: dict[int, Detections], weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    matches = CocoState.of(Case.of(dataset, found, CLASSES), "bbox").by_class()
    mean = 100 * mean_over_classes({key: each.average_precision(weights) for key, each in matches.items()})
    return mean.mean(1), mean[:, 0]


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.integers(1, 9))
def test_the_whole_set_as_pycocotools_has_it(seed: int, images: int) -> None:
    dataset, found = _scene(seed, images)
    result = accuracy_of(dataset, found, CLASSES)
    ap, ap50 = _ap(dataset, found, resamples(3, images))
    assert ap[0] == pytest.approx(result.ap, abs=1e-10)
    assert ap50[0] == pytest.approx(result.ap50, abs=1e-10)


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.lists(st.integers(0, 3), min_size=2, max_size=8))
def test_multiplicities_are_repeated_images(seed: int, counts: list[int]) -> None:
    counts[0] = max(counts[0], 1)  # the one that certainly has an object
    dataset, found = _scene(seed, len(counts), ties=False)  # the copies of those that tie rank as they come
    repeated, copies = _repeated(dataset, found, counts)
    ap, ap50 = _ap(dataset, found, np.array([counts]))
    result = accuracy_of(repeated, copies, CLASSES)
    assert ap[0] == pytest.approx(result.ap, abs=1e-10)
    assert ap50[0] == pytest.approx(result.ap50, abs=1e-10)


def test_by_size_as_pycocotools_has_it() -> None:
    dataset, found = _scene(3, 8)
    case = Case.of(dataset, found, CLASSES)
    state = CocoState.of(case, "bbox", by_size=True)
    truth, results = COCO(), COCO()
    for index, entries in ((truth, case.truth["annotations"]), (results, case.results)):
        index.dataset = {**case.truth, "annotations": [{**e, "id": i} for i, e in enumerate(entries, start=1)]}
        index.createIndex()
    evaluation = COCOeval(truth, results, "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    for number, size in enumerate(("all", "small", "medium")):
        precision = evaluation.eval["precision"][:, :, :, number, -1]
        wanted = precision[precision > -1].mean()
        once = np.ones((1, 8), np.int64)
        got = mean_over_classes({key: each.average_precision(once) for key, each in state.by_class(size).items()})
        assert got.mean() == pytest.approx(wanted, abs=1e-12)


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.integers(2, 9), st.data(), st.booleans())
def test_the_states_of_two_halves_are_the_state_of_the_whole(
    seed: int, images: int, data: st.DataObject, agreement: bool
) -> None:
    dataset, found = _scene(seed, images)
    if agreement:
        assume(any(len(each) for each in found.values()))  # nothing is nothing to agree with
        dataset = reference_dataset(dataset, found, CLASSES, threshold=0)
        found = _scene(seed + 1, images)[1]
    case = Case.of(dataset, found, CLASSES)
    half = data.draw(st.sets(st.sampled_from(range(1, images + 1))))
    parts = [case.only({i for i in range(1, images + 1) if (i in half) == there}) for there in (True, False)]
    whole = CocoState.of(case, "bbox", by_size=True)
    first, second = (CocoState.of(part, "bbox", by_size=True) for part in parts)
    for added in (first + second, second + first):
        assert added.average_precision() == whole.average_precision()
        assert (added.images, added.categories) == (whole.images, whole.categories)
        for size in ("all", "small", "medium", "large"):
            ours, theirs = added.by_class(size), whole.by_class(size)
            for key in theirs:
                for field in ("image", "hit", "ignored", "objects"):
                    np.testing.assert_array_equal(getattr(ours[key], field), getattr(theirs[key], field))
    with pytest.raises(ValueError, match="different images"):
        whole + whole


def test_what_counts_is_known_when_all_images_are() -> None:
    """In one image are 150 objects of a class, in another 120 detections: that limit is the first image's."""
    boxes = np.array([(x, y, x + 3, y + 3) for x in range(0, 60, 4) for y in range(0, 40, 4)], np.float32)
    scores = np.linspace(0.9, 0.5, len(boxes), dtype=np.float32)
    labels = np.zeros(len(boxes), np.int64)
    files = tuple(ImageFile(i, Path(f"{i}.png")) for i in (1, 2))
    crowded, few = Detections(boxes, scores, labels), Detections(boxes[-1:], scores[:1], labels[:1])
    dataset = reference_dataset(Dataset("test", None, files, None), {1: crowded, 2: few}, CLASSES)
    later = Detections(boxes[30:], scores[30:], labels[30:])
    case = Case.of(dataset, {1: crowded, 2: later}, CLASSES)
    whole, second = CocoState.of(case, "bbox"), CocoState.of(case.only({2}), "bbox")
    added = second + CocoState.of(case.only({1}), "bbox")
    assert [state.by_class()[0].hit[0].sum() for state in (whole, added, second)] == [151, 151, 0]
    assert added.average_precision() == whole.average_precision()
