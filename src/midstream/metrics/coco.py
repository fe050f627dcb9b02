"""COCO's average precision of boxes and of masks, and agreement, which is the same beside the network's own detections.

pycocotools, the metric's reference implementation, matches detections to objects.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
import pycocotools.mask
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval, Params

from midstream.data.masks import has_mask
from midstream.metrics.base import Evidence, Score
from midstream.metrics.case import Case, DetectionMetric
from midstream.metrics.matches import ClassMatches, ImageMatches, mean_over_classes

#: Detections of one class in one image that COCO's evaluation looks at, best first.
MAX_DETECTIONS = 100
Kind = Literal["bbox", "segm", "keypoints"]
#: Of keypoints, COCO looks at so many.
_MOST_POSES = 20
#: Points of a person in COCO, each of which has a deviation of its own.
_COCO_POINTS = 17
#: 0.50, 0.55, ..., 0.95.
_OVERLAPS = len(Params().iouThrs)
_SIZES = ("small", "medium", "large")


def has_extent(entry: Mapping[str, Any], kind: Kind) -> bool:
    """Whether the box or the mask of COCO's entry has an area, or a keypoint is seen."""
    if kind == "keypoints":
        return int(entry.get("num_keypoints", 0)) > 0 and has_extent(entry, "bbox")
    if kind == "bbox":
        return bool(entry["bbox"][2] > 0 and entry["bbox"][3] > 0)
    return int(pycocotools.mask.area(entry["segmentation"])) > 0


@dataclass(frozen=True)
class CocoState:
    """Detections matched to objects image by image, nothing counted yet.

    States of different images add up to that of all of them.

    Attributes:
        kind: boxes, masks or keypoints.
        agreement: whether the objects are an uncompressed network's own detections.
        categories: ids, ascending.
        images: ids, ascending.
        found: by category, size (`all`; with `by_size` also `small`, `medium`, `large`) and image; images without
            objects and detections of a category are left out.
    """

    kind: Kind
    agreement: bool
    categories: tuple[int, ...]
    images: tuple[int, ...]
    found: Mapping[tuple[int, str], Mapping[int, ImageMatches]]

    @classmethod
    def of(cls, case: Case, kind: Kind, by_size: bool = False) -> CocoState:
        """Match by pycocotools; `by_size` also within COCO's small, medium and large objects."""
        evaluation = _evaluated(case, kind, by_size)
        settings, each = evaluation.params, iter(evaluation.evalImgs)
        found: dict[tuple[int, str], dict[int, ImageMatches]] = {}
        for category in settings.catIds:
            for size in settings.areaRngLbl:
                records = ((int(image), next(each)) for image in settings.imgIds)
                found[int(category), size] = {image: _record(r) for image, r in records if r is not None}
        categories, images = (tuple(map(int, ids)) for ids in (settings.catIds, settings.imgIds))
        return cls(kind, case.dataset.agreement, categories, images, found)

    def __add__(self, other: CocoState) -> CocoState:
        """Of the images of both. Raises ValueError for states of the same images, or of different things."""
        mine, theirs = ((s.kind, s.agreement, s.categories, s.found.keys()) for s in (self, other))
        if mine != theirs or set(self.images) & set(other.images):
            raise ValueError("only states of different images of one data set add up")
        found = {key: {**self.found[key], **other.found[key]} for key in self.found}
        return replace(self, images=tuple(sorted(self.images + other.images)), found=found)

    @cached_property
    def _most(self) -> int:
        """Detections of a class in an image that count.

        A limit below the reference's own number would make the reference miss itself.
        """
        usual = _MOST_POSES if self.kind == "keypoints" else MAX_DETECTIONS
        if not self.agreement:
            return usual
        objects = (each.objects for key in self.categories for each in self.found[key, "all"].values())
        return max([usual, *objects])

    def _records(self, category: int, size: str = "all") -> list[ImageMatches | None]:
        there, most = self.found[category, size], self._most
        return [there[image].best(most) if image in there else None for image in self.images]

    def average_precision(self, overlaps: slice = slice(None)) -> tuple[float, float]:
        """AP over some of COCO's overlaps, and AP50, as pycocotools counts them, in percent."""
        records = [each for category in self.categories for each in self._records(category)]
        evaluation = COCOeval(iouType=self.kind)
        settings = evaluation.params
        settings.catIds, settings.imgIds, settings.maxDets = self.categories, self.images, [self._most]
        settings.areaRng, settings.areaRngLbl = settings.areaRng[:1], ["all"]
        evaluation.evalImgs, evaluation._paramsEval = [_as_evaluated(each) for each in records], settings
        with contextlib.redirect_stdout(io.StringIO()):
            evaluation.accumulate()
        found = evaluation.eval["precision"]  # [overlap, recall, category, 1, 1]; -1 for a category without truth
        counted = found > -1
        if not counted.any():  # an agreement about masks of which the reference has only empty ones
            return 0.0, 0.0
        some = found[overlaps][counted[overlaps]]
        return 100 * float(some.mean()), 100 * float(found[0][counted[0]].mean())

    def by_class(self, size: str = "all") -> dict[int, ClassMatches]:
        """By category, ready to be counted on any resample of the images."""
        return {category: ClassMatches.of(self._records(category, size), _OVERLAPS) for category in self.categories}


