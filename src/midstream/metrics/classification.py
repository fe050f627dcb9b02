"""Top-1 and top-5 accuracy of classes; without labels, agreement with the uncompressed network's first choice."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from midstream.metrics.outputs import AdditiveMetric, OutputCase


class Top1(AdditiveMetric):
    """The share of images whose class is the first choice."""

    name: ClassVar[str] = "top1"
    title: ClassVar[str] = "top-1"
    task: ClassVar[str] = "classification"
    best: ClassVar[int] = 1

    def statistics(self, case: OutputCase) -> NDArray[np.float64]:
        """Images that are right, images that count."""
        rows = []
        truth: dict[int, int] | None = None
        for identity in case.images:
            scores = case.found[identity].values["scores"]
            if case.labelled:
                truth = case.labels(len(scores)) if truth is None else truth
                wanted = truth.get(identity)
            else:
                wanted = int(np.argmax(case.reference[identity].values["scores"]))
            hit = wanted is not None and wanted in np.argsort(-scores, kind="stable")[: self.best]
            rows.append([float(hit), float(wanted is not None)])
        return np.array(rows).reshape(-1, 2)


class Top5(Top1):
    """The share of images whose class is among the first five choices."""

    name: ClassVar[str] = "top5"
    title: ClassVar[str] = "top-5"
    rank: ClassVar[int] = 1
    best: ClassVar[int] = 5

    def statistics(self, case: OutputCase) -> NDArray[np.float64]:
        """See Top1."""
        return super().statistics(case)
