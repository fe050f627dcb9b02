"""COCO's average precision of boxes and of masks; for pictures without labels, agreement with the network itself."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from midstream.compare.metrics.base import Evidence, Kind, Metric, Score
from midstream.evaluate.accuracy import Case
from midstream.evaluate.matches import mean_over_classes

_SIZES = ("small", "medium", "large")


class _AveragePrecision(Metric):
    kind: ClassVar[Kind]
    overlaps: ClassVar[slice] = slice(None)

    def applies(self, case: Case) -> bool:
        """Boxes always; masks where network and truth have them."""
        return self.kind == "bbox" or case.has_masks

    def score(self, evidence: Evidence) -> Score:
        """Mean over classes and overlaps."""
        names = {entry["id"]: str(entry["name"]) for entry in evidence.case.truth["categories"]}
        found = evidence.precision(self.kind)
        by_class = {names[key]: 100 * float(each[0, self.overlaps].mean()) for key, each in found.items()}
        by_size = {}
        for size in _SIZES:
            sized = evidence.precision(self.kind, size)
            if not all(np.isnan(each).any() for each in sized.values()):
                by_size[size] = 100 * float(mean_over_classes(sized)[0, self.overlaps].mean())
        values = 100 * mean_over_classes(found)[:, self.overlaps].mean(1)
        return Score(values, {key: value for key, value in by_class.items() if not np.isnan(value)}, by_size)


class BoxAp(_AveragePrecision):
    """Boxes, over the overlaps 0.50 to 0.95."""

    name: ClassVar[str] = "ap"
    title: ClassVar[str] = "box AP"
    kind: ClassVar[Kind] = "bbox"


class BoxAp50(BoxAp):
    """Boxes, at the overlap 0.50."""

    name: ClassVar[str] = "ap50"
    title: ClassVar[str] = "box AP50"
    overlaps: ClassVar[slice] = slice(0, 1)


class MaskAp(_AveragePrecision):
    """Masks, over the overlaps 0.50 to 0.95."""

    name: ClassVar[str] = "segm_ap"
    title: ClassVar[str] = "mask AP"
    kind: ClassVar[Kind] = "segm"


class MaskAp50(MaskAp):
    """Masks, at the overlap 0.50."""

    name: ClassVar[str] = "segm_ap50"
    title: ClassVar[str] = "mask AP50"
    overlaps: ClassVar[slice] = slice(0, 1)
