"""What Ultralytics' exporter writes into an ONNX file: the names of the classes, the stride, the size, the task."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import onnx

from midstream.errors import InputError
from midstream.models.detector_heads import MOST_KEYPOINTS

#: Of one entry, in characters. 10,000 names of 50 letters have half a million.
_CHARACTERS = 1 << 20
_CLASSES = 100_000
_NAME = 200
_SIDE = 1 << 14
#: How deep a literal may be nested, which the parser follows by calling itself.
_NESTED = 4
_NUMBERS = 8
_TASKS = ("detect", "segment", "pose", "obb", "classify", "semantic", "depth")


@dataclass(frozen=True)
class Metadata:
    """What the file says of its network; None, "" or () where it says nothing that can be used.

    Attributes:
        task: detect, segment, pose, obb, classify and so on.
        names: of the classes, in the order of their indices.
        stride: the largest, in pixels.
        size: (height, width) of the input.
        keypoints: how many an object has.
        end2end: whether the graph selects its boxes by itself, a row each.
        channels: of the input.
        description: in the exporter's words.
    """

    task: str
    names: tuple[str, ...] = ()
    stride: int | None = None
    size: tuple[int, int] | None = None
    keypoints: int = 0
    end2end: bool = False
    channels: int | None = None
    description: str = ""


def from_metadata(model: onnx.ModelProto) -> Metadata | None:
    """What an ONNX file says in the form of Ultralytics' exporter; None for a file that says nothing in it.

    The values are Python literals. They are read as such, within limits, and never run.

    Raises:
        InputError: an entry of that form that cannot be what it should be.
    """
    given = {entry.key: entry.value for entry in model.metadata_props}
    if "task" not in given or not {"names", "stride", "imgsz"} & set(given):
        return None
    task = given["task"].strip()
    if task not in _TASKS:
        return None  # somebody else's word
    sides = _numbers(given, "imgsz", _SIDE)
    points = _numbers(given, "kpt_shape", MOST_KEYPOINTS)
    strides, channels = _numbers(given, "stride", _SIDE), _numbers(given, "channels", 1000)
    return Metadata(
        task,
        _names(given),
        max(strides) if strides else None,
        (sides[0], sides[-1]) if sides else None,
        points[0] if points else 0,
        given.get("end2end", "").strip() == "True" or _nms_inside(given),
        channels[0] if channels else None,
        _printable(given.get("description", ""))[: 5 * _NAME],
    )


def _names(given: Mapping[str, str]) -> tuple[str, ...]:
    value = _literal(given, "names")
    if value is None:
        return ()
    names = list(value.values()) if isinstance(value, dict) else value
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names) or len(names) > _CLASSES:
        raise InputError(f"the file's metadata: 'names' are no list of at most {_CLASSES:,} names of classes")
    keys = list(value) if isinstance(value, dict) else list(range(len(names)))
    numbers = [int(key) if isinstance(key, str) and key.isascii() and key.isdecimal() else key for key in keys]
    if not all(isinstance(number, int) for number in numbers) or sorted(numbers) != list(range(len(names))):
        raise InputError("the file's metadata: 'names' are not numbered from 0")
    ordered = sorted(zip(numbers, names, strict=True))
    return tuple(_printable(name)[:_NAME].strip() or f"class {number}" for number, name in ordered)


def _nms_inside(given: Mapping[str, str]) -> bool:
    """Whether the exporter was asked for suppression inside (`nms=True`)."""
    value = _literal(given, "args")
    return isinstance(value, dict) and value.get("nms") is True


def _numbers(given: Mapping[str, str], key: str, most: int) -> Sequence[int]:
    """One whole number or several, each from 1 to `most`; none where the file does not say."""
    value = _literal(given, key)
    if value is None:
        return []
    numbers = list(value) if isinstance(value, list | tuple) else [value]
    whole = all(isinstance(number, int | float) and number == number // 1 for number in numbers)
    if not whole or not 1 <= len(numbers) <= _NUMBERS or not all(1 <= number <= most for number in numbers):
        raise InputError(f"the file's metadata: '{key}' is not whole numbers from 1 to {most:,}")
    return [int(number) for number in numbers]


def _literal(given: Mapping[str, str], key: str) -> Any:
    """The Python literal in an entry; None where there is no entry."""
    if key not in given:
        return None
    text = given[key].strip()
    if len(text) > _CHARACTERS:
        raise InputError(f"the file's metadata: '{key}' has more than {_CHARACTERS:,} characters")
    if _depth(text) > _NESTED or _operators(text):
        raise InputError(f"the file's metadata: '{key}' is not a plain literal")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the parser, about a backslash in a name
            return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise InputError(f"the file's metadata: '{key}' is not a Python literal") from error


def _depth(text: str) -> int:
    """How deeply brackets are nested, those in names included."""
    deepest = depth = 0
    for character in text:
        if character in "([{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in ")]}":
            depth -= 1
    return deepest


def _operators(text: str) -> bool:
    """Whether there is a long run of signs, which the parser follows by calling itself: ----1."""
    return any(sign * 8 in text.replace(" ", "") for sign in "-+~")


def _printable(text: str) -> str:
    return "".join(character for character in text if character.isprintable())


def refuse_oriented(model: onnx.ModelProto) -> None:
    """Raises InputError for a network that says that its boxes are oriented, which no head reads."""
    if any(entry.key == "task" and entry.value.strip() == "obb" for entry in model.metadata_props):
        raise InputError(
            "the file says that its task is 'obb', oriented boxes, which no kind of head reads: leave [head] out, "
            "and its outputs are tensors"
        )
