"""How much accuracy is lost, without labels: by what the network itself finds, in an image and in its mirror image.

What a network finds of what it found before says how far it was disturbed. But not all of this is lost: what changes at
random was as likely wrong before as after. Detections in the mirror image are a stand-in for labels: they differ from
those in the image itself by as much as the network repeats itself, in boxes, in scores, and in what is found at all.
What is lost beside them is a small difference of two large numbers, on few images; so it only says how much a
disagreement costs this network (docs/method.md, "Quality, loss").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
import pycocotools.mask
from numpy.typing import NDArray

from midstream.calibration.expected import ExpectedTruth, chance_power
from midstream.calibration.sensitivity import TINY
from midstream.calibration.views import View, Views
from midstream.halves.levels import completed
from midstream.masks import decode_mask
from midstream.metrics.agreement import REFERENCE_THRESHOLD
from midstream.models import Detections, Output, SplitModel
from midstream.models.tasks.detection import Detection, detections_of

#: Below this share of its own precision a network does not find the same in a mirror image: text, say, or asymmetric
#: things.
_LEAST_REPEATED = 0.3
#: A relation: those that are tried, and how far, in natural logarithms, a network's may be from the usual one.
_HALVES, _UNLIKE = np.geomspace(0.01, 100, 201), 3.0
#: What is lost is known no better than to this, however many objects there are.
_KNOWN_TO = 0.005
#: Objects with which losses are what they are; with fewer they are told to be uncertain.
ENOUGH_OBJECTS = 200
#: With fewer sure ones, less sure ones count as well.
FEWEST_OBJECTS = 20


#: Who asks for detections.
WHO = "measuring by pseudo labels"


@dataclass(frozen=True)
class Seen:
    """What a network sees after coding.

    Attributes:
        disagreement: with what it saw before, 0 to 1, beyond what the network's own rounding makes of any change, and
            never less than can be seen with so many objects.
        lost: of its precision beside what it sees in mirror images, relative, negative for a gain; None where the
            network does not repeat itself.
    """

    disagreement: float
    lost: float | None


@dataclass(frozen=True)
class Relation:
    """The relative loss that goes with a disagreement d: (1 + half) d^2 / (d + half).

    Of a disagreement of `half`, about half is lost, and of a smaller one less: the rest was chance before, too. With 0
    all of it is lost, and far above 1 it is d^2, as if all of it were chance.
    """

    half: float

    @classmethod
    def of(cls, seen: Sequence[Seen], objects: int) -> Self:
        """The likeliest one, if so many `objects` were there to be lost: near the usual one where they say little."""
        points = [(each.disagreement, each.lost) for each in seen if each.lost is not None]
        off = np.square(np.log(_HALVES / USUAL.half) / _UNLIKE)
        for disagreement, lost in points:
            variance = disagreement / max(objects, 1) + _KNOWN_TO**2
            # All points are of the same images, and say hardly more than one of them.
            off += np.square(_lost(disagreement, _HALVES) - lost) / variance / len(points)
        return cls(float(_HALVES[off.argmin()]))

    def loss(self, disagreement: float) -> float:
        """0 to 1."""
        return float(_lost(disagreement, np.array(self.half))) if disagreement > 0 else 0.0


def _lost(disagreement: float, half: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray((1 + half) * disagreement**2 / (disagreement + half))


#: The middle of what labels show: the harmonic mean of a disagreement and its square.
USUAL = Relation(1.0)
#: Of a network that loses much by little, of those seen.
HARSH = Relation(0.05)
#: Of tasks whose disagreement is what is lost.
ITSELF = Relation(0.0)


class CalibrationReference(Protocol):
    """What a network gives without coding, beside which a calibration measures.

    Attributes:
        model, views, images: the network, and the images of `views` that are measured.
        usual, harsh: the loss that goes with a disagreement as far as nothing more is known of the network, and the
            largest that may go with it.
        empty: whether nothing is found anywhere: noise, or a network that was never trained.
        objects: how many things there are to be lost; None where that is no question.
        unseen: a disagreement that cannot be told from none.
        power: to which scores stand for chances.
    """

    model: SplitModel
    views: Views
    images: Sequence[View]
    usual: Relation
    harsh: Relation
    unseen: float
    power: float

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

    usual, harsh, unseen, empty, objects, power = ITSELF, ITSELF, 0.0, False, None, 1.0

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

    `objects` is how many it is sure of, and of its other detections the best where these are too few; scores to the
    `power` stand for chances.
    """

    usual, harsh = USUAL, HARSH

    def __init__(self, model: SplitModel, views: Views, images: Sequence[View]) -> None:
        self.model, self.views, self.images = model, views, images
        found, mirrored = {}, {}
        for view in images:
            found[view.file.id] = detections_of(model.back(views.full(view), view.size), WHO)
            other = View(view.file, not view.flipped, view.size)
            seen = detections_of(model.back(views.full(other), view.size), WHO)
            mirrored[view.file.id] = mirror(seen, view.size[1])
        scores = [each.scores for each in found.values()]
        least, self.power = least_score(scores), chance_power(scores)
        self.objects = sum(int((each.scores >= least).sum()) for each in found.values())
        self._own, self._mirrored = (ExpectedTruth(each, len(model.classes), self.power) for each in (found, mirrored))
        self._best, self._best_mirrored = self._own.precision(found), self._mirrored.precision(found)
        # Half an object of those that there are: a smaller disagreement cannot be seen.
        self.unseen = min(0.5 / self._own.objects, 1.0) if self._own.objects else 1.0
        self._rounding = 0.0 if self.empty else self._moved(touched(model, views, images))

    @property
    def empty(self) -> bool:
        """Whether nothing is found anywhere: noise, or a network that was never trained."""
        return self.objects == 0 or self._best == 0

    def seen(self, found: Mapping[int, Output]) -> Seen:
        """What becomes of the network's detections where these are found instead, by image id."""
        if self.empty:  # nobody can say what is lost: a cap on the loss is to be refused
            return Seen(1.0, None)
        # Two draws of the same rounding differ by it: what is kept is held against that.
        moved = max(self._moved(found) - self._rounding, 0.0) / max(1 - self._rounding, self.unseen)
        lost = None
        if self._best_mirrored > _LEAST_REPEATED * self._best:
            lost = 1 - self._mirrored.precision(_detections(found)) / self._best_mirrored
        return Seen(min(moved + self.unseen, 1.0), lost)

    def _moved(self, found: Mapping[int, Output]) -> float:
        return 1 - self._own.precision(_detections(found)) / self._best


def _detections(found: Mapping[int, Output]) -> dict[int, Detections]:
    return {identity: detections_of(each, WHO) for identity, each in found.items()}


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
