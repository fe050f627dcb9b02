"""What a description may say of a detector's head, a class for each kind; docs/models.md lists them."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, model_validator

from midstream.models.fields import LEVELS, Flag, Strict, Stride, TensorName

#: Of an image.
MOST_DETECTIONS = 10_000
#: Of an object. 133 are the most in use, a whole body.
MOST_KEYPOINTS = 1000
#: A side of an anchor, in pixels.
Anchor = Annotated[float, Field(gt=0, le=1 << 14, strict=True)]
#: Of a cell's reference point, in cells.
Offset = Annotated[float, Field(ge=0, le=1, strict=True)]
Threshold = Annotated[float, Field(ge=0, le=1, strict=True)]
FirstLabel = Annotated[int, Field(ge=0, le=1000, strict=True)]
OutputNames = Annotated[tuple[TensorName, ...], Field(max_length=LEVELS)]
#: An output, or several whose rows follow one another.
Joined = TensorName | Annotated[tuple[TensorName, ...], Field(min_length=1, max_length=LEVELS)]


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
    sigmoid: Flag = False
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
    decoded: Flag = False
    cell_offset: Offset = 0.0
    sigmoid: Flag = False
    output: TensorName | None = None


class _WithMore(Strict):
    """Heads of Ultralytics' networks whose rows go on after the classes: keypoints, or coefficients of masks.

    `keypoints` is their number, `prototypes` the output [1, c, h, w] whose weighted sums are masks.
    """

    keypoints: int = Field(default=0, ge=0, le=MOST_KEYPOINTS, strict=True)
    prototypes: TensorName | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> _WithMore:
        if self.keypoints and self.prototypes:
            raise ValueError("a head has keypoints or masks: leave `keypoints` or `prototypes` out")
        return self


class YoloV8Head(_Suppressed, _WithMore):
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
    beside a cell and one of its level's `anchors`. `sigmoid` says that all numbers are logits. Raw `maps`, an output a
    level, are [anchors * (5 + classes), h, w] or [anchors, h, w, 5 + classes].

    `exponential` is for YOLOv2, v3 and v4 (Redmon and Farhadi 2016 and 2018): sides are exp(w) and exp(h) times an
    anchor's, and centres lie within their cell. `softmax`, for v2, says that classes exclude each other.
    """

    kind: Literal["yolov5"]
    decoded: Flag = True
    sigmoid: Flag = False
    exponential: Flag = False
    softmax: Flag = False
    anchors: tuple[Annotated[tuple[tuple[Anchor, Anchor], ...], Field(min_length=1, max_length=LEVELS)], ...] = _ANCHORS
    output: TensorName | None = None
    maps: OutputNames = ()

    @model_validator(mode="after")
    def _anchors_for_each(self) -> YoloV5Head:
        if len(self.anchors) != len(self.strides):
            raise ValueError(f"anchors are lists of [width, height], one for each of the {len(self.strides)} strides")
        if self.sigmoid and self.decoded:
            raise ValueError("decoded boxes are no logits: leave `sigmoid` out, or say `decoded = false`")
        if self.decoded and (self.exponential or self.softmax):
            raise ValueError("exponential and softmax are of numbers beside anchors: say `decoded = false`")
        if self.maps and (self.decoded or self.output or len(self.maps) != len(self.strides)):
            raise ValueError("maps name one output for each stride, without `output` and with `decoded = false`")
        return self


class RcnnHead(Strict):
    """A graph that suppresses by itself, with masks (Mask R-CNN): names of its outputs for n detections, best first.

    `boxes` [n, 4] in pixels of the input, `scores` [n], `labels` [n] counted from 1 (with `category_labels` the data
    set's ids), `masks` [n, 1, m, m], chances within each box. `proposals` [p, 4] and `objectness` [p], 0 to 1, are
    those of all anchors before suppression; a graph may lack them.
    """

    kind: Literal["rcnn"]
    boxes: TensorName = "boxes"
    scores: TensorName = "scores"
    labels: TensorName = "labels"
    masks: TensorName = "masks"
    category_labels: Flag = False
    proposals: TensorName | None = None
    objectness: TensorName | None = None

    @model_validator(mode="after")
    def _both_or_none(self) -> RcnnHead:
        if (self.proposals is None) != (self.objectness is None):
            raise ValueError("proposals and objectness belong together: name both, or none")
        return self


class _Selected(Strict):
    """What heads share whose graph has selected its boxes."""

    score_threshold: Threshold = 0.0
    max_detections: int = Field(default=300, gt=0, le=MOST_DETECTIONS, strict=True)


Column = Literal["batch", "x1", "y1", "x2", "y2", "score", "class"]
_SIX: tuple[Column, ...] = ("x1", "y1", "x2", "y2", "score", "class")


class End2EndHead(_Selected, _WithMore):
    """A graph with a row for each box, [n, 6 or 7] (YOLOv10, YOLO26, graphs with suppression inside).

    `order` says what the columns are; without it six are x1, y1, x2, y2, score, class, and seven have the image's index
    `batch` before x1, y1, x2, y2, class, score. Corners are in pixels of the input, with `normalised` in shares of its
    sides. Labels count from `first_label`; with `category_labels` they are the data set's ids.
    """

    kind: Literal["end2end"]
    output: TensorName | None = None
    order: tuple[Column, ...] | None = Field(default=None, max_length=len(_SIX) + 1)
    normalised: Flag = False
    first_label: FirstLabel = 0
    category_labels: Flag = False

    @model_validator(mode="after")
    def _every_column_once(self) -> End2EndHead:
        if self.order is not None and sorted(set(self.order) - {"batch"}) != sorted(_SIX):
            raise ValueError(f"order lists {', '.join(_SIX)} in the order of the columns, and batch if there is one")
        if self.order is not None and len(set(self.order)) != len(self.order):
            raise ValueError("order lists a column twice")
        return self


