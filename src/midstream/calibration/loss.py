"""How much accuracy is lost, without labels: by what the network itself finds, in an image and in its mirror image.

Agreement with its own detections says exactly how far the network was disturbed, but asks for more than people's
labels do. Detections in the mirror image are a stand-in for labels: they differ from those in the image itself by as
much as the network repeats itself, in boxes, in scores, and in what is found at all. What AP loses beside them is a
small difference of two large numbers, on few images; so it only says how much a disagreement costs this network
(docs/method.md, "Quality, loss").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
import pycocotools.mask
from numpy.typing import NDArray

from midstream.calibration.sensitivity import TINY
from midstream.calibration.views import View, Views
from midstream.data import Dataset
from midstream.errors import InputError
from midstream.halves.levels import completed
from midstream.masks import decode_mask
from midstream.metrics.agreement import REFERENCE_THRESHOLD, reference_dataset
from midstream.metrics.case import Case
from midstream.metrics.coco import CocoState
from midstream.models import Detections, Output, SplitModel
from midstream.models.tasks.detection import Detection, detections_of

#: Overlaps 0.50 to 0.75, of COCO's: where networks repeat themselves, and where most of their AP is.
_REPEATED = slice(0, 6)
#: Below this share of its own AP a network does not find the same in a mirror image: text, say, or asymmetric things.
_LEAST_REPEATED = 0.3
#: Nobody works at a larger disagreement, and one that is smaller than this is known no better than to this.
_MOST_USEFUL, _KNOWN_TO = 0.35, 0.02
#: Points that a relation is fitted to, at least; and factors beyond which it is the noise that was fitted.
_FEWEST, _FACTORS = 2, (0.05, 4.0)
#: Objects with which a relation is what was fitted; with fewer it is nearer to the usual one.
ENOUGH_OBJECTS = 200
#: With fewer sure ones, less sure ones count as well: four that any step keeps say that no step loses anything.
FEWEST_OBJECTS = 20


#: Who asks for detections.
WHO = "measuring by pseudo labels"


@dataclass(frozen=True)
class Seen:
    """What a network sees after coding.

    Attributes:
        disagreement: with what it saw before, 0 to 1, beyond what the network's own rounding makes of any change, and
            never less than can be seen with so many objects.
        lost: of its AP beside what it sees in mirror images, relative, negative for a gain; None where the network does
            not repeat itself.
    """

    disagreement: float
    lost: float | None


@dataclass(frozen=True)
class Relation:
    """The relative loss that goes with a disagreement d: factor * (linear * d + square * d^2).

    By default that of detectors, see USUAL.
    """

    factor: float
    linear: float = 0.75
    square: float = 0.5

    @classmethod
    def of(cls, seen: Sequence[Seen], objects: int = ENOUGH_OBJECTS) -> Self | None:
        """The one that fits best, each point by its relative error; None for too few of them.

        So many `objects` were there to be lost. What a few of them show is chance: their factor is drawn towards 1.
        """
        useful = [(s.disagreement, s.lost) for s in seen if s.lost is not None and s.disagreement < _MOST_USEFUL]
        if len(useful) < _FEWEST:
            return None
        usual = np.array([USUAL.loss(disagreement) for disagreement, _ in useful])
        lost = np.array([lost for _, lost in useful])
        weights = 1 / np.square(usual + _KNOWN_TO)
        factor = float((weights * usual * lost).sum() / max((weights * usual * usual).sum(), 1e-12))
        factor = min(max(factor, _FACTORS[0]), _FACTORS[1])
        return cls(factor ** min(objects / ENOUGH_OBJECTS, 1.0))

    def loss(self, disagreement: float) -> float:
        """0 to 1."""
        return min(self.factor * (self.linear * disagreement + self.square * disagreement**2), 1.0)


#: Between what fits PicoDet-S-416, 0.87 d, and YOLOX-Nano, 0.67 d + 0.99 d^2, on 50 photographs each.
USUAL = Relation(1.0)
#: Of tasks whose disagreement is what is lost.
ITSELF = Relation(1.0, 1.0, 0.0)


class CalibrationReference(Protocol):
    """What a network gives without coding, beside which a calibration measures.

    Attributes:
        model, views, images: the network, and the images of `views` that are measured.
        usual: the loss that goes with a disagreement as far as nothing more is known of the network.
        empty: whether nothing is found anywhere: noise, or a network that was never trained.
        objects: how many things there are to be lost; None where that is no question.
    """

    model: SplitModel
    views: Views
    images: Sequence[View]
    usual: Relation

    @property
    def empty(self) -> bool: ...  # noqa: D102
    @property
    def objects(self) -> int | None: ...  # noqa: D102

    def seen(self, found: Mapping[int, Output]) -> Seen:
        """What becomes of the network's outputs where these are there instead, by image id."""
        ...


def reference_for(model: SplitModel, views: Views, images: Sequence[View]) -> CalibrationReference:
    """Of a detector its detections as labels, of any other network its outputs."""
    is_detector = isinstance(model.task, Detection)
    return PseudoLabels(model, views, images) if is_detector else OutputReference(model, views, images)


