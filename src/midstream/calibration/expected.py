"""How precise detections are to be expected to be, where nobody has labelled anything: scores stand for chances.

A detection of the truth with a score of 0.2 counts as a fifth of an object. So the many of which a network is unsure
count as well, each for little, and a few images say as much as many do with objects that are there or not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pycocotools.mask
from numpy.typing import NDArray

from midstream.metrics.agreement import REFERENCE_THRESHOLD
from midstream.metrics.case import check_detections
from midstream.models import Detections

#: Overlaps 0.50 to 0.75, of COCO's: where networks repeat themselves, and where most of their AP is.
OVERLAPS = np.arange(0.5, 0.76, 0.05)
#: Scores below it are no part of the truth, and those below half of it are not looked at.
_LEAST_SCORE = 0.02
Numbers = NDArray[np.float64]

# Where the numbers come from: docs/method.md, "Quality, loss".
#: Detections are unsure from this score on, and sure from REFERENCE_THRESHOLD on.
_UNSURE = 0.1
#: Objects that unsure detections stand for beside those that sure ones do, as far as that is believed.
_LEAST_RATIO, _MOST_RATIO = 0.45, 1.1
#: Powers of scores that are tried, and the sure detections that are needed to tell.
_POWERS, _FEWEST_SURE = np.linspace(0.75, 1.6, 35), 20


def chance_power(scores: Sequence[NDArray[np.float32]]) -> float:
    """The power of a network's scores that is taken for the chance of an object, by the scores of each image.

    Most detections are unsure ones. A network whose scores of 0.2 were objects as often as that would have many more
    objects in them than in all of which it is sure, or next to none, which is not what images hold: then its scores
    are too high, or too low, and low ones most of all.
    """
    found = np.concatenate([*scores, np.zeros(0)]).astype(np.float64)
    unsure, sure = found[(found >= _UNSURE) & (found < REFERENCE_THRESHOLD)], found[found >= REFERENCE_THRESHOLD]
    if len(sure) < _FEWEST_SURE:
        return 1.0
    ratio = unsure.sum() / sure.sum()
    if _LEAST_RATIO <= ratio <= _MOST_RATIO:
        return 1.0
    ratios = np.array([np.power(unsure, power).sum() / np.power(sure, power).sum() for power in _POWERS])
    return float(_POWERS[np.abs(ratios - np.clip(ratio, _LEAST_RATIO, _MOST_RATIO)).argmin()])


class ExpectedTruth:
    """Detections by image id, of a network of so many classes, each as likely an object as its score says.

    Attributes:
        objects: how many are to be expected, the sum of the chances.

    Raises InputError for detections that cannot be.
    """

    def __init__(self, found: Mapping[int, Detections], classes: int, power: float = 1.0) -> None:
        """`power` of a score is the chance."""
        check_detections(found, [], classes)
        self._found, self._classes, self._power = dict(found), classes, power
        objects = (np.power(each.scores[each.scores >= _LEAST_SCORE], power).sum() for each in found.values())
        self.objects = float(sum(objects))

    def precision(self, found: Mapping[int, Detections]) -> float:
        """The average precision that is to be expected of detections, 0 to 1: the mean over OVERLAPS.

        All classes are ranked together. Raises InputError for detections that cannot be.
        """
        check_detections(found, [], self._classes)
        parts = [
            part
            for image, truth in self._found.items()
            if image in found
            for part in _matched(truth, found[image], self._power)
        ]
        if not parts or not self.objects:
            return 0.0
        scores = np.concatenate([scores for scores, _ in parts])
        hits = np.concatenate([hits for _, hits in parts], axis=1)[:, np.argsort(-scores, kind="stable")]
        precision = np.cumsum(hits, axis=1) / np.arange(1, hits.shape[1] + 1)
        return float((precision * hits).sum(1).mean() / self.objects)


def _matched(truth: Detections, found: Detections, power: float) -> Iterator[tuple[Numbers, Numbers]]:
    """By class: the scores of what is found [n], and the chance that each is an object [overlaps, n]."""
    with_masks = truth.masks is not None and found.masks is not None
    for label in np.unique(found.labels):
        ours = _best(found, label, _LEAST_SCORE / 2)
        theirs = _best(truth, label, _LEAST_SCORE)
        hits = np.zeros((len(OVERLAPS), len(ours)))
        if len(theirs) and len(ours):
            overlaps = pycocotools.mask.iou(
                _shapes(found, ours, with_masks), _shapes(truth, theirs, with_masks), [0] * len(theirs)
            )
            hits = _hits(np.asarray(overlaps), np.power(truth.scores[theirs].astype(np.float64), power))
        yield found.scores[ours].astype(np.float64), hits


def _best(found: Detections, label: int, least: float) -> NDArray[np.intp]:
    """Indices of a class, best first."""
    there = np.flatnonzero((found.labels == label) & (found.scores >= least))
    return there[np.argsort(-found.scores[there], kind="stable")]


def _shapes(found: Detections, chosen: NDArray[np.intp], with_masks: bool) -> Any:
    """Masks, or boxes as (left, top, width, height)."""
    if with_masks and found.masks is not None:
        return [found.masks[index] for index in chosen]
    boxes = found.boxes[chosen].astype(np.float64)
    return np.concatenate([boxes[:, :2], np.maximum(boxes[:, 2:] - boxes[:, :2], 0)], axis=1)


def _hits(overlaps: Numbers, chances: Numbers) -> Numbers:
    """Chances of what is found [OVERLAPS, n]: each, best first, takes what it overlaps most of what is left."""
    rows = np.arange(len(OVERLAPS))
    left = np.ones((len(OVERLAPS), len(chances)))
    hits = np.zeros((len(OVERLAPS), len(overlaps)))
    for index, row in enumerate(overlaps):
        open_to = np.where(row >= OVERLAPS[:, None] - 1e-9, row, 0) * left
        taken = open_to.argmax(1)
        matched = open_to[rows, taken] > 0
        hits[:, index] = chances[taken] * matched
        left[rows[matched], taken[matched]] = 0
    return hits
