"""models, split and extract."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto

from midstream import models
from midstream.cli import options
from midstream.cli.console import leave_with_skipped, note, print_json, print_table, say
from midstream.cli.progress import Stages, progress
from midstream.data.reading import Skipped, read_or_skip
from midstream.errors import InputError
from midstream.files import own_folder, write_pyramid
from midstream.halves import levels
from midstream.models.graph import Cut, cut_graph, load_graph, recomposition_error, save_graph
from midstream.models.quantised import float_beside
from midstream.models.random_inputs import random_inputs
from midstream.models.room import check_room


def models_command(json: options.Json = False) -> None:
    """List the networks that --model knows by name, and whether their weights are here."""
    known = models.known_models()
    if json:
        print_json([asdict(info) for info in known])
        return
    rows = [[m.name, m.kind, m.input, m.pyramid, m.weights or "not here", m.source] for m in known]
    print_table("", ["name", "head", "input", "pyramid (level/stride)", "weights", "source"], rows, left=6)


Shape = Annotated[
    list[str] | None,
    typer.Option(
        help="The shape of an input that has none of its own, such as image=1,3,416,416 or ids=1,7.",
        metavar="NAME=D1,D2,...",
    ),
]


def split_command(
    model: Annotated[Path, typer.Argument(help="The ONNX file.", metavar="MODEL.onnx")],
    at: Annotated[
        list[str] | None,
        typer.Option(
            help="Tensors to cut at, separated by commas; a name with a comma in it needs a --at of its own. Without "
            "it the places where the graph can be cut are listed.",
            metavar="T1,T2,...",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder to write to; it is made if it does not exist."),
    ] = None,
    shape: Shape = None,
    inputs: Annotated[
        Path | None,
        typer.Option(
            "--input",
            help="Arrays for the check by the names of inputs, an .npz file; inputs that are not in it are drawn.",
            metavar="FILE.npz",
        ),
    ] = None,
    quiet: options.Quiet = False,
    json: options.Json = False,
) -> None:
    """Cut an ONNX graph at named tensors into front.onnx and back.onnx and check them, or list where it can be cut.

    The check runs the whole network and then the two halves on a random input, or that of --input, and prints the
    largest difference between their outputs. The list has the complete cuts of up to six float tensors with the share
    of the work before them, their elements and an estimate of their bytes: it is what 'midstream init' chooses from.

        midstream split best.onnx

        midstream split best.onnx --at p3,p4,p5 -o parts
    """
    shapes = dict(shape_of(text) for text in shape or [])
    if not at:
        if output is not None:
            raise InputError("say with --at where to cut; without -o the places are listed")
        from midstream.cli.init import listing  # which imports this module
        from midstream.models.recognition import draft

        with Stages(quiet) as stages:
            found = draft(model, task="tensors", shapes=shapes, progress=stages)
        listing(found, json)
        return
    if output is None:
        raise InputError("say with -o DIR where the two halves go")
    graph = load_graph(model)
    cut = cut_graph(graph, names_of(graph, at))
    given = random_inputs(graph, shapes, given=_arrays(inputs))
    check_room(graph, {name: value.shape for name, value in given.items()})
    error = recomposition_error(graph, cut, given)
    with own_folder(output):
        files = {part: save_graph(half, output / f"{part}.onnx") for part, half in _halves(cut)}
    if json:
        print_json(
            {
                "largest_difference": error,
                "shapes": list(cut.shapes),
                **{part: str(paths[0]) for part, paths in files.items()},
            }
        )
        return
    say(f"wrote {' and '.join(str(path) for paths in files.values() for path in paths)}")
    if cut.shapes:
        say(f"what crosses besides, as a few integers each: {', '.join(cut.shapes)}")
    for name, beside in integer_tensors(cut):
        instead = f"; '{beside}' beside it is float" if beside is not None else ""
        say(f"'{name}' is of integers, which the codec paper keeps without loss{instead}")
    say(f"largest difference of the recomposed network on a random input: {error:.3g}")


def _halves(cut: Cut) -> list[tuple[str, Any]]:
    return [("front", cut.front), ("back", cut.back)]


def integer_tensors(cut: Cut) -> list[tuple[str, str | None]]:
    """Tensors of a cut that are no floats, each with the float tensor beside it in the front."""
    kinds = [TensorProto.INT8, TensorProto.UINT8, TensorProto.INT16, TensorProto.UINT16, TensorProto.INT32]
    named = [value.name for value in cut.front.graph.output if value.type.tensor_type.elem_type in kinds]
    return [(name, float_beside(cut.front, name)) for name in named if name not in cut.shapes]


def _arrays(path: Path | None) -> dict[str, NDArray[Any]]:
    if path is None:
        return {}
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except Exception as error:  # of zip, of NumPy's format
        raise InputError(f"{path}: not an .npz file of arrays: {str(error).splitlines()[0]}") from error


def names_of(graph: ModelProto, texts: Sequence[str]) -> list[str]:
    """The tensors that --at names: by commas, unless all of it is one."""
    produced = {output for node in graph.graph.node for output in node.output}
    return [name for text in texts for name in ([text] if text in produced else text.split(",")) if name]


def shape_of(text: str) -> tuple[str, list[int]]:
    """Input and shape of a --shape. Raises InputError."""
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
