"""What a model description (a TOML file) may say. docs/models.md explains it with an example."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import (
    Discriminator,
    Field,
    SerializerFunctionWrapHandler,
    Tag,
    ValidationError,
    model_serializer,
    model_validator,
)
from pydantic_core import ErrorDetails

from midstream.errors import InputError
from midstream.layout import MOST_AXES, positions_of
from midstream.models.detector_heads import DetectorHead, YoloV5Head, YoloxHead
from midstream.models.fields import LEVELS, Name, PathName, Side, Strict, Stride, TensorName
from midstream.models.input_description import Constants, Input, check_constants
from midstream.models.task_heads import TaskHead, TensorsHead

#: Of a file: ImageNet's 21,843 class names have 700 kB.
_FILE_BYTES = 1 << 20
#: In a line: for a key of n parts, a.a.a, tomllib takes time and memory in proportion to n squared.
_DOTS = 100

CategoryId = Annotated[int, Field(ge=0, lt=1 << 31, strict=True)]


class Weights(Strict):
    """The ONNX file, by its name or path from the description's folder; and where it comes from, in words."""

    file: PathName
    source: str = Field(default="", max_length=1000)


class PyramidLevel(Strict):
    """One level: a tensor of the graph, or one that is derived from another level and therefore not sent.

    `stride` is left out for a tensor that is no map of an image. `axes` says what the axes of such a tensor are, "1NC"
    say, with the `grid` of tokens that are cells of an image, and how many `extra` ones come before these; see
    `midstream.Tensor`.
    """

    name: Name
    tensor: TensorName
    stride: Stride | None = None
    derived_from: Name | None = None
    axes: Annotated[str, Field(max_length=MOST_AXES)] | None = None
    grid: tuple[Side, Side] | None = None
    extra: Annotated[int, Field(ge=0, le=1000, strict=True)] = 0

    @property
    def text(self) -> str:
        """In words: p3/8, f1 [197 tokens], or the name alone."""
        if self.stride is not None:
            return f"{self.name}/{self.stride}"
        return self.name if self.grid is None else f"{self.name} [{math.prod(self.grid) + self.extra} tokens]"

    @model_validator(mode="after")
    def _axes_can_be(self) -> PyramidLevel:
        if self.axes is None:
            if self.grid is not None or self.extra:
                raise ValueError('grid and extra are of tokens: say axes, such as axes = "1NC"')
            return self
        if not re.fullmatch("1[1CHWNT]*", self.axes) or positions_of(self.axes) is None:
            raise ValueError(f'axes {self.axes!r}: 1 for the batch first, one C, with N, T or H and W, such as "1NC"')
        if self.derived_from is not None:
            raise ValueError(f"level '{self.name}' is derived from another one, so it has no axes of its own")
        return self

    @model_serializer(mode="wrap")
    def _without_later_fields(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Profiles know a cut by a hash of this."""
        values: dict[str, Any] = handler(self)
        later = {"axes": None, "grid": None, "extra": 0}
        return {name: value for name, value in values.items() if name not in later or value != later[name]}


Classes = Annotated[
    Annotated[Literal["coco"], Tag("word")] | Annotated[tuple[Name, ...], Tag("list")],
    Discriminator(lambda value: "word" if isinstance(value, str) else "list"),
]
Head = Annotated[DetectorHead | TaskHead, Field(discriminator="kind")]


class Description(Strict):
    """A network: its input, where it is cut, and what its outputs are; without a `head`, tensors of any meaning.

    `classes` are the names in the order of the class indices, `category_ids` their ids in the data set that the network
    was trained for, which results carry; both are known for the word "coco". `constants` are what inputs other than the
    image's are given, by their names (see input_description). Only detectors need classes.
    """

    name: Name
    weights: Weights
    input: Input
    pyramid: tuple[PyramidLevel, ...] = Field(min_length=1, max_length=LEVELS)
    head: Head = TensorsHead(kind="tensors")
    classes: Classes = ()
    category_ids: tuple[CategoryId, ...] | None = None
    constants: Constants = Field(default={})

    @model_validator(mode="after")
    def _constants_are_numbers(self) -> Description:
        check_constants(self.constants)
        if self.input.name in self.constants:
            raise ValueError(f"'{self.input.name}' is the input that takes the image, and no constant")
        return self

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
    def _classes_fit(self) -> Description:
        if isinstance(self.head, DetectorHead) and not self.classes:
            raise ValueError(f"a head of the kind '{self.head.kind}' needs `classes`: \"coco\" or a list of names")
        return self

    @model_validator(mode="after")
    def _levels_fit(self) -> Description:
        sent = {level.name: level for level in self.pyramid if level.derived_from is None}
        if len({level.name for level in self.pyramid}) != len(self.pyramid):
            raise ValueError("two pyramid levels have the same name")
        for level in self.pyramid:
            if level.derived_from is not None and level.derived_from not in sent:
                raise ValueError(f"level '{level.name}' is derived from '{level.derived_from}', which is not sent")
            if level.derived_from is None:
                continue
            stride, of = level.stride, sent[level.derived_from].stride
            if stride is None or of is None:
                raise ValueError(f"level '{level.name}' is derived from '{level.derived_from}': both need a stride")
            if stride % of:
                raise ValueError(f"the stride of '{level.name}' is not a multiple of that of '{level.derived_from}'")
        return self

    @model_validator(mode="after")
    def _strides_in_order(self) -> Description:
        """The one output of these heads has as many rows in any order of its levels; those of a gfl head tell."""
        if not isinstance(self.head, YoloxHead | YoloV5Head):
            return self
        given, own = list(self.head.strides), list(dict.fromkeys(level.stride or 0 for level in self.pyramid))
        same = sorted(given) == sorted(own)
        wanted = own if same else sorted(given)
        if given != wanted:
            order = "those of the pyramid in another order" if same else "not in ascending order"
            instead = ", or list the pyramid's levels in the order of the output's rows" if same else ""
            raise ValueError(f"the head's strides {given} are {order}: write strides = {wanted}{instead}")
        return self

    @property
    def levels(self) -> str:
        """The pyramid in words: p3/8 p4/16 ..., the numbers being strides; f1 [197 tokens] for tokens with a grid."""
        return " ".join(level.text for level in self.pyramid)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names behind the class indices."""
        return coco_names() if self.classes == "coco" else self.classes

    @property
    def class_ids(self) -> tuple[int, ...] | None:
        """The data set's category ids behind the class indices; None where the description does not say."""
        return tuple(_coco()) if self.classes == "coco" else self.category_ids


def coco_names() -> tuple[str, ...]:
    """The names that the word "coco" stands for."""
    return tuple(_coco().values())


@cache
def _coco() -> Mapping[int, str]:
    """COCO's category id -> name, for the 80 categories that have objects, in the order of the class indices."""
    text = resources.files("midstream.models").joinpath("descriptions/coco.txt").read_text("utf-8")
    rows = (line.split(" ", 1) for line in text.splitlines())
    return MappingProxyType({int(number): name for number, name in rows})


def read_description(path: Path) -> Description:
    """Read and check a description. Raises InputError with the field that is wrong."""
    try:
        with path.open("rb") as file:
            data = file.read(_FILE_BYTES + 1)
        if len(data) > _FILE_BYTES:
            raise InputError(f"{path}: more than {_FILE_BYTES:,} bytes, which no description of a network has")
        return parse_description(data.decode("utf-8-sig"), str(path))
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8: save it as such") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error


def parse_description(text: str, origin: str) -> Description:
    """Check a description's text; `origin` is named in errors."""
    try:
        return Description.model_validate(_parse_toml(text, origin))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        raise InputError(f"{origin}: {place + ': ' if place else ''}{_sentence(first)}{more}") from error


def _sentence(error: ErrorDetails) -> str:
    """A pydantic error in the words of this package; patterns are those of names."""
    if error["type"] == "string_pattern_mismatch":
        return "a name has no control characters"
    return error["msg"].removeprefix("Value error, ")


def _parse_toml(text: str, origin: str) -> dict[str, Any]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.count(".") > _DOTS:
            raise InputError(f"{origin}: line {number} has more than {_DOTS} dots: write it in several lines")
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise InputError(f"{origin}: not a description: nested too deeply") from error
    except ValueError as error:  # also Python's own, of a number with thousands of digits
        raise InputError(f"{origin}: not TOML: {str(error).partition(';')[0]}") from error
