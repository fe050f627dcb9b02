"""How far what a network finds is from what it found, as a number with a gradient."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from midstream.calibration.training.backs import Maps

# Where the numbers come from: docs/method.md, "Constants".
#: How much boxes count beside scores, and from which score on they do.
BOX_WEIGHT, LEAST_SCORE = 2.0, 0.02
#: Chances are kept this far from 0 and 1, and variances from 0.
LEAST_CHANCE, _LEAST_VARIANCE = 1e-6, 1e-12
#: How far outputs in torch may be from ONNX Runtime's, beside the largest of them.
TOLERANCE = 0.01


@dataclass(frozen=True)
class Distance:
    """What is lost behind other levels of an image, a number.

    Attributes:
        lost: of levels [C, H, W] by name.
        nbytes: of what it remembers.
    """

    lost: Callable[[Maps], torch.Tensor]
    nbytes: int


def relative_error(value: torch.Tensor, coded: torch.Tensor) -> torch.Tensor:
    """Squared error beside the variance of an output."""
    value = value.float()
    usual = value.var(unbiased=False) if value.numel() > 1 else value.square().mean()
    return (value - coded.float()).square().mean() / usual.clamp(min=_LEAST_VARIANCE)


def divergence(truth: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
    """Of Kullback and Leibler, in nats, of chances that exclude nothing, summed."""
    p, q = truth.clamp(LEAST_CHANCE, 1 - LEAST_CHANCE), scores.clamp(LEAST_CHANCE, 1 - LEAST_CHANCE)
    return (p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()).sum()


def overlaps(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Generalised IoU [n] of boxes [n, 4]."""
    inner = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0).prod(1)
    union = _areas(a) + _areas(b) - inner
    around = (torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])).clamp(min=1e-3).prod(1)
    return inner / union - (around - union) / around


def _areas(boxes: torch.Tensor) -> torch.Tensor:
    return (boxes[:, 2:] - boxes[:, :2]).clamp(min=1e-3).prod(1)
