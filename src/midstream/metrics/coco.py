"""COCO's average precision of boxes and of masks, and agreement, which is the same beside the network's own detections.

pycocotools, the metric's reference implementation, matches detections to objects.
"""

from __future__ import annotations

import contextlib
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import pycocotools.mask
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from midstream.data.masks import has_mask
from midstream.metrics.base import Evidence, Metric, Score
from midstream.metrics.case import Case
from midstream.metrics.matches import class_matches, mean_over_classes

#: Detections of one class in one picture that COCO's evaluation looks at, best first.
MAX_DETECTIONS = 100
Kind = Literal["bbox", "segm"]
_SIZES = ("small", "medium", "large")


def has_extent(entry: Mapping[str, Any], kind: Kind) -> bool:
    """Whether the box or the mask of COCO's entry has an area."""
    if kind == "bbox":
        return bool(entry["bbox"][2] > 0 and entry["bbox"][3] > 0)
    return int(pycocotools.mask.area(entry["segmentation"])) > 0


def coco_ap(case: Case, kind: Kind) -> tuple[float, float]:
    """AP and AP50 by pycocotools, in percent."""
    evaluation = coco_evaluation(case, kind)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.accumulate()
    found = evaluation.eval["precision"]  # [overlap, recall, category, 1, 1]; -1 for a category without truth
    counted = found > -1
    if not counted.any():  # an agreement about masks of which the reference has only empty ones
        return 0.0, 0.0
    return 100 * float(found[counted].mean()), 100 * float(found[0][counted[0]].mean())


def coco_evaluation(case: Case, kind: Kind, by_size: bool = False) -> Any:
    """pycocotools' COCOeval with its `evalImgs`: every detection matched, nothing counted yet.

    `by_size` matches within COCO's small, medium and large objects, too.
    """
    annotations, results, limit = case.truth["annotations"], case.results, MAX_DETECTIONS
    if kind == "segm":
        annotations = [entry for entry in annotations if has_mask(entry)]
    if case.dataset.agreement:
        # A box or mask without area overlaps nothing, not even itself, and a limit below the reference's own count
        # would make the reference miss itself: neither says anything about agreement.
        annotations = [entry for entry in annotations if has_extent(entry, kind)]
        results = [entry for entry in results if has_extent(entry, kind)]
        limit = max([limit, *Counter((e["image_id"], e["category_id"]) for e in annotations).values()])
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(_index(case.truth, annotations), _index(case.truth, results), kind)
        evaluation.params.maxDets = [limit]
        if not by_size:
            evaluation.params.areaRng, evaluation.params.areaRngLbl = evaluation.params.areaRng[:1], ["all"]
        evaluation.evaluate()
    return evaluation


def _index(truth: Mapping[str, Any], entries: Sequence[Mapping[str, Any]]) -> Any:
    """pycocotools' index of `entries`: copies, as it writes into them, numbered from 1, as it takes 0 for "none"."""
    index = _Coco()
    numbered = [{**entry, "id": number} for number, entry in enumerate(entries, start=1)]
    index.dataset = {"images": truth["images"], "categories": truth["categories"], "annotations": numbered}
    index.createIndex()
    return index


class _Coco(COCO):  # type: ignore[misc]
    """An index for which a picture's size need not be known where its masks already are run lengths."""

    def annToRLE(self, ann: Mapping[str, Any]) -> Any:  # noqa: N802 (the name is pycocotools')
        mask = ann["segmentation"]
        return mask if isinstance(mask, dict) and not isinstance(mask["counts"], list) else super().annToRLE(ann)


def precision(evidence: Evidence, kind: Kind, size: str = "all") -> dict[int, NDArray[np.float64]]:
    """AP by category id, [1 + resamples, overlaps], 0 to 1; a size's of the whole set alone."""

    def compute() -> dict[int, NDArray[np.float64]]:
        evaluation = evidence.once(kind, lambda: coco_evaluation(evidence.case, kind, by_size=True))
        weights = evidence.weights if size == "all" else evidence.weights[:1]
        return {key: each.average_precision(weights) for key, each in class_matches(evaluation, size).items()}

    return evidence.once((kind, size), compute)


class _AveragePrecision(Metric):
    kind: ClassVar[Kind]
    overlaps: ClassVar[slice] = slice(None)

    def applies(self, case: Case) -> bool:
        """Boxes always; masks where network and truth have them."""
        return self.kind == "bbox" or case.has_masks

    def score(self, evidence: Evidence) -> Score:
        """Mean over classes and overlaps."""
        names = {entry["id"]: str(entry["name"]) for entry in evidence.case.truth["categories"]}
        found = precision(evidence, self.kind)
        by_class = {names[key]: 100 * float(each[0, self.overlaps].mean()) for key, each in found.items()}
        by_size = {}
        for size in _SIZES:
            sized = precision(evidence, self.kind, size)
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
