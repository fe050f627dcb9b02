"""What heads propose before suppression, in torch: as `midstream.models.heads` has it, with gradients."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import torch

from midstream.errors import InputError
from midstream.models.detector_heads import DetectorHead, GflHead, YoloV5Head, YoloV8Head, YoloxHead
from midstream.models.heads.nms import cell_count, cell_grid
from midstream.models.onnx_model import OnnxModel

Outputs = Mapping[str, torch.Tensor]
#: Boxes [n, 4] (left, top, right, bottom) in pixels of the input, and scores [n, classes].
Proposals = tuple[torch.Tensor, torch.Tensor]
#: Of the logarithm of a side: what is longer is longer than any image.
_LONGEST = 8.0


def proposals_of(model: OnnxModel) -> Callable[[Outputs], Proposals] | None:
    """What makes proposals of the outputs of this network's back; None for a network that is no detector.

    Raises:
        InputError: a detector whose proposals are not known here.
    """
    head, classes = model.description.head, len(model.classes)
    if not isinstance(head, DetectorHead):
        return None
    if getattr(head, "prototypes", None) is not None or getattr(head, "keypoints", None):
        raise InputError(
            f"{model.name}: detectors of one stage are trained through for boxes, not for masks or keypoints"
        )
    if isinstance(head, YoloV8Head):
        return partial(_anchor_free, head, classes)
    if isinstance(head, YoloV5Head) and head.decoded and not head.maps:
        return partial(_decoded_rows, head, classes)
    if isinstance(head, YoloxHead | GflHead):
        if not isinstance(model.description.input.size, tuple):
            raise InputError(f"{model.name}: heads of the kind '{head.kind}' are trained through at one size of input")
        size = model.input_size((1, 1))
        if isinstance(head, YoloxHead):
            return partial(_yolox, head, size, classes)
        return partial(_gfl, head, size, classes)
    if isinstance(head, YoloV5Head):
        raise InputError(f"{model.name}: the head 'yolov5' is trained through with boxes in pixels, not with raw maps")
    raise InputError(
        f"{model.name}: heads of the kind '{head.kind}' are not trained through, only yolox, gfl, yolov8, rcnn, and "
        "yolov5 with boxes in pixels"
    )


def _yolox(head: YoloxHead, size: tuple[int, int], classes: int, outputs: Outputs) -> Proposals:
    """See models.heads.yolox."""
    table = _rows(outputs, head.output, 5 + classes)
    centres, sides = table[:, :2], table[:, 2:4]
    if not head.decoded:
        points = np.concatenate([cell_grid(size, stride, head.cell_offset) for stride in head.strides])
        strides = torch.tensor(np.repeat(np.array(head.strides, np.float32), _counts(head.strides, size)))[:, None]
        centres, sides = centres * strides + torch.tensor(points), sides.clamp(max=_LONGEST).exp() * strides
    chances = table[:, 4:].sigmoid() if head.sigmoid else table[:, 4:]
    return _corners(centres, sides), chances[:, :1] * chances[:, 1:]


def _gfl(head: GflHead, size: tuple[int, int], classes: int, outputs: Outputs) -> Proposals:
    """See models.heads.gfl."""
    names = [*head.scores, *head.boxes] or list(outputs)
    levels, boxes, scores = len(head.strides), [], []
    for i, stride in enumerate(head.strides):
        scores.append(outputs[names[i]].reshape(-1, classes))
        sides = outputs[names[levels + i]].reshape(-1, 4, head.bins).softmax(2) @ torch.arange(float(head.bins))
        points = torch.tensor(cell_grid(size, stride, head.cell_offset))
        boxes.append(torch.cat([points - stride * sides[:, :2], points + stride * sides[:, 2:]], 1))
    chances = torch.cat(scores)
    return torch.cat(boxes), chances.sigmoid() if head.sigmoid else chances


def _anchor_free(head: YoloV8Head, classes: int, outputs: Outputs) -> Proposals:
    """See models.heads.yolo.anchor_free."""
    values = _named(outputs, head.output)
    columns = values.reshape(values.shape[-2:])
    return _corners(columns[:2].T, columns[2:4].T), columns[4 : 4 + classes].T


def _decoded_rows(head: YoloV5Head, classes: int, outputs: Outputs) -> Proposals:
    """See models.heads.yolo.anchored, of rows that have their boxes in pixels."""
    table = _rows(outputs, head.output, 5 + classes)
    return _corners(table[:, :2], table[:, 2:4]), table[:, 4:5] * table[:, 5:]


def _named(outputs: Outputs, name: str | None) -> torch.Tensor:
    return outputs[name] if name else next(iter(outputs.values()))


def _rows(outputs: Outputs, name: str | None, columns: int) -> torch.Tensor:
    return _named(outputs, name).reshape(-1, columns)


def _counts(strides: tuple[int, ...], size: tuple[int, int]) -> list[int]:
    return [cell_count(size, stride) for stride in strides]


def _corners(centres: torch.Tensor, sides: torch.Tensor) -> torch.Tensor:
    return torch.cat([centres - sides / 2, centres + sides / 2], 1)
