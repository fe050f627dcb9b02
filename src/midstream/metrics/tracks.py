"""Detections of clips joined into tracks by one fixed tracker, and held against true tracks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from midstream.data import ImageFile
from midstream.metrics.case import Case
from midstream.models.detections import Detections

#: ByteTrack's thresholds: from which score on a detection begins a track, and on which it may go on with one.
_BEGINS, _GOES_ON = 0.5, 0.1
#: Overlap from which a detection may go on with a track.
_OVERLAP = 0.1
#: Nanoseconds that a track waits for its object to come back.
_LIFE = 1_000_000_000
#: Overlap from which what is found is an object that is to be ignored.
_IGNORED_OVERLAP = 0.5

Boxes = NDArray[np.float64]
#: Of one class, in each frame: ids (from 0, without gaps), and boxes [n, 4] of left, top, right, bottom.
Tracks = list[tuple[NDArray[np.int64], Boxes]]


@dataclass(frozen=True)
class SequenceTracks:
    """True and found tracks of one class in one clip.

    Attributes:
        true, found: by frame, ids from 0 without gaps.
        overlaps: by frame, [true, found].
    """

    true: Sequence[NDArray[np.int64]]
    found: Sequence[NDArray[np.int64]]
    overlaps: Sequence[NDArray[np.float64]]


@cache
def tracker_version() -> str | None:
    """Of the tracker's package; None where it is not here."""
    try:
        return version("edgefirst-tracker")
    except PackageNotFoundError:
        return None


def has_tracks(case: Case) -> bool:
    """Whether there are true tracks: labelled ones, or those of an uncompressed network."""
    if case.dataset.images[0].clip is None:
        return False
    return case.dataset.agreement or any("track" in each for each in case.truth["annotations"])


def sequences(case: Case) -> list[list[SequenceTracks]]:
    """Of each clip, the tracks of each class; clips in the data set's order."""
    return [_of_clip(case, part) for part in case.dataset.parts]


def _of_clip(case: Case, part: Sequence[ImageFile]) -> list[SequenceTracks]:
    truth = None if case.dataset.agreement else _labelled(case, part)
    seen = _seen(case, part)
    labels = [
        label
        for label, category in enumerate(case.categories)
        if category is not None and (label in seen or (truth is not None and category in truth))
    ]
    out = []
    for label in labels:
        found = tracked(part, case.found, label)
        if truth is None:
            true = tracked(part, case.reference, label)
        else:
            true, ignored = truth.get(case.categories[label], (_nothing(part), _nothing(part)))
            found = [_without(*each) for each in zip(found, true, ignored, strict=True)]
        if any(len(ids) for ids, _ in (*true, *found)):
            overlaps = [overlap(mine[1], theirs[1]) for mine, theirs in zip(true, found, strict=True)]
            out.append(SequenceTracks(_renumbered(true), _renumbered(found), overlaps))
    return out


def _seen(case: Case, part: Sequence[ImageFile]) -> set[int]:
    """Labels of which something may be tracked in a clip: few, of a network's many."""
    out: set[int] = set()
    for found in (case.found, case.reference):
        for image in part:
            if image.id in found:
                there = found[image.id]
                out.update(np.unique(there.labels[there.scores >= _GOES_ON]).tolist())
    return out


def tracked(part: Sequence[ImageFile], found: Mapping[int, Detections], label: int) -> Tracks:
    """The detections of a class in a clip, those that belong to no track left out."""
    from edgefirst.tracker import ByteTrack

    tracker = ByteTrack(high_conf=_BEGINS, iou=_OVERLAP, lifespan_ns=_LIFE)
    known: dict[str, int] = {}
    out: Tracks = []
    for image in part:
        boxes, scores = _of_class(found.get(image.id), label)
        infos = tracker.update(
            boxes.astype(np.float32),
            scores.astype(np.float32),
            np.full(len(boxes), label, np.uintp),
            round(image.time_s * 1e9),
        )
        there = [
            (place, known.setdefault(info.uuid, len(known))) for place, info in enumerate(infos) if info is not None
        ]
        out.append((np.array([number for _, number in there], np.int64), boxes[[place for place, _ in there]]))
    return out


def _of_class(found: Detections | None, label: int) -> tuple[Boxes, NDArray[np.float64]]:
    if found is None:
        return np.zeros((0, 4)), np.zeros(0)
    there = (found.labels == label) & (found.scores >= _GOES_ON)
    return found.boxes[there].astype(np.float64), found.scores[there].astype(np.float64)


def _labelled(case: Case, part: Sequence[ImageFile]) -> dict[int | None, tuple[Tracks, Tracks]]:
    """Of each category the true tracks, and what is to be ignored."""
    places = {image.id: number for number, image in enumerate(part)}
    rows: dict[int, list[tuple[list[list[Any]], list[list[Any]]]]] = {}
    for each in case.truth["annotations"]:
        place = places.get(each["image_id"])
        if place is not None:
            frames = rows.setdefault(each["category_id"], [([], []) for _ in part])
            left, top, width, height = each["bbox"]
            frames[place][bool(each["iscrowd"])].append([each["track"], left, top, left + width, top + height])
    return {
        category: (_tracks(f[0] for f in frames), _tracks(f[1] for f in frames)) for category, frames in rows.items()
    }


def _tracks(rows: Any) -> Tracks:
    frames = [np.array(each, np.float64).reshape(-1, 5) for each in rows]
    return [(each[:, 0].astype(np.int64), each[:, 1:]) for each in frames]


def _nothing(part: Sequence[ImageFile]) -> Tracks:
    return [(np.zeros(0, np.int64), np.zeros((0, 4)))] * len(part)


def _without(
    found: tuple[NDArray[np.int64], Boxes],
    true: tuple[NDArray[np.int64], Boxes],
    ignored: tuple[NDArray[np.int64], Boxes],
) -> tuple[NDArray[np.int64], Boxes]:
    """What was found in a frame but for what is matched by something that is to be ignored, as TrackEval does it."""
    from scipy.optimize import linear_sum_assignment

    if not len(ignored[0]) or not len(found[0]):
        return found
    scores = overlap(np.concatenate([true[1], ignored[1]]), found[1])
    scores[scores < _IGNORED_OVERLAP - np.finfo(float).eps] = 0
    rows, columns = linear_sum_assignment(-scores)
    lost = columns[(scores[rows, columns] > np.finfo(float).eps) & (rows >= len(true[0]))]
    kept = np.setdiff1d(np.arange(len(found[0])), lost)
    return found[0][kept], found[1][kept]


def _renumbered(tracks: Tracks) -> list[NDArray[np.int64]]:
    """Ids from 0 without gaps."""
    known = np.unique(np.concatenate([ids for ids, _ in tracks]))
    return [np.searchsorted(known, ids) for ids, _ in tracks]


def overlap(one: Boxes, other: Boxes) -> NDArray[np.float64]:
    """Intersection over union of boxes [n, 4] with others [m, 4]: [n, m]."""
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:], other[None, :, 2:])
    common = np.clip(high - low, 0, None).prod(2)
    areas = (one[:, 2:] - one[:, :2]).prod(1)[:, None] + (other[:, 2:] - other[:, :2]).prod(1)[None]
    union = areas - common
    return np.asarray(np.divide(common, union, out=np.zeros_like(common), where=union > 0))
