"""The task of a network whose user says with a function how far two of its outputs are apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from midstream.errors import InputError
from midstream.models.tasks.tensors import AnyTensors, Tensors

#: Of the output before and the one now, each an array, or arrays by name where there are several; batch axes are off.
Compared: TypeAlias = Callable[[Any, Any], float]
#: What equal outputs may have below 0, as 1 less a cosine has.
_ROUNDING = 1e-3


class FunctionTask(AnyTensors):
    """Outputs of any network, held against each other by a function.

    What calibration measures of channels is the outputs' squared error, as of other tensors, because it tells small
    disturbances apart, which a count of right answers does not. What is lost is what the function says.
    """

    name: ClassVar[str] = "function"

    def __init__(self, apart: Compared | None = None, metric: Compared | None = None) -> None:
        """Without functions, as where outputs are only read, it is what `tensors` is.

        Args:
            apart: 0 for outputs that are as good as equal, to 1.
            metric: what evaluations report, 0 to 1 for equal ones; by default 1 less what `apart` says.
        """
        self._apart, self._metric = apart, metric

    def disagreement(self, references: Sequence[Tensors], now: Sequence[Tensors]) -> float:
        """See Task: the mean over the images."""
        if self._apart is None:
            return super().disagreement(references, now)
        found = [_number(self._apart, before, after) for before, after in zip(references, now, strict=True)]
        return float(np.mean(found)) if found else 0.0

    def agreement(self, reference: Tensors, now: Tensors) -> float:
        """What the metric says of two outputs of one image."""
        if self._metric is not None:
            return _number(self._metric, reference, now)
        return 1 - self.disagreement([reference], [now])

    def kept(self, output: Tensors) -> Tensors:
        """See Task: all of it, which is what a function may ask for."""
        return Tensors({name: np.array(values) for name, values in output.values.items()})


def _number(function: Compared, before: Tensors, now: Tensors) -> float:
    found = float(function(_plain(before.values), _plain(now.values)))
    if not found >= -_ROUNDING:
        name = getattr(function, "__name__", "function")
        raise InputError(f"the task's function {name} gives {found:g}: 0 for equal outputs, to 1, is expected")
    return min(max(found, 0.0), 1.0)


def _plain(values: Mapping[str, NDArray[Any]]) -> Any:
    return next(iter(values.values())) if len(values) == 1 else dict(values)
