"""scenes."""

from __future__ import annotations

from typing import Annotated

import typer

from midstream.cli import options
from midstream.cli.console import note, print_json
from midstream.cli.progress import progress
from midstream.data import scenes


def scenes_command(
    output: options.Folder,
    count: Annotated[int, typer.Option(help="How many scenes to write.", min=1)] = 50,
    seed: Annotated[
        int,
        typer.Option(
            help="Seed of the first scene; each following scene has the next seed. Seeds from 0 to 9,999 are for "
            "measuring, from 10,000 to 19,999 for calibrating; the project's network was trained on 1,000,000 on.",
            min=0,
        ),
    ] = 0,
    split: Annotated[str, typer.Option(help="Name of the split: train, val, ...")] = "val",
    size: options.Size = f"{scenes.SIZE[1]}x{scenes.SIZE[0]}",
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Write generated street scenes with their instances, in Cityscapes' folder layout.

    The same seed gives the same image and masks on every machine. 'eval' and 'compare' make scenes themselves, with
    --data scenes:COUNT,SEED; this command is for looking at them, and for other programs.

    Example: midstream scenes --count 200 --split val -o scenes
    """
    width, height = options.width_height("--size", size)
    with progress("making scenes", count, quiet) as advance:
        scenes.write_scenes(output, count, seed, split, (height, width), advance)
    if json:
        print_json({"folder": str(output), "split": split, "count": count, "seed": seed, "size": [width, height]})
    if not quiet:
        note(f"{output}: {count} scene{'s' if count > 1 else ''}; --data cityscapes:{output},{split}")
