"""The transform of a profile in torch: what it makes of levels at a step, how many bits that takes, and the way back.

Rounding has the gradient of the identity (Bengio et al. 2013, arXiv:1308.3432); the rate is that of values with uniform
noise in its place (Ballé et al. 2017, arXiv:1611.01704), which are Laplacian by what lies around them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.nn import functional

from midstream.calibration.fitting import Fit
from midstream.codec.calibrated.parts import LAYER_INPUTS, LAYER_INPUTS_BESIDE, Floats, GroupPart, LevelPart, step_sizes

# Where the numbers come from: docs/method.md, "Constants".
#: Cells are predicted from so many coefficients of those before them, as far as the first so many of theirs; as
#: calibration.neighbours has it.
_INPUTS, _OUTPUTS = 128, 256
#: Magnitudes below the first become zero, and larger ones are rounded with the second: about what the coder does.
_DEAD, _ROUNDED = 0.6, 0.45
#: By how much magnitudes lie below the whole number that stands for them, on average.
_SHRUNK = 0.04
#: Coefficients that share what is known of their deviation, and those that show how strong a cell is.
_BAND, _SHOWING = 64, 256
#: How much a coefficient is as strong as its cell, as those around it, and as it is beside a step, to begin with.
_STRENGTHS = (0.6, 0.3, 0.5)
#: Magnitudes and chances are no smaller, and logarithms of scales within these.
_LEAST_SIZE, _LEAST_CHANCE = 0.02, 1e-6
_SCALES = (-5.0, 8.0)


class RateModel:
    """Bits of coefficients, [B, K, H, W] in steps: Laplacian, as strong as the cell and those before it are.

    Attributes:
        parameters: what is fitted.
    """

    def __init__(self, deviations: torch.Tensor) -> None:
        """Begin with the standard deviations [K] of the coefficients."""
        bands = -(-len(deviations) // _BAND)
        self._band = torch.arange(len(deviations)) // _BAND
        self._level = (0.5 * deviations).log().requires_grad_()
        self._here, self._around, self._steps = (
            torch.full((bands,), value, requires_grad=True) for value in _STRENGTHS
        )
        self.parameters = [self._level, self._here, self._around, self._steps]

    def bits(self, left: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
        """Of each image, [B]; `step` is [B, 1, H, W]."""
        strength = (left.detach().abs() + _LEAST_SIZE).log()[:, :_SHOWING].mean(1, keepdim=True)
        around = sum(_before(strength, math.log(_LEAST_SIZE)), torch.zeros(())) / 3
        here, beside, steps = (each[self._band][:, None, None] for each in (self._here, self._around, self._steps))
        log = self._level[:, None, None] - steps * step.log() + here * strength + beside * around
        scale = log.clamp(*_SCALES).exp()
        size = (left + torch.rand_like(left) - 0.5).abs()
        inner, outer = (-(size - 0.5).abs() / scale).exp(), (-(size + 0.5) / scale).exp()
        chances = torch.where(size > 0.5, 0.5 * (inner - outer), 1 - 0.5 * (inner + outer))
        return -chances.clamp(min=_LEAST_CHANCE).log2().sum((1, 2, 3))


def _before(maps: torch.Tensor, value: float = 0.0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Of [B, K, H, W], what lies to the west, north and north-east of each place."""
    height, width = maps.shape[2:]
    padded = functional.pad(maps, (1, 1, 1, 0), value=value)
    return padded[:, :, 1:, :width], padded[:, :, :height, 1 : width + 1], padded[:, :, :height, 2:]


