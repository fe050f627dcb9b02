"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from midstream.calibration.settings import LEAST_IMAGES
from midstream.errors import InputError
from midstream.limits import Limits

#: Of a side of an image.
_MOST_PIXELS = 1 << 14

ProfileFile = Annotated[
    str | None,
    typer.Option(
        "--profile",
        help="The network's profile, from 'midstream calibrate'; - for standard input.",
        rich_help_panel="Codec calibrated",
        metavar="FILE",
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(help="Most threads to use; the bytes are the same for any number.", show_default="all cores", min=1),
]
#: Of a pyramid, unless --max-elements says otherwise.
MOST_ELEMENTS = Limits().elements
MaxElements = Annotated[int, typer.Option(help="Refuse a pyramid of more elements than this.", min=1)]
ModelName = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        help="The network: a name from 'midstream models', a description FILE.toml (made by 'midstream init'), or a "
        "FILE.onnx, described as 'init' does it.",
    ),
]
Weights = Annotated[
    Path | None, typer.Option(help="The network's ONNX file or torch state dict, if it is not where it is looked for.")
]
Data = Annotated[
    str,
    typer.Option(
        "--data",
        "-d",
        help="With labels: coco:IMAGES,FILE.json, voc:ROOT, yolo:data.yaml, openimages:IMAGES,BOXES.csv, "
        "parquet:FILE, cityscapes:ROOT, imagenet:DIR, masks:IMAGES,MASKS, voc-segmentation:ROOT, scenes:COUNT,SEED "
        "(made by the project). A folder of images: agreement. Of clips: video:FILE, clips:DIR, mot:ROOT, "
        "coco-video:FRAMES,FILE.json, scenes-video:COUNT,SEED (made by the project). More: docs/data.md.",
    ),
]
Limit = Annotated[int | None, typer.Option(help="Use only the first images, or frames of each clip, this many.", min=1)]
Cache = Annotated[
    Path | None,
    typer.Option(help="Folder that keeps the pyramids, so that the network's front runs once for each image."),
]
Strict = Annotated[
    bool, typer.Option("--strict", help="End at the first image that cannot be read, instead of leaving it out.")
]
Size = Annotated[str, typer.Option(help="Size of the images, WIDTHxHEIGHT.", metavar="WxH")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Show no progress on standard error, only warnings and errors.")
]
Output = Annotated[str, typer.Option("--output", "-o", help="File to write; - for standard output.")]
Folder = Annotated[Path, typer.Option("--output", "-o", help="Folder to write to; it is made if it does not exist.")]
Images = Annotated[
    str,
    typer.Option(
        metavar="DIR",
        help="Folder of images like those to come, or a data set as 'eval --data' names it; labels do not matter.",
    ),
]
NewProfile = Annotated[str, typer.Option("--output", "-o", help="The profile to write.")]
Clips = Annotated[
    list[str] | None,
    typer.Option(
        metavar="CLIP|DIR",
        help="Also fit how frames of a stream follow one another, to clips without labels: a video, a folder of "
        "frames, a folder of either, a data set of clips such as mot:DIR, or scenes-video:COUNT,SEED; may be "
        "given several times.",
    ),
]
Budget = Annotated[
    str,
    typer.Option(
        metavar="TIME",
        help="About how long it may take in all: 90s, 10m, 1h. With a short budget it uses fewer images and "
        "measures less of the network; the first line of progress gives the least time that it needs.",
    ),
]
MaxImages = Annotated[int, typer.Option(help="The most images to use; 50 to 500 are sensible.", min=LEAST_IMAGES)]
Passes = Annotated[
    int | None,
    typer.Option(help="Passes of the network to measure its sensitivity, on all images, instead of a budget.", min=1),
]
Seed = Annotated[
    int,
    typer.Option(
        help="Seed of everything random: the same seed and passes give the same profile (docs/method.md).",
        min=0,
        max=(1 << 53) - 1,
    ),
]
Work = Annotated[
    Path | None,
    typer.Option(help="Folder for intermediate results, from which a stopped run resumes.", show_default="OUTPUT.work"),
]
Keep = Annotated[bool, typer.Option("--keep", help="Keep the folder of --work after the profile is written.")]


def width_height(option: str, text: str) -> tuple[int, int]:
    """(width, height) from WIDTHxHEIGHT; `option` is named in errors. Raises InputError."""
    try:
        width, height = (int(part) for part in text.lower().split("x"))
    except ValueError as error:
        raise InputError(f"{option} {text}: expected WIDTHxHEIGHT, such as 2048x1024") from error
    if not (1 <= width <= _MOST_PIXELS and 1 <= height <= _MOST_PIXELS):
        raise InputError(f"{option} {text}: both sides must be from 1 to {_MOST_PIXELS}")
    return width, height


def spelled(option: str) -> str:
    """An option of a codec as the command line has it."""
    return f"--{option.replace('_', '-')}"
