"""What a network finds behind its front, which a training keeps."""

from __future__ import annotations

import numpy as np
import torch

from midstream.calibration.training.backs import Maps, TorchBack
from midstream.calibration.training.distance import (
    BOX_WEIGHT,
    LEAST_CHANCE,
    LEAST_SCORE,
    TOLERANCE,
    Distance,
    divergence,
    overlaps,
    relative_error,
)
from midstream.calibration.training.heads import Outputs, Proposals, proposals_of
from midstream.calibration.training.regions import TwoStages
from midstream.errors import InputError
from midstream.halves.levels import sent
from midstream.models import FloatPyramid, SplitModel
from midstream.models.detector_heads import RcnnHead
from midstream.models.onnx_model import OnnxModel
from midstream.models.torch_common import one_line


class Teacher:
    """Holds what is found behind coded levels against what is found behind those of the front.

    Attributes:
        power: scores to it are chances.
    """

    def __init__(self, model: SplitModel, power: float = 1.0) -> None:
        """Scores to the `power` are chances, if it is above 1: scores of many unsure detections count less.
        Of a network of two stages they are chances as they are.

        Raises InputError: a network of no ONNX file; see proposals_of and TorchBack.
        """
        if not isinstance(model, OnnxModel):
            raise InputError(f"{model.name}: a transform is trained through ONNX files, not through other networks")
        self.power, self._model = max(power, 1.0), model
        self._stages = TwoStages(model) if isinstance(model.description.head, RcnnHead) else None
        self._proposals = None if self._stages else proposals_of(model)
        self._back = self._stages.first if self._stages else TorchBack(model, model.back_graph())

    def check(self, pyramid: FloatPyramid) -> None:
        """Look whether the back does in torch what it does, and what is lost behind this pyramid has a gradient.

        Raises:
            InputError: it does not, or has none.
        """
        maps = {name: torch.tensor(values) for name, values in sent(self._model, pyramid).items()}
        with torch.no_grad():
            outputs = self._back(maps)
        for name, values in self._model.outputs(pyramid).items():
            if name not in outputs:  # a constant
                continue
            found, wanted = outputs[name].numpy().astype(np.float64), values.astype(np.float64)
            most = TOLERANCE * np.abs(wanted).max(initial=1e-6)
            if found.size != wanted.size or np.abs(found.ravel() - wanted.ravel()).max(initial=0) > most:
                raise InputError(f"{self._model.name}: output '{name}' has other values in torch than in ONNX Runtime")
        if self._stages:
            self._stages.check(maps)
        moved = {name: _moved(values).requires_grad_() for name, values in maps.items()}
        try:
            lost = self.distance(maps).lost(moved)
            if not lost.requires_grad:
                raise RuntimeError("its outputs are whole numbers, or do not depend on the levels")
            all_gradients = torch.autograd.grad(lost, list(moved.values()), allow_unused=True)
        except RuntimeError as error:
            raise InputError(f"{self._model.name}: the back has no gradient: {one_line(error)}") from error
        gradients = [each for each in all_gradients if each is not None]
        if not all(bool(each.isfinite().all()) for each in gradients) or not any(bool(g.any()) for g in gradients):
            raise InputError(f"{self._model.name}: the back has no gradient: its outputs do not follow its levels")

    def distance(self, maps: Maps) -> Distance:
        """How far what is behind other levels is from what is behind these, [C, H, W] by name.

        For a detector: the divergence of Kullback and Leibler of all scores, and one less the generalised IoU
        (Rezatofighi et al. 2019, arXiv:1902.09630) of each box, times the score that it has. For other networks the
        squared error of each output beside its variance.
        """
        if self._stages:
            return self._stages.distance(maps)
        with torch.no_grad():
            outputs = self._back(maps)
            if self._proposals is not None:
                found = self._chances(self._proposals(outputs))
                size = sum(each.nbytes for each in found)
                return Distance(lambda coded: self._of_proposals(found, self._back(coded)), size)
        size = sum(each.nbytes for each in outputs.values())
        return Distance(lambda coded: _of_outputs(self._model.name, outputs, self._back(coded)), size)

    def _of_proposals(self, found: Proposals, coded: Outputs) -> torch.Tensor:
        assert self._proposals is not None
        boxes, scores = self._chances(self._proposals(coded))
        weights = found[1].amax(1)
        lost = (weights * (weights > LEAST_SCORE) * (1 - overlaps(found[0], boxes))).sum()
        return divergence(found[1], scores) + BOX_WEIGHT * lost

    def _chances(self, found: Proposals) -> Proposals:
        boxes, scores = found
        return boxes, scores if self.power == 1 else scores.clamp(min=LEAST_CHANCE) ** self.power


def _moved(values: torch.Tensor) -> torch.Tensor:
    """By a hundredth of what they are, and of how far apart they are; a level of zeros moves, too."""
    return 1.01 * values + 0.01 * values.std(unbiased=False).clamp(min=0.1)


def _of_outputs(name: str, outputs: Outputs, coded: Outputs) -> torch.Tensor:
    for output, value in outputs.items():
        if coded[output].shape != value.shape:
            raise InputError(f"{name}: output '{output}' has another shape each time, and is not trained")
    floats = [output for output, value in outputs.items() if value.is_floating_point()]
    return sum((relative_error(outputs[output], coded[output]) for output in floats), torch.zeros(()))
