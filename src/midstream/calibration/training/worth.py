"""What cells are worth: how much of what is lost behind coded levels is lost by each of them, for how many values.

A cell whose steps are 2^x times as long loses 2^(2x) times as much, and each of its values takes x bits less. So the
fewest bits for what is lost in all have steps that fall with the root of what a cell loses for each of its values. This
takes the place of the score of what the network finds there, by whose root steps fall as well.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from midstream.calibration.fitting import Fit, Material
from midstream.calibration.training.teacher import Teacher
from midstream.calibration.training.transform import TrainedTransform
from midstream.calibration.views import View
from midstream.codec.calibrated.document import About
from midstream.codec.calibrated.parts import Floats, step_sizes
from midstream.codec.calibrated.transform import grid_of

# Where the numbers come from: docs/method.md, "Constants".
#: The share of cells that are worth the finest steps.
_FINEST = 0.05
#: What is lost by a cell, at least, beside what is by one on average; and what that is.
_LEAST, _LEAST_LOST = 1e-6, 1e-12


def cell_worths(
    material: Material, about: About, fits: Sequence[Fit], indices: Sequence[int], teacher: Teacher
) -> dict[View, Floats]:
    """What the cells of each view that the probe is fitted to are worth, float32 [maps, rows, columns].

    On the scale of scores, beside the knee of the importance classes. Measured at quantiser steps of these `indices`.
    """
    transform = TrainedTransform([fit.group for fit in fits[: about.layer_count]])
    sizes = [float(size) for size in step_sizes(np.array(indices, np.int16))]
    spelled = hashlib.sha256(f"{torch.__version__} {sizes} {teacher.power}".encode())
    for fit in fits[: about.layer_count]:
        for level in fit.group.levels:
            spelled.update(level.basis.tobytes() + level.synthesis.tobytes())
    material.progress.stage("what cells are worth", len(material.shown))
    found: dict[View, tuple[Floats, Floats]] = {}
    for view in material.shown:
        measure = partial(_measured, material, transform, teacher, view, sizes)
        numbers = material.views.kept(f"worth by {spelled.hexdigest()} of {view.variant}", view, measure)
        found[view] = numbers["lost"], numbers["values"]
        material.progress.step()
    usual = np.mean([lost.mean(axis=(1, 2, 3)) for lost, _ in found.values()], axis=0)
    worths = {
        view: _of_values(lost / np.maximum(usual, _LEAST_LOST)[:, None, None, None], values)
        for view, (lost, values) in found.items()
    }
    finest = np.quantile(np.concatenate([worth.ravel() for worth in worths.values()]), 1 - _FINEST)
    return {view: (worth * (about.importance.knee / finest)).astype(np.float32) for view, worth in worths.items()}


def _of_values(lost: Floats, values: Floats) -> NDArray[np.float64]:
    """What each of the values that are not zero is worth, beside one more, from both [steps, maps, rows, columns]."""
    worth: NDArray[np.float64] = np.maximum(lost.mean(axis=0), _LEAST) / (values.mean(axis=0) + 1)
    return worth


def _measured(
    material: Material, transform: TrainedTransform, teacher: Teacher, view: View, sizes: Sequence[float]
) -> dict[str, Floats]:
    """What is lost by each cell of a view with all steps of each size, and how many values that are not zero it has.

    What is lost is the error of a cell's coefficients times the gradient at the decoded ones (Euler's theorem).
    """
    maps = {name: torch.tensor(values) for name, values in material.views.sent(view).items()}
    distance = teacher.distance(maps)
    grid = grid_of(transform.levels, {name: (each.shape[1], each.shape[2]) for name, each in maps.items()})
    batch = {name: each[None] for name, each in maps.items()}
    lost, counts = [], []
    for size in sizes:
        exact, decoded = transform.quantised(batch, grid, size)
        restored = {name: values[0] for name, values in transform.restored(batch, decoded).items()}
        gradients = torch.autograd.grad(distance.lost({**maps, **restored}), decoded)
        errors = zip(gradients, decoded, exact, strict=True)
        own = torch.cat([(gradient * (of - value)).detach().sum(1) for gradient, of, value in errors])
        lost.append(own.nan_to_num(0.0, 0.0, 0.0))
        counts.append(torch.cat([(of != 0).float().sum(1) for of in decoded]))
    return {"lost": torch.stack(lost).numpy(), "values": torch.stack(counts).numpy()}
