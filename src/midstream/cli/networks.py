"""models, split and extract."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from midstream import models
from midstream.cli import options
from midstream.cli.console import leave_with_skipped, note, print_json, print_table
from midstream.cli.progress import progress
from midstream.data.reading import Skipped, read_or_skip
from midstream.errors import InputError
from midstream.files import own_folder, write_pyramid
from midstream.models.graph import cut_graph, load_graph, recomposition_error, save_graph
from midstream.models.random_inputs import random_inputs
from midstream.split import levels


def models_command(json: options.Json = False) -> None:
    """List the networks that --model knows by name, and whether their weights are here."""
    known = models.known_models()
    if json:
        print_json([asdict(info) for info in known])
        return
    rows = [[m.name, m.kind, m.input, m.pyramid, m.weights or "not here", m.source] for m in known]
    print_table("", ["name", "head", "input", "pyramid (level/stride)", "weights", "source"], rows, left=6)


def split_command(
    model: Annotated[Path, typer.Argument(help="The ONNX file.", metavar="MODEL.onnx")],
    at: Annotated[
        list[str],
        typer.Option(
            help="Tensors to cut at, separated by commas; a name with a comma in it needs a --at of its own.",
            metavar="T1,T2,...",
        ),
    ],
    output: options.Folder,
    shape: Annotated[
        list[str] | None,
        typer.Option(
            help="For the check, the shape of an input that has none of its own, such as image=1,3,416,416 or ids=1,7.",
            metavar="NAME=D1,D2,...",
        ),
    ] = None,
    json: options.Json = False,
) -> None:
    """Cut an ONNX graph at named tensors into front.onnx and back.onnx, and check the two halves together.

    The check runs the whole network and then the two halves on a random input, and prints the largest difference
    between their outputs.
    """
    graph = load_graph(model)
    produced = {output for node in graph.graph.node for output in node.output}
    cut = cut_graph(graph, [name for text in at for name in ([text] if text in produced else text.split(",")) if name])
    error = recomposition_error(graph, cut, random_inputs(graph, dict(_shape(text) for text in shape or [])))
    paths = {"front": output / "front.onnx", "back": output / "back.onnx"}
    with own_folder(output):
        save_graph(cut.front, paths["front"])
        save_graph(cut.back, paths["back"])
    if json:
        print_json(
            {
                "largest_difference": error,
                "shapes": list(cut.shapes),
                **{part: str(path) for part, path in paths.items()},
            }
        )
        return
    print(f"wrote {paths['front']} and {paths['back']}")
    if cut.shapes:
        print(f"what crosses besides, as a few integers each: {', '.join(cut.shapes)}")
    print(f"largest difference of the recomposed network on a random input: {error:.3g}")


def _shape(text: str) -> tuple[str, list[int]]:
    name, _, dims = text.rpartition("=")
    try:
        values = [int(dim) for dim in dims.split(",")]
    except ValueError:
        values = []
    if not name or not values or min(values) < 1:
        raise InputError(f"--shape {text}: expected an input and its whole shape, such as image=1,3,416,416 or ids=1,7")
    return name, values


def extract_command(
    images: Annotated[list[Path], typer.Argument(help="The images.", metavar="IMAGE...")],
    model: options.ModelName,
    output: options.Folder,
    weights: options.Weights = None,
    suffix: Annotated[str, typer.Option("--format", help="Format of the files: npz or safetensors.")] = "npz",
    sent: Annotated[
        bool,
        typer.Option("--sent", help="Leave out levels that are derived from others, as the codec 'calibrated' does."),
    ] = False,
    strict: options.Strict = False,
    quiet: options.Quiet = False,
) -> None:
    """Write the feature pyramids of images, one file each, named after the image.

    All levels are written, in float32, including those that a decoder would derive from others, unless --sent is
    given. The exit code is 0, or 1 if some images could not be read.
    """
    if suffix not in ("npz", "safetensors"):
        raise InputError(f"unknown format '{suffix}'; valid: npz, safetensors")
    targets = {image: output / f"{image.stem}.{suffix}" for image in images}
    if len(set(targets.values())) < len(images):
        raise InputError("two images have the same name: extract them into different folders")
    network = models.load(model, weights)
    skipped: list[Skipped] = []
    with own_folder(output), progress("extracting", len(images), quiet) as advance:
        for image, target in targets.items():
            pixels = read_or_skip(image, skipped, strict or len(images) == 1)
            if pixels is not None:
                pyramid = network.front(pixels)
                write_pyramid(str(target), levels.sent(network, pyramid) if sent else pyramid)
            advance()
    count = len(images) - len(skipped)
    if not quiet:
        note(f"{output}: {count} pyramid{'s' if count != 1 else ''}")
    leave_with_skipped(skipped)
