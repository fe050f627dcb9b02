"""What a description may say of a detector's head, a class for each kind; docs/models.md lists them."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, model_validator

from midstream.models.fields import LEVELS, Strict, Stride, TensorName

#: Of an image.
MOST_DETECTIONS = 10_000
#: A side of an anchor, in pixels.
Anchor = Annotated[float, Field(gt=0, le=1 << 14, strict=True)]
#: Of a cell's reference point, in cells.
Offset = Annotated[float, Field(ge=0, le=1, strict=True)]
Threshold = Annotated[float, Field(ge=0, le=1, strict=True)]
OutputNames = Annotated[tuple[TensorName, ...], Field(max_length=LEVELS)]


class _Suppressed(Strict):
    """What heads share whose boxes are suppressed here, class by class."""

    score_threshold: Threshold
    nms_iou: Threshold
    max_detections: int = Field(default=100, gt=0, le=MOST_DETECTIONS, strict=True)


class _OfCells(_Suppressed):
    """`strides` are those of the head's own levels."""

    strides: tuple[Stride, ...] = Field(min_length=1, max_length=LEVELS)


class GflHead(_OfCells):
    """Generalised focal loss (PicoDet, NanoDet): per level class scores [n, classes] and distances [n, 4 * bins].

    `scores` and `boxes` name the outputs, a level each; without them the graph's outputs are taken in order, the
    scores of all levels first. `sigmoid` says that scores are logits.
    """

    kind: Literal["gfl"]
    bins: int = Field(gt=1, le=1000, strict=True)
    sigmoid: bool = False
    cell_offset: Offset = 0.5
    scores: OutputNames = ()
    boxes: OutputNames = ()

    @model_validator(mode="after")
    def _named_in_full(self) -> GflHead:
        if {len(self.scores), len(self.boxes)} not in ({0}, {len(self.strides)}):
            raise ValueError("scores and boxes name one output for each stride, or none")
        return self


class YoloxHead(_OfCells):
    """YOLOX: one output [n, 5 + classes], cells of all levels in a row: x, y, log w, log h, objectness, classes.

    With `decoded` x, y, w, h are the box's centre and sides in pixels of the input already.
    """

    kind: Literal["yolox"]
    decoded: bool = False
    cell_offset: Offset = 0.0
    sigmoid: bool = False
    output: TensorName | None = None


class YoloV8Head(_Suppressed):
    """YOLOv8, 9, 11 and 12: one output [4 + classes, n], boxes as centre and sides in pixels of the input."""

    kind: Literal["yolov8"]
    output: TensorName | None = None


#: Of YOLOv5's networks for COCO, width and height in pixels (its models/yolov5n.yaml to yolov5x.yaml).
_ANCHORS = (
    ((10.0, 13.0), (16.0, 30.0), (33.0, 23.0)),
    ((30.0, 61.0), (62.0, 45.0), (59.0, 119.0)),
    ((116.0, 90.0), (156.0, 198.0), (373.0, 326.0)),
)


class YoloV5Head(_OfCells):
    """YOLOv5: one output [n, 5 + classes], a level's rows anchor by anchor: x, y, w, h, objectness, classes.

    With `decoded` x, y, w, h are the box's centre and sides in pixels of the input already; without it they are chances
    beside a cell and one of its level's `anchors`. `sigmoid` says that all numbers are logits.
    """

    kind: Literal["yolov5"]
    decoded: bool = True
    sigmoid: bool = False
    anchors: tuple[Annotated[tuple[tuple[Anchor, Anchor], ...], Field(min_length=1, max_length=LEVELS)], ...] = _ANCHORS
    output: TensorName | None = None

    @model_validator(mode="after")
    def _anchors_for_each(self) -> YoloV5Head:
        if len(self.anchors) != len(self.strides):
            raise ValueError(f"anchors are lists of [width, height], one for each of the {len(self.strides)} strides")
        if self.sigmoid and self.decoded:
            raise ValueError("decoded boxes are no logits: leave `sigmoid` out, or say `decoded = false`")
        return self


class RcnnHead(Strict):
    """A graph that suppresses by itself, with masks (Mask R-CNN): names of its outputs for n detections, best first.

    `boxes` [n, 4] in pixels of the input, `scores` [n], `labels` [n] counted from 1, `masks` [n, 1, m, m], chances
    within each box. `proposals` [p, 4] and `objectness` [p], 0 to 1, are those of all anchors before suppression.
    """

    kind: Literal["rcnn"]
    boxes: TensorName = "boxes"
    scores: TensorName = "scores"
    labels: TensorName = "labels"
    masks: TensorName = "masks"
    proposals: TensorName = "proposals"
    objectness: TensorName = "objectness"


DetectorHead: TypeAlias = GflHead | YoloxHead | YoloV5Head | YoloV8Head | RcnnHead
