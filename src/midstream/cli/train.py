"""train."""

from __future__ import annotations

from typing import Annotated

import typer

from midstream.calibration.settings import (
    DEFAULT_BUDGET_S,
    DEFAULT_HOURS,
    DEFAULT_IMAGES,
    CalibrationSettings,
    Training,
    seconds_of,
)
from midstream.cli import options
from midstream.cli.calibrate import profile_of, report


def train_command(
    model: options.ModelName,
    images: options.Images,
    output: options.NewProfile,
    hours: Annotated[float, typer.Option(help="How long to train, beside what --budget is for.")] = DEFAULT_HOURS,
    steps: Annotated[int | None, typer.Option(help="Steps to train, instead of hours.", min=1)] = None,
    video: options.Clips = None,
    budget: Annotated[
        str, typer.Option(metavar="TIME", help="About how long all but the training may take: 90s, 10m, 1h.")
    ] = f"{DEFAULT_BUDGET_S / 60:.0f}m",
    max_images: options.MaxImages = DEFAULT_IMAGES,
    passes: options.Passes = None,
    seed: options.Seed = 0,
    weights: options.Weights = None,
    work: options.Work = None,
    keep: options.Keep = False,
    strict: options.Strict = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Calibrate, then train the transform through the network's back by gradient: fewer bytes at the same accuracy.

    No labels are needed: what the network finds without coding is what is to be kept. The profile is one like any
    other, and encoding and decoding take no longer. It needs the extra `train`, an ONNX file of float32, of a detector
    of boxes (yolox, gfl, yolov8, yolov5 in pixels), of a Mask R-CNN whose graph also gives `proposals` and
    `objectness`, or of a network of another task, some GB of memory, and no GPU. What
    has been trained is kept ten times in the folder of --work, from which a stopped run goes on. Where training takes
    no fewer bytes of the images that are held out, the profile is that of 'midstream calibrate'.

    Example: midstream train --model picodet-s-416 --images photos --hours 2 -o picodet.profile
    """
    settings = CalibrationSettings(
        max_images, seconds_of(budget, "--budget"), passes, seed, training=Training(3600 * hours, steps)
    )
    kept = work is not None or keep
    done = profile_of(model, weights, images, output, settings, video, work, kept, strict=strict, quiet=quiet)
    report(done, output, json=json, quiet=quiet)
