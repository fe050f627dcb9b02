"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
