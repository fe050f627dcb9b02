"""What a graph's outputs are, by their shapes, their values for one image, and the file's metadata."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from midstream.errors import InputError, unknown
from midstream.models.description import coco_names
from midstream.models.detector_heads import DetectorHead
from midstream.models.heads.fitting import HeadFit, fitting
from midstream.models.heads.metadata import Metadata
from midstream.models.plausible import check_outputs
from midstream.models.recognition.notes import Notes

_HEADS: TypeAdapter[Any] = TypeAdapter(DetectorHead)
#: What --task may say, and the kinds of head that are of it.
TASKS = ("detection", "instance segmentation", "keypoints", "classification", "semantic segmentation", "depth",
         "embedding", "tensors")  # fmt: skip
_COCO = 80
#: Classes of the data sets that classifiers are trained on; other widths in the second list are those of embeddings.
_CLASSES = (2, 10, 100, 365, 1000, 1001, 6000, 11221, 21841, 21843)
_WIDTHS = (64, 96, 128, 192, 256, 384, 512, 576, 640, 768, 1024, 1280, 1536, 2048)
#: A map of a class each has at least this share of the input's sides, and no more classes than this.
_SHARE, _MOST_MAPS = 1 / 32, 256
#: Of coordinates in shares of the image's sides; boxes may reach beyond it.
_NORMALISED = 2.5
#: Of DBNet's maps.
_DBNET = 0.3
#: Ultralytics' words.
_ULTRALYTICS = {"classify": "classification", "semantic": "semantic segmentation", "depth": "depth"}
_DETECTORS = ("detect", "segment", "pose")


@dataclass
class Outputs:
    """What a description says of a graph's outputs: the table [head], None for `tensors`, and the classes."""

    task: str = "tensors"
    head: dict[str, Any] | None = None
    classes: str | tuple[str, ...] = ()
    notes: Notes = field(default_factory=Notes)

    @property
    def kind(self) -> str:
        """Of the head, "faces" for boxes of one class with a background."""
        kind = str(self.head["kind"]) if self.head is not None else ""
        return "faces" if kind == "boxes" and self.head is not None and self.head.get("background") else kind


def recognise_outputs(
    outputs: Mapping[str, NDArray[Any]], size: tuple[int, int] | None, about: Metadata | None, task: str | None
) -> Outputs:
    """Find the head that fits.

    Args:
        outputs: of one image, by name, in the graph's order.
        size: (height, width) of the network's input; None where it takes no image.
        about: the file's metadata.
        task: one of TASKS if it is asked for.

    Raises:
        InputError: an unknown task, or one that the outputs do not fit.
    """
    if task is not None and task not in TASKS:
        raise unknown("task", task, TASKS)
    if task == "tensors" or (size is None and task is None):
        return _tensors(outputs, "is asked for" if task else "takes no image")
    if about is not None and about.task == "obb":
        return _tensors(outputs, "has oriented boxes, which no head here decodes")
    detects = task in (None, "detection", "instance segmentation", "keypoints")
    if size is not None and detects and (about is None or about.task in _DETECTORS):
        found = _detector(outputs, size, about)
        if found is not None:
            return found
    found = _by_shape(outputs, size or (1, 1), about, task)
    if found is not None:
        return found
    if task is not None:
        shapes = ", ".join(f"'{name}' {list(value.shape)}" for name, value in outputs.items())
        raise InputError(f"the outputs {shapes} fit no head of the task '{task}'; without --task they are `tensors`")
    return _tensors(outputs, "")


def _tensors(outputs: Mapping[str, NDArray[Any]], why: str) -> Outputs:
    shapes = ", ".join(f"'{name}' {list(value.shape)}" for name, value in outputs.items())
    found = Outputs()
    if why:
        found.notes.recognised.append(f"outputs {shapes}: task `tensors`, for it {why}")
    else:
        found.notes.guessed.append(
            f"outputs {shapes} are of no known head: the task is `tensors`, which measures how far they move"
        )
    return found


