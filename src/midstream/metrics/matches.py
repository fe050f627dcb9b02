"""Average precision from records of single images, so that it can be had for any resample of the images at once.

pycocotools matches detections to objects image by image; only its last step, which ranks the detections of all images
and counts, knows of the whole set. These records are what that step starts from. Counting them with a multiplicity for
every image gives the AP of a set in which each image occurs that often: exactly pycocotools' own when every
multiplicity is 1 (the tests hold it to that, and to repeated images; only where detections tie in score does the rank
of their copies, which is arbitrary, differ).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: COCO's 101 recalls at which precision is taken.
_RECALLS = np.linspace(0.0, 1.0, 101)
_SPACING = np.spacing(1)


@dataclass(frozen=True)
class ImageMatches:
    """Of one category in one image, the detections matched to the objects; best score first.

    Attributes:
        scores: float64 [d].
        hit: bool [overlaps, d], whether a detection matches an object that counts.
        ignored: bool [overlaps, d], whether it counts neither way.
        objects: how many count.
    """

    scores: NDArray[np.float64]
    hit: NDArray[np.bool_]
    ignored: NDArray[np.bool_]
    objects: int

    def best(self, count: int) -> ImageMatches:
        """With the best `count` detections only: what is matched to each of them does not depend on the others."""
        return ImageMatches(self.scores[:count], self.hit[:, :count], self.ignored[:, :count], self.objects)


@dataclass(frozen=True)
class ClassMatches:
    """Of one category, detections of all images ranked as pycocotools ranks them.

    Attributes:
        image: int [d], position of each detection's image in the data set.
        hit, ignored: bool [overlaps, d], as ImageMatches.
        objects: int [images], objects that count.
    """

    image: NDArray[np.intp]
    hit: NDArray[np.bool_]
    ignored: NDArray[np.bool_]
    objects: NDArray[np.int64]

    @classmethod
    def of(cls, found: Sequence[ImageMatches | None], overlaps: int) -> ClassMatches:
        """From the records of all images, None for one without objects and detections of the category."""
        objects = np.array([0 if each is None else each.objects for each in found], np.int64)
        there = [(i, each) for i, each in enumerate(found) if each is not None and len(each.scores)]
        if not there:
            empty = np.zeros((overlaps, 0), np.bool_)
            return cls(np.zeros(0, np.intp), empty, empty, objects)
        scores = np.concatenate([each.scores for _, each in there])
        order = np.argsort(-scores, kind="mergesort")  # as pycocotools: ties stay in the order of the images
        image = np.repeat([i for i, _ in there], [len(each.scores) for _, each in there])[order]
        hit = np.concatenate([each.hit for _, each in there], axis=1)[:, order]
        return cls(image, hit, np.concatenate([each.ignored for _, each in there], axis=1)[:, order], objects)

    def average_precision(self, weights: NDArray[np.int64]) -> NDArray[np.float64]:
        """AP, 0 to 1, [resamples, overlaps], for multiplicities [resamples, images]; NaN where no object is left."""
        objects = weights @ self.objects
        out = np.zeros((len(weights), len(self.hit)))
        each = weights[:, self.image].astype(np.int32)
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


def mean_over_classes(by_class: dict[int, NDArray[np.float64]]) -> NDArray[np.float64]:
    """The mean over categories that have objects, of arrays [resamples, ...]; 0 where none has."""
    stacked = np.stack(list(by_class.values()))
    there = ~np.isnan(stacked)
    return np.asarray(np.where(there, stacked, 0).sum(0) / np.maximum(there.sum(0), 1))
