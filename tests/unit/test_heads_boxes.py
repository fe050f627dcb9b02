"""Heads with outputs of their own for boxes, scores and labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from midstream.errors import InputError
from midstream.models.detector_heads import BoxesHead
from midstream.models.heads import batched, candidates, decode_head, proposes

SIZE = (64, 96)
SIDES = np.array([96, 64, 96, 64], np.float32)
CORNERS = np.array([[1, 2, 11, 22], [30, 20, 50, 60], [2, 2, 11, 21]], np.float32)
SCORES = np.array([0.3, 0.9, 0.5], np.float32)
LABELS = np.array([1, 2, 1])


def head(**fields: Any) -> BoxesHead:
    return BoxesHead.model_validate({"kind": "boxes", "scores": "scores", **fields})


def outputs(**changes: Any) -> dict[str, NDArray[Any]]:
    return {"labels": LABELS, "scores": SCORES, "boxes": CORNERS, **changes}


def in_format(form: str) -> NDArray[np.float32]:
    low, high = CORNERS[:, :2], CORNERS[:, 2:]
    return {
        "xyxy": CORNERS,
        "yxyx": CORNERS[:, [1, 0, 3, 2]],
        "xywh": np.concatenate([low, high - low], axis=1),
        "cxcywh": np.concatenate([(low + high) / 2, high - low], axis=1),
    }[form]


@pytest.mark.parametrize("form", ["xyxy", "yxyx", "xywh", "cxcywh"])
@pytest.mark.parametrize("normalised", [False, True])
@pytest.mark.parametrize("batch", [False, True])
def test_boxes_of_every_form(form: str, normalised: bool, batch: bool) -> None:
    sides = SIDES[[1, 0, 3, 2]] if form == "yxyx" else SIDES
    values = outputs(boxes=in_format(form) / sides if normalised else in_format(form))
    values = {name: each[None] for name, each in values.items()} if batch else values
    found = decode_head(head(labels="labels", format=form, normalised=normalised), values, SIZE, 3)
    np.testing.assert_allclose(found.boxes, CORNERS[[1, 2, 0]], rtol=1e-5)
    assert found.scores.tolist() == pytest.approx([0.9, 0.5, 0.3])
    assert found.labels.tolist() == [2, 1, 1]


def test_tensorflow_s_detection_api_counts_its_rows_and_numbers_coco_s_categories() -> None:
    names = {"boxes": "detection_boxes", "scores": "detection_scores", "labels": "detection_classes"}
    tensorflow = head(**names, count="num_detections", format="yxyx", normalised=True, category_labels=True)
    values = {
        "detection_boxes": (in_format("yxyx") / SIDES[[1, 0, 3, 2]])[None],
        "detection_scores": SCORES[None],
        "detection_classes": np.array([[1.0, 90.0, 1.0]], np.float32),
        "num_detections": np.array([2.0], np.float32),
    }
    found = decode_head(tensorflow, values, SIZE, 2, ids=[1, 90])
    np.testing.assert_allclose(found.boxes, CORNERS[[1, 0]], rtol=1e-5)
    assert found.labels.tolist() == [1, 0]
    for wrong in (4.0, -1.0, 1.5):
        with pytest.raises(InputError, match=f"'num_detections' counts {wrong:g} boxes, of 3 rows"):
            decode_head(tensorflow, values | {"num_detections": np.array([wrong])}, SIZE, 2, ids=[1, 90])


def test_torchvision_s_labels_count_from_one() -> None:
    found = decode_head(head(labels="labels", first_label=1), outputs(), SIZE, 2)
    assert found.labels.tolist() == [1, 0, 0]
    with pytest.raises(InputError, match=r"labels from 1 to 2, the 2 classes are 0 to 1.*first_label"):
        decode_head(head(labels="labels"), outputs(), SIZE, 2)


def test_a_face_detector_s_scores_have_a_background_and_boxes_are_suppressed_here() -> None:
    values = {"scores": np.stack([1 - SCORES, SCORES], axis=1)[None], "boxes": (CORNERS / SIDES)[None]}
    faces = head(normalised=True, background=True, nms_iou=0.5, score_threshold=0.1)
    found = decode_head(faces, values, SIZE, 1)
    np.testing.assert_allclose(found.boxes, CORNERS[[1, 2]], rtol=1e-5)  # the first overlaps the third
    asked = candidates(faces, values, SIZE, 1)
    np.testing.assert_allclose(asked.scores[:, 0], SCORES)
    assert proposes(faces, values)
    assert not proposes(head(), values), "without suppression here the graph has selected, in an order of its own"
    logits = {**values, "scores": np.log(values["scores"] / (1 - values["scores"]))}
    again = decode_head(faces.model_copy(update={"sigmoid": True}), logits, SIZE, 1)
    np.testing.assert_allclose(again.scores, found.scores, rtol=1e-5)


def test_scores_after_the_boxes_as_ultralytics_exports_rt_detr() -> None:
    chances = np.array([[0.1, 0.8], [0.6, 0.7], [0.2, 0.05]], np.float32)
    joined = np.concatenate([in_format("cxcywh") / SIDES, chances], axis=1)[None]
    rtdetr = BoxesHead(kind="boxes", boxes="output0", format="cxcywh", normalised=True, max_detections=4)
    found = decode_head(rtdetr, {"output0": joined}, SIZE, 2)
    assert found.scores.tolist() == pytest.approx([0.8, 0.7, 0.6, 0.2])
    assert found.labels.tolist() == [1, 1, 0, 0]
    np.testing.assert_allclose(found.boxes, CORNERS[[0, 1, 1, 2]], rtol=1e-5)


def test_mmdeploy_s_boxes_with_a_score_and_labels_beside_them() -> None:
    values = {"dets": np.concatenate([CORNERS, SCORES[:, None]], axis=1)[None], "labels": LABELS[None]}
    found = decode_head(BoxesHead(kind="boxes", boxes="dets", labels="labels"), values, SIZE, 3)
    assert found.scores.tolist() == pytest.approx([0.9, 0.5, 0.3])
    values["dets"] = np.concatenate([values["dets"], values["dets"][:, :, :1]], axis=2)
    with pytest.raises(InputError, match=r"'dets' has shape \[1, 3, 6\], the head expects \[1, boxes, 5\]"):
        decode_head(BoxesHead(kind="boxes", boxes="dets", labels="labels"), values, SIZE, 3)


def test_labelled_boxes_may_be_suppressed_here_too() -> None:
    found = decode_head(head(labels="labels", nms_iou=0.5), outputs(), SIZE, 3)
    assert found.labels.tolist() == [2, 1]
    other = decode_head(head(labels="labels", nms_iou=0.5), outputs(labels=np.array([0, 2, 1])), SIZE, 3)
    assert other.labels.tolist() == [2, 1, 0], "boxes of different classes do not suppress each other"


def test_columns_of_the_data_set_s_ids() -> None:
    chances = np.zeros((3, 91), np.float32)
    chances[:, 90], chances[0, 12], chances[0, 1] = SCORES, 0.99, 0.2
    found = decode_head(head(category_labels=True), outputs(scores=chances), SIZE, 2, ids=[1, 90])
    assert found.labels.tolist() == [1, 1, 1, 0]
    behind = decode_head(head(category_labels=True, background=True), outputs(scores=chances), SIZE, 2, ids=[1, 90])
    assert behind.labels.tolist() == found.labels.tolist()
    with pytest.raises(InputError, match="91 columns of scores, the head expects ids up to 91"):
        decode_head(head(category_labels=True), outputs(scores=chances), SIZE, 2, ids=[1, 91])


@pytest.mark.parametrize("shapes", [((0, 4), (0,), (0,)), ((1, 0, 4), (1, 0), (1, 0))])
def test_nothing_found(shapes: tuple[tuple[int, ...], ...]) -> None:
    values = dict(zip(("boxes", "scores", "labels"), map(np.zeros, shapes), strict=True))
    assert not len(decode_head(head(labels="labels"), values, SIZE, 3).boxes)


def test_a_single_class_needs_no_axis_for_it() -> None:
    values = {"boxes": CORNERS[None], "scores": SCORES[None]}
    assert decode_head(head(), values, SIZE, 1).scores.tolist() == pytest.approx([0.9, 0.5, 0.3])
    one = {"boxes": CORNERS[:1], "scores": SCORES[:1]}
    assert decode_head(head(), one, SIZE, 1).scores.tolist() == pytest.approx([0.3])


@pytest.mark.parametrize(
    ("fields", "changes", "message"),
    [
        ({"labels": "labels"}, {"boxes": np.zeros((3, 5))}, r"'boxes' has shape \[3, 5\], .* \[1, boxes, 4\]"),
        ({"labels": "labels"}, {"scores": np.zeros(2)}, r"'scores' has shape \[2\], the head expects \[1, 3\]"),
        ({"labels": "labels"}, {"labels": np.zeros((3, 2))}, r"'labels' has shape \[3, 2\]"),
        ({}, {"scores": np.zeros((3, 5))}, "5 columns of scores, the head expects those of 3 classes"),
        ({}, {"scores": np.zeros((4, 3))}, r"'scores' has shape \[4, 3\]"),
        ({"labels": "labels"}, {"scores": np.full(3, np.nan)}, "'scores' has values that are not finite"),
        ({"labels": "classes"}, {}, "unknown output 'classes'; valid: labels, scores, boxes"),
        ({"labels": "labels"}, {"scores": SCORES * 9}, "a score is 8.1, .* is `sigmoid = true` missing"),
    ],
)
def test_outputs_that_do_not_fit(fields: dict[str, Any], changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        decode_head(head(**fields), outputs(**changes), SIZE, 3)


def test_boxes_beyond_all_bounds_stay_finite() -> None:
    found = decode_head(head(labels="labels"), outputs(boxes=np.full((3, 4), np.inf, np.float32)), SIZE, 3)
    assert np.isfinite(found.boxes).all()


def test_fields_that_contradict_each_other() -> None:
    with pytest.raises(ValueError, match="background is a column"):
        head(labels="labels", background=True)
    with pytest.raises(ValueError, match="first_label is for `labels`"):
        head(first_label=1)


def test_several_images_need_an_axis_for_them() -> None:
    shapes = {"boxes": ["n", "m", 4], "scores": ["n", "m"], "labels": ["n", "m"]}
    assert batched(head(labels="labels"), shapes)
    assert not batched(head(labels="labels"), {**shapes, "labels": ["n"]})
    assert not batched(head(labels="labels"), {"boxes": ["n", 4], "scores": ["n"], "labels": ["n"]})
