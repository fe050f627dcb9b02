"""scenes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from midstream.cli import options
from midstream.cli.console import note, print_json
from midstream.cli.progress import progress
from midstream.data import scenes
from midstream.data.scenes import motion
from midstream.errors import InputError
from midstream.wording import counted

#: How many are written unless asked otherwise.
_SCENES, _CLIPS = 50, 8


def scenes_command(
    output: options.Folder,
    count: Annotated[
        int | None, typer.Option(help="How many scenes or clips to write.", min=1, show_default="50; 8 with --video")
    ] = None,
    seed: Annotated[
        int,
        typer.Option(
            help="Seed of the first scene; each following scene has the next seed. Seeds from 0 to 9,999 are for "
            "measuring, from 10,000 to 19,999 for calibrating; the project's network was trained on 1,000,000 on.",
            min=0,
        ),
    ] = 0,
    video: Annotated[bool, typer.Option("--video", help="Write clips of scenes in motion.")] = False,
    frames: Annotated[
        int | None,
        typer.Option(
            help="With --video: frames of each clip, 25 a second.",
            min=1,
            max=motion.MOST_FRAMES,
            show_default=str(motion.FRAMES),
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(help="Without --video: name of the split: train, val, ...", show_default="val"),
    ] = None,
    size: options.Size = f"{scenes.SIZE[1]}x{scenes.SIZE[0]}",
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Write generated street scenes with their instances, in Cityscapes' folder layout, or clips of them.

    The folder of -o has to be empty, or not there yet; scenes may be written beside those of other splits.

    The same seed gives the same image and masks on every machine. 'eval' and 'compare' make scenes themselves, with
    --data scenes:COUNT,SEED or scenes-video:COUNT,SEED; this command is for looking at them, and for other programs.

    A clip is a folder in MOTChallenge's layout (img1, gt/gt.txt, seqinfo.ini); annotations.json has the masks, boxes
    and tracks of all clips in COCO's format.

    Example: midstream scenes --count 200 --split val -o scenes

    Example: midstream scenes --video --count 4 --frames 250 -o clips
    """
    width, height = options.width_height("--size", size)
    if video:
        _write_clips(output, count or _CLIPS, seed, frames or motion.FRAMES, (height, width), split, json, quiet)
        return
    if frames is not None:
        raise InputError("--frames is of clips: add --video")
    count, split = count or _SCENES, split or "val"
    with progress("making scenes", count, quiet) as advance:
        scenes.write_scenes(output, count, seed, split, (height, width), advance)
    if json:
        print_json({"folder": str(output), "split": split, "count": count, "seed": seed, "size": [width, height]})
    if not quiet:
        note(f"{output}: {count} scene{'s' if count > 1 else ''}; --data cityscapes:{output},{split}")


def _write_clips(
    output: Path, count: int, seed: int, frames: int, size: tuple[int, int], split: str | None, json: bool, quiet: bool
) -> None:
    if split is not None:
        raise InputError("--split is of scenes: clips have a folder each, and no split")
    with progress("making frames", count * frames, quiet) as advance:
        motion.write_films(output, count, seed, frames, size, advance)
    if json:
        print_json({"folder": str(output), "count": count, "seed": seed, "frames": frames, "size": [size[1], size[0]]})
    if not quiet:
        data = f"coco-video:{output},{output / motion.ANNOTATIONS}"
        note(f"{output}: {counted(count, 'clip')} of {counted(frames, 'frame')}; --data {data} or mot:{output}")
