"""HOTA, IDF1 and MOTA: how well objects keep their identity over a clip, as TrackEval counts it.

Luiten et al., HOTA (IJCV 2021); Ristani et al., Performance Measures (ECCV 2016 workshops); Bernardin and Stiefelhagen,
CLEAR MOT (2008). Every count adds up over clips and classes, so that any resample of the clips can be had at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from midstream.metrics.base import Evidence, Score
from midstream.metrics.case import Case, DetectionMetric
from midstream.metrics.tracks import SequenceTracks, has_tracks, sequences, tracker_version

#: Overlaps over which HOTA is a mean.
_ALPHAS = np.arange(0.05, 0.99, 0.05)
#: The overlap of IDF1 and MOTA.
_THRESHOLD = 0.5
_EPS = float(np.finfo("float").eps)
#: So much more than an overlap weighs that an object goes on with the track that it had in the frame before.
_SAME = 1000.0
_FORBIDDEN = 1e10
Counts = NDArray[np.float64]


@dataclass(frozen=True)
class TrackCounts:
    """What HOTA, IDF1 and MOTA are made of, of one clip or of many, [...]; those of HOTA [..., alphas].

    Attributes:
        hits, misses, extras: HOTA's matched, lost and additional detections.
        associations: the sum over matched detections of the share that their two tracks have in common.
        clear: matched, lost, additional detections, and switches of identity.
        identity: detections with the right identity, lost and additional ones.
    """

    hits: Counts
    misses: Counts
    extras: Counts
    associations: Counts
    clear: Counts
    identity: Counts

    def hota(self) -> Counts:
        """0 to 1, [...]."""
        detection = self.hits / np.maximum(1, self.hits + self.misses + self.extras)
        association = self.associations / np.maximum(1, self.hits)
        return np.asarray(np.sqrt(detection * association).mean(-1))

    def mota(self) -> Counts:
        """At most 1, [...]."""
        hits, misses, extras, switches = np.moveaxis(self.clear, -1, 0)
        return np.asarray((hits - extras - switches) / np.maximum(1, hits + misses))

    def idf1(self) -> Counts:
        """0 to 1, [...]."""
        hits, misses, extras = np.moveaxis(self.identity, -1, 0)
        return np.asarray(hits / np.maximum(1, hits + 0.5 * extras + 0.5 * misses))


def _fields(one: TrackCounts) -> list[Counts]:
    return [one.hits, one.misses, one.extras, one.associations, one.clear, one.identity]


def total(parts: list[TrackCounts]) -> TrackCounts:
    """Of all of them together; zeros where there are none."""
    if not parts:
        empty = np.zeros(len(_ALPHAS))
        return TrackCounts(empty, empty, empty, empty, np.zeros(4), np.zeros(3))
    return TrackCounts(*(np.sum(each, axis=0) for each in zip(*map(_fields, parts), strict=True)))


def weighted(clips: list[TrackCounts], weights: NDArray[np.int64]) -> TrackCounts:
    """Of clips with multiplicities [resamples, clips]."""
    return TrackCounts(*(weights @ np.stack(each) for each in zip(*map(_fields, clips), strict=True)))


def count(tracks: SequenceTracks) -> TrackCounts:
    """Of one class in one clip."""
    hits, misses, extras, associations = _hota(tracks)
    return TrackCounts(hits, misses, extras, associations, _clear(tracks), _identity(tracks))


def _number(ids: list[NDArray[np.int64]]) -> int:
    return 1 + max((int(each.max()) for each in ids if len(each)), default=-1)


def _lengths(tracks: SequenceTracks) -> tuple[Counts, Counts]:
    """Detections of each true and of each found track."""
    out = []
    for frames in (tracks.true, tracks.found):
        ids = np.concatenate(list(frames)) if frames else np.zeros(0, np.int64)
        out.append(np.bincount(ids, minlength=_number(list(frames))).astype(np.float64))
    return out[0], out[1]


def _hota(tracks: SequenceTracks) -> tuple[Counts, Counts, Counts, Counts]:
    from scipy.optimize import linear_sum_assignment

    true, found = _lengths(tracks)
    both = true[:, None] + found[None, :]
    common = np.zeros_like(both)
    for mine, theirs, overlaps in zip(tracks.true, tracks.found, tracks.overlaps, strict=True):
        union = overlaps.sum(0)[None, :] + overlaps.sum(1)[:, None] - overlaps
        common[np.ix_(mine, theirs)] += np.divide(overlaps, union, out=np.zeros_like(overlaps), where=union > _EPS)
    alignment = common / (both - common)
    hits = np.zeros(len(_ALPHAS))
    matched = np.zeros((len(_ALPHAS), *both.shape))
    for mine, theirs, overlaps in zip(tracks.true, tracks.found, tracks.overlaps, strict=True):
        rows, columns = linear_sum_assignment(-alignment[np.ix_(mine, theirs)] * overlaps)
        good = overlaps[rows, columns] >= _ALPHAS[:, None] - _EPS
        hits += good.sum(1)
        for alpha, there in enumerate(good):
            matched[alpha][mine[rows[there]], theirs[columns[there]]] += 1
    shares = matched / np.maximum(1, both - matched)
    return hits, true.sum() - hits, found.sum() - hits, (matched * shares).sum((1, 2))


def _clear(tracks: SequenceTracks) -> Counts:
    from scipy.optimize import linear_sum_assignment

    true, found = _lengths(tracks)
    last = np.full(len(true), -1)
    before = np.full(len(true), -1)
    hits = switches = 0
    for mine, theirs, overlaps in zip(tracks.true, tracks.found, tracks.overlaps, strict=True):
        if not len(mine) or not len(theirs):
            continue  # as TrackEval: who was matched before an empty frame may go on behind it
        scores = _SAME * (theirs[None, :] == before[mine][:, None]) + overlaps
        scores[overlaps < _THRESHOLD - _EPS] = 0
        rows, columns = linear_sum_assignment(-scores)
        good = scores[rows, columns] > _EPS
        there, now = mine[rows[good]], theirs[columns[good]]
        hits += len(there)
        switches += int(((last[there] >= 0) & (last[there] != now)).sum())
        last[there] = now
        before[:] = -1
        before[there] = now
    return np.array([hits, true.sum() - hits, found.sum() - hits, switches], np.float64)


def _identity(tracks: SequenceTracks) -> Counts:
    """Each true track goes to one found track, or to nothing: to as few detections of the wrong identity as can be."""
    from scipy.optimize import linear_sum_assignment

    true, found = _lengths(tracks)
    common = np.zeros((len(true), len(found)))
    for mine, theirs, overlaps in zip(tracks.true, tracks.found, tracks.overlaps, strict=True):
        rows, columns = np.nonzero(overlaps >= _THRESHOLD)
        common[mine[rows], theirs[columns]] += 1
    alone_true = np.where(np.eye(len(true), dtype=bool), true[:, None], _FORBIDDEN)
    alone_found = np.where(np.eye(len(found), dtype=bool), found[None, :], _FORBIDDEN)
    costs = np.block(
        [[true[:, None] + found[None, :] - 2 * common, alone_true], [alone_found, np.zeros((len(found), len(true)))]]
    )
    rows, columns = linear_sum_assignment(costs)
    there = (rows < len(true)) & (columns < len(found))
    hits = common[rows[there], columns[there]].sum()
    return np.array([hits, true.sum() - hits, found.sum() - hits], np.float64)


def _of_resamples(evidence: Evidence[Case]) -> TrackCounts:
    """[resamples] of the counts of all clips."""

    def compute() -> TrackCounts:
        clips = [total([count(each) for each in clip]) for clip in sequences(evidence.case)]
        firsts = np.cumsum([0, *(len(part) for part in evidence.case.dataset.parts)])[:-1]
        return weighted(clips, evidence.weights[:, firsts])

    return evidence.once("tracks", compute)


class _TrackMetric(DetectionMetric):
    def applies(self, case: Case) -> bool:
        """Clips with true tracks, and where the tracker is installed."""
        return has_tracks(case) and tracker_version() is not None


class Hota(_TrackMetric):
    """Detection and association alike."""

    name: ClassVar[str] = "hota"
    title: ClassVar[str] = "HOTA"

    def score(self, evidence: Evidence[Case]) -> Score:
        """Mean over overlaps from 0.05 to 0.95."""
        return Score(100 * _of_resamples(evidence).hota())


class Idf1(_TrackMetric):
    """How long objects keep one identity."""

    name: ClassVar[str] = "idf1"
    title: ClassVar[str] = "IDF1"

    def score(self, evidence: Evidence[Case]) -> Score:
        """At the overlap 0.5."""
        return Score(100 * _of_resamples(evidence).idf1())


class Mota(_TrackMetric):
    """Mostly how much is found; negative where more is wrong than there is."""

    name: ClassVar[str] = "mota"
    title: ClassVar[str] = "MOTA"

    def score(self, evidence: Evidence[Case]) -> Score:
        """At the overlap 0.5."""
        return Score(100 * _of_resamples(evidence).mota())
