"""Every kind of head with outputs that are extreme: an error by name or the right result."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import TypeAdapter

from midstream.errors import InputError
from midstream.models.detector_heads import DetectorHead
from midstream.models.heads import decode_head, output_names
from midstream.models.heads.located import located
from midstream.models.plausible import check_outputs
from midstream.models.preprocess import Placement

SIZE = (64, 96)
AT = Placement(0.5, 0.5, 0, 0, 96, 64)
IMAGE = (128, 192)
THRESHOLDS = {"score_threshold": 0.1, "nms_iou": 0.5}
Outputs = dict[str, NDArray[Any]]


def kinds(classes: int, count: int, seed: int = 0) -> dict[str, tuple[dict[str, Any], Outputs]]:
    """A head of each kind and what a network gives: `count` boxes where that is free, all in the image, chances."""
    rng = np.random.default_rng(seed)

    def chances(*shape: int) -> NDArray[np.float32]:
        return rng.random(shape).astype(np.float32)

    low = rng.uniform(0, 40, (count, 2))
    corners = np.concatenate([low, low + rng.uniform(5, 20, (count, 2))], axis=1).astype(np.float32)
    labels = rng.integers(0, classes, count)
    v8 = np.concatenate([(corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]], axis=1)
    dense = [96, 24, 6]
    table = np.concatenate([corners, chances(count, 1), labels[:, None]], axis=1).astype(np.float32)
    faces = {"scrfd": (1, 4, 10), "yunet": (1, 1, 4, 10)}
    by_stride = {
        kind: {f"{i}/{n}": chances(1, n * (1 + (kind == "scrfd")), w) for i, w in enumerate(widths) for n in dense}
        for kind, widths in faces.items()
    }
    scores, levels = chances(count, classes), {"strides": [8, 16, 32]}
    gfl = {f"s{n}": chances(1, n, classes) for n in dense} | {f"b{n}": chances(1, n, 16) for n in dense}
    everything = {
        "yolov8": (THRESHOLDS, {"o": np.concatenate([v8, scores], axis=1).T[None]}),
        "yolov5": ({**THRESHOLDS, **levels, "decoded": False}, {"o": chances(1, 3 * sum(dense), 5 + classes)}),
        "yolox": ({**THRESHOLDS, **levels}, {"o": chances(1, sum(dense), 5 + classes)}),
        "gfl": ({**THRESHOLDS, **levels, "bins": 4}, gfl),
        "end2end": ({}, {"o": table[None]}),
        "boxes": ({"scores": "s", "labels": "l"}, {"boxes": corners, "s": table[:, 4], "l": labels}),
        "detr": ({}, {"logits": chances(1, count, classes + 1), "pred_boxes": v8[None] / ([96, 64] * 2)}),
        "rcnn": ({}, {"boxes": corners, "scores": table[:, 4], "labels": labels + 1,
                      "masks": chances(count, 1, 28, 28)}),
    }  # fmt: skip
    if classes == 1:
        everything |= {kind: (THRESHOLDS, values) for kind, values in by_stride.items()}
        anchors = {name: chances(1, 2 * sum(dense), width) for name, width in {"b": 4, "s": 2, "k": 10}.items()}
        names = {"boxes": "b", "scores": "s", "keypoints": "k"}
        everything["retinaface"] = ({**THRESHOLDS, **names}, anchors)
    return everything


def head_of(kind: str, fields: dict[str, Any]) -> DetectorHead:
    head: DetectorHead = TypeAdapter(DetectorHead).validate_python({"kind": kind, **fields})
    return head


KINDS = ["yolov8", "yolov5", "yolox", "gfl", "end2end", "boxes", "detr", "rcnn", "scrfd", "yunet", "retinaface"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("classes", [1, 10_000])
@pytest.mark.parametrize("count", [0, 1, 12])
def test_few_boxes_and_few_and_many_classes(kind: str, classes: int, count: int) -> None:
    if kind in ("scrfd", "yunet", "retinaface") and classes > 1:
        pytest.skip("a face detector has one class")
    fields, outputs = kinds(classes, count)[kind]
    head = head_of(kind, fields)
    assert set(output_names(head)) <= set(outputs)
    found = located(decode_head(head, outputs, SIZE, classes), AT, SIZE, IMAGE)
    assert found.fault(classes) == ""
    assert (np.diff(found.scores) <= 0).all() or kind == "rcnn"
    assert (found.boxes >= 0).all()
    assert (found.boxes <= [192, 128, 192, 128]).all()
    if kind in ("end2end", "boxes", "rcnn"):
        assert len(found) == count
    if count == 0 and kind in ("yolov8", "detr"):
        assert len(found) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_any_output_that_is_not_a_number_is_named(kind: str) -> None:
    fields, outputs = kinds(1, 12)[kind]
    for name, values in outputs.items():
        bad = np.array(values, np.float32, order="C")
        bad.reshape(-1)[-1] = np.nan
        with pytest.raises(InputError, match=f"output '{name}' has values that are not finite"):
            decode_head(head_of(kind, fields), outputs | {name: bad}, SIZE, 1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [np.inf, -np.inf, 3e38, -3e38, 1e9, 0.0])
@pytest.mark.filterwarnings("error")
def test_any_number_gives_possible_detections_or_an_error(kind: str, value: float) -> None:
    fields, outputs = kinds(1, 12)[kind]
    for name, values in outputs.items():
        bad = outputs | {name: np.full(values.shape, value, np.float32)}
        with suppress(InputError):
            found = located(decode_head(head_of(kind, fields), bad, SIZE, 1), AT, SIZE, IMAGE)
            assert found.fault(1) == ""
            assert ((found.scores >= -0.01) & (found.scores <= 1.01)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_boxes_of_another_network_are_refused_with_their_shapes(kind: str) -> None:
    fields, _ = kinds(1, 12)[kind]
    names = list(output_names(head_of(kind, fields))) or ["o"]
    odd = {name: np.zeros((1, 13, 17), np.float32) for name in names}
    with pytest.raises(InputError, match=r"\[1, 13, 17\]|has 1$|unknown output|the network has 1"):
        decode_head(head_of(kind, fields), odd, SIZE, 3)


@pytest.mark.parametrize("kind", ["end2end", "boxes"])
def test_shares_that_are_taken_for_pixels_and_pixels_for_shares(kind: str) -> None:
    fields, outputs = kinds(3, 12)[kind]
    name = {"end2end": "o", "boxes": "boxes"}[kind]
    shares = outputs | {name: outputs[name] / np.array([96, 64, 96, 64, 1, 1], np.float32)[: outputs[name].shape[-1]]}
    assert check_outputs(head_of(kind, fields), outputs, SIZE, 3)
    assert check_outputs(head_of(kind, fields | {"normalised": True}), shares, SIZE, 3)
    with pytest.raises(InputError, match=r"no corner of the 12 boxes .*; `normalised = true` is missing"):
        check_outputs(head_of(kind, fields), shares, SIZE, 3)
    with pytest.raises(InputError, match=r"of the 12 best boxes .*; take `normalised = true` out"):
        check_outputs(head_of(kind, fields | {"normalised": True}), outputs, SIZE, 3)


def test_centres_and_sides_that_are_taken_for_corners() -> None:
    fields, outputs = kinds(3, 40)["boxes"]
    low, high = outputs["boxes"][:, :2] + [30, 15], outputs["boxes"][:, 2:] + [30, 15]
    centres = np.concatenate([(low + high) / 2, high - low], axis=1)
    with pytest.raises(InputError, match=r'they could be `format = "cxcywh"` with `normalised = false`'):
        check_outputs(head_of("boxes", fields), outputs | {"boxes": centres}, SIZE, 3)


def test_logits_that_are_taken_for_chances() -> None:
    values = {"boxes": np.tile(np.array([1.0, 2, 30, 40]), (1, 50, 1)), "s": np.linspace(-8, 3, 50)[None, :, None]}
    dense = {"scores": "s", "nms_iou": 0.5}
    with pytest.raises(InputError, match=r"scores lie between -8 and 3, .*is `sigmoid = true` missing"):
        check_outputs(head_of("boxes", dense), values, SIZE, 1)
