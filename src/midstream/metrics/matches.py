"""Average precision from records of single pictures, so that it can be had for any resample of the pictures at once.

pycocotools matches detections to objects picture by picture; only its last step, which ranks the detections of all
pictures and counts, knows of the whole set. These records are what that step starts from. Counting them with a
multiplicity for every picture gives the AP of a set in which each picture occurs that often: exactly pycocotools' own
when every multiplicity is 1 (the tests hold it to that, and to repeated pictures; only where detections tie in score
does the rank of their copies, which is arbitrary, differ).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: COCO's 101 recalls at which precision is taken.
_RECALLS = np.linspace(0.0, 1.0, 101)
_SPACING = np.spacing(1)


@dataclass(frozen=True)
class ClassMatches:
    """Of one category, detections of all pictures ranked as pycocotools ranks them.

    Attributes:
        picture: int [d], position of each detection's picture in the data set.
        hit: bool [overlaps, d], whether it matches an object that counts.
        ignored: bool [overlaps, d], whether it counts neither way.
        objects: int [pictures], objects that count.
    """

    picture: NDArray[np.intp]
    hit: NDArray[np.bool_]
    ignored: NDArray[np.bool_]
    objects: NDArray[np.int64]

    def average_precision(self, weights: NDArray[np.int64]) -> NDArray[np.float64]:
        """AP, 0 to 1, [resamples, overlaps], for multiplicities [resamples, pictures]; NaN where no object is left."""
        objects = weights @ self.objects
        out = np.zeros((len(weights), len(self.hit)))
        each = weights[:, self.picture].astype(np.int32)
        ranked = np.cumsum(each, axis=1)
        for overlap, (hit, ignored) in enumerate(zip(self.hit, self.ignored, strict=True)):
            at = np.flatnonzero(hit)
            if len(at):
                beside = _counted_before(each, np.flatnonzero(ignored), at)
                out[:, overlap] = _area(np.cumsum(each[:, at], axis=1), ranked[:, at] - beside, objects)
        out[objects == 0] = np.nan
        return out


def _counted_before(each: NDArray[np.int32], places: NDArray[np.intp], at: NDArray[np.intp]) -> NDArray[np.int32] | int:
    """How many of the detections at `places` rank before each of `at`."""
    if not len(places):
        return 0
    sums = np.cumsum(each[:, places], axis=1)
    sums = np.concatenate([np.zeros((len(each), 1), sums.dtype), sums], axis=1)
    return np.asarray(sums[:, np.searchsorted(places, at)], np.int32)


def _area(hits: NDArray[Any], counted: NDArray[Any], objects: NDArray[np.int64]) -> NDArray[np.float64]:
    """Mean of the precision at the 101 recalls, from counts at the hits [resamples, hits] alone.

    At a recall the precision is the best at or behind the first rank that reaches it. That rank is always a hit, and
    so is the one with the best precision; hence nothing but the hits need be looked at.
    """
    precision = hits / (counted + _SPACING)
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    recall = hits / np.maximum(objects, 1)[:, None]
    reached = np.searchsorted(_RECALLS, recall, side="right")
    return np.asarray((best * np.diff(reached, axis=1, prepend=0)).sum(1) / len(_RECALLS))


def class_matches(evaluation: Any, size: str = "all") -> dict[int, ClassMatches]:
    """The records in an evaluated COCOeval (see `accuracy.coco_evaluation`), by category id.

    Args:
        evaluation: after its `evaluate`.
        size: `all`, or `small`, `medium` or `large` if it was evaluated by size.
    """
    settings = evaluation.params
    sizes, pictures = len(settings.areaRng), len(settings.imgIds)
    offset = settings.areaRngLbl.index(size)
    out = {}
    for number, category in enumerate(settings.catIds):
        start = (number * sizes + offset) * pictures
        out[category] = _of_class(evaluation.evalImgs[start : start + pictures], len(settings.iouThrs))
    return out


def _of_class(found: list[dict[str, Any] | None], overlaps: int) -> ClassMatches:
    objects = np.array([0 if f is None else int(np.sum(np.asarray(f["gtIgnore"]) == 0)) for f in found], np.int64)
    there = [(i, f) for i, f in enumerate(found) if f is not None and len(f["dtScores"])]
    if not there:
        empty = np.zeros((overlaps, 0), np.bool_)
        return ClassMatches(np.zeros(0, np.intp), empty, empty, objects)
    scores = np.concatenate([f["dtScores"] for _, f in there])
    order = np.argsort(-scores, kind="mergesort")  # as pycocotools: ties stay in the order of the pictures
    picture = np.repeat([i for i, _ in there], [len(f["dtScores"]) for _, f in there])[order]
    ignored = np.concatenate([f["dtIgnore"] for _, f in there], axis=1).astype(np.bool_)[:, order]
    matched = np.concatenate([f["dtMatches"] for _, f in there], axis=1)[:, order] != 0
    return ClassMatches(picture, matched & ~ignored, ignored, objects)


def resamples(count: int, pictures: int, seed: int = 0) -> NDArray[np.int64]:
    """Multiplicities [1 + count, pictures]: the whole set once, then `count` draws with replacement of as many."""
    drawn = np.random.default_rng(seed).integers(0, pictures, (count, pictures))
    rows = np.stack([np.bincount(row, minlength=pictures) for row in drawn]) if count else np.zeros((0, pictures))
    return np.concatenate([np.ones((1, pictures), np.int64), rows.astype(np.int64)])


def mean_over_classes(by_class: dict[int, NDArray[np.float64]]) -> NDArray[np.float64]:
    """The mean over categories that have objects, of arrays [resamples, ...]; 0 where none has."""
    stacked = np.stack(list(by_class.values()))
    there = ~np.isnan(stacked)
    return np.asarray(np.where(there, stacked, 0).sum(0) / np.maximum(there.sum(0), 1))
