"""The instance AP of the Cityscapes benchmark, by the benchmark's own program, which takes too long to be resampled."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from midstream.compare.metrics.base import Evidence, Metric, Score
from midstream.evaluate.accuracy import Case
from midstream.evaluate.cityscapes import instance_ap


class InstanceAp(Metric):
    """Masks, over the overlaps 0.50 to 0.95."""

    name: ClassVar[str] = "instance_ap"
    title: ClassVar[str] = "Cityscapes instance AP"
    place: ClassVar[int] = 0

    def applies(self, case: Case) -> bool:
        """Masks on Cityscapes."""
        return case.dataset.labels == "cityscapes" and case.has_masks

    def score(self, evidence: Evidence) -> Score:
        """The program's average."""
        case = evidence.case
        found = evidence.once(instance_ap, lambda: instance_ap(case.dataset, case.found, case.categories))
        return Score(np.array([found[self.place]]))


class InstanceAp50(InstanceAp):
    """Masks, at the overlap 0.50."""

    name: ClassVar[str] = "instance_ap50"
    title: ClassVar[str] = "Cityscapes instance AP50"
    place: ClassVar[int] = 1
