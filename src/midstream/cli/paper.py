"""paper sizes, accuracy and figure: the founding paper's tables and figure."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from midstream import data as datasets
from midstream import models
from midstream.cli import options
from midstream.cli.console import print_json, print_table
from midstream.cli.drawing import check_png, png
from midstream.cli.evaluation import leave_with_remarks
from midstream.cli.progress import progress
from midstream.codec.speed import r50_fpn_shapes
from midstream.data import read_image
from midstream.errors import InputError, unknown
from midstream.evaluation.paper_tables import (
    TABLE_CODERS,
    AccuracyRow,
    SizeRow,
    accuracy_rows,
    size_rows,
    stand_in_pyramid,
)
from midstream.files import write_bytes
from midstream.models.registry import TORCHVISION
from midstream.report.feature_maps import figure_3
from midstream.wording import counted

app = typer.Typer(no_args_is_help=True, help="Compute the founding paper's tables and figure.")
_PAPER_INPUT = "2048x1024"
_STAND_IN = "standard normal features in place of a network's"


@app.command("sizes")
def sizes(
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="A network to use instead of R50-FPN's shapes.")
    ] = None,
    weights: options.Weights = None,
    input_size: Annotated[
        str | None,
        typer.Option("--input", help="The size of the input of R50-FPN, WIDTHxHEIGHT.", show_default=_PAPER_INPUT),
    ] = None,
    image: Annotated[
        str | None, typer.Option(help="The image whose features are written, with --model; without it, noise.")
    ] = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Compute Tables 1 and 2: sizes from shapes and bits, and next to them the bytes that are actually written."""
    if model is None or model in TORCHVISION:
        if image is not None or weights is not None:
            raise InputError("--image and --weights need --model with an ONNX network")
        width, height = options.width_height("--input", input_size or _PAPER_INPUT)
        pyramid, size = stand_in_pyramid(r50_fpn_shapes(height, width)), (height, width)
        name, features = "R50-FPN", _STAND_IN
    else:
        if input_size is not None:
            raise InputError("--input belongs to R50-FPN: a network of --model has its own input size")
        network = models.load(model, weights)
        pixels = read_image(image) if image else np.random.default_rng(0).integers(0, 256, (480, 640, 3), "u1")
        pyramid, size = network.front(pixels), network.input_size((pixels.shape[0], pixels.shape[1]))
        name, features = network.name, Path(image).name if image else "an image of noise"
    with progress("coding", 4, quiet) as advance:
        rows = size_rows(pyramid, size, advance)
    if json:
        print_json({"model": name, "features": features, "rows": [row.model_dump() for row in rows]})
        return
    _print_sizes(f"{name}, input {size[1]}x{size[0]}; bytes written for {features}", rows)


def _print_sizes(title: str, rows: list[SizeRow]) -> None:
    columns = [
        "data",
        "W x H x C",
        "elements x bits",
        "KB",
        "ratio to input",
        *(f"{c}, KB written" for c in TABLE_CODERS),
    ]
    cells: list[list[str]] = []
    for row in rows:
        written = [f"{row.written[c] / 1024:,.0f}" if c in row.written else "-" for c in TABLE_CODERS]
        # As in the paper: the shapes of the features stand once.
        shapes = "\n".join("x".join(map(str, shape)) for shape in row.shapes) if len(cells) < 2 else "same"
        cells.append(
            [
                row.data, shapes, f"{row.elements:,} x {row.bits}", _span(row.kb_at_least, row.kb, "{:,.0f}"),
                _span(row.ratio_at_least, row.ratio, "{:.2f}"), *written,
            ]
        )  # fmt: skip
    print_table(title, columns, cells, left=2)


def _span(least: float | None, value: float | None, form: str) -> str:
    if value is None:
        return "-"
    return form.format(value) if least is None else f"{form.format(least)} to {form.format(value)}"


@app.command("accuracy")
def accuracy(
    model: options.ModelName,
    data: options.Data,
    weights: options.Weights = None,
    limit: options.Limit = None,
    cache: options.Cache = None,
    strict: options.Strict = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Compute Table 3: accuracy over z for 4 and 3 symbols, the 8-bit conversion, and the optimal thresholds."""
    dataset = datasets.load(data, limit)
    network = models.load(model, weights)
    with progress(f"evaluating {network.name}", len(dataset.images), quiet) as advance:
        rows = accuracy_rows(network, dataset, cache, advance, strict)
    first = next(row.result for row in rows if row.result is not None)
    if json:
        print_json({"model": network.name, "data": data, "rows": [row.model_dump() for row in rows]})
    else:
        _print_accuracy(f"{network.name}, {counted(first.images, 'image')} of {data}", rows)
        print(f"{first.metric}; bytes per image as written, side information included")
    leave_with_remarks(first)


def _print_accuracy(title: str, rows: list[AccuracyRow]) -> None:
    masks = rows[0].segm_ap is not None
    columns = ["features", "thresholds", "bits", "AP", *(["mask AP"] if masks else []), "ratio to input"]
    cells = []
    for row in rows:
        written = {} if row.result is None else row.result.bytes_by_coder
        cells.append(
            [
                row.features, row.thresholds, row.bits, f"{row.ap:.2f}",
                *([f"{row.segm_ap:.2f}" if row.segm_ap is not None else "-"] if masks else []),
                _span(row.ratio_at_least, row.ratio, "{:.2f}"),
                *(f"{written[c]:,.0f}" if c in written else "-" for c in TABLE_CODERS),
            ]
        )  # fmt: skip
    print_table(title, [*columns, *(f"{c}, bytes" for c in TABLE_CODERS)], cells, left=3)


@app.command("figure")
def figure(
    image: Annotated[str, typer.Argument(help="The image.")],
    model: options.ModelName,
    output: Annotated[str, typer.Option("--output", "-o", help="The .png to write.")],
    weights: options.Weights = None,
    level: Annotated[str | None, typer.Option(help="The level to draw.", show_default="the finest")] = None,
    channel: Annotated[int, typer.Option(help="The channel to draw.")] = 0,
) -> None:
    """Draw Figure 3: one channel as the original, as 4 symbols and as 3 symbols."""
    check_png(output)
    pixels = read_image(image)
    pyramid = models.load(model, weights).front(pixels)
    name = level or next(iter(pyramid))
    if name not in pyramid:
        raise unknown("level", name, pyramid)
    write_bytes(output, png(figure_3(name, pyramid[name], channel)))
