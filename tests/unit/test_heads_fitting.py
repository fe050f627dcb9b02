"""Which kinds of head the shapes of a graph's outputs would fit."""

from __future__ import annotations

from typing import Any

import pytest

from midstream.models.heads.fitting import advice, fitting, in_words

STRIDES = (8, 16, 32)


def by_stride(kinds: dict[str, int | None], side: int = 320, each: int = 1) -> dict[str, list[Any]]:
    return {f"{kind}{s}": [1, each * (side // s) ** 2, width] for kind, width in kinds.items() for s in STRIDES}


CASES: list[tuple[dict[str, list[Any]], tuple[int, int], str, int, dict[str, Any]]] = [
    ({"output0": [1, 84, 2100]}, (320, 320), "yolov8", 80, {"output": "output0"}),
    ({"output0": [1, 84, "anchors"]}, (320, 320), "yolov8", 80, {"output": "output0"}),
    ({"output0": [1, 5, 8400]}, (640, 640), "yolov8", 1, {"output": "output0"}),
    ({"output0": [1, 10004, 8400]}, (640, 640), "yolov8", 10_000, {}),
    ({"o": [1, 116, 8400], "p": [1, 32, 160, 160]}, (640, 640), "yolov8", 80, {"output": "o", "prototypes": "p"}),
    ({"o": [1, 6300, 85]}, (320, 320), "yolov5", 80, {"output": "o", "strides": [8, 16, 32]}),
    ({"o": [1, 2100, 85]}, (320, 320), "yolox", 80, {"output": "o", "strides": [8, 16, 32]}),
    ({"o": [1, 102000, 6]}, (1280, 1280), "yolov5", 1, {"strides": [8, 16, 32, 64]}),
    ({"o": [1, 3549, 6]}, (416, 416), "yolox", 1, {"strides": [8, 16, 32]}),
    ({"o": [1, 300, 6]}, (640, 640), "end2end", 0, {"output": "o"}),
    ({"o": [1, 300, 38], "p": [1, 32, 160, 160]}, (640, 640), "end2end", 0, {"prototypes": "p"}),
    ({"o": ["n", 7]}, (640, 640), "end2end", 0, {"output": "o"}),
    ({"o": [1, 300, 84]}, (640, 640), "boxes", 80, {"boxes": "o", "format": "cxcywh"}),
    (
        {"a": [1, 255, 80, 80], "b": [1, 255, 40, 40], "c": [1, 255, 20, 20]},
        (640, 640), "yolov5", 80, {"maps": ["a", "b", "c"], "decoded": False, "strides": [8, 16, 32]},
    ),
    ({"a": [1, 3, 80, 80, 85], "b": [1, 3, 40, 40, 85]}, (640, 640), "yolov5", 80, {"maps": ["a", "b"]}),
    (by_stride({"score": 1, "bbox": 4, "kps": 10}, each=2), (320, 320), "scrfd", 1, {"strides": [8, 16, 32]}),
    (by_stride({"score": 1, "bbox": 4}, each=2), (320, 320), "scrfd", 1, {}),
    (by_stride({"cls": 1, "obj": 1, "bbox": 4, "kps": 10}), (320, 320), "yunet", 1, {}),
    (by_stride({"cls": 80, "dis": 32}), (320, 320), "gfl", 80, {"bins": 8, "strides": [8, 16, 32]}),
    (
        {"labels": ["n"], "boxes": ["n", 4], "scores": ["n"]},
        (320, 320), "boxes", 0, {"boxes": "boxes", "scores": "scores", "labels": "labels"},
    ),
    (
        {"num_detections": [1], "detection_boxes": [1, 100, 4], "detection_scores": [1, 100],
         "detection_classes": [1, 100]},
        (320, 320), "boxes", 0, {"count": "num_detections", "labels": "detection_classes"},
    ),
    (
        {"boxes": ["n", 4], "labels": ["n"], "scores": ["n"], "masks": ["n", 1, 28, 28]},
        (800, 800), "rcnn", 0, {"masks": "masks"},
    ),
    ({"scores": [1, 4420, 2], "boxes": [1, 4420, 4]}, (240, 320), "boxes", 1, {"background": True}),
    ({"confs": [1, 10647, 80], "boxes": [1, 10647, 4]}, (416, 416), "boxes", 80, {"scores": "confs"}),
    (
        {"loc": [1, 16800, 4], "conf": [1, 16800, 2], "landms": [1, 16800, 10]},
        (640, 640), "retinaface", 1, {"boxes": "loc", "scores": "conf", "keypoints": "landms"},
    ),
    ({"logits": [1, 100, 92], "pred_boxes": [1, 100, 4]}, (800, 800), "detr", 91, {"logits": "logits"}),
]  # fmt: skip


@pytest.mark.parametrize(("shapes", "size", "kind", "classes", "table"), CASES)
def test_networks_that_people_run(
    shapes: dict[str, list[Any]], size: tuple[int, int], kind: str, classes: int, table: dict[str, Any]
) -> None:
    found = fitting(shapes, size)
    assert found
    assert (found[0].kind, found[0].classes) == (kind, classes)
    assert dict(found[0].table).items() >= table.items()


@pytest.mark.parametrize(
    "shapes",
    [
        {"probs": [1, 1000]}, {"map": [1, 21, 512, 512]}, {"a": [6]}, {}, {"a": []}, {"x": [1, 1, 640, 640]},
        {"a": [2, 84, 2100]}, {"state": [2, 1, 128], "output": [1, 1]}, {"a": [1, 16, 112, 112], "b": [1, 5]},
    ],
)  # fmt: skip
def test_outputs_of_no_detector(shapes: dict[str, list[Any]]) -> None:
    assert fitting(shapes, (640, 640)) == []
    assert advice(shapes, (640, 640), 80) == "they fit no kind of head by their shapes"


def test_advice_is_of_as_many_classes_if_there_is_some() -> None:
    shapes = {"scores": [1, 4420, 2], "boxes": [1, 4420, 4]}
    assert advice(shapes, None, 2) == "by their shapes they would fit: boxes (2 classes)"
    assert (
        advice(shapes, None, 7)
        == "by their shapes they would fit: boxes (1 class, `background = true`), boxes (2 classes)"
    )


def test_many_outputs_are_not_all_listed() -> None:
    assert in_words({"a": ["n", None, 4]}) == "a [n, ?, 4]"
    assert in_words({f"o{i}": [1] for i in range(20)}).endswith("o11 [1] and 8 more")


def test_keypoints_are_known_from_elsewhere() -> None:
    found = fitting({"o": [1, 56, 8400]}, (640, 640), keypoints=17)
    assert [(fit.kind, fit.classes, dict(fit.table)) for fit in found] == [
        ("yolov8", 1, {"output": "o", "keypoints": 17})
    ]
    assert fitting({"o": [1, 300, 57]}, (640, 640), keypoints=17)[0].kind == "end2end"
