"""What a description says of a network's inputs: the image, or another tensor, and the constants beside it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, SerializerFunctionWrapHandler, Tag, model_serializer, model_validator

from midstream.errors import InputError
from midstream.models.fields import Deviation, Side, Strict, TensorName, Value

#: Input pixels: 8192 x 4096, 400 MB as a tensor.
_PIXELS = 1 << 25
#: 1 / 255 is the least in use.
_SMALLEST_SCALE = 1e-6
#: Of a constant: a state, a mask, a table of positions.
_CONSTANT_ELEMENTS = 1 << 20
#: Nested lists, one for each axis.
_MOST_AXES = 8
#: Words for the original image's sides in a constant; "size" is short for ["height", "width"].
WORDS = ("height", "width")
_SIZE = "size"
#: What a description of an earlier release does not have: left out of hashes where nobody uses it.
_LATER = {"shape": None, "multiple_of": 32, "longest": 1280, "layout": None}

Layout = Literal["NCHW", "NHWC"]
Colour = Literal["RGB", "BGR", "gray"]
Size = Annotated[
    Annotated[Literal["any"], Tag("word")] | Annotated[tuple[Side, Side], Tag("list")],
    Discriminator(lambda value: "word" if isinstance(value, str) else "list"),
]
#: One number for all channels, or one for each.
Each = Annotated[tuple[Value, ...], Field(min_length=1, max_length=3)]
EachDeviation = Annotated[tuple[Deviation, ...], Field(min_length=1, max_length=3)]


class Input(Strict):
    """From an image to the network's input: resize, order the colours, ((x * scale) - mean) / std, a batch of one.

    `name` may be left out for a graph with one input besides the constants. `size` is (height, width), or "any" for a
    network that takes each image at a size of its own: no side longer than `longest`, both multiples of `multiple_of`.
    `layout` is read from the graph where it is left out.

    A network of something else than images has a `shape` instead, [1, 512] say, and nothing else: it is given arrays.
    """

    name: TensorName | None = None
    size: Size | None = None
    resize: Literal["stretch", "letterbox"] = "stretch"
    anchor: Literal["top-left", "center"] = "top-left"
    pad_value: int = Field(default=114, ge=0, le=255, strict=True)
    interpolation: Literal["nearest", "linear", "cubic", "area"] = "linear"
    color: Colour = "RGB"
    scale: Value = 1.0
    mean: Each = (0.0, 0.0, 0.0)
    std: EachDeviation = (1.0, 1.0, 1.0)
    shape: Annotated[tuple[Side, ...], Field(min_length=1, max_length=_MOST_AXES)] | None = None
    multiple_of: Side = 32
    longest: Side = 1280
    layout: Layout | None = None

    @model_validator(mode="after")
    def _is_an_image_or_a_tensor(self) -> Input:
        if (self.size is None) == (self.shape is None):
            raise ValueError("say size = [height, width] for images, or shape = [...] for other tensors")
        if self.shape is not None and (others := sorted(self.model_fields_set - {"name", "shape"})):
            raise ValueError(f"{', '.join(others)}: for images, which have a size and no shape")
        if self.shape is not None and math.prod(self.shape) > _PIXELS:
            raise ValueError(f"shape {list(self.shape)} has more than {_PIXELS:,} elements")
        if self.size != "any" and {"multiple_of", "longest"} & self.model_fields_set:
            raise ValueError('multiple_of and longest are for size = "any"')
        if self.multiple_of > self.longest:
            raise ValueError(f"longest = {self.longest} is less than multiple_of = {self.multiple_of}")
        return self

    @model_validator(mode="after")
    def _has_a_size(self) -> Input:
        if isinstance(self.size, tuple):
            height, width = self.size
            if height * width > _PIXELS:
                raise ValueError(f"size {height} x {width} is more than {_PIXELS:,} pixels")
        if abs(self.scale) < _SMALLEST_SCALE:
            raise ValueError(f"scale {self.scale:g} leaves nothing of an image")
        return self

    @model_validator(mode="after")
    def _has_numbers_for_each_channel(self) -> Input:
        for name in ("mean", "std"):
            count = len(getattr(self, name))
            if count not in ((1, 3) if self.channels == 3 or name not in self.model_fields_set else (1,)):
                wanted = "one number for grey" if self.channels == 1 else "one number for each of the three colours"
                raise ValueError(f"{name} has {count} numbers: {wanted}")
        return self

    @model_serializer(mode="wrap")
    def _without_later_fields(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Profiles know a network by a hash of this."""
        values: dict[str, Any] = handler(self)
        return {name: value for name, value in values.items() if name not in _LATER or value != _LATER[name]}

    @property
    def channels(self) -> int:
        """Of the image as the network has it."""
        return 1 if self.color == "gray" else 3

    @property
    def text(self) -> str:
        """In words: 320x240 (width x height), "any", or the shape of a tensor."""
        if self.shape is not None:
            return str(list(self.shape))
        return "any" if not isinstance(self.size, tuple) else f"{self.size[1]}x{self.size[0]}"

    def sides(self, size: tuple[int, int]) -> tuple[int, int]:
        """(height, width) of the network's input for an image of `size` (height, width).

        Of a network without images, the last two axes of its input, with ones in front where it has fewer.
        """
        if isinstance(self.size, tuple):
            return self.size
        if self.shape is not None:
            rows, columns = (1, 1, *self.shape)[-2:]
            return rows, columns
        ratio = min(1.0, self.longest / max(size))
        most = self.longest // self.multiple_of * self.multiple_of
        height, width = (
            min(max(math.ceil(side * ratio / self.multiple_of), 1) * self.multiple_of, most) for side in size
        )
        return height, width

    def at(self, size: tuple[int, int]) -> Input:
        """The same with the fixed size that it has for an image of (height, width)."""
        return self.model_copy(update={"size": self.sides(size)}) if self.size == "any" else self


#: By name of an input: a number that fills it, "size", or (nested) lists of numbers and WORDS.
Constants = dict[TensorName, Any]


def check_constants(constants: Mapping[str, Any]) -> None:
    """Raise ValueError for what is no number, no word and no nested list of these, or for too many of them."""
    for name, value in constants.items():
        if (count := _count(name, value, 0)) > _CONSTANT_ELEMENTS:
            raise ValueError(f"'{name}' has {count:,} numbers, more than {_CONSTANT_ELEMENTS:,}")


def _count(name: str, value: Any, depth: int) -> int:
    if isinstance(value, list | tuple) and value and depth < _MOST_AXES:
        return sum(_count(name, each, depth + 1) for each in value)
    number = isinstance(value, bool | int | float) and math.isfinite(value) and abs(value) < 1 << 63
    if not number and value not in ((*WORDS, _SIZE) if depth == 0 else WORDS):
        raise ValueError(f'\'{name}\' is a number, "size", or a list of numbers, "height" and "width", not {value!r}')
    return 1


def with_words(value: Any, size: tuple[int, int]) -> Any:
    """A constant with the image's (height, width) in the place of words."""
    if value == _SIZE:
        return list(size)
    if isinstance(value, list | tuple):
        return [with_words(each, size) for each in value]
    return size[WORDS.index(value)] if isinstance(value, str) else value


def other_shape(name: str, given: Any, wanted: Any) -> InputError:
    """The error for a constant that does not fit its input."""
    return InputError(f"the constant '{name}' has shape {list(given)}, the network expects {list(wanted)}")
