"""Scoring points: every metric, on the whole set and on resamples of it, kept in a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from midstream import data as datasets
from midstream.compare.store import Store, read_point
from midstream.data import Dataset
from midstream.data.reading import as_read
from midstream.errors import InputError, MidstreamError
from midstream.files import read_tensors, write_tensors
from midstream.metrics import applying
from midstream.metrics.base import Evidence, Score
from midstream.metrics.bootstrap import resamples
from midstream.metrics.scores import case_of, labelled
from midstream.metrics.tracks import tracker_version
from midstream.models import Output
from midstream.models.tasks import task_named

#: Resamples of the images.
DEFAULT_RESAMPLES = 1000
#: Of the generator that draws them: the same images for every point, so that differences are paired.
_SEED = 0
#: Counted up when a metric changes, so that kept scores are not taken for those of today.
_VERSION = 4
Scores = dict[str, Score]


@dataclass(frozen=True)
class Scoring:
    """How points are scored.

    Attributes:
        data, limit: the data set, as a process loads it.
        sizes: of its images that were read, see `reading.Reading`.
        task, classes: of the network.
        reference: file of the uncompressed network's point, for a data set without labels.
        resamples: how many.
    """

    data: str
    limit: int | None
    sizes: tuple[tuple[int, tuple[int, int]], ...]
    task: str
    classes: tuple[str, ...]
    reference: Path
    resamples: int


def weights(scoring: Scoring, dataset: Dataset) -> NDArray[np.int64]:
    """Multiplicities [1 + resamples, images], the same for every point.

    What is drawn is an image or, as frames that follow each other are alike, a clip; of one clip nothing is.
    """
    lengths = [len(part) for part in dataset.parts]
    count = 0 if is_one_clip(dataset) else scoring.resamples
    return np.repeat(resamples(count, len(lengths), _SEED), lengths, axis=1)


def is_one_clip(dataset: Dataset) -> bool:
    """Whether all images are frames of the same clip."""
    return len({image.clip for image in dataset.images}) == 1 and dataset.images[0].clip is not None


def score(scoring: Scoring, point: Path, target: Path) -> None:
    """Score a point and write the file. Raises InputError."""
    task = task_named(scoring.task)
    dataset = labelled(task, _dataset(scoring.data, scoring.limit, scoring.sizes))
    case = case_of(task, dataset, scoring.classes, _outputs(dataset, point), _outputs(dataset, scoring.reference))
    evidence = Evidence(case, weights(scoring, dataset))
    scores = {metric.name: metric.score(evidence) for metric in applying(case)}
    values = {name: each.values for name, each in scores.items()}
    write_tensors(target, values, {name: [each.by_class, each.by_size] for name, each in scores.items()})


@cache
def _dataset(spec: str, limit: int | None, sizes: tuple[tuple[int, tuple[int, int]], ...]) -> Dataset:
    return as_read(datasets.load(spec, limit), dict(sizes))[0]


def _outputs(dataset: Dataset, path: Path) -> dict[int, Output]:
    record = read_point(path)
    if record is None:
        raise InputError(f"{path}: not a readable file of a point")
    return {image.id: each for image, each in zip(dataset.images, record.outputs, strict=True)}


def read_scores(path: Path) -> Scores | None:
    """The scores in a file; None when it is not there or damaged."""
    try:
        values, about = read_tensors(path)
        return {name: Score(values[name], *about[name]) for name in about}
    except (InputError, KeyError, TypeError):
        return None


def score_all(
    pool: ProcessPoolExecutor,
    store: Store,
    scoring: Scoring,
    keys: Sequence[str],
    on_point: Callable[[], None] = lambda: None,
) -> dict[str, Scores]:
    """The scores of points by key, those that are not kept yet computed by the workers. Raises InputError."""
    labels = store.manifest.images_hash
    about = (labels, _VERSION, scoring.resamples, scoring.reference.name, tracker_version())
    paths = {key: store.score_path(key, about) for key in keys}
    known = {key: read_scores(path) for key, path in paths.items()}
    work = {
        key: pool.submit(score, scoring, store.point_path(key), paths[key])
        for key, scores in known.items()
        if scores is None
    }
    out: dict[str, Scores] = {}
    for key, scores in known.items():
        if scores is None:
            work[key].result()
            scores = read_scores(paths[key])
        if scores is None:
            raise MidstreamError(f"{paths[key]} cannot be read again")
        out[key] = scores
        on_point()
    return out