class OutputReference:
    """The outputs of a network that is no detector: what is lost is what the task calls disagreement."""

    usual, empty, objects = ITSELF, False, None

    def __init__(self, model: SplitModel, views: Views, images: Sequence[View]) -> None:
        self.model, self.views, self.images = model, views, images
        self._own = {view.file.id: model.task.kept(model.back(views.full(view), view.size)) for view in images}
        self._rounding = self._moved(touched(model, views, images))

    def seen(self, found: Mapping[int, Output]) -> Seen:
        """See CalibrationReference."""
        return Seen(max(self._moved(found) - self._rounding, 0.0), None)

    def _moved(self, found: Mapping[int, Output]) -> float:
        return self.model.task.disagreement(list(self._own.values()), [found[identity] for identity in self._own])


class PseudoLabels:
    """What the uncompressed detector, `model`, finds in `images` of `views`, and in their mirror images.

    `objects` is how many of them count: those that it is sure of, and of its other detections the best where these are
    too few.
    """

    usual = USUAL

    def __init__(self, model: SplitModel, views: Views, images: Sequence[View]) -> None:
        self.model, self.views, self.images = model, views, images
        found, mirrored = {}, {}
        for view in images:
            found[view.file.id] = detections_of(model.back(views.full(view), view.size), WHO)
            other = View(view.file, not view.flipped, view.size)
            seen = detections_of(model.back(views.full(other), view.size), WHO)
            mirrored[view.file.id] = mirror(seen, view.size[1])
        dataset = Dataset("calibration", None, tuple(view.file for view in images), None)
        least = least_score([each.scores for each in found.values()])
        self._own, self._mirrored = self._as_truth(dataset, found, least), self._as_truth(dataset, mirrored, least)
        self._best = 0.0 if self._mirrored is None else self._ap(self._mirrored, found)
        self.objects = 0 if self._own is None else len((self._own.ground_truth or {})["annotations"])
        self._rounding = self._moved(touched(model, views, images))

    @property
    def empty(self) -> bool:
        """Whether nothing is found anywhere: noise, or a network that was never trained."""
        return self._own is None

    def seen(self, found: Mapping[int, Output]) -> Seen:
        """What becomes of the network's detections where these are found instead, by image id."""
        if self._own is None:  # nobody can say what is lost: a cap on the loss is to be refused
            return Seen(1.0, None)
        repeats = self._mirrored is not None and self._best > _LEAST_REPEATED
        lost = 1 - self._ap(self._mirrored, found) / self._best if repeats and self._mirrored is not None else None
        # Half an object of those that there are: a smaller disagreement cannot be seen.
        return Seen(min(max(self._moved(found) - self._rounding, 0.0) + 0.5 / self.objects, 1.0), lost)

    def _moved(self, found: Mapping[int, Output]) -> float:
        return 0.0 if self._own is None else 1 - self._ap(self._own, found)

    def _as_truth(self, dataset: Dataset, found: Mapping[int, Detections], least: float) -> Dataset | None:
        try:
            return reference_dataset(dataset, found, self.model.classes, least)
        except InputError:
            return None

    def _ap(self, truth: Dataset, found: Mapping[int, Output]) -> float:
        """0 to 1, of masks where there are some."""
        detections = {identity: detections_of(each, WHO) for identity, each in found.items()}
        case = Case.of(truth, detections, self.model.classes)
        state = CocoState.of(case, "segm" if case.has_masks else "bbox")
        return state.average_precision(_REPEATED)[0] / 100


def least_score(scores: Sequence[NDArray[np.float32]]) -> float:
    """From which score on detections count, by the scores of each image: lower than usual where few are sure.

    Where none is sure, nothing is found, whatever else there is.
    """
    ordered = np.sort(np.concatenate([*scores, np.zeros(FEWEST_OBJECTS, np.float32)]))[::-1]
    if ordered[0] < REFERENCE_THRESHOLD:
        return REFERENCE_THRESHOLD
    return float(min(ordered[FEWEST_OBJECTS - 1], REFERENCE_THRESHOLD))


def touched(model: SplitModel, views: Views, images: Sequence[View]) -> dict[int, Output]:
    """What the network gives, by image id, where the levels change by next to nothing."""
    out, rng = {}, np.random.default_rng(0)
    for view in images:
        levels = {}
        for name, values in views.sent(view).items():
            deviations = values.std((1, 2), keepdims=True, dtype=np.float64)
            signs = rng.integers(0, 2, values.shape) * 2 - 1
            levels[name] = values + (TINY * deviations * signs).astype(np.float32)
        whole = completed(model, levels, list(views.full(view)))
        out[view.file.id] = model.task.kept(model.back(whole, view.size))
    return out


def mirror(found: Detections, width: int) -> Detections:
    """The detections of an image in its mirror image, both `width` pixels wide."""
    boxes = found.boxes.copy()
    boxes[:, [0, 2]] = width - found.boxes[:, [2, 0]]
    masks = None
    if found.masks is not None:
        flipped = (np.asfortranarray(decode_mask(mask)[:, ::-1].astype(np.uint8)) for mask in found.masks)
        masks = [pycocotools.mask.encode(mask) for mask in flipped]
    return Detections(boxes, found.scores, found.labels, masks)