class TrainedGroup:
    """A group: levels to coefficients, those as they are decoded, and levels again.

    Attributes:
        matrices: of the first stage, there and back: what is trained.
        models: what the rate and predictions are made with, of the training alone.
    """

    def __init__(self, group: GroupPart, inputs: Sequence[int]) -> None:
        """Begin with the matrices of `group`; `inputs` are the coefficients of each layer before it."""
        count = len(group.basis)
        self._levels = [
            _Level(part, *(torch.tensor(each)[:, None, None] for each in (part.mean, part.weight, part.low, part.high)))
            for part in group.levels
        ]
        self._rows = [torch.tensor(part.basis, requires_grad=True) for part in group.levels]
        self._columns = [torch.tensor(part.synthesis, requires_grad=True) for part in group.levels]
        self._basis = torch.tensor(group.basis)
        self._rate = RateModel(torch.tensor(step_sizes(group.scales)))
        self._neighbours = torch.zeros(3, min(_OUTPUTS, count), min(_INPUTS, count), requires_grad=True)
        cell, beside = (sum(min(n, most) for n in inputs) for most in (LAYER_INPUTS, LAYER_INPUTS_BESIDE))
        self._expecting = (
            [
                torch.zeros(count, cell, 1, 1, requires_grad=True),
                torch.zeros(count, beside, 3, 3, requires_grad=True),
                torch.zeros(count, requires_grad=True),
            ]
            if inputs
            else []
        )
        self.matrices = [*self._rows, *self._columns]
        self.models = [self._neighbours, *self._expecting, *self._rate.parameters]

    def coded(
        self, maps: Mapping[str, torch.Tensor], step: torch.Tensor, before: Sequence[torch.Tensor]
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor, torch.Tensor]:
        """Decoded levels [B, C, H, W], bits [B], and decoded coefficients.

        Args:
            maps: levels [B, C, H, W] by name.
            step: of each cell, [B, 1, H, W].
            before: decoded coefficients of the layers before this one.
        """
        expected = self._expected(before)
        left = self.exact(maps, step.shape[2:]) - expected
        decoded = step * _rounded(left / step)
        most = self._neighbours.shape[2]
        around = zip(self._neighbours, _before(decoded[:, :most].detach()), strict=True)
        told = sum((_times(matrix, values) for matrix, values in around), torch.zeros(()))
        residual = torch.cat([left[:, : told.shape[1]] - told, left[:, told.shape[1] :]], 1)
        coefficients = decoded + expected
        return self.restored(maps, coefficients), self._rate.bits(residual / step, step), coefficients

    def exact(self, maps: Mapping[str, torch.Tensor], grid: Sequence[int]) -> torch.Tensor:
        """Coefficients [B, K, H, W] as they are before anything is quantised."""
        return _times(self._basis, self._stacked(maps, grid))

    def _expected(self, before: Sequence[torch.Tensor]) -> torch.Tensor:
        if not self._expecting:
            return torch.zeros(())
        cell, beside = (
            torch.cat([each[:, :most] for each in before], 1).detach() for most in (LAYER_INPUTS, LAYER_INPUTS_BESIDE)
        )
        of_cell, of_beside, bias = self._expecting
        found: torch.Tensor = functional.conv2d(cell, of_cell, bias)
        return found + functional.conv2d(beside, of_beside, padding=1)

    def _stacked(self, maps: Mapping[str, torch.Tensor], grid: Sequence[int]) -> torch.Tensor:
        """First-stage coefficients of cells [B, D, H, W]; beyond a level's border are zeros."""
        out = []
        for level, rows in zip(self._levels, self._rows, strict=True):
            values, ratio = maps[level.part.about.name], level.part.about.ratio
            found = _times(rows, (values - level.mean) * level.weight)
            below, right = (side * ratio - own for side, own in zip(grid, values.shape[2:], strict=True))
            out.append(functional.pixel_unshuffle(functional.pad(found, (0, right, 0, below)), ratio))
        return torch.cat(out, 1)

    def restored(self, maps: Mapping[str, torch.Tensor], coefficients: torch.Tensor) -> dict[str, torch.Tensor]:
        """Levels [B, C, H, W], as large as those of `maps`."""
        stacked, out, at = _times(self._basis.T, coefficients), {}, 0
        for level, columns in zip(self._levels, self._columns, strict=True):
            name, (height, width) = level.part.about.name, maps[level.part.about.name].shape[2:]
            own = functional.pixel_shuffle(stacked[:, at : at + level.part.dimensions], level.part.about.ratio)
            values = _times(columns, own[:, :, :height, :width]) / level.weight + level.mean
            out[name] = values.clamp(level.low, level.high)
            at += level.part.dimensions
        return out

    def trained(self, fit: Fit) -> Fit:
        """The fit with the matrices as they are now."""
        levels = tuple(
            replace(part, basis=_stored(rows), synthesis=_stored(columns))
            for part, rows, columns in zip(fit.group.levels, self._rows, self._columns, strict=True)
        )
        return replace(fit, group=replace(fit.group, levels=levels))


@dataclass(frozen=True)
class _Level:
    """A level, and of its channels mean, weight and range, [C, 1, 1] each."""

    part: LevelPart
    mean: torch.Tensor
    weight: torch.Tensor
    low: torch.Tensor
    high: torch.Tensor


def _times(matrix: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
    """Matrix [K, C] times maps [B, C, H, W], at each place."""
    found: torch.Tensor = functional.conv2d(maps, matrix[:, :, None, None])
    return found


def _rounded(values: torch.Tensor) -> torch.Tensor:
    """As they are decoded, in steps; with the gradient of the values themselves."""
    still = values.detach()
    whole = torch.where(still.abs() < _DEAD, 0.0, (still.abs() + _ROUNDED).floor().clamp(min=1) - _SHRUNK)
    return values + (whole * still.sign() - still)


def _stored(values: torch.Tensor) -> Floats:
    """As a profile has matrices."""
    return np.asarray(values.detach().numpy().astype(np.float16).astype(np.float32))


class TrainedTransform:
    """The groups that lie over the same cells: the first, or all layers.

    Attributes:
        levels: of all layers.
        layers: one by one.
        matrices, models: of all of them.
    """

    def __init__(self, groups: Sequence[GroupPart]) -> None:
        counts = [len(group.basis) for group in groups]
        self.levels = [level for group in groups for level in group.levels]
        self.layers = [TrainedGroup(group, counts[:number]) for number, group in enumerate(groups)]
        self.matrices = [each for layer in self.layers for each in layer.matrices]
        self.models = [each for layer in self.layers for each in layer.models]

    def coded(
        self, maps: Mapping[str, torch.Tensor], steps: torch.Tensor
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """Decoded levels [B, C, H, W] and bits [B]; `steps` [B, maps, H, W], a map for all layers or for each."""
        levels: dict[str, torch.Tensor] = {}
        bits, before = torch.zeros(len(steps)), list[torch.Tensor]()
        for number, layer in enumerate(self.layers):
            at = min(number, steps.shape[1] - 1)
            own, taken, coefficients = layer.coded(maps, steps[:, at : at + 1], before)
            levels |= own
            bits = bits + taken
            before.append(coefficients)
        return levels, bits

    def quantised(
        self, maps: Mapping[str, torch.Tensor], grid: Sequence[int], size: float
    ) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Each layer's coefficients, exact and decoded with steps of one `size`; gradients lead to the latter."""
        with torch.no_grad():
            exact = [layer.exact(maps, grid) for layer in self.layers]
            decoded = [size * _rounded(each / size) for each in exact]
        return exact, [each.requires_grad_() for each in decoded]

    def restored(
        self, maps: Mapping[str, torch.Tensor], coefficients: Sequence[torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        """Levels [B, C, H, W] of what each layer has."""
        out: dict[str, torch.Tensor] = {}
        for layer, own in zip(self.layers, coefficients, strict=True):
            out |= layer.restored(maps, own)
        return out
