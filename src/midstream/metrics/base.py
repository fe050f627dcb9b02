"""What a metric is, and what metrics share of the work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

_T = TypeVar("_T")


class AnyCase:
    """Outputs of a network beside what they are held against: of a detector a `Case`, of others an `OutputCase`."""


_Case = TypeVar("_Case", bound=AnyCase)


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


class Evidence(Generic[_Case]):
    """Outputs beside the truth, and whatever of it was computed already for another metric.

    Attributes:
        case: see metrics.case and metrics.outputs.
        weights: int64 [1 + resamples, images], see metrics.bootstrap.
    """

    def __init__(self, case: _Case, weights: NDArray[np.int64]) -> None:
        self.case = case
        self.weights = weights
        self._known: dict[object, Any] = {}

    def once(self, key: object, compute: Callable[[], _T]) -> _T:
        """What `compute` returns, computed the first time that `key` is asked for."""
        if key not in self._known:
            self._known[key] = compute()
        return cast("_T", self._known[key])


class Metric(Generic[_Case]):
    """One number for the accuracy of a point.

    Attributes:
        of: the kind of case that it is of.
        name: in results and for `--metric`.
        title: in reports.
        rank: of a task's metrics the one of the lowest is its main one.
        falls: whether less of it is better, so that no curve can be of it.
    """

    of: ClassVar[type[AnyCase]]
    name: ClassVar[str]
    title: ClassVar[str]
    rank: ClassVar[int] = 0
    falls: ClassVar[bool] = False

    def applies(self, case: _Case) -> bool:
        """Whether this network and data set have what it takes."""
        raise NotImplementedError

    def score(self, evidence: Evidence[_Case]) -> Score:
        """The metric's values."""
        raise NotImplementedError
