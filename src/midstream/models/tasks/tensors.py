"""The task of a network about which nothing is known: its outputs are to stay as they are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from midstream.errors import InputError
from midstream.models.tasks.base import Image, Task, Vector

#: Of a vector that says how far an output moved: numbers of larger tensors are thinned out evenly.
_MOST_COMPARED = 1 << 16
#: Of each tensor that is kept of an image, to measure by: 1 MB.
_MOST_KEPT = 1 << 18
#: Of a line of JSON: larger tensors are summed up.
_MOST_LISTED = 64


@dataclass(frozen=True)
class Tensors:
    """Named outputs of a network for one input, batch axis taken off. What they mean is the task's to say."""

    values: Mapping[str, NDArray[Any]]

    @property
    def finite(self) -> bool:
        """Whether no number is a NaN or an infinity."""
        return all(np.isfinite(each).all() for each in self.values.values() if each.dtype.kind == "f")

    def __len__(self) -> int:
        """How many tensors there are."""
        return len(self.values)


@dataclass(frozen=True)
class KnownTensor:
    """What is known of a tensor before there is an output.

    Attributes:
        name: of the tensor.
        dtype: NumPy's word.
        shape: batch axis taken off, 0 for a side that is open; None where even the number of axes is.
    """

    name: str
    dtype: str
    shape: tuple[int, ...] | None

    def fault(self, values: NDArray[Any]) -> str:
        """What keeps an array from being that tensor; empty for nothing."""
        if values.dtype.name != self.dtype:
            return f"'{self.name}' is of {values.dtype.name}, and not of {self.dtype}"
        if self.shape is None:
            return ""
        fits = len(self.shape) == values.ndim and all(
            not side or side == there for side, there in zip(self.shape, values.shape, strict=True)
        )
        wanted = [side if side else "?" for side in self.shape]
        return "" if fits else f"'{self.name}' has the shape {list(values.shape)}, and not {wanted}".replace("'?'", "?")


def fault_of(known: Sequence[KnownTensor], output: Tensors) -> str:
    """What keeps an output from being what is known of it; empty for nothing, and where nothing is known."""
    names = [each.name for each in known]
    if known and output.values.keys() != set(names):
        return f"it has the tensors {', '.join(map(repr, output.values))}, and not {', '.join(map(repr, names))}"
    return next(filter(None, (each.fault(output.values[each.name]) for each in known)), "")


def thinned(values: NDArray[Any], most: int = _MOST_COMPARED) -> Vector:
    """A tensor's numbers as float32, evenly thinned out beyond `most`."""
    return np.asarray(values.reshape(-1)[:: -(-values.size // most) or 1], np.float32)


class TensorTask(Task[Tensors]):
    """What tasks share whose outputs are named arrays.

    Attributes:
        needs: names and numbers of axes of the tensors that an output of the task has; empty for any.
    """

    needs: ClassVar[Mapping[str, int]] = {}

    def fault(self, output: Tensors, classes: int) -> str:
        """See Task."""
        for name, axes in self.needs.items():
            if name not in output.values:
                return f"there is no tensor '{name}'"
            if output.values[name].ndim != axes:
                return f"'{name}' has shape {list(output.values[name].shape)}, expected {axes} axes"
        if not output.finite:
            return "an output has numbers that are not finite"
        return ""

    def pack(self, output: Tensors) -> dict[str, NDArray[Any]]:
        """See Task: all of it."""
        return {name: np.ascontiguousarray(values) for name, values in output.values.items()}

    def unpack(self, arrays: Mapping[str, NDArray[Any]]) -> Tensors:
        """See Task."""
        out = Tensors(dict(arrays))
        for name, axes in self.needs.items():
            if name not in arrays or arrays[name].ndim != axes:
                shapes = ", ".join(f"{key} {list(value.shape)}" for key, value in arrays.items())
                raise InputError(f"an output of the task '{self.name}' has '{name}' of {axes} axes; there is {shapes}")
        return out

    def annotate(self, image: Image, output: Tensors, classes: Sequence[str]) -> Image:
        """See Task."""
        from midstream.models.annotate import drawn_text  # it needs an extra, which the core does without

        del classes
        return drawn_text(image, [f"{name} {list(value.shape)}" for name, value in output.values.items()])

    def listed(self, output: Tensors, classes: Sequence[str], ids: Sequence[int] | None) -> dict[str, Any]:
        """See Task: shapes, and the numbers of small tensors."""
        del classes, ids
        return {"outputs": {name: _listed(value) for name, value in output.values.items()}}


def _listed(values: NDArray[Any]) -> dict[str, Any]:
    out: dict[str, Any] = {"shape": list(values.shape), "dtype": str(values.dtype)}
    if math.prod(max(side, 1) for side in values.shape) <= _MOST_LISTED:
        return {**out, "values": values.tolist()}
    if not values.size:  # lists of nothing, as many as its other axes say
        return out
    numbers = np.asarray(values, np.float64)
    return {**out, "min": float(numbers.min()), "max": float(numbers.max()), "mean": float(numbers.mean())}


class AnyTensors(TensorTask):
    """Outputs of any network: what is lost is their relative squared error, the mean over the tensors."""

    name: ClassVar[str] = "tensors"

    def moved(self, reference: Tensors, now: Tensors) -> Vector:
        """See Task: differences in units of each tensor's root mean square."""
        parts = []
        for name, values in reference.values.items():
            before, after = _numbers(values), _numbers(now.values[name])
            unit = np.sqrt(max(float(np.mean(np.square(before, dtype=np.float64))), 1e-30) * len(before))
            same = len(after) == len(before)
            parts.append((after - before) / np.float32(unit) if same else np.full_like(before, len(before) ** -0.5))
        return np.concatenate(parts)

    def kept(self, output: Tensors) -> Tensors:
        """See Task: of larger tensors evenly spaced numbers."""
        return Tensors({name: _sampled(values) for name, values in output.values.items()})

    def disagreement(self, references: Sequence[Tensors], now: Sequence[Tensors]) -> float:
        """See Task."""
        errors = np.sum([squared_errors(a, b) for a, b in zip(references, now, strict=True)], axis=0)
        return float(np.minimum(errors[:, 0] / np.maximum(errors[:, 1], 1e-30), 1).mean()) if len(errors) else 0.0


def squared_errors(reference: Tensors, now: Tensors) -> NDArray[np.float64]:
    """Of each tensor the squared error and the squared length, [tensors, 2].

    A tensor of another shape (of another number of boxes, say) is all wrong. What is infinite or no number in both is
    right.
    """
    out = np.zeros((len(reference.values), 2))
    for row, (name, values) in zip(out, reference.values.items(), strict=True):
        before, after = np.asarray(values, np.float64), np.asarray(now.values[name], np.float64)
        known = np.isfinite(before)
        row[1] = np.square(before[known]).sum()
        if before.shape != after.shape:
            row[0] = row[1]
            continue
        strange = known != np.isfinite(after)
        both = known & ~strange
        row[0] = np.square(before[both] - after[both]).sum() + np.square(before[strange & known]).sum()
    return out


def _sampled(values: NDArray[Any]) -> NDArray[Any]:
    if values.size <= _MOST_KEPT:
        return np.array(values)
    return np.array(values.reshape(-1)[:: -(-values.size // _MOST_KEPT)])


def _numbers(values: NDArray[Any]) -> Vector:
    return np.nan_to_num(thinned(values), nan=0.0, posinf=0.0, neginf=0.0)
