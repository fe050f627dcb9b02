"""Descent through the back: matrices that lose less of what the network finds, for the bits that they take."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from midstream.calibration.fitting import Fit, Material
from midstream.calibration.training.distance import Distance
from midstream.calibration.training.teacher import Teacher
from midstream.calibration.training.transform import TrainedTransform
from midstream.calibration.views import View
from midstream.codec.calibrated.document import About
from midstream.codec.calibrated.importance import classes_of
from midstream.codec.calibrated.parts import step_sizes
from midstream.codec.calibrated.transform import forward, grid_of
from midstream.errors import InputError
from midstream.progress import Progress

# Where the numbers come from: docs/method.md, "Constants".
#: By how many octaves what is lost falls for an octave of bits: what a share of one is worth in shares of the other.
_EXPONENT = 1.6
#: Views of a step, at most, and the elements that they have together.
_BATCH, _BATCH_ELEMENTS = 4, 1 << 22
#: The longest steps of the matrices in whole batches, and of the model of their rate, and those that fit this alone.
_RATE, _MODEL_RATE, _FIRST_RATE, _FIRST_STEPS = 1e-3, 3e-3, 1e-2, 200
_DECAYS = (0.9, 0.99)
#: Views that show what bits and losses are to begin with.
_MEASURED = 40
#: Parts of a training, after each of which what it has is kept.
LAPS = 10
#: Steps that are timed, after as many that are not.
_TIMED = 5
#: Of views whose levels and outputs stay in memory.
_KEPT_BYTES = 1 << 31
#: What is lost to begin with counts as this share of the most that is, at least.
_LEAST_SHARE, _LEAST_LOST = 0.01, 1e-12
State = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class _Sight:
    """A view: its levels, the class of each cell [maps, H, W], and what is lost behind other levels."""

    maps: dict[str, torch.Tensor]
    classes: torch.Tensor
    distance: Distance


class Trainer:
    """Trains the first stages of a profile's transform, there and back, for the views that its probe is fitted to."""

    def __init__(
        self, material: Material, about: About, fits: Sequence[Fit], indices: Sequence[int], teacher: Teacher
    ) -> None:
        """Begin with the transform of `fits`, to be better with quantiser steps of these `indices`."""
        self._material, self._about, self._fits = material, about, fits
        groups = [fit.group for fit in fits[: about.layer_count]]
        self._teacher = teacher
        self._transform = TrainedTransform(groups)
        self._levels = self._transform.levels
        self._sizes = torch.tensor(np.stack([step_sizes(about.importance.steps(each)) for each in indices]))
        self._views = material.shown
        self._sights: dict[View, _Sight] = {}
        self._room = _KEPT_BYTES
        elements = sum(values.size for values in material.views.sent(self._views[0]).values())
        one_size = len({material.model.input_size(view.size) for view in self._views}) == 1
        self._batch = max(min(_BATCH, _BATCH_ELEMENTS // elements), 1) if one_size else 1
        self._rate = _RATE * self._batch / _BATCH  # Goyal et al. 2017 (arXiv:1706.02677), section 2.1
        self._matrices, self._models = self._transform.matrices, self._transform.models
        self._usual: tuple[torch.Tensor, torch.Tensor] | None = None

    @property
    def spelled(self) -> str:
        """What it begins with, as a hash."""
        material, power = self._material, self._teacher.power
        begin = f"{torch.__version__} {self._rate} {material.settings.tools} {len(self._views)} {power}"
        digest = hashlib.sha256(f"{begin} {self._about.importance} {self._sizes.tolist()}".encode())
        for worth in material.worths.values():
            digest.update(worth.tobytes())
        for fit in self._fits:
            digest.update(fit.group.basis.tobytes() + fit.group.scales.tobytes())
            for level in fit.group.levels:
                for values in (level.mean, level.weight, level.basis, level.synthesis):
                    digest.update(values.tobytes())
        return digest.hexdigest()

    def steps_within(self, seconds: float) -> int:
        """How many steps there is time for here, beside what goes before them; nothing is moved."""
        begin = time.monotonic()
        rng = np.random.default_rng(0)
        drawn = [self._drawn(rng) for _ in range(_TIMED)]
        making = (time.monotonic() - begin) / (_TIMED * self._batch)
        taken = []
        with torch.random.fork_rng(devices=[]):
            for sights, chosen in drawn + drawn:
                before = time.monotonic()
                bits, lost = self._coded(sights, chosen)
                torch.autograd.grad((bits + lost).sum(), [*self._matrices, *self._models], allow_unused=True)
                taken.append(time.monotonic() - before)
        step = float(np.mean(taken[_TIMED:]))
        a_view = max((_KEPT_BYTES - self._room) / max(len(self._sights), 1), 1)
        kept = min(self._room / a_view / len(self._views), 1)  # of the views, those that are made once
        before = making * kept * len(self._views) + step * (_FIRST_STEPS + len(self._sizes) * _MEASURED / self._batch)
        return int((seconds - before) / (step + making * (1 - kept) * self._batch))

    def first(self, seed: int, progress: Progress) -> State:
        """Fit the model of the rate alone, and measure what bits and losses are then."""
        with torch.random.fork_rng(devices=[]):
            return self._first(seed, progress)

    def _first(self, seed: int, progress: Progress) -> State:
        progress.stage("learning what bits it takes", _FIRST_STEPS)
        torch.manual_seed(seed)
        rng = np.random.default_rng(seed)
        optimizer = torch.optim.Adam(self._models, lr=_FIRST_RATE)
        for step in range(_FIRST_STEPS):
            _pace(optimizer, [_FIRST_RATE], 1 - step / _FIRST_STEPS)
            sights, steps = self._drawn(rng)
            optimizer.zero_grad()
            bits = self._transform.coded(*self._given(sights, steps))[1]
            (bits.mean() / self._levels[0].about.channels).backward()
            optimizer.step()
            progress.step()
        progress.stage("what is lost before the training")
        return self._state(optimizer=None)

    def lap(self, number: int, steps: int, before: State, seed: int, advance: Callable[[], None]) -> State:
        """Train for a lap of all `steps`, beginning with what the lap before ended with.

        Raises:
            InputError: what the back gives is mostly not finite, or the matrices no longer are.
        """
        with torch.random.fork_rng(devices=[]):
            return self._lap(number, steps, before, seed, advance)

    def _lap(self, number: int, steps: int, before: State, seed: int, advance: Callable[[], None]) -> State:
        optimizer = torch.optim.Adam([{"params": self._matrices}, {"params": self._models}], betas=_DECAYS)
        self.load(before, optimizer)
        torch.manual_seed(seed + number + 1)
        rng = np.random.default_rng([seed, number])
        usual_bits, usual_lost = self._usual_ones()
        left_out, count = 0, (number + 1) * steps // LAPS - number * steps // LAPS
        for step in range(number * steps // LAPS, (number + 1) * steps // LAPS):
            _pace(optimizer, [self._rate, _MODEL_RATE], 0.5 * (1 + math.cos(math.pi * step / steps)))
            sights, chosen = self._drawn(rng)
            bits, lost = self._coded(sights, chosen)
            optimizer.zero_grad()
            (bits / usual_bits[chosen] + lost / usual_lost[chosen] / _EXPONENT).mean().backward()
            if _finite(each.grad for each in (*self._matrices, *self._models)):
                optimizer.step()
            else:
                left_out += 1
            advance()
        if 2 * left_out > count or not _finite([*self._matrices, *self._models]):
            raise InputError("what is behind coarsely coded levels is not finite")
        return self._state(optimizer)

    def fits(self) -> list[Fit]:
        """The groups with the matrices as they are, and the variances of what these make of the views."""
        layers = [layer.trained(fit) for layer, fit in zip(self._transform.layers, self._fits, strict=False)]
        return [*(self._measured(fit) for fit in layers), *self._fits[len(layers) :]]

    def _measured(self, fit: Fit) -> Fit:
        views = self._material.views
        squares = [np.square(forward(fit.group, views.sent(view), 1)).mean(axis=(1, 2)) for view in self._material.fit]
        return replace(fit, variances=np.mean(squares, axis=0, dtype=np.float64))

    def load(self, state: State, optimizer: torch.optim.Adam | None = None) -> None:
        """Go on from what a lap ended with."""
        with torch.no_grad():
            for number, each in enumerate([*self._matrices, *self._models]):
                each.copy_(torch.tensor(state[f"value {number}"]))
                if optimizer is not None and f"moment {number}" in state:
                    moments = {key: torch.tensor(state[f"{key} {number}"]) for key in ("moment", "square", "step")}
                    optimizer.state[each] = {"exp_avg": moments["moment"], "exp_avg_sq": moments["square"],
                                             "step": moments["step"]}  # fmt: skip
        self._usual = torch.tensor(state["bits"]), torch.tensor(state["lost"])

    def _state(self, optimizer: torch.optim.Adam | None) -> State:
        usual_bits, usual_lost = self._usual_ones()
        state = {"bits": usual_bits.numpy(), "lost": usual_lost.numpy()}
        for number, each in enumerate([*self._matrices, *self._models]):
            state[f"value {number}"] = each.detach().numpy().copy()
            if optimizer is not None and each in optimizer.state:
                own = optimizer.state[each]
                state[f"moment {number}"], state[f"square {number}"] = own["exp_avg"].numpy(), own["exp_avg_sq"].numpy()
                state[f"step {number}"] = own["step"].numpy().reshape(1)
        return state

    def _usual_ones(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean bits and losses at each step, as they were before the training."""
        if self._usual is None:
            chosen = self._views[:: max(len(self._views) // _MEASURED, 1)]
            with torch.no_grad():
                found = [
                    [torch.stack(self._coded([self._sight(view)], np.array([step]))) for view in chosen]
                    for step in range(len(self._sizes))
                ]
            means = torch.stack([torch.stack(each).nanmean(0)[:, 0] for each in found])
            lost = means[:, 1].clamp(min=max(_LEAST_SHARE * float(means[:, 1].max()), _LEAST_LOST))
            self._usual = means[:, 0].clamp(min=1.0), lost
        return self._usual

    def _drawn(self, rng: np.random.Generator) -> tuple[list[_Sight], NDArray[np.int64]]:
        chosen = rng.integers(0, len(self._views), self._batch)
        return [self._sight(self._views[i]) for i in chosen], rng.integers(0, len(self._sizes), self._batch)

    def _sight(self, view: View) -> _Sight:
        if view in self._sights:
            return self._sights[view]
        maps, about = self._material.views.sent(view), self._about
        grid = grid_of(self._levels, _sizes(maps))
        if about.importance.classes == 1:
            classes = np.zeros((1, *grid), np.uint8)
        else:
            scores = self._material.scores(view, grid, about)
            classes = np.stack([classes_of(about.importance, each) for each in scores])
        tensors = {name: torch.tensor(values) for name, values in maps.items()}
        sight = _Sight(tensors, torch.tensor(classes.astype(np.int64)), self._teacher.distance(tensors))
        size = sight.distance.nbytes + sum(each.nbytes for each in tensors.values())
        if size <= self._room:
            self._sights[view] = sight
            self._room -= size
        return sight

    def _given(
        self, sights: Sequence[_Sight], steps: NDArray[np.int64]
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        names = [part.about.name for part in self._levels]
        sizes = [self._sizes[step][each.classes] for step, each in zip(steps, sights, strict=True)]
        return {name: torch.stack([each.maps[name] for each in sights]) for name in names}, torch.stack(sizes)

    def _coded(self, sights: Sequence[_Sight], steps: NDArray[np.int64]) -> tuple[torch.Tensor, torch.Tensor]:
        """Bits and what is lost, [B] each."""
        levels, bits = self._transform.coded(*self._given(sights, steps))
        lost = [
            each.distance.lost({**each.maps, **{name: values[i] for name, values in levels.items()}})
            for i, each in enumerate(sights)
        ]
        return bits, torch.stack(lost)


def _sizes(maps: dict[str, NDArray[np.float32]]) -> dict[str, tuple[int, int]]:
    return {name: (values.shape[1], values.shape[2]) for name, values in maps.items()}


def _finite(numbers: Iterable[torch.Tensor | None]) -> bool:
    return all(each is None or bool(each.isfinite().all()) for each in numbers)


def _pace(optimizer: torch.optim.Adam, longest: Sequence[float], share: float) -> None:
    for group, rate in zip(optimizer.param_groups, longest, strict=True):
        group["lr"] = rate * share
