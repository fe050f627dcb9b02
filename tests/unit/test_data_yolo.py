"""Ultralytics' layout, and Open Images' files of comma-separated values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midstream.data import load, yolo
from midstream.data.base import Dataset
from midstream.data.masks import check_masks
from midstream.data.yaml_of import yaml_of
from midstream.data.yolo_labels import objects_of
from midstream.errors import InputError

HEIGHT, WIDTH = 50, 100


def _image(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".jpg", np.zeros((HEIGHT, WIDTH, 3), np.uint8))[1].tobytes())
    return path


def _text(path: Path, text: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def _yolo(root: Path, labels: str = "1 0.5 0.5 0.2 0.4\n", **about: Any) -> str:
    """Two images, one with labels; `about` replaces entries of data.yaml, which JSON is."""
    pytest.importorskip("yaml")
    for name in ("a", "b"):
        _image(root / "images" / "val" / f"{name}.jpg")
    _text(root / "labels" / "val" / "a.txt", labels)
    content = {"path": str(root), "train": "images/train", "val": "images/val", "names": ["cat", "dog"], **about}
    content = {key: value for key, value in content.items() if value is not None}
    return f"yolo:{_text(root / 'data.yaml', json.dumps(content))}"


def _objects(dataset: Dataset) -> list[dict[str, Any]]:
    return dataset.ground_truth["annotations"]


def test_boxes_of_ultralytics(tmp_path: Path) -> None:
    dataset = load(_yolo(tmp_path))
    assert dataset.labels == "coco"
    assert [image.path.name for image in dataset.images] == ["a.jpg", "b.jpg"]
    assert dataset.ground_truth["categories"] == [{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}]
    (box,) = _objects(dataset)
    assert (box["id"], box["image_id"], box["category_id"], box["iscrowd"]) == (1, 1, 1, 0)
    assert box["bbox"] == pytest.approx([40, 15, 20, 20])
    assert box["area"] == pytest.approx(400)


def test_polygons_are_masks(tmp_path: Path) -> None:
    dataset = load(_yolo(tmp_path, "0 0.1 0.2 0.5 0.2 0.5 0.6 0.1 0.6\n1 0.5 0.5 0.2 0.4"))
    polygon, box = _objects(dataset)
    assert polygon["segmentation"][0] == pytest.approx([10, 10, 50, 10, 50, 30, 10, 30])
    assert polygon["bbox"] == pytest.approx([10, 10, 40, 20])
    assert polygon["area"] == pytest.approx(800)
    assert "segmentation" not in box
    check_masks(dataset)


@pytest.mark.parametrize(
    ("shape", "points", "expected", "labelled"),
    [
        ([2, 3], "0.1 0.2 2 0 0 0", [10, 10, 2, 0, 0, 0], 1),
        ([2, 3], "0.1 0.2 1 0.5 0.5 2", [10, 10, 1, 50, 25, 2], 2),
        ([2, 2], "0.1 0.2 0 0", [10, 10, 2, 0, 0, 0], 1),
    ],
)
def test_keypoints_of_poses(
    tmp_path: Path, shape: list[int], points: str, expected: list[float], labelled: int
) -> None:
    dataset = load(_yolo(tmp_path, f"0 0.5 0.5 1 1 {points}", kpt_shape=shape, names=["person"]))
    (person,) = _objects(dataset)
    assert person["keypoints"] == pytest.approx(expected)
    assert person["num_keypoints"] == labelled
    assert dataset.ground_truth["categories"] == [{"id": 0, "name": "person", "keypoints": ["0", "1"]}]


def test_a_line_that_is_there_twice_counts_once(tmp_path: Path) -> None:
    assert len(_objects(load(_yolo(tmp_path, "1 .5 .5 .2 .4\n1  .5 .5 .2 .4\n0 .5 .5 .2 .4")))) == 2


@pytest.mark.parametrize(
    ("about", "names"),
    [
        ({"names": None, "nc": 2}, ["class_0", "class_1"]),
        ({"names": ["no", 1], "nc": 2}, ["no", "1"]),
        ({"kpt_names": 3}, ["cat", "dog"]),
    ],
)
def test_names(tmp_path: Path, about: dict[str, Any], names: list[str]) -> None:
    dataset = load(_yolo(tmp_path, **about))
    assert [category["name"] for category in dataset.ground_truth["categories"]] == names


def test_names_as_a_mapping(tmp_path: Path) -> None:
    _yolo(tmp_path)
    file = _text(tmp_path / "data.yaml", "val: images/val  # of this folder\nnames:\n  1: dog\n  0: cat\n")
    assert [c["name"] for c in load(f"yolo:{file}").ground_truth["categories"]] == ["cat", "dog"]


@pytest.mark.parametrize(
    "about",
    [
        {"path": None},
        {"path": None, "val": "../images/val"},  # Roboflow's
        {"path": "elsewhere"},  # written on another machine
        {"val": ["images/val", "images/val/a.jpg.txt"]},
        {"val": "list.txt"},
        {"val": "images\\val"},  # written on Windows
        {"val": ".\\images\\val"},
        {"path": None, "val": "..\\images\\val"},
        {"path": ".\\images\\", "val": ["val", ".\\val\\a.jpg.txt"]},
    ],
)
def test_where_images_are(tmp_path: Path, about: dict[str, Any]) -> None:
    _text(tmp_path / "list.txt", f"./images/val/b.jpg\n{tmp_path / 'images' / 'val' / 'a.jpg'}\n")
    _text(tmp_path / "images" / "val" / "a.jpg.txt", "a.jpg\n")
    assert [image.path.name for image in load(_yolo(tmp_path, **about)).images] == ["a.jpg", "b.jpg"]


def test_a_backslash_may_be_part_of_a_name(tmp_path: Path) -> None:
    _yolo(tmp_path)
    (tmp_path / "images").rename(tmp_path / "im\\ages")
    (tmp_path / "im\\ages" / "val").rename(tmp_path / "im\\ages" / "images")
    with pytest.raises(InputError, match="has labels"):
        load(f"{_yolo(tmp_path / 'set', path=str(tmp_path), val='im' + chr(92) + 'ages')}")


def test_labels_are_in_the_last_folder_of_images(tmp_path: Path) -> None:
    _yolo(tmp_path / "images" / "set")
    dataset = load(f"yolo:{tmp_path / 'images' / 'set' / 'data.yaml'},val")
    assert len(_objects(dataset)) == 1


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ({"val": None}, "unknown split of .*data.yaml 'val'; valid: train"),
        ({"val": "images/none"}, "'val' of .* is not there: .*images/none"),
        ({"path": "/etc", "val": "/"}, "/ is a whole file system, and no folder of images"),
        ({"path": "/", "val": "."}, "is a whole file system, and no folder of images"),
        ({"val": 3}, "is to be a folder of images or a file that lists them"),
        ({"val": "a\0\nb"}, "is not there"),
        ({"path": 3}, "'path' in .* is to be a folder"),
        ({"names": None}, "has no 'names' of classes"),
        ({"names": [[]]}, "has no 'names' of classes"),
        ({"names": [], "nc": 0}, "has no 'names' of classes"),
        ({"nc": 3}, "says nc: 3, and has 2 names"),
        ({"names": None, "nc": 10**9}, "has no 'names' of classes"),
        ({"kpt_shape": [2, 4]}, "kpt_shape in .* is to be"),
        ({"kpt_shape": [10**9, 3]}, "kpt_shape in .* is to be"),
        ({"val": "list.txt"}, r"list\.txt, line 1 names '../../etc/passwd.jpg', which is outside of"),
        ({"val": "notes.txt"}, r"notes\.txt, line 1 names 'data.yaml', which is no image"),
        ({"val": "empty"}, "has no image in its split 'val'"),
        ({"val": "bare"}, "no image of the split 'val' in .* has labels: there is no .*c.txt, for one"),
    ],
)
def test_unusable_data_yaml(tmp_path: Path, about: dict[str, Any], message: str) -> None:
    _text(tmp_path / "list.txt", "../../etc/passwd.jpg\n")
    _text(tmp_path / "notes.txt", "data.yaml\n")
    (tmp_path / "empty").mkdir()
    _image(tmp_path / "bare" / "c.jpg")
    with pytest.raises(InputError, match=message) as error:
        load(_yolo(tmp_path, **about))
    assert "\n" not in str(error.value)


def test_a_folder_of_everything_is_not_searched_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yolo, "_MOST_OTHERS", 20)
    spec = _yolo(tmp_path, val="images")
    for i in range(15):
        _text(tmp_path / "images" / f"{i}.o", "")
    assert len(load(spec).images) == 2  # labels and what programs write may lie beside images
    for i in range(25):
        _text(tmp_path / "images" / "deep" / f"{i}.o", "")
    with pytest.raises(InputError, match="is no folder of images: more than 20 other files are in it"):
        load(spec)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("names: *a", r"line 1: references \(\*a\) are not accepted"),
        ("a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]", r"line 2: references"),
        ("a: " + "[" * 100_000, "line 1: lists and mappings are more than 16 deep"),
        ("a: !!python/object/apply:os.system ['true']", "could not determine a constructor"),
        ("a: [1,\n", "line 2: expected the node content"),
        ("a: 2001-99-99", "has a value that is none"),
        ("a: " + "9" * 5000, "has a value that is none"),
        ("? [a]\n: b", "unhashable key"),
        ("- a", "is no mapping"),
        ("", "is no mapping"),
        ("a: \0", "has a NUL"),
        (b"\xff\xff", "is no text in UTF-8"),
        ("a: " + "x" * (1 << 18), "is too large"),
    ],
)
def test_unusable_yaml(tmp_path: Path, text: str | bytes, message: str) -> None:
    pytest.importorskip("yaml")
    with pytest.raises(InputError, match=message) as error:
        yaml_of(_text(tmp_path / "a.yaml", text))
    assert "\n" not in str(error.value)
    assert "a.yaml" in str(error.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("2 0.5 0.5 0.1 0.1", "there is no class 2; the data set has 2"),
        ("1 0.5 0.5 -0.001 0.1", "a box of -0.001 x 0.1 has negative sides"),
        ("-1 0.5 0.5 0.1 0.1", "there is no class -1"),
        ("0.5 0.5 0.5 0.1 0.1", "there is no class 0.5"),
        ("nan 0.5 0.5 0.1 0.1", "there is no class nan"),
        ("0 0.5 0.5 0.1", "has 4 numbers"),
        ("0 0.5 0.5 0.1 0.1 0.9", "has 6 numbers.* a network's confidence"),
        ("0 40 15 20 20", "40 is no share of the image's side, 0 to 1: are these pixels"),
        ("0 0.5 inf 0.1 0.1", "inf is no share"),
        ("0 0.5 nan 0.1 0.1", "nan is no share"),
        ("0 0.5 0.5 0.1 -0.1", "-0.1 is no share"),
        ("0 a b c d", "could not convert"),
        ("0 0.1 0.1 0.2 0.2 0.3 1.3", "1.3 is no share"),
    ],
)
def test_unusable_labels(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(InputError, match=rf"a\.txt, line 2.*{message}") as error:
        load(_yolo(tmp_path, f"\n{line}\n"))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 0.5 0.5 1 1 0.1 0.2 2", "has 8 numbers; a class, a box and keypoints as in kpt_shape are 11"),
        ("0 0.5 0.5 1 1 0.1 0.2 3 0 0 0", r"a keypoint is seen \(2\), hidden \(1\) or not labelled \(0\), not 3"),
        ("0 0.5 0.5 1 1 7 0.2 2 0 0 0", "7 is no share"),
    ],
)
def test_unusable_keypoints(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load(_yolo(tmp_path, line, kpt_shape=[2, 3]))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(["0", "1", "0.5", "-0.01", "1e400", "nan", "x", "\n", "2", "1_0", "٣"]), max_size=30))
def test_lines_of_labels_are_objects_or_refused(tmp_path_factory: Any, words: list[str]) -> None:
    file = _text(tmp_path_factory.getbasetemp() / "labels.txt", " ".join(words))
    for keypoints in (None, (2, 3)):
        try:
            found = list(objects_of(file, (HEIGHT, WIDTH), 2, keypoints))
        except InputError:
            continue
        assert all(np.isfinite(each["bbox"]).all() and each["category_id"] in (0, 1) for each in found)


# Open Images

_HEADER = (
    "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside"
)
_ROW = "{},xclick,/m/{},1,0.1,0.5,0.2,0.8,0,0,{},0,0"
_ROWS = "\n".join([_HEADER, _ROW.format("b", "02", 0), _ROW.format("a", "01", 1), _ROW.format("away", "01", 0)])


def _openimages(root: Path, rows: str = _ROWS, classes: str | None = "/m/01,Person\n/m/02,Dog\n/m/03,Cat\n") -> str:
    for name in ("a", "b", "bare"):
        _image(root / "images" / f"{name}.jpg")
    if classes is not None:
        _text(root / "oidv7-class-descriptions-boxable.csv", classes)
    return f"openimages:{root / 'images'},{_text(root / 'boxes.csv', rows)}"


def test_open_images(tmp_path: Path) -> None:
    dataset = load(_openimages(tmp_path))
    assert dataset.labels == "coco"
    assert [image.path.name for image in dataset.images] == ["a.jpg", "b.jpg"]
    assert [c["name"] for c in dataset.ground_truth["categories"]] == ["Person", "Dog", "Cat"]
    assert [(a["image_id"], a["category_id"], a["iscrowd"]) for a in _objects(dataset)] == [(1, 1, 1), (2, 2, 0)]
    assert _objects(dataset)[0]["bbox"] == pytest.approx([10, 10, 40, 30])
    assert dataset.notes[0].startswith("1 boxes are of images that are not in ")
    assert dataset.notes[1] == "1 of 3 images have no row in boxes.csv and are left out"


def test_names_of_open_images(tmp_path: Path) -> None:
    bare = load(_openimages(tmp_path, classes=None))
    assert [c["name"] for c in bare.ground_truth["categories"]] == ["/m/01", "/m/02"]
    words = _text(tmp_path / "c.csv", 'LabelName,DisplayName\n/m/01,"Person, adult"')
    named = load(f"{bare.spec},{words}")
    assert [c["name"] for c in named.ground_truth["categories"]] == ["Person, adult", "/m/02"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("", "has no column ImageID"),
        ("ImageID,LabelName,XMin,XMax,YMin\n", "has no column YMax"),
        (_HEADER + "\na,b\n", "line 2 has 2 fields, the first line 13"),
        (_HEADER + "\n" + _ROW.format("a", "01", 0).replace("0.5", "50"), "line 2: .* are no shares"),
        (_HEADER + "\n" + _ROW.format("a", "01", 0).replace("0.5", "nan"), "line 2: .* are no shares"),
        (_HEADER + "\n" + _ROW.format("a", "01", 0).replace("0.5", "0.01"), "line 2: .* are no shares"),
        (_HEADER + "\n" + _ROW.format("a", "01", 0).replace("0.5", "x"), "line 2: could not convert"),
        (_HEADER + "\n" + _ROW.format("../../etc/passwd", "01", 0), "none of the 3 images in .* has a row"),
        (_HEADER + "\na\0", "line 2 is no text: it has a NUL"),
        (_HEADER + '\n"a', "line 2 has 1 fields"),
        (_HEADER + "\n" + "a," * 40_000, "line 2 is too long"),
        (b"\xff\xfe" * 3, "is no text in UTF-8"),
    ],
)
def test_unusable_open_images(tmp_path: Path, rows: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        load(_openimages(tmp_path, rows))
    assert "\n" not in str(error.value)


def test_unusable_names_of_open_images(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="line 2 is no label name and what it means"):
        load(_openimages(tmp_path, classes="/m/01,Person\n/m/02\n"))
    with pytest.raises(InputError, match="there is no file of boxes"):
        load(f"openimages:{tmp_path / 'images'},none.csv")
    with pytest.raises(InputError, match=r"cannot read .*none\.csv"):
        load(f"{_openimages(tmp_path)},{tmp_path / 'none.csv'}")
