"""A graph's inputs: which takes the image, how it lies in memory, what the others are given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx

from midstream.errors import InputError, unknown
from midstream.models.input_description import Layout
from midstream.models.recognition.notes import Notes

#: (height, width) that are tried where the graph leaves the size open, in this order: the usual ones.
SIZES = ((640, 640), (48, 320), (32, 320), (320, 320), (416, 416), (512, 512), (224, 224), (384, 384), (256, 256),
         (128, 128), (112, 112))  # fmt: skip
_CHANNELS = (1, 3)
#: In the example of a shape: the batch, and a side that is open.
_BATCH, _OPEN = 1, 512
_UNKNOWN = "a guess, for its name says nothing"
_IMAGE_TYPES = ("float32", "float16", "float64", "uint8", "int8")
#: Words in the name of an input, and what such a one is usually given. "sizes" stands for the input's own.
_USUAL: tuple[tuple[tuple[str, ...], Any, str], ...] = (
    (("orig_target_size", "orig_size", "target_size", "image_size", "img_size"), "sizes", "for boxes in its pixels"),
    (("im_shape", "image_shape", "img_shape"), "sizes", "for boxes in its pixels"),
    (("scale_factor", "scale"), 1.0, "no scale"),
    (("mask",), 1, "everything counts"),
    (("sr", "sample_rate", "sampling_rate"), 16000, "samples a second"),
    (("state", "hidden", "cell", "h0", "c0", "h", "c"), 0.0, "a state that begins"),
    (("conf_thres", "score_threshold", "threshold"), 0.001, "as for measuring"),
    (("iou_threshold", "nms_threshold"), 0.65, "as for measuring"),
    (("max_output_boxes_per_class", "max_det"), 100, "as for measuring"),
)  # fmt: skip


@dataclass(frozen=True)
class GraphInput:
    """An input as the graph has it; None stands for a side that is open."""

    name: str
    shape: tuple[int | None, ...] | None
    dtype: str

    @property
    def text(self) -> str:
        """Name, type and shape in words."""
        sides = "any shape" if self.shape is None else str(["?" if s is None else s for s in self.shape])
        return f"'{self.name}' {self.dtype} {sides}".replace("'?'", "?")


@dataclass
class Inputs:
    """What a description says of the inputs of a graph.

    Attributes:
        image: the input that takes the image, or the tensor.
        others: the other ones.
        layout: of an image; None for another tensor.
        channels: of an image.
        sizes: (height, width) to try for an image, the first that runs is it; one alone if it is fixed.
        shape: of a tensor that is no image.
        notes: for the user.
    """

    image: GraphInput
    others: list[GraphInput]
    layout: Layout | None = None
    channels: int = 3
    sizes: Sequence[tuple[int, int]] = ()
    shape: tuple[int, ...] | None = None
    notes: Notes = field(default_factory=Notes)

    def constants(self, size: tuple[int, int]) -> dict[str, Any]:
        """What the other inputs are given, with the image at (height, width)."""
        return {other.name: _usual(other, size)[0] for other in self.others}

    def constant_notes(self, size: tuple[int, int]) -> Notes:
        """A sentence for each other input: a warning where what it is given is no more than a placeholder."""
        notes = Notes()
        for other in self.others:
            value, why = _usual(other, size)
            if why != _UNKNOWN or _is_scalar(other):
                notes.guessed.append(f"input {other.text} is given {value} ({why}): see [constants]")
                continue
            what = "looks like a second image" if _is_image(other) else "has a name that says nothing"
            notes.warnings.append(
                f"input {other.text} {what}, and nothing here gives it: it is {value}, and figures mean nothing until "
                "[constants] has its values"
            )
        return notes


def fixed_batch(value: GraphInput) -> str:
    """What to say of an input that takes several images, or arrays, at once; "" for another."""
    batch = value.shape[0] if value.shape else None
    return "" if batch in (None, 1) else f"the graph has a fixed batch of {batch}; export it with 1 or a free one"


def graph_inputs(model: onnx.ModelProto) -> list[GraphInput]:
    """The inputs that are no weights."""
    weights = {weight.name for weight in model.graph.initializer}
    return [_input(value) for value in model.graph.input if value.name not in weights]


def _input(value: Any) -> GraphInput:
    tensor = value.type.tensor_type
    shape = tuple(dim.dim_value if dim.dim_value > 0 else None for dim in tensor.shape.dim)
    try:
        dtype = str(np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)))
    except (KeyError, ValueError, TypeError):
        dtype = "no numbers"
    return GraphInput(value.name, shape if tensor.HasField("shape") else None, dtype)


def recognise_inputs(
    model: onnx.ModelProto, size: tuple[int, int] | None, shapes: Mapping[str, Sequence[int]]
) -> Inputs:
    """Find the image among a graph's inputs.

    Args:
        model: the graph.
        size: (height, width), where it is known or asked for.
        shapes: input name -> shape, for a network of something else than images.

    Raises:
        InputError: no input, a shape or a size that the graph fixes otherwise, or an open one that nobody gave.
    """
    inputs = graph_inputs(model)
    for name in shapes:
        if name not in {each.name for each in inputs}:
            raise unknown("input", name, [each.name for each in inputs])
    if not inputs:
        raise InputError("the graph has no inputs, and so no features of an image")
    images = [each for each in inputs if each.name not in shapes and _is_image(each)]
    if not images:
        for each in inputs:
            if each.name not in shapes and _is_batch(each):
                raise InputError(f"input {each.text}: {fixed_batch(each)}")
    image = images[0] if images else _tensor_among(inputs, shapes)
    others = [each for each in inputs if each is not image]
    found = Inputs(image, others)
    if images:
        _about_image(found, size)
    else:
        found.shape = _shape(image, shapes.get(image.name))
        found.notes.recognised.append(f"input {image.text}: no image, so it takes arrays of {list(found.shape)}")
    return found


def _is_image(value: GraphInput) -> bool:
    return _is_batch(value) and value.shape is not None and value.shape[0] in (None, 1)


def _is_batch(value: GraphInput) -> bool:
    """Whether it takes images, however many at once."""
    shape = value.shape
    return shape is not None and len(shape) == 4 and value.dtype in _IMAGE_TYPES and _layout(shape) is not None


def _is_scalar(value: GraphInput) -> bool:
    return value.shape is not None and all(side == 1 for side in value.shape)


def _layout(shape: Sequence[int | None]) -> Layout | None:
    """Of four axes; None where neither can be of colours."""
    first, last = shape[1], shape[3]
    if first in _CHANNELS and not (last in _CHANNELS and first == 1 and last == 3):
        return "NCHW"
    if last in _CHANNELS:
        return "NHWC"
    return "NCHW" if first is None and last is None else None


def _tensor_among(inputs: Sequence[GraphInput], shapes: Mapping[str, Sequence[int]]) -> GraphInput:
    """The input that is no constant: one that is asked for, else the first of floats, else the first."""
    usual = [each for each in inputs if not any(_named(each.name, words) for words, _, _ in _USUAL)]
    floats = [each for each in usual or inputs if each.dtype.startswith("float")]
    return (floats or usual or list(inputs))[0]


def _about_image(found: Inputs, size: tuple[int, int] | None) -> None:
    shape = found.image.shape or ()
    found.layout = _layout(shape)
    at = (1, 2, 3) if found.layout == "NCHW" else (3, 1, 2)
    channels, height, width = (shape[i] for i in at)
    found.channels = channels or 3
    if height is not None and width is not None:
        if size is not None and size != (height, width):
            raise InputError(f"the graph fixes its input to {width}x{height} (width x height): leave --size out")
        found.sizes = [(height, width)]
    elif size is not None:
        if height not in (None, size[0]) or width not in (None, size[1]):
            raise InputError(f"the graph's input is {found.image.text}, which --size contradicts")
        found.sizes = [size]
    else:
        found.sizes = list(dict.fromkeys((height or h, width or w) for h, w in SIZES))
    kind = "grey" if found.channels == 1 else "in colour"
    found.notes.recognised.append(f"input {found.image.text}: an image {kind}, {found.layout}")


def _shape(value: GraphInput, given: Sequence[int] | None) -> tuple[int, ...]:
    if given is not None:
        fits = value.shape is None or (
            len(given) == len(value.shape) and all(w in (None, g) for w, g in zip(value.shape, given, strict=True))
        )
        if not fits:
            raise InputError(f"--shape {value.name}={','.join(map(str, given))}: the graph has the input {value.text}")
        return tuple(given)
    if value.shape is None or None in value.shape[1:]:
        sides = [_BATCH, _OPEN] if value.shape is None else [_BATCH, *(side or _OPEN for side in value.shape[1:])]
        such = ",".join(map(str, sides))
        raise InputError(
            f"input {value.text} is no image and of no fixed shape: give one, such as --shape {value.name}={such}"
        )
    return tuple(side or 1 for side in value.shape)


def _named(name: str, words: Sequence[str]) -> bool:
    plain = name.lower().replace("-", "_").replace(".", "_").rpartition("/")[2].split(":")[0]
    return any(word in plain if len(word) > 2 else plain in (word, f"{word}n", f"{word}_in") for word in words)


def _usual(value: GraphInput, size: tuple[int, int]) -> tuple[Any, str]:
    """What an input that is no image is usually given, and why."""
    for words, given, why in _USUAL:
        if not _named(value.name, words):
            continue
        if given != "sizes":
            return (given if value.dtype.startswith("float") or not isinstance(given, float) else int(given)), why
        height, width = size
        # RT-DETR's family has width, height; the two are the same for most inputs.
        sides = [width, height] if "target" in value.name.lower() else [height, width]
        return [sides] if value.shape is None or len(value.shape) > 1 else sides, why
    return (0.0 if value.dtype.startswith("float") else 0), _UNKNOWN
