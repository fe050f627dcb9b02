"""Post-processing: from a network's outputs to boxes, one file for each kind of head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from midstream.models.detector_heads import DetectorHead, GflHead, RcnnHead, YoloV5Head, YoloV8Head
from midstream.models.heads import gfl, rcnn, yolo, yolox
from midstream.models.heads.nms import Boxes, Candidates, suppress


def decode_head(head: DetectorHead, outputs: Mapping[str, NDArray[Any]], size: tuple[int, int], classes: int) -> Boxes:
    """Detections in pixels of the network's input, best first.

    Args:
        head: kind and parameters.
        outputs: the graph's outputs by name, in the graph's order, each with a batch dimension of 1.
        size: (height, width) of the network's input.
        classes: number of classes.

    Raises:
        InputError: outputs that do not fit the head.
    """
    if isinstance(head, RcnnHead):
        return rcnn.decode(head, outputs, classes)
    found = candidates(head, outputs, size, classes)
    return suppress(found.boxes, found.scores, head.score_threshold, head.nms_iou, head.max_detections)


def candidates(
    head: DetectorHead, outputs: Mapping[str, NDArray[Any]], size: tuple[int, int], classes: int
) -> Candidates:
    """What the head proposes before suppression; arguments and errors as `decode_head` has them."""
    if isinstance(head, RcnnHead):
        return rcnn.candidates(head, outputs)
    if isinstance(head, GflHead):
        return gfl.candidates(head, outputs, size, classes)
    if isinstance(head, YoloV8Head):
        return yolo.anchor_free(head, outputs, classes)
    if isinstance(head, YoloV5Head):
        return yolo.anchored(head, outputs, size, classes)
    return yolox.candidates(head, outputs, size, classes)


def output_names(head: DetectorHead) -> Sequence[str]:
    """The outputs that the description names, so that a wrong name is found before anything runs."""
    if isinstance(head, RcnnHead):
        return list(head.model_dump(exclude={"kind"}).values())
    if isinstance(head, GflHead):
        return [*head.scores, *head.boxes]
    return [head.output] if head.output else []


__all__ = ["Boxes", "Candidates", "candidates", "decode_head", "output_names"]
