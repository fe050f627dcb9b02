"""eval."""

from __future__ import annotations

import json as json_format
from typing import Annotated

import typer

from midstream import data as datasets
from midstream import models
from midstream.cli import options
from midstream.cli.codec_options import takes_codec
from midstream.cli.console import leave_with_skipped, note, print_json, print_table
from midstream.cli.progress import progress
from midstream.codec.base import Codec
from midstream.evaluation.run import EvalResult, run
from midstream.evaluation.table import COLUMNS, rows_of, title_of
from midstream.files import STANDARD, check_writable, write_bytes


@takes_codec()
def eval_command(
    model: options.ModelName,
    data: options.Data,
    codec: Codec,
    weights: options.Weights = None,
    limit: options.Limit = None,
    cache: options.Cache = None,
    strict: options.Strict = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    output: Annotated[str | None, typer.Option("--output", "-o", help="Also write the JSON to this file.")] = None,
) -> None:
    """Measure rate and accuracy: run the front, encode, decode the bytes, run the back, score its outputs.

    The exit code is 0, or 1 if some images could not be read; then all figures are of the others.

    Example: midstream eval --model picodet-s-416 --data coco:val2017,instances_val2017.json --symbols 4 --z 1.5

    Example: midstream eval --model picodet-s-416 --data photos --codec calibrated --profile M.profile --quality 60
    """
    if output == STANDARD:
        json, output = True, None
    if output is not None:
        check_writable(output)
    dataset = datasets.load(data, limit)
    network = models.load(model, weights)
    with progress(f"evaluating {network.name}", len(dataset.images), quiet) as advance:
        result = run(network, dataset, [codec], cache, on_image=advance, strict=strict)[0]
    if json:
        print_json(result.to_dict())
    else:
        print_result(result)
    if output is not None:
        write_bytes(output, (json_format.dumps(result.to_dict(), indent=2) + "\n").encode())
    leave_with_remarks(result)


def leave_with_remarks(result: EvalResult) -> None:
    """Say what speaks against the figures, on standard error; leave with SOME_FAILED when images were skipped."""
    for line in result.notes:
        note(line)
    leave_with_skipped(result.skipped)


def print_result(result: EvalResult) -> None:
    """A table of the figures on standard output."""
    print_table(title_of(result), COLUMNS, rows_of(result))
    print(result.metric)
