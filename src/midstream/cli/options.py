"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from midstream.codec.container import CODECS
from midstream.codec.options import NAMED_THRESHOLDS, PaperOptions, paper_options
from midstream.codec.symbols import CODERS
from midstream.errors import InputError, unknown

_CODEC = "Codec"

Symbols = Annotated[
    int | None,
    typer.Option(help="Number of symbols (intervals) n, 1 to 256. [default: 4]", rich_help_panel=_CODEC, metavar="N"),
]
Z = Annotated[
    float | None,
    typer.Option(
        help="The paper's threshold in standard deviations: -z, z for 3 symbols, -z, 0, z for 4. [default: the paper's "
        "best, 1.0 and 1.5]",
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
Coder = Annotated[str, typer.Option(help=f"How symbols are written: {', '.join(CODERS)}.", rich_help_panel=_CODEC)]
CodecName = Annotated[str, typer.Option("--codec", help=f"The codec: {', '.join(CODECS)}.", rich_help_panel=_CODEC)]
Threads = Annotated[
    int | None,
    typer.Option(help="Threads to use at most; the bytes are the same for any number. [default: all cores]", min=1),
]
ModelName = Annotated[
    str, typer.Option("--model", "-m", help="A name from 'midstream models', or a description FILE.toml.")
]
Weights = Annotated[
    Path | None, typer.Option(help="The network's ONNX file or torch state dict, instead of looking for it.")
]
Data = Annotated[
    str,
    typer.Option(
        "--data", "-d", help="coco:IMAGES_DIR,ANNOTATIONS.json, cityscapes:ROOT, or a folder of pictures (agreement)."
    ),
]
Limit = Annotated[int | None, typer.Option(help="Only the first so many pictures.", min=1)]
Cache = Annotated[
    Path | None, typer.Option(help="Folder that keeps the pyramids, so that the network's front runs once a picture.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")]
Output = Annotated[str, typer.Option("--output", "-o", help="File to write; - for standard output.")]
Folder = Annotated[Path, typer.Option("--output", "-o", help="Folder to write to; made when it does not exist.")]


def codec_options(
    codec: str, symbols: int | None, z: float | None, thresholds: str | None, step: float | None, coder: str
) -> PaperOptions:
    """Codec options from the command line's spelling. Raises InputError."""
    if codec not in CODECS:
        raise unknown("codec", codec, CODECS)
    values: str | list[float] | None = thresholds
    if thresholds is not None and thresholds not in NAMED_THRESHOLDS:
        try:
            values = [float(part) for part in thresholds.split(",")]
        except ValueError as error:
            raise InputError(
                f"unknown thresholds '{thresholds}'; valid: {', '.join(NAMED_THRESHOLDS)}, or increasing numbers "
                "separated by commas"
            ) from error
    return paper_options(symbols, z, values, step, coder)