class BoxesHead(_Selected):
    """Outputs for boxes, scores and labels (SSD, torchvision, RT-DETR, D-FINE, DEIM, TensorFlow's detection API).

    `boxes` [n, 4] in the `format` given, in pixels of the input or `normalised` to its sides; `scores` [n] with
    `labels` [n], or without them scores of all classes [n, classes], with `background` [n, 1 + classes]. Without
    `scores` they are the columns of `boxes` after the fourth. `count` is the number of rows that are meant. Boxes are
    suppressed class by class if `nms_iou` is given. Labels as End2EndHead has them.
    """

    kind: Literal["boxes"]
    boxes: TensorName = "boxes"
    scores: TensorName | None = None
    labels: TensorName | None = None
    count: TensorName | None = None
    format: Literal["xyxy", "yxyx", "xywh", "cxcywh"] = "xyxy"
    normalised: Flag = False
    background: Flag = False
    sigmoid: Flag = False
    first_label: FirstLabel = 0
    category_labels: Flag = False
    nms_iou: Threshold | None = None

    @model_validator(mode="after")
    def _labels_or_columns(self) -> BoxesHead:
        if self.labels is not None and self.background:
            raise ValueError("background is a column of the scores of all classes: leave it out, or `labels`")
        if self.labels is None and self.first_label and not self.category_labels:
            raise ValueError("first_label is for `labels`; scores of all classes begin with `background = true`")
        return self


class DetrHead(_Selected):
    """DETR and its like: `logits` [n, classes] and `boxes` [n, 4], centre and sides in shares of the input's sides.

    The softmax has a last column for "no object", and a query has its best class; with the sigmoid it counts for each.
    With `category_labels` the columns are the data set's ids.
    """

    kind: Literal["detr"]
    logits: TensorName = "logits"
    boxes: TensorName = "pred_boxes"
    activation: Literal["softmax", "sigmoid"] = "softmax"
    category_labels: Flag = False


class _Faces(_OfCells):
    """Face detectors with outputs by stride, which without names come kind by kind."""

    strides: tuple[Stride, ...] = Field(default=(8, 16, 32), min_length=1, max_length=LEVELS)
    scores: OutputNames = ()
    boxes: OutputNames = ()
    keypoints: OutputNames = ()


class ScrfdHead(_Faces):
    """SCRFD: for each stride scores [n, 1], distances [n, 4] and, if it has some, landmarks [n, 2 * points].

    All are in strides from the cell's corner. A cell has so many rows as `anchors`.
    """

    kind: Literal["scrfd"]
    anchors: int = Field(default=2, gt=0, le=LEVELS, strict=True)

    @model_validator(mode="after")
    def _named_in_full(self) -> ScrfdHead:
        named = {len(self.scores), len(self.boxes)}
        if named not in ({0}, {len(self.strides)}) or len(self.keypoints) not in (0, *named):
            raise ValueError("scores, boxes and keypoints name one output for each stride, or none")
        return self


class YunetHead(_Faces):
    """YuNet (OpenCV's FaceDetectorYN): for each stride scores, `objectness` [n, 1], boxes [n, 4], landmarks."""

    kind: Literal["yunet"]
    objectness: OutputNames = ()

    @model_validator(mode="after")
    def _named_in_full(self) -> YunetHead:
        named = {len(names) for names in (self.scores, self.objectness, self.boxes, self.keypoints)}
        if named not in ({0}, {len(self.strides)}):
            raise ValueError("scores, objectness, boxes and keypoints name one output for each stride, or none")
        return self


class RetinaFaceHead(_OfCells):
    """RetinaFace and other detectors of faces by anchors: one output each for boxes, scores and, perhaps, landmarks.

    `boxes` [n, 4] are offsets of centre and logarithms of sides against anchors, squares whose `sizes` in pixels are
    listed for each stride, a cell's one after the other; offsets count in `variances` times the anchor's size.
    `scores` [n, 2] begin with the background, and are logits with `softmax`. `keypoints` are [n, 2 * points].

    BlazeFace (Bazarevsky et al. 2019, arXiv:1907.05047) has no logarithms, which is `linear`, scores [n, 1] that are
    logits with `sigmoid`, and its landmarks behind the box: `keypoints` is then what `boxes` is. Each of the three may
    be a list of outputs, whose rows follow one another.
    """

    kind: Literal["retinaface"]
    strides: tuple[Stride, ...] = Field(default=(8, 16, 32), min_length=1, max_length=LEVELS)
    sizes: tuple[Annotated[tuple[Anchor, ...], Field(min_length=1, max_length=LEVELS)], ...] = (
        (16.0, 32.0),
        (64.0, 128.0),
        (256.0, 512.0),
    )
    variances: tuple[Anchor, Anchor] = (0.1, 0.2)
    softmax: Flag = False
    sigmoid: Flag = False
    linear: Flag = False
    boxes: Joined
    scores: Joined
    keypoints: Joined | None = None

    @model_validator(mode="after")
    def _sizes_for_each(self) -> RetinaFaceHead:
        if self.softmax and self.sigmoid:
            raise ValueError("scores are of a softmax or of a sigmoid, not of both")
        if len(self.sizes) != len(self.strides):
            raise ValueError(f"sizes are lists of sides in pixels, one for each of the {len(self.strides)} strides")
        return self


DetectorHead: TypeAlias = (
    GflHead
    | YoloxHead
    | YoloV5Head
    | YoloV8Head
    | End2EndHead
    | BoxesHead
    | DetrHead
    | ScrfdHead
    | YunetHead
    | RetinaFaceHead
    | RcnnHead
)
