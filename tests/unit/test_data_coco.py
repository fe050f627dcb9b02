"""COCO's other files: keypoints of persons, and the panoptic format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from midstream.data import load
from midstream.data.label_maps import label_map
from midstream.errors import InputError

HEIGHT, WIDTH = 4, 6


def _write(folder: Path, content: dict[str, Any]) -> str:
    for name in ("a.jpg", "b.jpg"):
        (folder / "images").mkdir(exist_ok=True, parents=True)
        data = cv2.imencode(".jpg", np.zeros((HEIGHT, WIDTH, 3), np.uint8))[1].tobytes()
        (folder / "images" / name).write_bytes(data)
    images = [
        {"id": i, "file_name": name, "height": HEIGHT, "width": WIDTH} for i, name in ((7, "a.jpg"), (5, "b.jpg"))
    ]
    (folder / "labels.json").write_text(json.dumps({"images": images, **content}))
    return f"coco:{folder / 'images'},{folder / 'labels.json'}"


def _keypoints(folder: Path, points: list[Any], names: list[str] | None = None) -> str:
    person = {"id": 1, "name": "person", "skeleton": [[1, 2]], **({"keypoints": names} if names else {})}
    annotation = {"image_id": 7, "category_id": 1, "bbox": [0, 0, 2, 2], "keypoints": points}
    bare = {"image_id": 5, "category_id": 1, "bbox": [0, 0, 2, 2]}
    return _write(folder, {"categories": [person], "annotations": [annotation, bare]})


def test_keypoints(tmp_path: Path) -> None:
    dataset = load(_keypoints(tmp_path, [1.5, 2, 2, 0, 0, 0, 3, 1, 1], ["nose", "left", "right"]))
    assert dataset.labels == "coco"
    (category,) = dataset.ground_truth["categories"]
    assert category["keypoints"] == ["nose", "left", "right"]
    first, second = dataset.ground_truth["annotations"]
    assert first["keypoints"] == [1.5, 2, 2, 0, 0, 0, 3, 1, 1]
    assert first["num_keypoints"] == 2
    assert "keypoints" not in second


def test_keypoints_without_names_are_numbered(tmp_path: Path) -> None:
    dataset = load(_keypoints(tmp_path, [1, 2, 2, 0, 0, 0]))
    assert dataset.ground_truth["categories"][0]["keypoints"] == ["0", "1"]


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ([1, 2, 2, 3], r"annotations\[0\] in .* has 4 numbers as keypoints; 'person' has 1 keypoints"),
        ([1, 2], "has 2 numbers as keypoints; 'person' has 0 keypoints"),
        (["x"] * 3, r"annotations\[0\]\.keypoints\[0\]: "),
    ],
)
def test_unusable_keypoints(tmp_path: Path, points: list[Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        load(_keypoints(tmp_path, points))


def _panoptic(folder: Path, **changes: Any) -> str:
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    pixels[:, :2], pixels[0, 3] = (0, 1, 4), (2, 0, 0)  # blue, green, red
    (folder / "labels").mkdir(exist_ok=True, parents=True)
    (folder / "labels" / "a.png").write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    segments = [{"id": 4 + 256, "category_id": 17, "iscrowd": 0}, {"id": 2 * 65536, "category_id": 200}]
    annotation = {"image_id": 7, "file_name": "a.png", "segments_info": segments, **changes}
    categories = [{"id": 17, "name": "cat", "isthing": 1}, {"id": 200, "name": "rug-merged", "isthing": 0}]
    return _write(folder, {"categories": categories, "annotations": [annotation]})


def test_the_panoptic_format_is_maps_of_classes(tmp_path: Path) -> None:
    dataset = load(_panoptic(tmp_path))
    assert dataset.labels == "segmentation"
    assert [(image.id, image.path.name) for image in dataset.images] == [(7, "a.jpg")]
    assert dataset.notes == ("1 images have no map and are left out",)
    found = label_map(dataset.ground_truth["annotations"][0])
    expected = np.full((HEIGHT, WIDTH), 255, np.uint8)
    expected[:, :2], expected[0, 3] = 17, 200
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"file_name": "../a.png"}, r"annotations\[0\] in .* names '../a.png', which is outside"),
        ({"file_name": "none.png"}, r"the map of a\.jpg is not there: .*none\.png"),
        ({"file_name": "x" * 5000}, "the map of a.jpg is not there"),
        ({"segments_info": [{"id": 1, "category_id": 9}]}, "a segment of the unlisted category 9"),
        ({"segments_info": [{"id": 1}]}, r"have no 'annotations\[0\]\.segments_info\[0\]\.category_id'"),
        ({"image_id": 99}, "are of none of the images that it lists"),
    ],
)
def test_unusable_panoptic_files(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        load(_panoptic(tmp_path, **changes))


def test_a_panoptic_file_without_its_maps(tmp_path: Path) -> None:
    spec = _panoptic(tmp_path)
    (tmp_path / "labels").rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"is to have a folder .*labels beside it"):
        load(spec)


_BEYOND = "should be less than"


@pytest.mark.parametrize(
    ("annotation", "category", "image", "message"),
    [
        ({"bbox": [0, 0, 1e308, 1]}, {}, {}, rf"annotations\[0\]\.bbox\[2\]: .*{_BEYOND}"),
        ({"bbox": [-1e308, 0, 1, 1]}, {}, {}, r"annotations\[0\]\.bbox\[0\]: .*greater than or equal to -1000000"),
        ({"bbox": [0, 0, -2, 1]}, {}, {}, r"annotations\[0\]\.bbox\[2\]: .*greater than or equal to 0"),
        ({"area": -1}, {}, {}, r"annotations\[0\]\.area: "),
        ({"area": 1e300}, {}, {}, r"annotations\[0\]\.area: "),
        ({"keypoints": [1e300, 0, 2]}, {}, {}, r"annotations\[0\]\.keypoints\[0\]: "),
        ({"image_id": 1 << 63}, {}, {}, rf"annotations\[0\]\.image_id: .*{_BEYOND}"),
        ({"category_id": -(1 << 80)}, {}, {}, r"annotations\[0\]\.category_id: "),
        ({}, {"id": 1 << 80}, {}, r"categories\[0\]\.id: "),
        ({}, {}, {"id": 1 << 63}, rf"images\[0\]\.id: .*{_BEYOND}"),
        ({}, {}, {"width": 10**30}, r"images\[0\]\.width: "),
        ({}, {}, {"height": -1}, r"images\[0\]\.height: "),
    ],
)
@pytest.mark.parametrize("kind", ["coco", "coco-video"])
def test_numbers_beyond_all_bounds_are_refused_by_name(
    kind: str,
    annotation: dict[str, Any],
    category: dict[str, Any],
    image: dict[str, Any],
    message: str,
    tmp_path: Path,
) -> None:
    spec = _odd(tmp_path, annotation, category, image, kind)
    with pytest.raises(InputError, match=message):
        load(spec)


@pytest.mark.parametrize("kind", ["coco", "coco-video"])
def test_names_of_classes_are_made_readable(kind: str, tmp_path: Path) -> None:
    dataset = load(_odd(tmp_path, {}, {"name": "a\x1b[2J\nb", "keypoints": ["\x07"] * 1}, {}, kind))
    (category,) = dataset.ground_truth["categories"]
    assert (category["name"], category["keypoints"]) == ("a [2J b", [" "])


def _odd(folder: Path, annotation: dict[str, Any], category: dict[str, Any], image: dict[str, Any], kind: str) -> str:
    """A file with one image, annotation and category, of which some fields are changed."""
    spec = _write(
        folder,
        {
            "videos": [{"id": 1}],
            "images": [{"id": 7, "file_name": "a.jpg", "height": HEIGHT, "width": WIDTH, "video_id": 1, **image}],
            "categories": [{"id": 1, "name": "person", **category}],
            "annotations": [{"image_id": 7, "category_id": 1, "bbox": [0, 0, 2, 2], **annotation}],
        },
    )
    return spec.replace("coco:", f"{kind}:", 1)