def _detector(outputs: Mapping[str, NDArray[Any]], size: tuple[int, int], about: Metadata | None) -> Outputs | None:
    """The first kind of head by shape under which the numbers are plausible."""
    shapes = {name: value.shape for name, value in outputs.items()}
    possible = list(fitting(shapes, size))
    if about is not None and about.names:
        exact = [
            fit for fit in possible if fit.classes in (0, len(about.names), len(about.names) + 3 * about.keypoints)
        ]
        possible = exact or possible
    second: Outputs | None = None
    for fit in possible:
        for table in _readings(fit, outputs, about):
            classes = _classes(fit, table, outputs, about)
            try:
                head = _HEADS.validate_python(table)
                names = len(classes) if isinstance(classes, tuple) else _COCO
                sure = check_outputs(head, outputs, size, names)
            except (ValidationError, InputError):
                continue
            found = _found(table, classes, outputs, about)
            if sure:
                return found
            second = second or found
    return second


def _readings(fit: HeadFit, outputs: Mapping[str, NDArray[Any]], about: Metadata | None) -> Iterator[dict[str, Any]]:
    """The tables [head] to try, the likeliest first."""
    table: dict[str, Any] = {"kind": fit.kind, **fit.table}
    if about is not None and about.keypoints and fit.kind in ("yolov8", "end2end"):
        table["keypoints"] = about.keypoints
    if fit.kind in ("yolov8", "yolov5", "yolox", "gfl", "scrfd", "yunet"):
        table |= {"score_threshold": 0.001 if fit.kind.startswith("yolo") else 0.02, "nms_iou": 0.65}
    if fit.kind in ("scrfd", "yunet"):
        table["nms_iou"] = 0.4
    if fit.kind == "boxes" and "labels" not in table:
        table |= {"score_threshold": 0.02, "nms_iou": 0.5}
    if fit.kind in ("boxes", "end2end"):
        corners = np.asarray(outputs[table["boxes"] if fit.kind == "boxes" else table["output"]], np.float32)[..., :4]
        table |= {"normalised": True} if corners.size and np.abs(corners).max() <= _NORMALISED else {}
    if fit.kind in ("yolov5", "yolox") and "maps" not in table:
        yield from ({**table, "decoded": decoded} for decoded in (True, False))
        if fit.kind == "yolov5":
            yield {**table, "decoded": False, "sigmoid": True}
        else:
            yield from ({**table, "decoded": decoded, "sigmoid": True} for decoded in (True, False))
    elif fit.kind == "detr":
        logits = outputs[table["logits"]]
        softmax = logits.shape[-1] in (92, 251)  # COCO's 91 ids or panoptic classes, and "no object"
        first, then = ("softmax", "sigmoid") if softmax else ("sigmoid", "softmax")
        ids = {"category_labels": True} if logits.shape[-1] in (91, 92) else {}
        yield from ({**table, "activation": each, "score_threshold": 0.01, **ids} for each in (first, then))
    else:
        yield table
        if "sigmoid" in _fields_of(fit.kind):
            yield {**table, "sigmoid": True}


def _fields_of(kind: str) -> set[str]:
    return {"gfl": {"sigmoid"}, "boxes": {"sigmoid"}}.get(kind, set())


def _classes(
    fit: HeadFit, table: Mapping[str, Any], outputs: Mapping[str, NDArray[Any]], about: Metadata | None
) -> str | tuple[str, ...]:
    """Names: those of the file, COCO's for eighty, else numbers."""
    if about is not None and about.names:
        return "coco" if about.names == coco_names() else about.names
    count = fit.classes
    if fit.kind == "detr" and table.get("category_labels"):
        return "coco"
    if fit.kind == "detr" and table["activation"] == "sigmoid":
        count += 1
    if fit.kind in ("scrfd", "yunet") or (fit.kind == "boxes" and table.get("background") and count == 1):
        return ("face",)
    if not count:  # labels are numbers; 80 unless there are more
        labels = outputs.get(str(table.get("labels")))
        most = int(labels.max(initial=0)) if labels is not None and labels.size else 0
        count = _COCO if most < _COCO else most + 1
    return "coco" if count == _COCO else tuple(f"class {i}" for i in range(count))


