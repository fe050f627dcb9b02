"""Tables with an image a row, as Hugging Face writes them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from midstream.data import load, read_image
from midstream.errors import InputError

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

HEIGHT, WIDTH = 5, 9


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder of its own: images are unpacked there."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def _image(value: int = 0) -> bytes:
    return cv2.imencode(".png", np.full((HEIGHT, WIDTH, 3), value, np.uint8))[1].tobytes()


def _table(file: Path, columns: dict[str, Any], features: Any = None, **options: Any) -> Path:
    table = pa.table(columns)
    if features is not None:
        about = features if isinstance(features, bytes) else json.dumps({"info": {"features": features}})
        table = table.replace_schema_metadata({"huggingface": about})
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, file, **options)
    return file


def _images(count: int) -> list[dict[str, Any]]:
    return [{"bytes": _image(10 * i), "path": f"../../etc/{i}.png"} for i in range(count)]


_LABEL = {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}


def test_classes(tmp_path: Path, home: Path) -> None:
    file = _table(tmp_path / "a.parquet", {"image": _images(5), "label": [0, 1, 1, -1, None]}, _LABEL, row_group_size=2)
    dataset = load(f"parquet:{file}")
    assert dataset.labels == "classes"
    assert [c["name"] for c in dataset.ground_truth["categories"]] == ["cat", "dog"]
    assert [a["category_id"] for a in dataset.ground_truth["annotations"]] == [0, 1, 1]
    assert [int(read_image(image.path)[0, 0, 0]) for image in dataset.images] == [0, 10, 20]
    assert dataset.notes == ("2 rows without an image or a label are left out",)
    assert all(image.path.is_relative_to(home) for image in dataset.images)
    assert (dataset.ground_truth["images"][0]["height"], dataset.ground_truth["images"][0]["width"]) == (HEIGHT, WIDTH)


def test_images_are_unpacked_once_and_no_more_row_groups_than_are_wanted(tmp_path: Path, home: Path) -> None:
    file = _table(tmp_path / "a.parquet", {"image": _images(6), "label": [0] * 6}, _LABEL, row_group_size=2)
    first = load(f"parquet:{file}", 3)
    assert len(first.images) == 3
    assert len(list(home.rglob("*.image"))) == 4
    marked = first.images[0].path
    marked.write_bytes(_image(99))
    assert read_image(load(f"parquet:{file}").images[0].path)[0, 0, 0] == 99
    assert len(list(home.rglob("*.image"))) == 6
    _table(tmp_path / "a.parquet", {"image": _images(7), "label": [0] * 7}, _LABEL)
    assert read_image(load(f"parquet:{file}").images[0].path)[0, 0, 0] == 0


@pytest.mark.parametrize(
    "values", [["b.png"], [_image()], [{"bytes": None, "path": "b.png"}], [{"path": "b.png"}], [{"bytes": _image()}]]
)
def test_images_as_bytes_and_as_paths(tmp_path: Path, values: list[Any]) -> None:
    (tmp_path / "b.png").write_bytes(_image())
    dataset = load(f"parquet:{_table(tmp_path / 'a.parquet', {'img': values})}")
    assert (dataset.labels, dataset.ground_truth) == (None, None)
    assert read_image(dataset.images[0].path).shape == (HEIGHT, WIDTH, 3)


def test_classes_without_names(tmp_path: Path) -> None:
    numbers = load(f"parquet:{_table(tmp_path / 'a.parquet', {'image': _images(2), 'label': [2, 0]})}")
    assert [c["name"] for c in numbers.ground_truth["categories"]] == ["0", "1", "2"]
    texts = load(f"parquet:{_table(tmp_path / 'b.parquet', {'image': _images(2), 'label': ['dog', 'cat']})}")
    assert [c["name"] for c in texts.ground_truth["categories"]] == ["cat", "dog"]
    assert [a["category_id"] for a in texts.ground_truth["annotations"]] == [1, 0]


_NAMES = {"names": ["cat", "dog"], "_type": "ClassLabel"}
_PAIRS = [[{"bbox": [1.0, 2.0, 3.0, 2.0], "category": 1}], []]
_LISTS = [{"bbox": [[1.0, 2.0, 3.0, 2.0]], "category": [1]}, {"bbox": [], "category": []}]


@pytest.mark.parametrize(
    ("objects", "feature"),
    [
        (_LISTS, {"feature": {"bbox": {}, "category": _NAMES}, "_type": "Sequence"}),
        (_LISTS, {"bbox": {}, "category": {"feature": _NAMES, "_type": "List"}}),
        (_PAIRS, [{"bbox": {}, "category": _NAMES}]),
        (_PAIRS, {"_type": "List", "feature": {"bbox": {}, "category": _NAMES}}),
    ],
)
def test_objects(tmp_path: Path, objects: list[Any], feature: Any) -> None:
    file = _table(tmp_path / "a.parquet", {"image": _images(2), "objects": objects}, {"objects": feature})
    dataset = load(f"parquet:{file}")
    assert dataset.labels == "coco"
    assert [c["name"] for c in dataset.ground_truth["categories"]] == ["cat", "dog"]
    assert dataset.ground_truth["annotations"] == [
        {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 2], "area": 6, "iscrowd": 0}
    ]
    assert len(dataset.images) == 2


def test_folders_of_tables(tmp_path: Path) -> None:
    for name in ("train-00000-of-00001", "validation-00001-of-00002", "validation-00000-of-00002"):
        _table(tmp_path / "set" / "data" / f"{name}.parquet", {"image": _images(2), "label": [0, 1]}, _LABEL)
    assert len(load(f"parquet:{tmp_path / 'set'},validation").images) == 4
    with pytest.raises(InputError, match="has the splits train, validation: name one"):
        load(f"parquet:{tmp_path / 'set'}")
    with pytest.raises(InputError, match=r"unknown split in .* 'test'; valid: train, validation"):
        load(f"parquet:{tmp_path / 'set'},test")
    for name in ("a", "b"):
        _table(tmp_path / "mine" / f"{name}.parquet", {"image": _images(2)})
    assert len(load(f"parquet:{tmp_path / 'mine'}").images) == 4


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"picture": ["a"]}, "has no column 'image'; it has picture"),
        ({"image": [1]}, "row 0 of row group 0 in .* has no image in its column 'image'"),
        ({"image": ["../b.png"]}, "names '../b.png', which is outside"),
        ({"image": ["none.png"]}, r"cannot read the image .*none\.png"),
        ({"image": [None]}, "no row of .* has an image"),
        ({"image": [b"x"] * 1, "label": [-1]}, "no row of .* has an image and a label"),
        ({"image": [b"x"], "label": [1.5]}, "has classes that are neither texts nor whole numbers"),
        ({"image": [b"x"], "label": [10**12]}, "has classes that are neither texts nor whole numbers"),
        ({"image": [b"x"], "objects": ["text"]}, "is no list of objects"),
        ({"image": [b"x"], "objects": [{"bbox": [[1.0]], "category": [0]}]}, "has a box that is not"),
        ({"image": [b"x"], "objects": [{"bbox": [[1.0, 2, 3, float("nan")]], "category": [0]}]}, "a box that is not"),
        ({"image": [b"x"], "objects": [{"bbox": [[1.0, 2, 3, 4]], "category": [0, 1]}]}, "for each object"),
        ({"image": [b"x"], "objects": [{"bbox": [[1.0, 2, 3, 4]]}]}, "for each object"),
        ({"image": [bytes(1 << 20)] * 3}, "holds more than 16 times its own size"),
        ({"image": pa.nulls((1 << 20) + 1, pa.binary())}, "rows in a row group: write it with 1,048,576 at most"),
    ],
)  # fmt: skip
def test_unusable_tables(tmp_path: Path, home: Path, columns: dict[str, Any], message: str) -> None:
    file = _table(tmp_path / "a.parquet", columns, row_group_size=1 << 21)
    with pytest.raises(InputError, match=message) as error:
        load(f"parquet:{file}")
    assert "\n" not in str(error.value)
    assert not [path for path in home.rglob("*") if path.name.endswith((".tmp", ".lock"))]


@pytest.mark.parametrize("features", [b"[", b"[" * 100_000, b"3", {"label": 3}, {"label": {"names": [1]}}, [1]])
def test_descriptions_that_are_none_are_passed_over(tmp_path: Path, features: Any) -> None:
    file = _table(tmp_path / "a.parquet", {"image": _images(1), "label": [1]}, features)
    dataset = load(f"parquet:{file}")
    assert [c["name"] for c in dataset.ground_truth["categories"]] == ["0", "1"]
    said = [line for line in dataset.notes if "classes are called by their numbers" in line]
    assert len(said) == (features != {"label": 3})


def test_a_column_without_names_is_nothing_to_speak_of(tmp_path: Path) -> None:
    about = {"label": {"dtype": "int64", "_type": "Value"}}
    assert load(f"parquet:{_table(tmp_path / 'a.parquet', {'image': _images(1), 'label': [1]}, about)}").notes == ()


@pytest.mark.parametrize(
    "box", [[1, 1, -2, 3], [1, 1, 2, -3], [-1e308, 1, 2, 3], [1, 1, 2, 1e308], [1, math.nan, 2, 3]]
)
def test_boxes_that_no_image_has(tmp_path: Path, box: list[float]) -> None:
    objects = [{"bbox": [box], "category": [0]}]
    file = _table(tmp_path / "a.parquet", {"image": _images(1), "objects": objects})
    with pytest.raises(InputError, match=r"a box that is not \[left, top, width, height\] in pixels"):
        load(f"parquet:{file}")


def test_a_class_beyond_the_names(tmp_path: Path) -> None:
    file = _table(tmp_path / "a.parquet", {"image": _images(1), "label": [2]}, _LABEL)
    with pytest.raises(InputError, match=r"'label' of image 1 in .* has the class 2; there are 2, counted from 0"):
        load(f"parquet:{file}")


def test_files_that_are_no_tables(tmp_path: Path) -> None:
    whole = _table(tmp_path / "a.parquet", {"image": _images(3)}).read_bytes()
    for data in (b"", b"PAR1", whole[:-5], whole[:20] + bytes(40) + whole[60:]):
        (tmp_path / "a.parquet").write_bytes(data)
        with pytest.raises(InputError, match=r"a\.parquet: cannot be read: ") as error:
            load(f"parquet:{tmp_path / 'a.parquet'}")
        assert "\n" not in str(error.value)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no \*\.parquet in the folder"):
        load(f"parquet:{tmp_path / 'empty'}")
    with pytest.raises(InputError, match="there is no table or folder"):
        load("parquet:none.parquet")
