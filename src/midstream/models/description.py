"""What a model description (a TOML file) may say. docs/models.md explains it with an example."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from midstream.errors import InputError

_Finite = Annotated[float, Field(allow_inf_nan=False)]
Triple = tuple[_Finite, _Finite, _Finite]
Threshold = Annotated[float, Field(ge=0, le=1)]
CategoryId = Annotated[int, Field(ge=0, lt=2**31)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Weights(_Strict):
    """The ONNX file: its name, and in words or as an address where it comes from."""

    file: str = Field(pattern=r"^[^/\\]+$")
    source: str = ""


class Input(_Strict):
    """From a picture to the network's input: resize, order the colours, ((x * scale) - mean) / std, [1, 3, H, W].

    `name` may be left out for a graph with one input.
    """

    name: str | None = None
    size: tuple[Annotated[int, Field(gt=0)], Annotated[int, Field(gt=0)]]
    resize: Literal["stretch", "letterbox"] = "stretch"
    anchor: Literal["top-left", "center"] = "top-left"
    pad_value: int = Field(default=114, ge=0, le=255)
    interpolation: Literal["nearest", "linear", "cubic", "area"] = "linear"
    color: Literal["RGB", "BGR"] = "RGB"
    scale: _Finite = 1.0
    mean: Triple = (0.0, 0.0, 0.0)
    std: Triple = (1.0, 1.0, 1.0)

    @model_validator(mode="after")
    def _deviations_divide(self) -> Input:
        if 0 in self.std:
            raise ValueError("std must not be 0")
        return self


class PyramidLevel(_Strict):
    """One level: a tensor of the graph, or one that is derived from another level and therefore not sent."""

    name: str = Field(min_length=1)
    tensor: str
    stride: int = Field(gt=0)
    derived_from: str | None = None


class _Head(_Strict):
    """What all heads share. `strides` are those of the head's own levels; NMS works class by class."""

    strides: tuple[Annotated[int, Field(gt=0)], ...] = Field(min_length=1)
    cell_offset: float
    score_threshold: Threshold
    nms_iou: Threshold
    max_detections: int = Field(default=100, gt=0)


class GflHead(_Head):
    """Generalised focal loss (PicoDet, NanoDet): per level class scores [n, classes] and distances [n, 4 * bins].

    `scores` and `boxes` name the outputs, a level each; without them the graph's outputs are taken in order, the
    scores of all levels first. `sigmoid` says that scores are logits.
    """

    kind: Literal["gfl"]
    bins: int = Field(gt=1)
    sigmoid: bool = False
    cell_offset: float = 0.5
    scores: tuple[str, ...] = ()
    boxes: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _named_in_full(self) -> GflHead:
        if {len(self.scores), len(self.boxes)} not in ({0}, {len(self.strides)}):
            raise ValueError("scores and boxes name one output for each stride, or none")
        return self


class YoloxHead(_Head):
    """YOLOX: one output [n, 5 + classes], cells of all levels in a row: x, y, log w, log h, objectness, classes."""

    kind: Literal["yolox"]
    cell_offset: float = 0.0
    sigmoid: bool = False
    output: str | None = None


class RcnnHead(_Strict):
    """A graph that suppresses by itself, with masks (Mask R-CNN): names of its outputs for n detections, best first.

    `boxes` [n, 4] in pixels of the input, `scores` [n], `labels` [n] counted from 1, `masks` [n, 1, m, m], chances
    within each box. `proposals` [p, 4] and `objectness` [p], 0 to 1, are those of all anchors before suppression.
    """

    kind: Literal["rcnn"]
    boxes: str = "boxes"
    scores: str = "scores"
    labels: str = "labels"
    masks: str = "masks"
    proposals: str = "proposals"
    objectness: str = "objectness"


Head = Annotated[GflHead | YoloxHead | RcnnHead, Field(discriminator="kind")]


class Description(_Strict):
    """A network with a known kind of head.

    `classes` are the names in the order of the class indices, `category_ids` their ids in the data set that the network
    was trained for, which results carry; both are known for the word "coco".
    """

    name: str
    weights: Weights
    input: Input
    pyramid: tuple[PyramidLevel, ...] = Field(min_length=1)
    head: Head
    classes: Literal["coco"] | tuple[str, ...]
    category_ids: tuple[CategoryId, ...] | None = None

    @model_validator(mode="after")
    def _ids_fit(self) -> Description:
        if self.category_ids is None:
            return self
        if self.classes == "coco":
            raise ValueError("category_ids of the classes 'coco' are known: leave them out")
        if not len(set(self.category_ids)) == len(self.category_ids) == len(self.classes):
            raise ValueError(f"category_ids are one for each of the {len(self.classes)} classes, all different")
        return self

    @model_validator(mode="after")
    def _levels_fit(self) -> Description:
        sent = {level.name: level for level in self.pyramid if level.derived_from is None}
        if len({level.name for level in self.pyramid}) != len(self.pyramid):
            raise ValueError("two pyramid levels have the same name")
        for level in self.pyramid:
            if level.derived_from is not None and level.derived_from not in sent:
                raise ValueError(f"level '{level.name}' is derived from '{level.derived_from}', which is not sent")
            if level.derived_from is not None and level.stride % sent[level.derived_from].stride:
                raise ValueError(f"the stride of '{level.name}' is not a multiple of that of '{level.derived_from}'")
        return self

    @property
    def levels(self) -> str:
        """The pyramid in words: p3/8 p4/16 ..., the numbers being strides."""
        return " ".join(f"{level.name}/{level.stride}" for level in self.pyramid)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names behind the class indices."""
        return tuple(_coco().values()) if self.classes == "coco" else self.classes

    @property
    def class_ids(self) -> tuple[int, ...] | None:
        """The data set's category ids behind the class indices; None where the description does not say."""
        return tuple(_coco()) if self.classes == "coco" else self.category_ids


def _coco() -> dict[int, str]:
    """COCO's category id -> name, for the 80 categories that have objects, in the order of the class indices."""
    text = resources.files("midstream.models").joinpath("descriptions/coco.txt").read_text("utf-8")
    rows = (line.split(" ", 1) for line in text.splitlines())
    return {int(number): name for number, name in rows}


def read_description(path: Path) -> Description:
    """Read and check a description. Raises InputError with the field that is wrong."""
    try:
        return parse_description(path.read_text("utf-8"), str(path))
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error


def parse_description(text: str, origin: str) -> Description:
    """Check a description's text; `origin` is named in errors."""
    try:
        return Description.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{origin}: not TOML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        raise InputError(f"{origin}: {place + ': ' if place else ''}{first['msg']}{more}") from error