def _record(evaluated: Mapping[str, Any]) -> ImageMatches:
    ignored = np.asarray(evaluated["dtIgnore"], np.bool_)
    hit = (np.asarray(evaluated["dtMatches"]) != 0) & ~ignored
    objects = int(np.sum(np.asarray(evaluated["gtIgnore"]) == 0))
    return ImageMatches(np.asarray(evaluated["dtScores"], np.float64), hit, ignored, objects)


def _as_evaluated(record: ImageMatches | None) -> dict[str, Any] | None:
    """What of pycocotools' own record its counting looks at."""
    if record is None:
        return None
    there = {"dtScores": record.scores, "dtMatches": record.hit, "dtIgnore": record.ignored}
    return {**there, "gtIgnore": np.zeros(record.objects)}


def _evaluated(case: Case, kind: Kind, by_size: bool) -> Any:
    """pycocotools' COCOeval with its `evalImgs`, by category, size and image."""
    annotations, results, most = case.truth["annotations"], case.results, MAX_DETECTIONS
    if kind == "segm":
        annotations = [entry for entry in annotations if has_mask(entry)]
    if kind == "keypoints":
        annotations = [entry for entry in annotations if "keypoints" in entry]
        most = _MOST_POSES
    if case.dataset.agreement:
        # A box or mask without area overlaps nothing, not even itself, which says nothing about agreement.
        annotations = [entry for entry in annotations if has_extent(entry, kind)]
        results = [entry for entry in results if has_extent(entry, kind)]
        most = max(most, len(results))  # how many count is known when all images are: see CocoState
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(_index(case.truth, annotations), _index(case.truth, results), kind)
        evaluation.params.maxDets = [most]
        if kind == "keypoints":
            evaluation.params.kpt_oks_sigmas = _deviations(annotations)
        if not by_size:
            evaluation.params.areaRng, evaluation.params.areaRngLbl = evaluation.params.areaRng[:1], ["all"]
        evaluation.evaluate()
    return evaluation


def _deviations(annotations: Sequence[Mapping[str, Any]]) -> NDArray[np.float64]:
    """Of each point, beside the root of the object's area: COCO's own of a person, else one for all (Ultralytics')."""
    points = len(annotations[0]["keypoints"]) // 3 if annotations else _COCO_POINTS
    own: NDArray[np.float64] = Params(iouType="keypoints").kpt_oks_sigmas
    return own if points == _COCO_POINTS else np.full(points, 1 / points)


def _index(truth: Mapping[str, Any], entries: Sequence[Mapping[str, Any]]) -> Any:
    """pycocotools' index of `entries`: copies, as it writes into them, numbered from 1, as it takes 0 for "none"."""
    index = _Coco()
    numbered = [{**entry, "id": number} for number, entry in enumerate(entries, start=1)]
    index.dataset = {"images": truth["images"], "categories": truth["categories"], "annotations": numbered}
    index.createIndex()
    return index


class _Coco(COCO):  # type: ignore[misc]
    """An index for which an image's size need not be known where its masks already are run lengths."""

    def annToRLE(self, ann: Mapping[str, Any]) -> Any:  # noqa: N802 (the name is pycocotools')
        mask = ann["segmentation"]
        return mask if isinstance(mask, dict) and not isinstance(mask["counts"], list) else super().annToRLE(ann)


def precision(evidence: Evidence[Case], kind: Kind, size: str = "all") -> dict[int, NDArray[np.float64]]:
    """AP by category id, [1 + resamples, overlaps], 0 to 1; a size's of the whole set alone."""

    def compute() -> dict[int, NDArray[np.float64]]:
        state = evidence.once(kind, lambda: CocoState.of(evidence.case, kind, by_size=kind != "keypoints"))
        weights = evidence.weights if size == "all" else evidence.weights[:1]
        return {key: each.average_precision(weights) for key, each in state.by_class(size).items()}

    return evidence.once((kind, size), compute)


class _AveragePrecision(DetectionMetric):
    kind: ClassVar[Kind]
    overlaps: ClassVar[slice] = slice(None)

    def applies(self, case: Case) -> bool:
        """Boxes always; masks and keypoints where network and truth have them."""
        return {"bbox": True, "segm": case.has_masks, "keypoints": case.has_keypoints}[self.kind]

    def score(self, evidence: Evidence[Case]) -> Score:
        """Mean over classes and overlaps."""
        names = {entry["id"]: str(entry["name"]) for entry in evidence.case.truth["categories"]}
        found = precision(evidence, self.kind)
        by_class = {names[key]: 100 * float(each[0, self.overlaps].mean()) for key, each in found.items()}
        by_size = {}
        for size in _SIZES if self.kind != "keypoints" else ():
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


class KeypointAp(_AveragePrecision):
    """Keypoints, over the object keypoint similarities 0.50 to 0.95."""

    name: ClassVar[str] = "kp_ap"
    title: ClassVar[str] = "keypoint AP"
    kind: ClassVar[Kind] = "keypoints"


class KeypointAp50(KeypointAp):
    """Keypoints, at the similarity 0.50."""

    name: ClassVar[str] = "kp_ap50"
    title: ClassVar[str] = "keypoint AP50"
    overlaps: ClassVar[slice] = slice(0, 1)
