"""calibrate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from midstream import data as datasets
from midstream import models
from midstream.calibration.settings import (
    DEFAULT_BUDGET_S,
    DEFAULT_IMAGES,
    EARLIER_NAMES,
    TRAINED,
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
    images: options.Images,
    output: options.NewProfile,
    video: options.Clips = None,
    budget: options.Budget = f"{DEFAULT_BUDGET_S / 60:.0f}m",
    max_images: options.MaxImages = DEFAULT_IMAGES,
    passes: options.Passes = None,
    seed: options.Seed = 0,
    weights: options.Weights = None,
    without: Annotated[
        str | None,
        typer.Option(
            metavar="TOOL,...",
            help=f"Leave out parts of the method, to measure what they are worth: {', '.join(tool_names())}.",
        ),
    ] = None,
    work: options.Work = None,
    keep: options.Keep = False,
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
    if figure is not None:
        check_png(figure)
    settings = CalibrationSettings(max_images, seconds_of(budget, "--budget"), passes, seed, _tools(without))
    kept = work is not None or keep
    done = profile_of(model, weights, images, output, settings, video, work, kept, strict=strict, quiet=quiet)
    if figure is not None:
        from midstream.calibration.figure import sensitivity_figure

        write_bytes(figure, png(sensitivity_figure(done.sensitivity)))
    report(done, output, json=json, quiet=quiet)


def profile_of(
    model: str,
    weights: Path | None,
    images: str,
    output: str,
    settings: CalibrationSettings,
    video: Sequence[str] | None,
    work: Path | None,
    kept: bool,
    *,
    strict: bool,
    quiet: bool,
) -> Calibration:
    """Make a profile as the options say, and write it. Raises InputError before long work for what cannot be."""
    from midstream.calibration.whole import calibrated

    if output == STANDARD:
        raise InputError("a profile is written to a file: -o NAME.profile")
    check_writable(output)
    named = images if datasets.has_kind(images) else f"folder:{images}"
    network, folder = models.load(model, weights), work or Path(f"{output}.work")
    with kept_in(folder), Stages(quiet) as stages:
        return calibrated(
            network, named, folder, settings, stages, video=video or (), strict=strict, output=output, keep=kept
        )


def report(done: Calibration, output: str, *, json: bool, quiet: bool) -> None:
    """Print what a profile costs and loses, and end with the exit code where images were left out."""
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
        "trained": about.tools.get(TRAINED, False),
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
    if about.tools.get(TRAINED):
        title += ", trained"
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
