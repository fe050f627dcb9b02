"""What a graph's outputs are, by their shapes, their values for one image, and the file's metadata."""

from __future__ import annotations

from collections.abc import Mapping
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
from midstream.models.recognition.anchors import Maps, Origin, of_maps
from midstream.models.recognition.notes import Notes
from midstream.models.recognition.readings import format_by_name, readings
from midstream.models.recognition.single import recognise_single

_HEADS: TypeAdapter[Any] = TypeAdapter(DetectorHead)
#: What --task may say, and the kinds of head that are of it.
TASKS = ("detection", "instance segmentation", "keypoints", "classification", "semantic segmentation", "depth",
         "embedding", "tensors")  # fmt: skip
_COCO = 80
#: How boxes lie, in words.
_WORDS = {"xyxy": "left, top, right, bottom", "yxyx": "top, left, bottom, right", "cxcywh": "centre, width, height"}
#: What MediaPipe's detectors with so many points find.
_OF_POINTS = {4: "person", 6: "face", 7: "palm"}
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
        """Of the head, with words of their own for some: "faces" for boxes of one class with a background."""
        head = self.head or {"kind": ""}
        kind = str(head["kind"])
        special = {"boxes": ("background", "faces"), "yolov5": ("exponential", "darknet"),
                   "retinaface": ("linear", "mediapipe")}  # fmt: skip
        flag, word = special.get(kind, ("", kind))
        return word if head.get(flag) else kind


def recognise_outputs(
    outputs: Mapping[str, NDArray[Any]],
    size: tuple[int, int] | None,
    about: Metadata | None,
    task: str | None,
    ends: Mapping[str, str] | None = None,
    origin: Origin | None = None,
) -> Outputs:
    """Find the head that fits.

    Args:
        outputs: of one image, by name, in the graph's order.
        size: (height, width) of the network's input; None where it takes no image.
        about: the file's metadata.
        task: one of TASKS if it is asked for.
        ends: output -> the operation that it ends with, where the graph is known; see `single.endings`.
        origin: what the graph shows of where it comes from, where it is known.

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
        found = _raw_maps(outputs, size, about, origin or Origin()) or _detector(outputs, size, about, task)
        if found is not None:
            return found
    found = _by_shape(outputs, size or (1, 1), about, task, ends or {})
    if found is not None:
        return found
    if task is not None:
        shapes = ", ".join(f"'{name}' {list(value.shape)}" for name, value in outputs.items())
        raise InputError(f"the outputs {shapes} fit no head of the task '{task}'; without --task they are `tensors`")
    return _tensors(outputs, "", size)


def _tensors(outputs: Mapping[str, NDArray[Any]], why: str, size: tuple[int, int] | None = None) -> Outputs:
    shapes = ", ".join(f"'{name}' {list(value.shape)}" for name, value in outputs.items())
    found = Outputs()
    if why:
        found.notes.recognised.append(f"outputs {shapes}: task `tensors`, for it {why}")
    else:
        near = fitting({name: value.shape for name, value in outputs.items()}, size) if size is not None else []
        near = [fit for fit in near if not _is_single_row(fit, outputs)]
        names = ", ".join(dict.fromkeys(str(fit) for fit in near))
        but = f"; the shapes would fit {names}, but the numbers do not" if names else ""
        found.notes.guessed.append(
            f"outputs {shapes} are of no known head: the task is `tensors`, which measures how far they move{but}"
        )
    return found


def _is_single_row(fit: HeadFit, outputs: Mapping[str, NDArray[Any]]) -> bool:
    """Whether a head's table has one row only, as any vector has."""
    name = fit.table.get("boxes", fit.table.get("output"))
    if "labels" in fit.table or "strides" in fit.table or name not in outputs:
        return False
    shape = outputs[str(name)].shape
    return int(np.prod(shape[:-1])) == 1


def _raw_maps(
    outputs: Mapping[str, NDArray[Any]], size: tuple[int, int], about: Metadata | None, origin: Origin
) -> Outputs | None:
    """Raw maps of YOLO, if the numbers are plausible as such; what does not follow from a name is a warning."""
    maps = of_maps(outputs, size, origin)
    if maps is None or (about is not None and len(about.names) not in (0, maps.classes)):
        return None
    for table in maps.tables:
        fit = HeadFit("yolov5", maps.classes, table)
        head = next(readings(fit, outputs, about))
        try:
            check_outputs(_HEADS.validate_python(head), outputs, size, maps.classes)
        except (ValidationError, InputError):
            continue
        found = _found(head, _classes(fit, head, outputs, about), outputs, about)
        _say_whose(found, maps, head)
        return found
    return None


