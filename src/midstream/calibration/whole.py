"""Calibration as one asks for it: from images, wherever they are, to a profile."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from midstream.calibration.clips import clip_sources
from midstream.calibration.run import Calibration, fit
from midstream.calibration.settings import (
    DEFAULT_BUDGET_S,
    DEFAULT_IMAGES,
    LEAST_IMAGES,
    CalibrationSettings,
    Tools,
    Training,
    seconds_of,
    tool_names,
)
from midstream.calibration.views import Views
from midstream.codec.calibrated.profile import Profile
from midstream.data.given import Images, given
from midstream.errors import InputError, unknown
from midstream.files import own_folder
from midstream.models import SplitModel, load
from midstream.models.base import takes_arrays
from midstream.progress import Progress, logged


def calibrate(
    model: SplitModel | str,
    images: Images,
    *,
    video: Sequence[str] = (),
    budget: float | str = DEFAULT_BUDGET_S,
    max_images: int = DEFAULT_IMAGES,
    passes: int | None = None,
    seed: int = 0,
    without: Sequence[str] = (),
    train: float | str | None = None,
    work: str | Path | None = None,
    strict: bool = False,
    progress: Progress | None = None,
) -> Profile:
    """Fit the codec `calibrated` to a network, from a few unlabelled images; without training unless `train` is given.

    >>> model = ms.load_model("streets-r16")
    >>> profile = ms.calibrate(model, "scenes:20,10000", passes=1)
    >>> profile.write("streets.profile")
    >>> data = ms.encode(model.front(image), "calibrated", profile=profile, quality=60)

    The codec is fitted to three quarters of the images; the last quarter shows what each quality costs and loses.

    Args:
        model: what `load_model` or `split` gives, or a name.
        images: like those to come, 50 to 500; labels do not matter. A folder, a data set or what names one, or a list
            of files and arrays (uint8 RGB [H, W, 3]).
        video: clips to which the prediction of frames is fitted, too: videos, folders of frames, folders of either,
            data sets of clips such as mot:DIR.
        budget: what all of it may take, about, in seconds or as 90s, 10m, 1h; with less it uses fewer images and
            measures less.
        max_images: the most images to use.
        passes: of the network to measure its sensitivity, on all images, instead of a budget.
        seed: of everything random; the same seed and passes give the same profile.
        without: parts of the method to leave out, by the names of `calibration.Tools`.
        train: how long the transform is then trained through the back by gradient, in seconds or as 30m or 2h, which
            takes the extra `train` (`midstream train`); None for not at all.
        work: a folder for intermediate results, which stays, and from which a stopped run resumes.
        strict: end at the first image that cannot be read.
        progress: what is told how far it is; without one the log `midstream` is.

    Raises:
        InputError: fewer than 20 images that can be read, a clip that cannot, a network that no profile fits, or that
            cannot be trained through.
    """
    if not (max_images >= LEAST_IMAGES and (passes is None or passes > 0)):
        raise InputError(f"a calibration takes passes above 0, and at least {LEAST_IMAGES} images")
    training = None if train is None else Training(seconds_of(train, "train"))
    settings = CalibrationSettings(max_images, seconds_of(budget), passes, seed, tools_without(without), training)
    network = load(model) if isinstance(model, str) else model
    with ExitStack() as stack:
        if work is None:
            work = stack.enter_context(tempfile.TemporaryDirectory(prefix="midstream-"))
        told = logged(logging.getLogger("midstream")) if progress is None else progress
        return calibrated(network, images, Path(work), settings, told, video=video, strict=strict).profile


def calibrated(
    model: SplitModel,
    images: Images,
    work: Path,
    settings: CalibrationSettings,
    progress: Progress,
    *,
    video: Sequence[str] = (),
    strict: bool = False,
    output: str | None = None,
    keep: bool = True,
) -> Calibration:
    """`calibrate` with all that its report shows.

    Args:
        model: a network.
        images: see `calibrate`.
        work: the folder for intermediate results.
        settings: see CalibrationSettings.
        progress: what is told how far it is.
        video: see `calibrate`.
        strict: see `calibrate`.
        output: the file that the profile is written to.
        keep: whether the folder stays when that is done.

    Raises:
        InputError: as `calibrate`; another process works in the folder, or nothing can be written to it; a training of
            a network whose back has no gradient.
    """
    if settings.training is not None:
        from midstream.calibration.training.run import check_trainable

        check_trainable(model)
    clips = clip_sources(video)
    with given(images, arrays=takes_arrays(model)) as dataset:
        progress.stage("reading images")
        views = Views(model, dataset.images, work, settings, strict)
        for _, why in views.skipped:
            progress.warn(f"skipped: {why}")
        with own_folder(work):
            done = fit(model, views, settings, progress, clips)
            if output is not None:
                done.profile.write(output)
            if not keep:
                shutil.rmtree(work, ignore_errors=True)
    return done


def tools_without(names: Sequence[str]) -> Tools:
    """All parts of the method but these. Raises InputError for a name that none has."""
    for name in names:
        if name not in tool_names():
            raise unknown("part of the method", name, tool_names(), limit=len(tool_names()))
    return replace(Tools(), **dict.fromkeys(names, False))
