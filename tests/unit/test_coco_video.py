"""`coco-video:`: COCO files whose frames are of videos and whose annotations are of tracks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from midstream import data as datasets
from midstream.errors import InputError


def content() -> dict[str, Any]:
    """Two clips of two frames, listed out of order; ids that are not those of the data set."""
    frames = [("b/2.png", 9, 5, 1), ("a/2.png", 4, 2, 11), ("a/10.png", 7, 2, 12), ("b/1.png", 3, 5, 0)]
    images = [
        {"id": identity, "file_name": name, "height": 32, "width": 48, "video_id": video, "frame_index": number}
        for name, identity, video, number in frames
    ]
    boxes = [(4, 1, [1, 2, 3, 4]), (7, 1, [2, 2, 3, 4]), (7, 2, [9, 9, 5, 5]), (3, 1, [0, 0, 7, 7])]
    return {
        "videos": [{"id": 2, "name": "first", "fps": 10}, {"id": 5, "name": "second"}],
        "images": images,
        "categories": [{"id": 3, "name": "car"}],
        "annotations": [
            {"id": number, "image_id": image, "category_id": 3, "bbox": box, "instance_id": track}
            for number, (image, track, box) in enumerate(boxes)
        ],
    }


def load(folder: Path, truth: dict[str, Any]) -> datasets.Dataset:
    for image in truth["images"]:
        path = folder / image["file_name"]
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), np.zeros((image["height"], image["width"], 3), np.uint8))
    (folder / "truth.json").write_text(json.dumps(truth))
    return datasets.load(f"coco-video:{folder},{folder / 'truth.json'}")


def test_clips_frames_and_tracks(tmp_path: Path) -> None:
    dataset = load(tmp_path, content())
    assert [image.path.relative_to(tmp_path).as_posix() for image in dataset.images] == [
        "a/2.png", "a/10.png", "b/1.png", "b/2.png",
    ]  # fmt: skip
    assert [image.id for image in dataset.images] == [1, 2, 3, 4]
    first, second = datasets.Clip("first", 10), datasets.Clip("second", 25)
    assert [image.clip for image in dataset.images] == [first, first, second, second]
    assert [image.time_s for image in dataset.images] == [0, 0.1, 0, 0.04]
    assert dataset.ground_truth is not None
    assert [entry["id"] for entry in dataset.ground_truth["images"]] == [1, 2, 3, 4]
    found = [(entry["image_id"], entry["track"], entry["bbox"]) for entry in dataset.ground_truth["annotations"]]
    assert found == [(1, 1, [1, 2, 3, 4]), (2, 1, [2, 2, 3, 4]), (2, 2, [9, 9, 5, 5]), (3, 1, [0, 0, 7, 7])]
    head = dataset.head(1)
    assert [image.id for image in head.images] == [1, 3]


def test_videos_of_one_name_are_clips_of_their_own(tmp_path: Path) -> None:
    truth = _change(videos_0_name="street", videos_1_name="street", videos_1_fps=10)
    truth["videos"].append({"id": 9, "name": "street (2)"})
    dataset = load(tmp_path, truth)
    assert [image.clip.name for image in dataset.images if image.clip] == ["street (2)"] * 2 + ["street (5)"] * 2
    assert [len(part) for part in dataset.parts] == [2, 2]
    truth["videos"] = [{"id": 2, "name": "5"}, {"id": 5}]  # which is called by its id
    clips = [part[0].clip for part in load(tmp_path, truth).parts]
    assert clips == [datasets.Clip("5 (2)", 25), datasets.Clip("5 (5)", 25)]


def test_names_hold_nothing_that_drives_a_terminal(tmp_path: Path) -> None:
    truth = _change(videos_0_name="\x1b[31mred\n", videos_1_name=" [31mred\t")
    dataset = load(tmp_path, truth)
    assert {image.clip.name for image in dataset.images if image.clip} == {" [31mred  (2)", " [31mred  (5)"}


def test_without_tracks_it_is_a_set_of_clips(tmp_path: Path) -> None:
    truth = content()
    for annotation in truth["annotations"]:
        del annotation["instance_id"]
    dataset = load(tmp_path, truth)
    assert dataset.ground_truth is not None
    assert len(dataset.parts) == 2
    assert not any("track" in entry for entry in dataset.ground_truth["annotations"])


def _change(**changes: Any) -> dict[str, Any]:
    truth = content()
    for key, value in changes.items():
        where, number, field = key.split("_", 2)
        truth[where][int(number)][field] = value
    return truth


@pytest.mark.parametrize(
    ("truth", "why"),
    [
        (_change(images_0_video_id=7), "lists the image b/2.png of the video 7, which is not listed"),
        (_change(images_1_frame_index=12), "'first' have the same number"),
        (_change(images_1_width=50), "or are of several sizes"),
        (_change(annotations_2_instance_id=None), "has a track_id for 3 of 4 annotations"),
        (_change(annotations_2_instance_id=1), "the track 1 is twice in the image id 7"),
        (_change(videos_0_fps=0), "videos[0].fps"),
        (_change(videos_1_id=2), "list the video id 2 twice"),
        (_change(images_1_id=9), "list the image id 9 twice"),
        (_change(annotations_1_id=3), "list the annotation id 3 twice"),
        ({**content(), "categories": [{"id": 3, "name": name} for name in "ab"]}, "list the category id 3 twice"),
        (_change(annotations_2_instance_id=10**300), "annotations[2].instance_id"),
        (_change(images_1_frame_index=10**300), "images[1].frame_index"),
        (_change(annotations_0_category_id=8), "unlisted category 8"),
        ({**content(), "images": []}, "list no image"),
        ({key: value for key, value in content().items() if key != "videos"}, "have no 'videos'"),
    ],
)
def test_refusals(truth: dict[str, Any], why: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as raised:
        load(tmp_path, truth)
    assert why in str(raised.value)


def test_two_paths_are_needed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="needs two paths: coco-video:IMAGES_DIR"):
        datasets.load(f"coco-video:{tmp_path}")
    with pytest.raises(InputError, match="no folder of images"):
        datasets.load(f"coco-video:{tmp_path / 'no'},{tmp_path / 'truth.json'}")