def _found(
    table: dict[str, Any],
    classes: str | tuple[str, ...],
    outputs: Mapping[str, NDArray[Any]],
    about: Metadata | None,
) -> Outputs:
    task = "detection"
    if table.get("prototypes") or table["kind"] == "rcnn":
        task = "instance segmentation"
    elif table.get("keypoints") or (table["kind"] == "scrfd" and len(outputs) % 3 == 0) or table["kind"] == "yunet":
        task = "keypoints"
    found = Outputs(task, table, classes)
    shapes = ", ".join(f"'{name}' {list(value.shape)}" for name, value in list(outputs.items())[:4])
    more = f" and {len(outputs) - 4} more" if len(outputs) > 4 else ""
    sentence = f"outputs {shapes}{more}: {task}, head `{table['kind']}`"
    if about is not None and about.names:
        found.notes.recognised.append(f"{sentence}, {len(about.names)} classes by the file's metadata")
        return found
    found.notes.recognised.append(sentence)
    named = "COCO's 80" if classes == "coco" else f"{len(classes)}, named {', '.join(classes[:2])} ..."
    if classes == ("face",):
        named = "one, faces"
    found.notes.guessed.append(f"classes are {named}: check their names and order")
    return found


def _by_shape(
    outputs: Mapping[str, NDArray[Any]], size: tuple[int, int], about: Metadata | None, task: str | None
) -> Outputs | None:
    """A head of one output: a vector or a map."""
    asked = task or (_ULTRALYTICS.get(about.task) if about is not None else None)
    for name, value in outputs.items():
        kind, table, sure = _single(value, size, asked)
        if kind and (len(outputs) == 1 or asked is not None):
            named = {"output": name} if len(outputs) > 1 else {}
            found = Outputs(kind, {**table, **named})
            if kind == "classification":
                names = about.names if about is not None else ()
                found.classes = names if len(names) == value.size else ()
            by = "asked for" if task else "by the file's metadata" if asked else ""
            sentence = f"output '{name}' {list(value.shape)}: {kind}"
            if by or sure:
                found.notes.recognised.append(f"{sentence} {by}".rstrip())
            else:
                found.notes.guessed.append(f"{sentence}, by its shape; --task says otherwise")
            return found
    return None


def _single(value: NDArray[Any], size: tuple[int, int], asked: str | None) -> tuple[str, dict[str, Any], bool]:
    """Task, table and whether that is sure, of one output; the first is "" where nothing fits."""
    shape = value.shape
    if value.size == max(shape, default=0) > 1 and len(shape) > 1 and shape[0] == 1:
        return _vector(np.asarray(value, np.float32).reshape(-1), asked)
    maps = len(shape) in (3, 4) and shape[0] == 1 and shape[-1] > 1 and shape[-2] > 1
    if not maps:
        return "", {}, False
    if value.dtype.kind in "iub":
        return ("semantic segmentation", {"kind": "segmentation"}, True) if asked != "depth" else ("", {}, False)
    single = len(shape) == 3 or 1 in (shape[1], shape[3])
    last = len(shape) == 4 and shape[3] < min(shape[1:3])
    rows = shape[1] if last else shape[-2]
    channels = 1 if single else shape[3] if last else shape[1]
    if asked == "depth" or (asked is None and single and not _is_chance(value) and rows >= size[0] * _SHARE):
        return ("depth", {"kind": "depth"}, False) if single else ("", {}, False)
    near = rows >= max(size[0] * _SHARE, 2) and channels <= _MOST_MAPS
    if asked == "semantic segmentation" or (asked is None and near and (single or rows >= size[0] / 16)):
        table: dict[str, Any] = {"kind": "segmentation", **({"channels_last": True} if last else {})}
        return "semantic segmentation", table | ({"threshold": _DBNET} if single and _is_chance(value) else {}), False
    return "", {}, False


def _vector(values: NDArray[np.float32], asked: str | None) -> tuple[str, dict[str, Any], bool]:
    chances = bool(values.min() >= 0 and abs(float(values.sum()) - 1) < 1e-3)
    if asked is None:
        width = len(values)
        asked = "classification" if chances or width in _CLASSES or width not in _WIDTHS else "embedding"
    if asked == "classification":
        return asked, {"kind": "classification", "softmax": not chances}, chances
    return (asked, {"kind": "embedding"}, False) if asked == "embedding" else ("", {}, False)


def _is_chance(value: NDArray[Any]) -> bool:
    return bool(value.size and value.min() >= 0 and value.max() <= 1)
