"""Mask AP as the Cityscapes instance benchmark computes it, by the benchmark's own program.

The published figures of Cityscapes networks (and of Detectron2, which calls the same program) are this AP, which is not
COCO's: predictions are pooled over all images at once, precision is integrated step by step instead of at 101
recalls, instances below 100 pixels are left out, and a prediction that lies mostly on a group or on pixels of no class
is ignored (Cordts et al., CVPR 2016; package cityscapesscripts, `evaluation/evalInstanceLevelSemanticLabeling.py`).

The program reads every predicted mask from a PNG file and counts the pixels it shares with each instance; of these
counts, whole numbers, it makes the AP. Here the counts are taken from the masks in memory (a quarter of the time, and
the program's own reading no longer runs with numpy 2.4), and the program's functions make the AP of them. A test holds
the result against the whole program run on files: it is the same to the last digit.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from midstream.data.base import Dataset
from midstream.data.cityscapes import CLASSES, FIRST_INSTANCE, INSTANCE_IDS, read_instance_ids
from midstream.errors import InputError, MissingExtraError
from midstream.masks import decode_mask
from midstream.metrics.base import Evidence, Score
from midstream.metrics.case import Case, DetectionMetric
from midstream.models.detections import Detections

_NAMES = {label: name for name, label in CLASSES.items()}


def has_instance_files(dataset: Dataset) -> bool:
    """Whether masks are scored as the benchmark does it, which takes its files: they have the pixels of no class."""
    return dataset.labels == "cityscapes"


def require_program() -> None:
    """Say before the first image, instead of after the last, that the benchmark's program is missing.

    Raises:
        MissingExtraError: the package cityscapesscripts is not installed.
    """
    _program()


@dataclass(frozen=True)
class InstanceState:
    """Instances and predictions with the pixels that they share, image by image, nothing counted yet.

    States of different images add up to that of all of them.

    Attributes:
        spec: of the data set, for messages.
        found: by image id, what `assignGt2Preds` of the program gives.
    """

    spec: str
    found: Mapping[int, dict[str, dict[str, list[dict[str, Any]]]]]

    @classmethod
    def of(
        cls, dataset: Dataset, detections: Mapping[int, Detections], label_ids: Sequence[int | None]
    ) -> InstanceState:
        """Compare masks with the data set's instanceIds files.

        Args:
            dataset: as `midstream.data.load("cityscapes:...")` returns it.
            detections: by image id, with masks of the images' size.
            label_ids: Cityscapes' label id of each of the network's classes, None for a class to leave out.

        Raises:
            MissingExtraError: the package cityscapesscripts is not installed.
            InputError: an instanceIds file is unreadable.
        """
        void_ids = _void_ids(_program())
        assert dataset.ground_truth is not None
        found = {}
        for image in dataset.ground_truth["images"]:
            ids = read_instance_ids(Path(image[INSTANCE_IDS]))
            found[image["id"]] = _match(ids, detections.get(image["id"]), label_ids, void_ids)
        return cls(dataset.spec, found)

    def __add__(self, other: InstanceState) -> InstanceState:
        """Of the images of both. Raises ValueError for states of the same images."""
        if self.found.keys() & other.found.keys():
            raise ValueError("only states of different images of one data set add up")
        return InstanceState(self.spec, {**self.found, **other.found})

    def average_precision(self) -> tuple[float, float]:
        """AP over the overlaps 0.50 to 0.95 and AP at 0.50 of masks, in percent.

        Raises:
            MissingExtraError: the package cityscapesscripts is not installed.
            InputError: no instance is large enough to count.
        """
        return _average(_program(), dict(sorted(self.found.items())), self.spec)


class _Numpy:
    """numpy with two names of 2020: the program's releases that do without them bring the package `typing`."""

    float, bool = float, bool

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)


def _program() -> Any:
    try:
        with warnings.catch_warnings():
            # Escapes and imports of the package's age; none of it is the caller's business.
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("ignore", SyntaxWarning)
            from cityscapesscripts.evaluation import evalInstanceLevelSemanticLabeling
    except ImportError as error:
        raise MissingExtraError("the instance AP of the Cityscapes benchmark", "cityscapes") from error
    evalInstanceLevelSemanticLabeling.np = _Numpy()
    return evalInstanceLevelSemanticLabeling


def _void_ids(program: Any) -> list[int]:
    return [label.id for label in program.labels if label.ignoreInEval and label.id >= 0]


