"""Labels as other programs export them, on real photographs: the AP that is right, and the lines about what is not."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.helpers.detectors import load

from midstream import data
from midstream.data.reading import as_read
from midstream.evaluation.checks import about_labels, about_nothing
from midstream.metrics.accuracy import accuracy_of
from midstream.models import Detections, SplitModel

#: Of YOLOX-Nano, whole network, on the first ten images: with their own labels, and of people alone.
ALL, PEOPLE = 38.87, 47.04
IMAGES = 10


@pytest.fixture(scope="module")
def network(assets: Path) -> SplitModel:
    return load("yolox-nano-416", assets)


@pytest.fixture(scope="module")
def truth(assets: Path) -> dict[str, Any]:
    content = json.loads((assets / "coco" / "instances_eval.json").read_text())
    images = sorted(content["images"], key=lambda image: image["id"])[:IMAGES]
    ids = {image["id"] for image in images}
    annotations = [each for each in content["annotations"] if each["image_id"] in ids]
    return {"images": images, "annotations": annotations, "categories": content["categories"]}


@pytest.fixture(scope="module")
def found(network: SplitModel, truth: dict[str, Any], assets: Path) -> dict[int, tuple[Detections, tuple[int, int]]]:
    out = {}
    for image in truth["images"]:
        pixels = data.read_image(assets / "coco" / "eval" / image["file_name"])
        size = (pixels.shape[0], pixels.shape[1])
        out[image["id"]] = network.back(network.front(pixels), size), size
    return out


def same(truth: dict[str, Any]) -> None:
    """As they are."""


def roboflow(truth: dict[str, Any]) -> None:
    """A group of all classes with the name of the only one, and the id 0."""
    person = next(each["id"] for each in truth["categories"] if each["name"] == "person")
    truth["annotations"] = [{**a, "category_id": 1} for a in truth["annotations"] if a["category_id"] == person]
    truth["categories"] = [
        {"id": 0, "name": "person", "supercategory": "none"},
        {"id": 1, "name": "person", "supercategory": "person"},
    ]


def double_size(truth: dict[str, Any]) -> None:
    for image in truth["images"]:
        image["height"], image["width"] = 2 * image["height"], 2 * image["width"]
    for annotation in truth["annotations"]:
        annotation["bbox"] = [2 * side for side in annotation["bbox"]]


def corners(truth: dict[str, Any]) -> None:
    """Boxes as [left, top, right, bottom]."""
    for annotation in truth["annotations"]:
        left, top, width, height = annotation["bbox"]
        annotation["bbox"] = [left, top, left + width, top + height]


def sides_exchanged(truth: dict[str, Any]) -> None:
    """As Label Studio lists images that EXIF turns; the boxes are right."""
    for image in truth["images"]:
        image["height"], image["width"] = image["width"], image["height"]


def voc_names(truth: dict[str, Any]) -> None:
    voc = {"motorcycle": "motorbike", "airplane": "aeroplane", "couch": "sofa", "tv": "tvmonitor"}
    for category in truth["categories"]:
        category["name"] = voc.get(category["name"], category["name"])


def dashed(truth: dict[str, Any]) -> None:
    for category in truth["categories"]:
        category["name"] = category["name"].title().replace(" ", "-")


def other_names(truth: dict[str, Any]) -> None:
    other = {"tv": "television", "potted plant": "plant"}
    for category in truth["categories"]:
        category["name"] = other.get(category["name"], category["name"])


@pytest.mark.parametrize(
    ("change", "ap", "lines"),
    [
        (same, ALL, []),
        (roboflow, PEOPLE, ["79 of the network's 80 classes are none of the data set's"]),
        (
            double_size,
            0,
            ["10 of 10 images are", "boxes reach outside of their", "the uncompressed network's AP is 0"],
        ),
        (corners, None, ["boxes reach outside of their images"]),
        (sides_exchanged, ALL, ["10 of 10 images are not of the size"]),
        (voc_names, ALL, ["couch is 'sofa', tv is 'tvmonitor'"]),
        (dashed, ALL, []),
        (other_names, None, ["of the 23 classes in the data set are none of the network's", "2 of the network's 80"]),
    ],
)
def test_labels_of_other_programs(
    change: Callable[[dict[str, Any]], None],
    ap: float | None,
    lines: list[str],
    network: SplitModel,
    truth: dict[str, Any],
    found: dict[int, tuple[Detections, tuple[int, int]]],
    assets: Path,
    tmp_path: Path,
) -> None:
    changed = copy.deepcopy(truth)
    change(changed)
    (tmp_path / "labels.json").write_text(json.dumps(changed), encoding="utf-8-sig")
    dataset = data.load(f"coco:{assets / 'coco' / 'eval'},{tmp_path / 'labels.json'}")
    detections = {identity: each for identity, (each, _) in found.items()}
    dataset, notes = as_read(dataset, {identity: size for identity, (_, size) in found.items()})
    result = accuracy_of(dataset, detections, network.classes)
    notes += about_labels(dataset, network.task, network.classes)
    notes += about_nothing({"ap": result.ap}, detections.values())
    assert len(notes) == len(lines)
    for note, line in zip(notes, lines, strict=True):
        assert line in note
    if ap is None:
        assert 0 < result.ap < ALL
    else:
        assert result.ap == pytest.approx(ap, abs=0.05)
