"""calibrate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from midstream import data as datasets
from midstream import models
from midstream.calibration.settings import (
    DEFAULT_BUDGET_S,
    DEFAULT_IMAGES,
    EARLIER_NAMES,
    LEAST_IMAGES,
    CalibrationSettings,
    Tools,
    seconds_of,
    tool_names,
)
from midstream.cli import options
from midstream.cli.console import SOME_FAILED, note, print_json, print_table
from midstream.cli.drawing import check_png, png
from midstream.cli.profile_tables import print_qualities
from midstream.cli.progress import Stages
from midstream.cli.signals import kept_in
from midstream.errors import InputError
from midstream.files import STANDARD, check_writable, write_bytes
from midstream.wording import counted

if TYPE_CHECKING:
    from midstream.calibration.run import Calibration

#: Of `--without`, understood for one more release.
_EARLIER = {earlier: name for name, earlier in EARLIER_NAMES.items()}


def calibrate_command(
    model: options.ModelName,
    images: Annotated[
        str,
        typer.Option(
            metavar="DIR",
            help="Folder of images like those to come, or a data set as 'eval --data' names it; labels do not matter.",
        ),
    ],
    output: Annotated[str, typer.Option("--output", "-o", help="The profile to write.")],
    video: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CLIP|DIR",
            help="Also fit how frames of a stream follow one another, to clips without labels: a video, a folder of "
            "frames, a folder of either, a data set of clips such as mot:DIR, or scenes-video:COUNT,SEED; may be "
            "given several times.",
        ),
    ] = None,
    budget: Annotated[
        str,
        typer.Option(
            metavar="TIME",
            help="About how long it may take in all: 90s, 10m, 1h. With a short budget it uses fewer images and "
            "measures less of the network; the first line of progress gives the least time that it needs.",
        ),
    ] = f"{DEFAULT_BUDGET_S / 60:.0f}m",
    max_images: Annotated[
        int, typer.Option(help="The most images to use; 50 to 500 are sensible.", min=LEAST_IMAGES)
    ] = DEFAULT_IMAGES,
    passes: Annotated[
        int | None,
        typer.Option(
            help="Passes of the network to measure its sensitivity, on all images, instead of a budget.", min=1
        ),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(
            help="Seed of everything random: the same seed and passes give the same profile (docs/method.md).",
            min=0,
        ),
    ] = 0,
    weights: options.Weights = None,
    without: Annotated[
        str | None,
        typer.Option(
            metavar="TOOL,...",
            help=f"Leave out parts of the method, to measure what they are worth: {', '.join(tool_names())}.",
        ),
    ] = None,
    work: Annotated[
        Path | None,
        typer.Option(
            help="Folder for intermediate results, from which a stopped run resumes.", show_default="OUTPUT.work"
        ),
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the folder of --work after the profile is written.")
    ] = False,
    figure: Annotated[
        str | None, typer.Option("--figure", help="Also draw the sensitivity of levels and channels, as a .png.")
    ] = None,
    strict: options.Strict = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Fit the codec 'calibrated' to a network, from a few unlabelled images and without training.

    The codec is fitted to three quarters of the images; the last quarter shows what each quality costs and loses.
    The exit code is 0, or 1 if some images could not be read and were left out.

    Example: midstream calibrate --model picodet-s-416 --images photos -o picodet.profile

    Example: midstream calibrate --model picodet-s-416 --images photos --video clips -o picodet.profile
    """
    from midstream.calibration.whole import calibrated

    if output == STANDARD:
        raise InputError("a profile is written to a file: -o NAME.profile")
    check_writable(output)
    if figure is not None:
        check_png(figure)
    settings = CalibrationSettings(max_images, seconds_of(budget, "--budget"), passes, seed, _tools(without))
    named = images if datasets.has_kind(images) else f"folder:{images}"
    network = models.load(model, weights)
    folder, stays = work or Path(f"{output}.work"), work is not None or keep
    with kept_in(folder), Stages(quiet) as stages:
        done = calibrated(
            network, named, folder, settings, stages, video=video or (), strict=strict, output=output, keep=stays
        )
    if figure is not None:
        from midstream.calibration.figure import sensitivity_figure

        write_bytes(figure, png(sensitivity_figure(done.sensitivity)))
    if json:
        print_json(_report(done))
    else:
        _print(done)
    if not quiet:
        note(f"{output}: profile {done.profile.name}, {len(done.profile.data):,} bytes")
    if done.skipped:
        raise typer.Exit(SOME_FAILED)


def _tools(without: str | None) -> Tools:
    from midstream.calibration.whole import tools_without

    names = without.split(",") if without else []
    for name in names:
        if name in _EARLIER:
            note(f"--without {name} is now {_EARLIER[name]}; the next release no longer knows the earlier name")
    return tools_without([_EARLIER.get(name, name) for name in names])


def _report(done: Calibration) -> dict[str, object]:
    about = done.profile.about
    return {
        "profile": done.profile.name,
        "bytes": len(done.profile.data),
        "network": about.network,
        "images": about.images,
        "skipped": list(done.skipped),
        "sensitivity_power": done.power,
        "sensitivity": {name: values.tolist() for name, values in done.sensitivity.items()},
        "variances": [values.tolist() for values in done.variances],
        "qualities": list(about.qualities),
        "curve": [point.model_dump() for point in about.curve],
    }


def _print(done: Calibration) -> None:
    about = done.profile.about
    rows = []
    for group, variances in zip(done.profile.groups, done.variances, strict=True):
        share = variances.cumsum() / variances.sum()
        for i, level in enumerate(group.levels):
            seen = done.sensitivity[level.about.name]
            own = [f"{len(variances)}", *(f"{int((share < s).sum()) + 1}" for s in (0.5, 0.9, 0.99))]
            rows.append(
                [
                    level.about.name, f"{level.about.channels}", f"{len(level.basis)}",
                    f"{seen.min():.3g} / {sorted(seen)[len(seen) // 2]:.3g} / {seen.max():.3g}",
                    *(own if i == 0 else [""] * 4),
                ]
            )  # fmt: skip
    title = f"{about.network}, {counted(about.images, 'image')}"
    if done.skipped:
        title += f" ({len(done.skipped)} more cannot be read)"
    columns = [
        "level",
        "channels",
        "kept",
        "sensitivity, least / median / most",
        "coefficients",
        "50 %",
        "90 %",
        "99 %",
    ]
    print_table(f"{title}; sensitivity to the power of {done.power:g}; coefficients that hold a share of the energy",
                columns, rows)  # fmt: skip
    print_qualities(done.profile)