def _match(
    ids: NDArray[np.uint16], found: Detections | None, label_ids: Sequence[int | None], void_ids: list[int]
) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """One image's instances and predictions with the pixels they share, as `assignGt2Preds` of the program gives it.

    `ids` is uint16 [height, width], the values of the instanceIds file.
    """
    counts = np.bincount(ids.ravel())
    truth: dict[str, list[dict[str, Any]]] = {name: [] for name in CLASSES}
    for value in np.flatnonzero(counts).tolist():
        name = _NAMES.get(value // FIRST_INSTANCE if value >= FIRST_INSTANCE else value)
        if name is not None:
            # The two last are the program's marks for "distance not known".
            entry = {"instID": value, "pixelCount": int(counts[value]), "medDist": -1, "distConf": 0.0}
            truth[name].append({**entry, "matchedPred": []})
    predictions: dict[str, list[dict[str, Any]]] = {name: [] for name in CLASSES}
    for index in range(0 if found is None else len(found)):
        assert found is not None
        assert found.masks is not None
        label = label_ids[int(found.labels[index])]
        if label is None:
            continue
        covered = np.bincount(ids[decode_mask(found.masks[index])], minlength=len(counts))
        if not covered.any():
            continue  # the program, too, leaves empty masks out
        prediction = {
            "pixelCount": int(covered.sum()),
            "confidence": float(found.scores[index]),
            "voidIntersection": int(covered[[v for v in void_ids if v < len(covered)]].sum()),
        }
        matched = []
        for instance in truth[_NAMES[label]]:
            common = int(covered[instance["instID"]])
            if common:
                matched.append({k: v for k, v in instance.items() if k != "matchedPred"} | {"intersection": common})
                instance["matchedPred"].append({**prediction, "intersection": common})
        predictions[_NAMES[label]].append({**prediction, "matchedGt": matched})
    return {"groundTruth": truth, "prediction": predictions}


def _average(program: Any, matches: Mapping[int, Any], spec: str) -> tuple[float, float]:
    """The program's AP and AP50 of all classes that have ground truth, in percent."""
    aps = np.full((1, len(CLASSES), len(program.args.overlaps)), math.nan)
    for row, name in enumerate(CLASSES):
        for column, overlap in enumerate(program.args.overlaps):
            aps[0, row, column] = _class_ap(program, matches, name, overlap)
    if np.isnan(aps).all():
        raise InputError(f"'{spec}' has no instance of the Cityscapes classes that is large enough to count")
    averages = program.computeAverages(aps, _arguments(program, list(CLASSES), program.args.overlaps))
    return 100 * float(averages["allAp"]), 100 * float(averages["allAp50%"])


def _class_ap(program: Any, matches: Mapping[int, Any], name: str, overlap: float) -> float:
    try:
        return float(program.evaluateMatches(matches, _arguments(program, [name], np.array([overlap])))[0, 0, 0])
    except IndexError:
        # The program stumbles over an empty list where a class has instances and predictions, but none of them match
        # and all predictions are ignored. Nothing found and nothing wrong is an AP of 0.
        return 0.0


def _arguments(program: Any, names: list[str], overlaps: NDArray[np.float64]) -> SimpleNamespace:
    """The program's settings with other classes and overlaps: a copy, so that its global object stays as it is."""
    return SimpleNamespace(**{**vars(program.args), "instLabels": names, "overlaps": overlaps})


class InstanceAp(DetectionMetric):
    """Masks, over the overlaps 0.50 to 0.95."""

    name: ClassVar[str] = "instance_ap"
    title: ClassVar[str] = "Cityscapes instance AP"
    place: ClassVar[int] = 0

    def applies(self, case: Case) -> bool:
        """Masks on Cityscapes."""
        return has_instance_files(case.dataset) and case.has_masks

    def score(self, evidence: Evidence[Case]) -> Score:
        """The program's average."""
        case = evidence.case

        def compute() -> tuple[float, float]:
            return InstanceState.of(case.dataset, case.found, case.categories).average_precision()

        found = evidence.once(InstanceState, compute)
        return Score(np.array([found[self.place]]))


class InstanceAp50(InstanceAp):
    """Masks, at the overlap 0.50."""

    name: ClassVar[str] = "instance_ap50"
    title: ClassVar[str] = "Cityscapes instance AP50"
    place: ClassVar[int] = 1
