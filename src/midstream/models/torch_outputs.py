"""What torch networks return, as the outputs of tasks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from midstream.errors import InputError, MissingExtraError
from midstream.models.detections import Detections
from midstream.models.heads.maps import TASKS, decode_outputs
from midstream.models.preprocess import Placement
from midstream.models.task_heads import ClassificationHead, DepthHead, EmbeddingHead, SegmentationHead, TaskHead
from midstream.models.tasks.base import Output, Task
from midstream.models.tasks.classification import Classification
from midstream.models.tasks.detection import Detection
from midstream.models.tasks.tensors import Tensors

try:
    import torch
except ImportError as error:
    raise MissingExtraError("a torch network", "torch") from error

#: Of a single tensor.
_NAME = "output"
_HEADS: tuple[TaskHead, ...] = (
    ClassificationHead(kind="classification"),
    SegmentationHead(kind="segmentation"),
    DepthHead(kind="depth"),
    EmbeddingHead(kind="embedding"),
)
#: Chances of one network sum up to 1 but for rounding.
_ROUNDING = 1e-2


def read_output(task: Task[Any], output: Any, size: tuple[int, int], at: Placement | None) -> Output:
    """The task's output.

    Args:
        task: of the network.
        output: what the network, or its postprocessing, returned for one image. Of several tensors the first is the
            one that tasks other than `tensors` and functions are about.
        size: (height, width) of the network's input.
        at: where the image lies within it; None where nobody knows.

    Raises:
        InputError: something else than tensors, or than detections of a detector.
    """
    if isinstance(task, Detection):
        if not isinstance(output, Detections):
            raise InputError(
                f"a network of the task {task.name} needs `postprocess`, a function of its output and the image's "
                f"(height, width) that returns midstream.models.Detections, not {type(output).__name__}"
            )
        return output
    arrays = dict(_named(output, ""))
    if not arrays:
        raise InputError(
            f"the network returns {type(output).__name__} without a tensor: say with `postprocess` what of it counts"
        )
    head = next((each for each in _HEADS if type(TASKS[type(each)]) is type(task)), None)
    if head is None:
        return Tensors({name: _without_batch(value) for name, value in arrays.items()})
    if isinstance(task, Classification):
        head = ClassificationHead(kind="classification", softmax=not _are_chances(next(iter(arrays.values()))))
    return decode_outputs(head, arrays, size, at)


def _named(value: Any, name: str) -> Iterator[tuple[str, NDArray[Any]]]:
    """Tensors in dicts, data classes, lists and tuples, by names joined with dots."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        yield name or _NAME, np.asarray((value.float() if value.is_floating_point() else value).numpy())
    elif isinstance(value, np.ndarray | np.generic | float | int):
        yield name or _NAME, np.asarray(value)
    else:
        for key, each in _parts(value):
            yield from _named(each, f"{name}.{key}" if name else key)


def _parts(value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, Mapping):
        return [(str(key), each) for key, each in value.items()]
    if isinstance(value, list | tuple):
        keys = getattr(value, "_fields", [str(index) for index in range(len(value))])
        return list(zip(keys, value, strict=True))
    if is_dataclass(value):
        return [(field.name, getattr(value, field.name)) for field in fields(value)]
    return []


def _without_batch(value: NDArray[Any]) -> NDArray[Any]:
    return value[0] if value.ndim > 1 and value.shape[0] == 1 else value


def _are_chances(values: NDArray[Any]) -> bool:
    return bool(values.size and values.min() >= 0 and abs(float(values.sum()) - 1) < _ROUNDING)
