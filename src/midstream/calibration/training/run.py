"""Training as a calibration asks for it: within a time, in laps that a stopped run does not repeat."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from midstream.calibration.fitting import Fit, Material
from midstream.calibration.settings import Training
from midstream.calibration.training.teacher import Teacher
from midstream.calibration.training.trainer import LAPS, Trainer
from midstream.codec.calibrated.document import About
from midstream.errors import InputError
from midstream.models import FloatPyramid, SplitModel
from midstream.wording import counted

#: However short the time is.
_LEAST_STEPS = 10 * LAPS


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


def trained(material: Material, about: About, fits: Sequence[Fit], training: Training, power: float) -> list[Fit]:
    """The groups with matrices that were trained for so many seconds, or steps; scores to the `power` are chances.

    Raises:
        InputError: a network that cannot be trained through, or a training that diverges.
    """
    trainer, progress, views = Trainer(material, about, fits, power), material.progress, material.views
    seed, begins, steps = material.settings.seed, trainer.spelled, training.steps
    if steps is not None and steps < _LEAST_STEPS:
        progress.warn(f"{counted(steps, 'step')} are hardly a training: some thousand are usual")
    if steps is None:
        progress.stage("what a step of training takes")
        what = f"steps of training {training.seconds} {begins}"
        found = views.kept(what, None, lambda: {"steps": np.array([trainer.steps_within(training.seconds)])})
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
    return trainer.fits()
