"""Objects of clips that are marked one by one: how often they are found, and how their boxes tremble."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from midstream.data.base import Mark
from midstream.metrics.agreement import REFERENCE_THRESHOLD
from midstream.metrics.base import Evidence, Score
from midstream.metrics.case import Case, DetectionMetric
from midstream.metrics.tracks import overlap
from midstream.models.detections import Detections

#: Overlap from which what is found is the marked object.
_SAME_OVERLAP = 0.5
#: Percent, where an object is never found in two frames that follow each other.
_NEVER = 100.0
_Box = NDArray[np.float64]


@dataclass(frozen=True)
class _Sighting:
    """A mark, its label, and the box [4] that is found for it, None where none is."""

    mark: Mark
    box: _Box | None


def _labels(case: Case) -> dict[str, int]:
    """The network's label of each category that it has."""
    names = {each["id"]: str(each["name"]) for each in case.truth["categories"]}
    return {names[category]: label for label, category in enumerate(case.categories) if category is not None}


def _sightings(case: Case, found: Mapping[int, Detections]) -> dict[int, list[_Sighting]]:
    """By image id, of the marks of classes that the network has."""
    labels = _labels(case)
    out: dict[int, list[_Sighting]] = {}
    for identity, marks in case.dataset.marks.items():
        there = found.get(identity)
        known = [mark for mark in marks if mark.category in labels]
        out[identity] = [_Sighting(mark, _best(there, labels[mark.category], mark)) for mark in known]
    return out


def _best(found: Detections | None, label: int, mark: Mark) -> _Box | None:
    """The box of this class that overlaps a mark most, where it does enough."""
    if found is None:
        return None
    boxes = found.boxes[(found.labels == label) & (found.scores >= REFERENCE_THRESHOLD)].astype(np.float64)
    left, top, width, height = mark.box
    overlaps = overlap(np.array([[left, top, left + width, top + height]]), boxes)[0]
    best = int(np.argmax(overlaps)) if len(overlaps) else -1
    return boxes[best] if best >= 0 and overlaps[best] >= _SAME_OVERLAP else None


class Found(DetectionMetric):
    """Share of the marks with a detection of their class that overlaps them by a half."""

    name: ClassVar[str] = "found"
    title: ClassVar[str] = "marked objects found"

    def applies(self, case: Case) -> bool:
        """Marks of a class that the network has."""
        return any(_sightings(case, {}).values())

    def score(self, evidence: Evidence[Case]) -> Score:
        """On each resample, over all marks."""
        images = evidence.case.dataset.images
        sightings = _sightings(evidence.case, evidence.case.found)
        marks = np.array([len(sightings.get(image.id, ())) for image in images])
        hits = np.array([sum(each.box is not None for each in sightings.get(image.id, ())) for image in images])
        by_class: dict[str, list[bool]] = {}
        for each in (each for there in sightings.values() for each in there):
            by_class.setdefault(each.mark.category, []).append(each.box is not None)
        values = 100 * (evidence.weights @ hits) / np.maximum(evidence.weights @ marks, 1)
        return Score(values.astype(np.float64), {name: 100 * float(np.mean(there)) for name, there in by_class.items()})


class Jitter(DetectionMetric):
    """How the box of the one marked object moves otherwise than the uncompressed network's (docs/compare.md)."""

    name: ClassVar[str] = "jitter"
    title: ClassVar[str] = "jitter of the marked object"
    falls: ClassVar[bool] = True

    def applies(self, case: Case) -> bool:
        """One mark in a frame, and found by the uncompressed network in frames that follow each other."""
        return bool(_steps(case, case.reference).any())

    def score(self, evidence: Evidence[Case]) -> Score:
        """On each resample, over all steps that both networks see."""
        case = evidence.case
        both = _steps(case, case.reference) & _steps(case, case.found)
        reference, found = _moves(case, case.reference), _moves(case, case.found)
        away = np.where(both, np.hypot(*np.nan_to_num(found - reference).T), 0)
        steps = evidence.weights @ both
        values = np.where(steps > 0, 100 * (evidence.weights @ away) / np.maximum(steps, 1), _NEVER)
        return Score(values.astype(np.float64))


def _steps(case: Case, found: Mapping[int, Detections]) -> NDArray[np.bool_]:
    """[images], whether the object is found in a frame and in the one before."""
    return np.asarray(~np.isnan(_moves(case, found)).any(1))


def _moves(case: Case, found: Mapping[int, Detections]) -> NDArray[np.float64]:
    """[images, 2]: how far the centre of what is found moved from the frame before, by the marked box's size."""
    sightings = _sightings(case, found)
    out = []
    for part in case.dataset.parts:
        before = None
        for image in part:
            there = sightings.get(image.id, [])
            now = there[0].box if len(there) == 1 else None
            if now is None or before is None:
                out.append(np.full(2, np.nan))
            else:
                _, _, width, height = there[0].mark.box
                out.append((now[:2] + now[2:] - before[:2] - before[2:]) / 2 / np.sqrt(max(width * height, 1.0)))
            before = now
    return np.stack(out)
