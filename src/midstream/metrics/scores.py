"""The scores of a network's outputs on a data set, whatever its task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from midstream.data import Dataset
from midstream.metrics import applying, known_metrics
from midstream.metrics.accuracy import Accuracy, accuracy_in
from midstream.metrics.agreement import reference_dataset
from midstream.metrics.base import Evidence
from midstream.metrics.case import Case, check_objects
from midstream.metrics.outputs import AdditiveMetric, OutputCase, fit_labels
from midstream.models import Detections, Output, Task
from midstream.models.tasks.detection import Detection, detections_of

_AGREEMENT = "agreement with the uncompressed network: "


@dataclass(frozen=True)
class Scores:
    """Scores in percent, by metric, the task's main one first; `metric` says what they are and who computed them."""

    values: dict[str, float]
    metric: str


def labelled(task: Task[Any], dataset: Dataset) -> Dataset:
    """The data set as it is where its labels are of the task; else without them, and with a note that says so."""
    if dataset.labels is None or fit_labels(task, dataset):
        return dataset
    note = (
        f"the labels of '{dataset.spec}' are none of {task.name}: measured is the agreement with the uncompressed one"
    )
    return replace(dataset, labels=None, ground_truth=None, notes=(*dataset.notes, note))


def score(
    task: Task[Any],
    dataset: Dataset,
    classes: Sequence[str],
    found: Mapping[int, Output],
    reference: Mapping[int, Output],
) -> Scores:
    """Score outputs on exactly the images of `dataset`.

    Args:
        task: of the network.
        dataset: with labels of the task, or without any (see `labelled`): then held against `reference`.
        classes: the network's.
        found: by image id.
        reference: the uncompressed network's outputs by image id.

    Raises:
        InputError: an output that cannot be one, labels that do not fit; as `accuracy_of` for detections.
    """
    case = case_of(task, dataset, classes, found, reference)
    if isinstance(case, Case):
        return _of_detections(accuracy_in(case))
    evidence = Evidence(case, np.ones((1, len(dataset.images)), np.int64))
    metrics = sorted(applying(case), key=lambda metric: metric.rank)
    values = {metric.name: float(metric.score(evidence).values[0]) for metric in metrics}
    titles = ", ".join(metric.title for metric in metrics)
    return Scores(values, titles if fit_labels(task, dataset) else _AGREEMENT + titles)


def case_of(
    task: Task[Any],
    dataset: Dataset,
    classes: Sequence[str],
    found: Mapping[int, Output],
    reference: Mapping[int, Output],
) -> Case | OutputCase:
    """Outputs beside what they are held against, for metrics; arguments and errors as `score` has them."""
    if not isinstance(task, Detection):
        return OutputCase.of(dataset, task, classes, found, reference)
    now, before = _detections(found), _detections(reference)
    if dataset.ground_truth is None:
        dataset = reference_dataset(dataset, before, classes)
    check_objects(dataset)
    return Case.of(dataset, now, classes, before)


def main_metric(task: Task[Any]) -> str:
    """The name of the metric that curves of a task are drawn of."""
    if isinstance(task, Detection):
        return "ap"  # masks and keypoints are not in every data set
    own = [each for each in known_metrics().values() if issubclass(each, AdditiveMetric) and each.task == task.name]
    return min(own, key=lambda metric: metric.rank).name


def _detections(found: Mapping[int, Output]) -> dict[int, Detections]:
    return {key: detections_of(each, "average precision") for key, each in found.items()}


def _of_detections(accuracy: Accuracy) -> Scores:
    values = {"ap": accuracy.ap, "ap50": accuracy.ap50}
    if accuracy.segm_ap is not None and accuracy.segm_ap50 is not None:
        values |= {"segm_ap": accuracy.segm_ap, "segm_ap50": accuracy.segm_ap50}
    if accuracy.kp_ap is not None and accuracy.kp_ap50 is not None:
        values = {"kp_ap": accuracy.kp_ap, "kp_ap50": accuracy.kp_ap50, **values}
    return Scores(values, accuracy.metric)
