"""What Ultralytics' exporter writes into ONNX files, read without running any of it."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.helpers import toy

from midstream import models
from midstream.errors import InputError
from midstream.models.heads.metadata import Metadata, from_metadata

GIVEN = {
    "task": "detect",
    "stride": "32",
    "imgsz": "[384, 640]",
    "names": "{0: 'person', 1: \"rider's bike\"}",
    "channels": "3",
    "end2end": "False",
    "args": "{'batch': 1, 'nms': False, 'half': False}",
    "description": "YOLO11n, of a \x1b[2J terminal",
}


def proto(entries: dict[str, str]) -> onnx.ModelProto:
    model = onnx.ModelProto()
    for key, value in entries.items():
        model.metadata_props.append(onnx.StringStringEntryProto(key=key, value=value))
    return model


def test_an_export_says_what_it_is() -> None:
    found = from_metadata(proto(GIVEN))
    said = "YOLO11n, of a [2J terminal"
    assert found == Metadata("detect", ("person", "rider's bike"), 32, (384, 640), channels=3, description=said)


def test_a_pose_network_and_others_that_select_by_themselves() -> None:
    pose = from_metadata(proto(GIVEN | {"task": "pose", "kpt_shape": "[17, 3]", "end2end": "True"}))
    assert pose is not None
    assert (pose.task, pose.keypoints, pose.end2end) == ("pose", 17, True)
    inside = from_metadata(proto(GIVEN | {"args": "{'nms': True}", "imgsz": "320", "stride": "[8, 16, 32]"}))
    assert inside is not None
    assert (inside.end2end, inside.size, inside.stride) == (True, (320, 320), 32)


def test_names_may_be_a_list_and_keys_text_and_in_any_order() -> None:
    for names in ("['a', 'b']", "{'1': 'b', '0': 'a'}", "{1: 'b', 0: 'a'}"):
        found = from_metadata(proto(GIVEN | {"names": names}))
        assert found is not None
        assert found.names == ("a", "b")
    blank = from_metadata(proto(GIVEN | {"names": "['\\x1b', 'b']"}))
    assert blank is not None
    assert blank.names == ("class 0", "b")


def test_ten_thousand_classes() -> None:
    found = from_metadata(proto(GIVEN | {"names": str({i: f"class number {i}" for i in range(10_000)})}))
    assert found is not None
    assert found.names[9_999] == "class number 9999"


@pytest.mark.parametrize("entries", [{}, {"task": "detect"}, {"task": "conquer", "names": "['a']"}, {"names": "['a']"}])
def test_files_of_others_say_nothing(entries: dict[str, str]) -> None:
    assert from_metadata(proto(entries)) is None


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("names", "__import__('os').system('true')"),
        ("names", "[x for x in 'ab']"),
        ("names", "{0: 'a', 2: 'b'}"),
        ("names", "{0: 1}"),
        ("names", "3"),
        ("names", "'abc'"),
        ("names", "{0: 'a', 'x': 'b'}"),
        ("names", "(" * 5000),
        ("names", "[" * 200 + "]" * 200),
        ("names", "-" * 100_000 + "1"),
        ("names", "['a'"),
        ("names", "\x00"),
        ("names", "['" + "a" * (1 << 20) + "']"),
        ("names", "{[]: 'a'}"),
        ("imgsz", "[0, 640]"),
        ("imgsz", "[1e400, 640]"),
        ("imgsz", "[99999, 640]"),
        ("imgsz", "'640'"),
        ("imgsz", "[]"),
        ("imgsz", "9" * 5000),
        ("stride", "{}"),
        ("kpt_shape", "[1e9, 3]"),
    ],
)
def test_what_cannot_be_so_is_named(entry: str, value: str) -> None:
    with pytest.raises(InputError, match=f"the file's metadata: '{entry}'"):
        from_metadata(proto(GIVEN | {entry: value}))


@given(st.sampled_from(sorted(GIVEN)), st.text(max_size=60) | st.text("[]{}(),:'\"0123456789-+.ej_ ", max_size=60))
def test_any_text_is_read_or_refused(entry: str, value: str) -> None:
    try:
        found = from_metadata(proto(GIVEN | {entry: value.encode("utf-8", "replace").decode()}))
    except InputError:
        return
    assert found is None or found.task


def test_a_network_of_oriented_boxes_is_refused_by_name(tmp_path: Path) -> None:
    path = toy.write_toy(tmp_path)
    network = onnx.load(str(tmp_path / "toy.onnx"))
    network.metadata_props.extend(proto({"task": "obb", "names": "['ship']"}).metadata_props)
    onnx.save(network, str(tmp_path / "toy.onnx"))
    with pytest.raises(InputError, match=r"its task is 'obb', oriented boxes, which no kind of head reads"):
        models.load(str(path))
