"""Post-processing: from a detector's outputs to boxes, a file for each kind of head or family of kinds."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from midstream.errors import InputError
from midstream.models.detector_heads import (
    BoxesHead,
    DetectorHead,
    DetrHead,
    End2EndHead,
    GflHead,
    RcnnHead,
    RetinaFaceHead,
    ScrfdHead,
    YoloV5Head,
    YoloV8Head,
    YunetHead,
)
from midstream.models.heads import boxes, detr, end2end, faces, gfl, rcnn, yolo, yolox
from midstream.models.heads.fitting import described
from midstream.models.heads.nms import Boxes, Candidates, suppress
from midstream.models.task_heads import TaskHead, TensorsHead

#: What a score may be above 1: rounding, and the last step of 8-bit numbers.
_SLACK = 0.01


def decode_head(
    head: DetectorHead,
    outputs: Mapping[str, NDArray[Any]],
    size: tuple[int, int],
    classes: int,
    ids: Sequence[int] | None = None,
) -> Boxes:
    """Detections in pixels of the network's input, best first.

    Args:
        head: kind and parameters.
        outputs: the graph's outputs by name, in the graph's order, each with a batch dimension of 1 or without one.
        size: (height, width) of the network's input.
        classes: number of classes.
        ids: of the classes in the data set, for heads whose labels are those.

    Raises:
        InputError: outputs that do not fit the head, with their shapes and the kinds of head that would fit; outputs
            that are not numbers; scores that are no chances.
    """
    with described(outputs, size, classes):
        found = _decoded(head, outputs, size, classes, _ids(head, ids))
    low, high = float(found.scores.min(initial=0)), float(found.scores.max(initial=0))
    if low < -_SLACK or high > 1 + _SLACK:
        missing = "; are they logits, and is `sigmoid = true` missing?" if hasattr(head, "sigmoid") else ""
        wrong = high if high > 1 + _SLACK else low
        raise InputError(f"a score is {wrong:.3g}, which is no chance from 0 to 1{missing}")
    return found


def _decoded(
    head: DetectorHead,
    outputs: Mapping[str, NDArray[Any]],
    size: tuple[int, int],
    classes: int,
    ids: Sequence[int] | None,
) -> Boxes:
    if isinstance(head, RcnnHead):
        return rcnn.decode(head, outputs, classes, ids)
    if isinstance(head, End2EndHead):
        return end2end.decode(head, outputs, size, classes, ids)
    if isinstance(head, BoxesHead):
        return boxes.decode(head, outputs, size, classes, ids)
    if isinstance(head, DetrHead):
        return detr.decode(head, outputs, size, classes, ids)
    found = _candidates(head, outputs, size, classes, ids)
    return suppress(found, head.score_threshold, head.nms_iou, head.max_detections)


def candidates(
    head: DetectorHead,
    outputs: Mapping[str, NDArray[Any]],
    size: tuple[int, int],
    classes: int,
    ids: Sequence[int] | None = None,
) -> Candidates:
    """What a head that `proposes` has before suppression; arguments and errors as `decode_head` has them."""
    with described(outputs, size, classes):
        return _candidates(head, outputs, size, classes, _ids(head, ids))


def _candidates(
    head: DetectorHead,
    outputs: Mapping[str, NDArray[Any]],
    size: tuple[int, int],
    classes: int,
    ids: Sequence[int] | None,
) -> Candidates:
    if isinstance(head, RcnnHead):
        return rcnn.candidates(head, outputs)
    if isinstance(head, BoxesHead):
        return boxes.candidates(head, outputs, size, classes, ids)
    if isinstance(head, DetrHead):
        return detr.candidates(head, outputs, size, classes, ids)
    if isinstance(head, GflHead):
        return gfl.candidates(head, outputs, size, classes)
    if isinstance(head, YoloV8Head):
        return yolo.anchor_free(head, outputs, classes)
    if isinstance(head, YoloV5Head):
        return yolo.anchored(head, outputs, size, classes)
    if isinstance(head, ScrfdHead | YunetHead | RetinaFaceHead):
        return faces.candidates(head, outputs, size, classes)
    if isinstance(head, End2EndHead):
        raise InputError("a head of the kind 'end2end' cannot be asked before its graph's selection")
    return yolox.candidates(head, outputs, size, classes)


def _ids(head: DetectorHead, ids: Sequence[int] | None) -> Sequence[int] | None:
    if not getattr(head, "category_labels", False):
        return None
    if ids is None:
        raise InputError("`category_labels` needs the description's `category_ids`, or classes that are known")
    return ids


def proposes(head: DetectorHead, outputs: Collection[str]) -> bool:
    """Whether `candidates` can be asked of a graph with outputs of these names: row by row the same things each time.

    A graph that selects its rows by score has them in another order for every image.
    """
    if isinstance(head, RcnnHead):
        return rcnn.proposals(head, outputs) is not None
    if isinstance(head, BoxesHead):
        return head.labels is None and head.nms_iou is not None
    if isinstance(head, DetrHead):  # networks with the sigmoid mostly select their queries (RT-DETR, DINO)
        return head.activation == "softmax"
    return not isinstance(head, End2EndHead)


def batched(head: DetectorHead, shapes: Mapping[str, Sequence[int | str | None]]) -> bool:
    """Whether outputs of these shapes have an axis for the images in front, whose number may then be free."""
    if isinstance(head, RcnnHead):
        return False
    if isinstance(head, BoxesHead):
        named = [name for name in (head.scores, head.labels, head.count) if name]
        return len(shapes[head.boxes]) > 2 and all(len(shapes[name]) > 1 for name in named)
    if isinstance(head, End2EndHead):
        width = shapes[head.output or next(iter(shapes))][-1]
        with_index = width == 7 if head.order is None else "batch" in head.order
        return not with_index and all(len(shape) > 2 for shape in shapes.values())
    return all(len(shape) > 2 for shape in shapes.values())


def output_names(head: DetectorHead | TaskHead) -> Sequence[str]:
    """The outputs that the description names, so that a wrong name is found before anything runs."""
    if isinstance(head, TensorsHead):
        return head.outputs
    fields = ("output", "prototypes", "maps", "logits", "scores", "boxes", "labels", "count", "masks", "objectness")
    given = [getattr(head, field, None) for field in (*fields, "proposals")]
    points = getattr(head, "keypoints", ())
    names = [*given, *([] if isinstance(points, int) else [points])]
    return [each for name in names if name for each in ((name,) if isinstance(name, str) else name)]


def has_masks(head: DetectorHead) -> bool:
    """Whether detections have masks."""
    return isinstance(head, RcnnHead) or getattr(head, "prototypes", None) is not None


def has_keypoints(head: DetectorHead, outputs: Collection[str]) -> bool:
    """Whether detections have keypoints, with a graph of outputs of these names."""
    if isinstance(head, ScrfdHead):
        return bool(head.keypoints) or (not head.scores and len(outputs) == 3 * len(head.strides))
    return isinstance(head, YunetHead) or bool(getattr(head, "keypoints", 0))


__all__ = [
    "Boxes",
    "Candidates",
    "batched",
    "candidates",
    "decode_head",
    "has_keypoints",
    "has_masks",
    "output_names",
    "proposes",
]
