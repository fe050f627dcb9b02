"""Outputs that are no boxes: what a graph gives, as the task's named arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from midstream.errors import InputError
from midstream.models.constants import TYPES
from midstream.models.preprocess import Placement
from midstream.models.task_heads import (
    ClassificationHead,
    DepthHead,
    EmbeddingHead,
    SegmentationHead,
    TaskHead,
    TensorsHead,
)
from midstream.models.tasks.base import Task
from midstream.models.tasks.classification import Classification
from midstream.models.tasks.depth import Depth
from midstream.models.tasks.embedding import Embedding
from midstream.models.tasks.segmentation import SemanticSegmentation
from midstream.models.tasks.tensors import AnyTensors, KnownTensor, Tensors

TASKS: dict[type[Any], Task[Tensors]] = {
    ClassificationHead: Classification(),
    SegmentationHead: SemanticSegmentation(),
    DepthHead: Depth(),
    EmbeddingHead: Embedding(),
    TensorsHead: AnyTensors(),
}


def decode_outputs(
    head: TaskHead, outputs: Mapping[str, NDArray[Any]], size: tuple[int, int], at: Placement | None
) -> Tensors:
    """The task's output for one image.

    Args:
        head: kind and parameters.
        outputs: the graph's outputs by name, each with a batch axis of one where it has one.
        size: (height, width) of the network's input.
        at: where the image lies within the input; what maps have beyond it is cut off. None for other inputs.

    Raises:
        InputError: outputs that do not fit the head.
    """
    if isinstance(head, TensorsHead):
        names = head.outputs or tuple(outputs)
        return Tensors({name: _without_batch(np.asarray(outputs[name])) for name in names})
    name = head.output or next(iter(outputs))
    value = np.asarray(outputs[name])
    if isinstance(head, ClassificationHead):
        return Tensors({"scores": _chances(_vector(name, value, head.kind), head.softmax)})
    if isinstance(head, EmbeddingHead):
        return Tensors({"vector": _vector(name, value, head.kind)})
    if isinstance(head, DepthHead):
        return Tensors({"values": _within(_map(name, value, head.kind), size, at)})
    return _segmented(head, name, value, size, at)


def _segmented(
    head: SegmentationHead, name: str, value: NDArray[Any], size: tuple[int, int], at: Placement | None
) -> Tensors:
    if value.dtype.kind in "iub":
        labels = _map(name, value, head.kind)
        if labels.size and not 0 <= int(labels.min()) <= int(labels.max()) < 1 << 16:
            raise InputError(f"output '{name}' has labels from {labels.min()} to {labels.max()}, expected 0 to 65535")
        kind = np.uint8 if labels.max(initial=0) < 1 << 8 else np.uint16
        return Tensors({"labels": _within(labels.astype(kind), size, at)})
    if value.ndim != 4 or value.shape[0] != 1:
        raise InputError(
            f"output '{name}' has shape {list(value.shape)}, the head expects [1, classes, h, w]"
            + ("" if value.ndim == 3 else ", or whole numbers [1, h, w]")
        )
    logits = np.asarray(value[0].transpose(2, 0, 1) if head.channels_last else value[0], np.float32)
    return Tensors({"logits": np.ascontiguousarray(_within(logits - np.float32(head.threshold), size, at))})


def _within(values: NDArray[Any], size: tuple[int, int], at: Placement | None) -> NDArray[Any]:
    """The part of a map [..., h, w] of the whole input that is of the image."""
    if at is None:
        return values
    (height, width), (rows, columns) = size, values.shape[-2:]
    top, left = at.top * rows // height, at.left * columns // width
    bottom, right = -(-(at.top + at.height) * rows // height), -(-(at.left + at.width) * columns // width)
    return np.ascontiguousarray(values[..., top : max(bottom, top + 1), left : max(right, left + 1)])


def known_tensors(head: TensorsHead, outputs: Sequence[Any]) -> tuple[KnownTensor, ...]:
    """What is known of the tensors that `decode_outputs` makes of a session's outputs; nothing where one is no tensor.

    A first axis that is left open is taken off in an output where it is one, and stays in others.
    """
    shapes = {value.name: (value.type, value.shape) for value in outputs}
    found = []
    for name in head.outputs or tuple(shapes):
        kind, sides = shapes[name]
        word = kind.removeprefix("tensor(").removesuffix(")")
        if word not in TYPES:
            return ()
        shape: tuple[int, ...] | None = tuple(side if isinstance(side, int) and side > 0 else 0 for side in sides)
        if shape is not None and len(shape) > 1 and shape[0] in (0, 1):
            shape = shape[1:] if shape[0] else None
        found.append(KnownTensor(name, np.dtype(TYPES[word]).name, shape if sides else None))
    return tuple(found)


def _without_batch(value: NDArray[Any]) -> NDArray[Any]:
    return value[0] if value.ndim > 1 and value.shape[0] == 1 else value


def _vector(name: str, value: NDArray[Any], kind: str) -> NDArray[np.float32]:
    if value.size == 0 or value.size != max(value.shape, default=0):
        raise InputError(f"output '{name}' has shape {list(value.shape)}, the head '{kind}' expects [1, n]")
    return np.asarray(value, np.float32).reshape(-1)


def _map(name: str, value: NDArray[Any], kind: str) -> NDArray[Any]:
    sides = [side for side in value.shape[:-2] if side != 1]
    if value.ndim < 3 or sides or not value.size:
        raise InputError(f"output '{name}' has shape {list(value.shape)}, the head '{kind}' expects [1, 1, h, w]")
    values = value.reshape(value.shape[-2:])
    return values if values.dtype.kind in "iub" else np.asarray(values, np.float32)


def _chances(values: NDArray[np.float32], softmax: bool) -> NDArray[np.float32]:
    if not softmax:
        return values
    powers = np.exp(values - values.max())
    return np.asarray(powers / powers.sum(), np.float32)
