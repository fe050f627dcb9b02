"""The ways in which outputs that fit a kind of head by their shapes may be read: tables [head], the likeliest first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from midstream.models.heads.fitting import HeadFit
from midstream.models.heads.metadata import Metadata

#: Of coordinates in shares of the image's sides; boxes may reach beyond it.
_NORMALISED = 2.5
#: What overlap suppresses a box, by the origin's own evaluation or example; _OVERLAP for others.
_OVERLAPS = {"yolov8": 0.7, "scrfd": 0.4, "yunet": 0.4, "retinaface": 0.4}
_OVERLAP = 0.65
_SUPPRESSED = ("yolov8", "yolov5", "yolox", "gfl", "scrfd", "yunet", "retinaface")
#: Words in the name of an output of boxes, and how these lie: Mask R-CNN's and TensorFlow's detection API.
_FORMATS = {"rois": "yxyx", "detection_boxes": "yxyx"}
#: Columns of logits with a softmax: COCO's 91 ids or panoptic classes, and "no object"; and of COCO's ids at all.
_WITH_NOTHING, _OF_IDS = (92, 251), (91, 92)


def readings(fit: HeadFit, outputs: Mapping[str, NDArray[Any]], about: Metadata | None) -> Iterator[dict[str, Any]]:
    """The tables [head] to try.

    Args:
        fit: the kind, by shapes.
        outputs: of one image, by name.
        about: the file's metadata.
    """
    table: dict[str, Any] = {"kind": fit.kind, **fit.table}
    if about is not None and about.keypoints and fit.kind in ("yolov8", "end2end"):
        table["keypoints"] = about.keypoints
    if fit.kind in _SUPPRESSED:
        least = 0.001 if fit.kind.startswith("yolo") else 0.02
        table |= {"score_threshold": least, "nms_iou": _OVERLAPS.get(fit.kind, _OVERLAP)}
    if fit.kind == "boxes" and "labels" not in table:
        table |= {"score_threshold": 0.02, "nms_iou": 0.5}
    if fit.kind in ("boxes", "end2end"):
        corners = np.asarray(outputs[table["boxes"] if fit.kind == "boxes" else table["output"]], np.float32)[..., :4]
        table |= {"normalised": True} if corners.size and np.abs(corners).max() <= _NORMALISED else {}
    yield from ({**table, **change} for change in _changes(table, outputs))


def _changes(table: Mapping[str, Any], outputs: Mapping[str, NDArray[Any]]) -> Iterator[dict[str, Any]]:
    """What the shapes leave open."""
    kind = table["kind"]
    if kind in ("yolov5", "yolox") and "maps" not in table:
        yield from _of_rows(kind)
    elif kind == "detr":
        yield from _of_logits(outputs[table["logits"]].shape[-1])
    elif kind == "boxes":
        named = format_by_name(str(table["boxes"]))
        for each in [named] if named else [table["format"]] if "format" in table else ["xyxy", "cxcywh"]:
            yield {"format": each}
            yield {"format": each, "sigmoid": True}
    elif kind == "retinaface":
        logits = {"sigmoid" if table.get("linear") else "softmax": True}
        yield from (logits, {}) if _are_logits(table["scores"], outputs) else ({}, logits)
    else:
        yield {}
        if kind == "gfl":
            yield {"sigmoid": True}


def _of_rows(kind: str) -> Iterator[dict[str, Any]]:
    yield from ({"decoded": decoded} for decoded in (True, False))
    if kind == "yolox":
        yield {"decoded": True, "sigmoid": True}
    yield {"decoded": False, "sigmoid": True}


def _of_logits(columns: int) -> Iterator[dict[str, Any]]:
    first, then = ("softmax", "sigmoid") if columns in _WITH_NOTHING else ("sigmoid", "softmax")
    ids = {"category_labels": True} if columns in _OF_IDS else {}
    yield from ({"activation": each, "score_threshold": 0.01, **ids} for each in (first, then))


def format_by_name(boxes: str) -> str | None:
    """How boxes lie, where the name of their output says it."""
    return next((how for word, how in _FORMATS.items() if word in boxes.lower()), None)


def _are_logits(scores: str | list[str], outputs: Mapping[str, NDArray[Any]]) -> bool:
    values = [outputs[name] for name in ([scores] if isinstance(scores, str) else scores)]
    return any(value.min(initial=0) < 0 or value.max(initial=0) > 1 for value in values)