def _say_whose(found: Outputs, maps: Maps, head: Mapping[str, Any]) -> None:
    """What the maps are reckoned as, and how to say otherwise."""
    exponential = bool(head.get("exponential"))
    whose = "YOLOv3" if exponential and not maps.why else maps.whose
    how = "`exponential = true`, sides are exp(t) of an anchor" if exponential else "sides are (2 sigmoid(t))^2 anchors"
    other = "take `exponential` out" if exponential else "`exponential = true` is missing"
    if maps.sure:
        found.notes.recognised.append(f"maps are {whose}'s, {how}: {maps.why}")
    else:
        why = f"since {maps.why}" if maps.why else "but the graph does not tell YOLOv3 and v4 from v7"
        found.notes.warnings.append(
            f"maps are taken for {whose}'s ({how}), {why}: where boxes are of wrong sizes, {other} in [head]"
        )
    found.notes.guessed.append(
        f"anchors are those of {whose}'s network for COCO or VOC: check them with its .cfg or .yaml"
    )


def _detector(
    outputs: Mapping[str, NDArray[Any]], size: tuple[int, int], about: Metadata | None, task: str | None
) -> Outputs | None:
    """The first kind of head by shape under which the numbers are plausible."""
    shapes = {name: value.shape for name, value in outputs.items()}
    possible = list(fitting(shapes, size))
    if about is None and task is None:
        possible = [fit for fit in possible if not _is_single_row(fit, outputs)]
    if about is not None and about.names:
        exact = [
            fit for fit in possible if fit.classes in (0, len(about.names), len(about.names) + 3 * about.keypoints)
        ]
        possible = exact or possible
    second: Outputs | None = None
    for fit in possible:
        for table in readings(fit, outputs, about):
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
    if fit.kind == "retinaface":
        return (_by_points(table, outputs),)
    if fit.kind in ("scrfd", "yunet") or (fit.kind == "boxes" and table.get("background") and count == 1):
        return ("face",)
    if not count:  # labels are numbers; 80 unless there are more
        labels = outputs.get(str(table.get("labels")))
        most = int(labels.max(initial=0)) if labels is not None and labels.size else 0
        count = _COCO if most < _COCO else most + 1
    return "coco" if count == _COCO else tuple(f"class {i}" for i in range(count))


def _by_points(table: Mapping[str, Any], outputs: Mapping[str, NDArray[Any]]) -> str:
    """The one class of a detector by anchors: MediaPipe's have so many points behind a box."""
    boxes = table["boxes"]
    width = outputs[boxes if isinstance(boxes, str) else boxes[0]].shape[-1]
    return _OF_POINTS.get((width - 4) // 2, "object") if table.get("linear") else "face"


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
    if table["kind"] == "boxes" and format_by_name(str(table["boxes"])) is None:
        how = str(table["format"])
        found.notes.guessed.append(
            f"boxes are {how} ({_WORDS[how]}): check, for others fit the numbers as well; `format` says otherwise"
        )
    named = "COCO's 80" if classes == "coco" else f"{len(classes)}, named {', '.join(classes[:2])} ..."
    if len(classes) == 1:
        named = f"one, named {classes[0]}"
    if classes == ("face",):
        named = "one, faces"
    found.notes.guessed.append(f"classes are {named}: check their names and order")
    return found


def _by_shape(
    outputs: Mapping[str, NDArray[Any]],
    size: tuple[int, int],
    about: Metadata | None,
    task: str | None,
    ends: Mapping[str, str],
) -> Outputs | None:
    """A head of one output: a vector or a map."""
    asked = task or (_ULTRALYTICS.get(about.task) if about is not None else None)
    for name, value in outputs.items():
        single = recognise_single(value, size, asked, ends.get(name, ""))
        if not single.task or (len(outputs) > 1 and asked is None):
            continue
        named = {"output": name} if len(outputs) > 1 else {}
        found = Outputs(single.task, {**single.table, **named} if single.table else None)
        if single.task == "classification":
            names = about.names if about is not None else ()
            found.classes = names if len(names) == value.size else ()
        by = "asked for" if task else "by the file's metadata" if asked else ""
        why = f", {single.why}" if single.why and not by else ""
        if by or single.sure:
            found.notes.recognised.append(f"output '{name}' {list(value.shape)}: {single.task} {by}".rstrip() + why)
        else:
            says = "" if "--task" in why else "; --task says otherwise"
            by = "" if single.task == "tensors" else ", by its shape"
            found.notes.guessed.append(f"output '{name}' {list(value.shape)}: {single.task}{by}{why}{says}")
        return found
    return None
