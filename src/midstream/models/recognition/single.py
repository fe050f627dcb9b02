"""What a single output is, a vector or a map: by its shape, its values for one image, and the operation at its end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from midstream.errors import InputError

#: Classes of the data sets that classifiers are trained on; other widths in the second list are those of embeddings.
_CLASSES = (2, 10, 100, 365, 1000, 1001, 6000, 11221, 21841, 21843)
_WIDTHS = (64, 96, 128, 192, 256, 384, 512, 576, 640, 768, 1024, 1280, 1536, 2048)
#: A map of a class each has at least this share of the input's sides, and no more classes than this.
_SHARE, _MOST_MAPS = 1 / 32, 256
#: A map with sides larger than the input's by this factor is an image made larger; less is padding.
_ENLARGED = 1.25
#: The sides of a map are in proportion to the input's, up to this factor; those of tokens and of sequences are not.
_PROPORTION = 1.5
#: Points of a person (COCO, MPII, CrowdPose, whole bodies), of a face and of a hand: maps of poses have one each.
_POINTS = (14, 16, 17, 21, 68, 98, 106, 133)
_COLOURS = 3
#: Of DBNet's maps.
_DBNET = 0.3
_SLACK = 1e-3
#: Operations that give any numbers, and those that move numbers and do not change them.
_LINEAR = ("Gemm", "MatMul", "Add", "Conv", "Sub", "QLinearConv", "QGemm")
_SAME = ("Identity", "Cast", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "DequantizeLinear",
         "QuantizeLinear")  # fmt: skip
_STEPS = 8


@dataclass(frozen=True)
class Single:
    """What an output is.

    Attributes:
        task: "tensors" for one that is plainly of no head; "" where nothing fits.
        table: the description's [head].
        sure: whether the values leave no doubt.
        why: what speaks for it, or what it may be as well; "" where there is nothing to add.
    """

    task: str = ""
    table: Mapping[str, Any] = field(default_factory=dict)
    sure: bool = False
    why: str = ""


def endings(model: onnx.ModelProto) -> dict[str, str]:
    """The operation that gives each output's values, by the output's name; those that only move them are passed."""
    makers = {name: node for node in model.graph.node for name in node.output}
    found = {}
    for value in model.graph.output:
        node = makers.get(value.name)
        for _ in range(_STEPS):
            if node is None or node.op_type not in _SAME:
                break
            node = makers.get(node.input[0])
        found[value.name] = node.op_type if node is not None else ""
    return found


def recognise_single(value: NDArray[Any], size: tuple[int, int], asked: str | None, end: str = "") -> Single:
    """What one output is.

    Args:
        value: for one image.
        size: (height, width) of the network's input.
        asked: the task that it has to be of; None for what it looks like.
        end: the operation that it ends with, as `endings` has it; "" where it is not known.

    Raises:
        InputError: a classification is asked for, and the classes do not exclude each other.
    """
    shape = value.shape
    if value.size == max(shape, default=0) > 1 and len(shape) > 1 and shape[0] == 1:
        return _vector(np.asarray(value, np.float32).reshape(-1), asked, end)
    if len(shape) in (3, 4) and shape[0] == 1 and shape[-1] > 1 and shape[-2] > 1:
        return _map(value, size, asked)
    return Single()


def _vector(values: NDArray[np.float32], asked: str | None, end: str) -> Single:
    chances = bool(values.min() >= 0 and abs(float(values.sum()) - 1) < _SLACK)
    logs = bool(values.max() <= 0 and abs(float(np.exp(values).sum()) - 1) < _SLACK)
    width = len(values)
    if asked is None and (chances or logs):
        asked = "classification"
    several = not chances and (end == "Sigmoid" or (asked is None and width not in _WIDTHS and _inside(values, end)))
    if several and asked in (None, "classification"):
        why = "chances that do not add up to one, of several classes at once (multi-label)"
        if asked is not None:
            raise InputError(f"the output has {why}, and a classification has one class: leave --task out")
        return Single("tensors", why=why)
    if asked is None:
        asked = "classification" if width in _CLASSES or width not in _WIDTHS else "embedding"
    if asked == "classification":
        why = "of logarithms of chances, whose softmax is the chances" if logs else ""
        return Single(asked, {"kind": "classification", "softmax": not chances}, chances or logs, why)
    return Single(asked, {"kind": "embedding"}) if asked == "embedding" else Single()


def _inside(values: NDArray[np.float32], end: str) -> bool:
    """Whether all numbers are between 0 and 1, and no chance logits."""
    return end not in _LINEAR and bool(values.min() > 0 and values.max() <= 1)


def _map(value: NDArray[Any], size: tuple[int, int], asked: str | None) -> Single:
    shape = value.shape
    single = len(shape) == 3 or 1 in (shape[1], shape[3])
    last = len(shape) == 4 and shape[3] < min(shape[1:3])
    rows, columns = shape[1:3] if last else shape[-2:]
    channels = 1 if single else shape[3] if last else shape[1]
    shares = sorted((rows / size[0], columns / size[1]))
    if asked is None and shares[0] * _PROPORTION < shares[1]:
        return Single()
    if asked is None and shares[0] > _ENLARGED:
        return Single("tensors", why=f"a map larger than the input of {list(size)}, such as an enlarged image")
    if value.dtype.kind in "iub":
        if asked == "depth" or (asked is None and not single):
            return Single()
        return Single("semantic segmentation", {"kind": "segmentation"}, True)
    if asked == "depth" or (asked is None and single and not _is_chance(value) and rows >= size[0] * _SHARE):
        return Single("depth", {"kind": "depth"}) if single else Single()
    near = rows >= max(size[0] * _SHARE, 2) and channels <= _MOST_MAPS
    if asked == "semantic segmentation" or (asked is None and near and (single or rows >= size[0] / 16)):
        table: dict[str, Any] = {"kind": "segmentation", **({"channels_last": True} if last else {})}
        table |= {"threshold": _DBNET} if single and _is_chance(value) else {}
        return Single("semantic segmentation", table, why=_also(channels, (rows, columns) == size))
    return Single()


def _also(channels: int, whole: bool) -> str:
    """What else maps of so many channels may be; `whole` is whether they have the input's size."""
    if whole and channels == _COLOURS:
        return "unless the three channels are an image's colours, for which --task tensors is right"
    if not whole and channels in _POINTS:
        return "unless these are heatmaps of the points of a pose, which look alike: --task tensors is right for them"
    return ""


def _is_chance(value: NDArray[Any]) -> bool:
    return bool(value.size and value.min() >= 0 and value.max() <= 1)
