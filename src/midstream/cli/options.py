"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from midstream.codec.calibrated.options import DEFAULT_QUALITY
from midstream.codec.codec import CodecOptions
from midstream.codec.codec import codec_options as checked_options
from midstream.codec.container import CODECS
from midstream.codec.paper.options import DEFAULT_CODER, NAMED_THRESHOLDS
from midstream.codec.paper.symbols import CODERS
from midstream.errors import InputError
from midstream.files import STANDARD
from midstream.limits import Limits

_CODEC = "Codec"
#: Of a side of a picture.
_MOST_PIXELS = 1 << 14

Symbols = Annotated[
    int | None,
    typer.Option(
        help="Number of symbols (intervals) n, 1 to 256.", show_default="4", rich_help_panel=_CODEC, metavar="N"
    ),
]
Z = Annotated[
    float | None,
    typer.Option(
        help="The paper's threshold in standard deviations: -z, z for 3 symbols, -z, 0, z for 4.",
        show_default="the paper's best, 1.0 and 1.5",
        rich_help_panel=_CODEC,
    ),
]
Thresholds = Annotated[
    str | None,
    typer.Option(
        help="Instead of --z: n - 1 increasing numbers (--thresholds=-1,0,1), uniform (with --step), lloyd-max (fitted "
        "on each picture) or range (uniform over each channel's range; with 256 symbols the 8-bit conversion).",
        rich_help_panel=_CODEC,
    ),
]
Step = Annotated[
    float | None, typer.Option(help="Distance of uniform thresholds, in standard deviations.", rich_help_panel=_CODEC)
]
Coder = Annotated[
    str | None,
    typer.Option(
        help=f"How symbols are written: {', '.join(CODERS)}.",
        show_default=DEFAULT_CODER,
        rich_help_panel=_CODEC,
    ),
]
_CALIBRATED = "Codec calibrated"
ProfileFile = Annotated[
    str | None,
    typer.Option(
        "--profile",
        help="The network's profile, from 'midstream calibrate'; - for standard input.",
        rich_help_panel=_CALIBRATED,
        metavar="FILE",
    ),
]
Quality = Annotated[
    int | None,
    typer.Option(
        help="1 to 100: the same number means about the same loss of accuracy on every network.",
        show_default=str(DEFAULT_QUALITY),
        rich_help_panel=_CALIBRATED,
        metavar="Q",
    ),
]
PlacesBy = Annotated[
    str | None,
    typer.Option(
        "--places",
        help="Who says where the network sees something: probe, network (a run of its back), or auto: the network "
        "where it shows its scores.",
        show_default="auto",
        rich_help_panel=_CALIBRATED,
    ),
]
MaxBytes = Annotated[
    int | None,
    typer.Option(help="Instead of --quality: a hard cap on the bytes of each bitstream.", rich_help_panel=_CALIBRATED),
]
MaxLoss = Annotated[
    str | None,
    typer.Option(
        help="Instead of --quality: the most that the accuracy may suffer, such as 1% or 0.01, by the calibration's "
        "own estimate.",
        rich_help_panel=_CALIBRATED,
        metavar="SHARE",
    ),
]
Embed = Annotated[
    bool, typer.Option("--embed", help="Put the profile into the bitstream.", rich_help_panel=_CALIBRATED)
]
CodecName = Annotated[str, typer.Option("--codec", help=f"The codec: {', '.join(CODECS)}.", rich_help_panel=_CODEC)]
Threads = Annotated[
    int | None,
    typer.Option(
        help="Threads to use at most; the bytes are the same for any number.", show_default="all cores", min=1
    ),
]
#: Of a pyramid, unless --max-elements says otherwise.
MOST_ELEMENTS = Limits().elements
MaxElements = Annotated[int, typer.Option(help="Refuse a pyramid of more elements than this.", min=1)]
ModelName = Annotated[
    str, typer.Option("--model", "-m", help="A name from 'midstream models', or a description FILE.toml.")
]
Weights = Annotated[
    Path | None, typer.Option(help="The network's ONNX file or torch state dict, instead of looking for it.")
]
Data = Annotated[
    str,
    typer.Option(
        "--data",
        "-d",
        help="coco:IMAGES,FILE.json (annotations), cityscapes:ROOT, scenes:COUNT,SEED (made by the project), or a "
        "folder of pictures (agreement).",
    ),
]
Limit = Annotated[int | None, typer.Option(help="Only the first so many pictures.", min=1)]
Cache = Annotated[
    Path | None, typer.Option(help="Folder that keeps the pyramids, so that the network's front runs once a picture.")
]
Strict = Annotated[
    bool, typer.Option("--strict", help="End at the first picture that cannot be read, instead of leaving it out.")
]
Size = Annotated[str, typer.Option(help="WIDTHxHEIGHT.", metavar="WxH")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Say nothing of progress on standard error: warnings and errors alone.")
]
Output = Annotated[str, typer.Option("--output", "-o", help="File to write; - for standard output.")]
Folder = Annotated[Path, typer.Option("--output", "-o", help="Folder to write to; made when it does not exist.")]


def codec_options(
    codec: str,
    symbols: int | None = None,
    z: float | None = None,
    thresholds: str | None = None,
    step: float | None = None,
    coder: str | None = None,
    profile: str | None = None,
    quality: int | None = None,
    max_bytes: int | None = None,
    max_loss: str | None = None,
    embed: bool = False,
    **more: str | None,
) -> CodecOptions:
    """Codec options from the command line's spelling, `more` of those of `calibrated`. Raises InputError."""
    ours = {
        "symbols": symbols, "z": z, "thresholds": _thresholds(thresholds), "step": step, "coder": coder,
    }  # fmt: skip
    theirs = {
        "profile": profile, "quality": quality, "max_bytes": max_bytes, "max_loss": share(max_loss),
        "embed": embed or None, **more,
    }  # fmt: skip
    return checked_options(codec, ours, theirs)


def check_profile_file(profile: str | None, source: str = "") -> None:
    """Refuse a --profile that cannot be a file, or is read from where `source` is, too. Raises InputError."""
    if profile == STANDARD == source:
        raise InputError("standard input (-) is given twice, for the input and for --profile")
    if profile is not None and (not profile or Path(profile).is_dir()):
        raise InputError(f"--profile '{profile}': the name of a file, from 'midstream calibrate', is needed")


def spelled(option: str) -> str:
    """An option of a codec as the command line has it."""
    return f"--{option.replace('_', '-')}"


def _thresholds(text: str | None) -> str | list[float] | None:
    if text is None or text in NAMED_THRESHOLDS:
        return text
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise InputError(
            f"unknown --thresholds '{text}'; valid: {', '.join(NAMED_THRESHOLDS)}, or increasing numbers separated by "
            "commas"
        ) from error


def share(text: str | None) -> float | None:
    """A share as people write it: 1% or 0.01. Raises InputError."""
    if text is None:
        return None
    try:
        return float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError as error:
        raise InputError(f"--max-loss {text}: a share such as 1% or 0.01") from error


def width_height(option: str, text: str) -> tuple[int, int]:
    """(width, height) from WIDTHxHEIGHT; `option` is named in errors. Raises InputError."""
    try:
        width, height = (int(part) for part in text.lower().split("x"))
    except ValueError as error:
        raise InputError(f"{option} {text}: expected WIDTHxHEIGHT, such as 2048x1024") from error
    if not (1 <= width <= _MOST_PIXELS and 1 <= height <= _MOST_PIXELS):
        raise InputError(f"{option} {text}: both sides must be from 1 to {_MOST_PIXELS}")
    return width, height
