"""Training as a calibration asks for it: within a time, in laps that a stopped run does not repeat."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from midstream.calibration.fitting import Fit, Material
from midstream.calibration.settings import Training
from midstream.calibration.training.teacher import Teacher
from midstream.calibration.training.trainer import LAPS, Trainer
from midstream.calibration.training.worth import cell_worths
from midstream.codec.calibrated.document import About
from midstream.errors import InputError
from midstream.models import FloatPyramid, SplitModel
from midstream.wording import counted

#: However short the time is.
_LEAST_STEPS = 10 * LAPS
#: Of the steps that are trained for, from the coarsest on, those that show what cells are worth.
_MEASURED = (2, 4)


def check_trainable(model: SplitModel, pyramids: Sequence[FloatPyramid] = ()) -> None:
    """Look whether a network can be trained through, as far as it and one of these pyramids tell.

    Raises:
        InputError: it cannot, and why.
    """
    teacher = Teacher(model)
    for number, pyramid in enumerate(pyramids, 1):
        try:
            teacher.check(pyramid)
            return
        except InputError:  # of a black image, say
            if number == len(pyramids):
                raise


def trained(
    material: Material, about: About, fits: Sequence[Fit], indices: Sequence[int], training: Training, power: float
) -> tuple[Material, list[Fit]]:
    """The groups with matrices that are better with quantiser steps of these `indices`, and what cells are worth.

    Scores to the `power` are chances.

    Raises:
        InputError: a network that cannot be trained through, or a training that diverges.
    """
    begin, teacher = time.monotonic(), Teacher(material.model, power)
    if about.importance.classes > 1:
        middle = [indices[number] for number in _MEASURED]
        material = replace(material, worths=cell_worths(material, about, fits, middle, teacher))
    trainer, progress, views = Trainer(material, about, fits, indices, teacher), material.progress, material.views
    seed, begins, steps = material.settings.seed, trainer.spelled, training.steps
    if steps is not None and steps < _LEAST_STEPS:
        progress.warn(f"{counted(steps, 'step')} are hardly a training: some thousand are usual")
    if steps is None:
        progress.stage("what a step of training takes")
        what = f"steps of training {training.seconds} {begins}"
        left = training.seconds - (time.monotonic() - begin)
        found = views.kept(what, None, lambda: {"steps": np.array([trainer.steps_within(left)])})
        steps = int(found["steps"][0])
        if steps < _LEAST_STEPS:
            progress.warn(f"so short a training has {max(steps, 0)} steps here: it takes {_LEAST_STEPS}, and longer")
            steps = _LEAST_STEPS
        progress.say(f"{counted(steps, 'step')} of training; --steps {steps} does the same without the clock")
    begun = f"training {seed} {begins}"
    state = views.kept(f"first of {begun}", None, lambda: trainer.first(seed, progress))
    progress.stage("training the transform", steps)
    done = 0

    def advance() -> None:
        nonlocal done
        done += 1
        progress.step()

    for number in range(LAPS):
        lap = partial(trainer.lap, number, steps, state, seed, advance)
        state = views.kept(f"lap {number} of {LAPS} {steps} {begun}", None, lap)
        for _ in range((number + 1) * steps // LAPS - done):  # of a lap that an earlier run left
            advance()
    trainer.load(state)
    return material, trainer.fits()
