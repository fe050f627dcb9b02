"""What a metric is, and what metrics share of the work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from midstream.metrics.case import Case

_T = TypeVar("_T")


@dataclass(frozen=True)
class Score:
    """What a metric says of a point, in percent.

    Attributes:
        values: float64 [1 + resamples], of the whole set first; [1] of a metric that is not resampled.
        by_class, by_size: of the whole set; by category name, and by `small`, `medium`, `large`.
    """

    values: NDArray[np.float64]
    by_class: dict[str, float] = field(default_factory=dict)
    by_size: dict[str, float] = field(default_factory=dict)


class Evidence:
    """Detections beside the truth, and whatever of it was computed already for another metric.

    Attributes:
        case: see metrics.case.
        weights: int64 [1 + resamples, images], see metrics.bootstrap.
    """

    def __init__(self, case: Case, weights: NDArray[np.int64]) -> None:
        self.case = case
        self.weights = weights
        self._known: dict[object, Any] = {}

    def once(self, key: object, compute: Callable[[], _T]) -> _T:
        """What `compute` returns, computed the first time that `key` is asked for."""
        if key not in self._known:
            self._known[key] = compute()
        return cast("_T", self._known[key])


class Metric:
    """One number for the accuracy of a point.

    Attributes:
        name: in results and for `--metric`.
        title: in reports.
        falls: whether less of it is better, so that no curve can be of it.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    falls: ClassVar[bool] = False

    def applies(self, case: Case) -> bool:
        """Whether this network and data set have what it takes."""
        raise NotImplementedError

    def score(self, evidence: Evidence) -> Score:
        """The metric's values."""
        raise NotImplementedError
