"""init."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from midstream.cli import options
from midstream.cli.console import note, print_json, print_table, say
from midstream.cli.networks import Shape, names_of, shape_of
from midstream.cli.progress import Stages
from midstream.data import load as load_data
from midstream.data import read_image
from midstream.errors import InputError
from midstream.files import check_writable, write_bytes
from midstream.models.cuts import CutPoint, as_rows
from midstream.models.graph import load_graph
from midstream.models.proposals import worth_listing
from midstream.models.recognition import Draft, draft
from midstream.models.recognition.outputs import TASKS
from midstream.models.recognition.trial import on_images
from midstream.wording import counted

COLUMNS = ["work before it", "elements", "bytes", "tensors"]
#: Images that a detector is tried on.
_IMAGES = 8


def init_command(
    model: Annotated[Path, typer.Argument(help="The ONNX file.", metavar="MODEL.onnx")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The description to write; without it nothing is written.", metavar="FILE"),
    ] = None,
    at: Annotated[
        list[str] | None,
        typer.Option(
            help="Tensors to cut at instead of the first proposal, separated by commas; a name with a comma in it "
            "needs a --at of its own.",
            metavar="T1,T2,...",
        ),
    ] = None,
    task: Annotated[
        str | None, typer.Option(help=f"What the outputs are, if it is not recognised: {', '.join(TASKS)}.")
    ] = None,
    size: Annotated[
        str | None, typer.Option(help="Size of the input, for a graph that leaves it open.", metavar="WxH")
    ] = None,
    shape: Shape = None,
    images: Annotated[
        str | None,
        typer.Option(
            help="A folder of images, or a data set: the first few show whether the preprocessing can be right."
        ),
    ] = None,
    quiet: options.Quiet = False,
    json: options.Json = False,
) -> None:
    """Look at an ONNX file and write a description of it: its input, its task and head, where to cut it.

    The network is run on a made image. What the file itself tells is said to be recognised, what is usual for such a
    network is said to be a guess, with how to check it. Three cuts are proposed, and the first is taken. Outputs of no
    known head are of the task 'tensors', which can be calibrated, measured and served, too.

    The three commands from a file to a server:

        midstream init best.onnx -o best.toml

        midstream calibrate -m best.toml --images photos -o best.profile

        midstream serve -m best.toml --profile best.profile

    Others: init best.onnx (only looks), init best.onnx --at p3,p4,p5 -o best.toml, init any.onnx --size 640x480
    --images photos, init vad.onnx --shape input=1,512 --task tensors. The description is meant to be read and edited;
    docs/models.md explains it.
    """
    if output is not None:
        if output.suffix.lower() != ".toml":
            raise InputError(f"{output}: a description ends in .toml")
        check_writable(str(output))
    if size == "any":
        raise InputError('--size any: a look at the graph needs one, such as 640x480; size = "any" in the description '
                         "then takes each image at its own")  # fmt: skip
    wide = options.width_height("--size", size) if size is not None else None
    tensors = names_of(load_graph(model), at) if at else []
    shapes = dict(shape_of(text) for text in shape or [])
    with Stages(quiet) as progress:
        home = None if output is None else output.parent
        found = draft(model, tensors, task, wide[::-1] if wide else None, shapes, progress=progress, home=home)
        if images is not None:
            progress.stage("trying it on images")
            first = load_data(images).images[:_IMAGES]
            found.notes.warnings += on_images(found, [read_image(image.path) for image in first])
    if output is not None:
        _write(output, found)
    if json:
        print_json(_as_json(found, output))
        return
    _print(found, output)


def _write(output: Path, found: Draft) -> None:
    """The description; one that is there and differs, by hand perhaps, is kept beside it."""
    text = found.text.encode()
    before = output.read_bytes() if output.is_file() else text
    if before != text:
        names = (f"{output.name}.bak{number}" for number in ("", *range(2, 1000)))
        kept = next(path for name in names if not os.path.lexists(path := output.with_name(name)))
        write_bytes(str(kept), before)
        found.notes.warnings.append(f"{output} was there and differed: what it said is in {kept}")
    write_bytes(str(output), text)


def _print(found: Draft, output: Path | None) -> None:
    say(f"{found.path.name}: {found.task}")
    for title, lines in (("recognised", found.notes.recognised), ("guessed", found.notes.guessed)):
        for line in lines:
            say(f"  {title}: {line}")
    say(f"  cut: {', '.join(level.tensor for level in found.description.pyramid)}")
    if found.proposals:
        rows = [
            [row[0], row[1], row[2], row[3], proposal.why]
            for row, proposal in zip(as_rows([p.cut for p in found.proposals]), found.proposals, strict=True)
        ]
        title = f"{len(rows)} of {counted(len(found.cuts), 'cut')}"
        if len(rows) < len(found.cuts):
            title += f"; 'midstream split {found.path.name}' lists more"
        print_table(title, [*COLUMNS, "why"], rows, left=0)
    for line in found.notes.warnings:
        note(f"warning: {line}")
    say(f"wrote {output}" if output is not None else "nothing is written; -o FILE.toml writes the description")


def _as_json(found: Draft, output: Path | None) -> dict[str, Any]:
    return {
        "task": found.task,
        "description": found.description.model_dump(mode="json", exclude_defaults=True),
        "recognised": found.notes.recognised,
        "guessed": found.notes.guessed,
        "warnings": found.notes.warnings,
        "proposals": [{**cut_json(each.cut), "why": each.why} for each in found.proposals],
        "cuts": [cut_json(cut) for cut in found.cuts],
        "written": None if output is None else str(output),
    }


def cut_json(cut: CutPoint) -> dict[str, Any]:
    """A cut for JSON."""
    return {
        "tensors": {tensor.name: list(tensor.shape) for tensor in cut.tensors},
        "work_before": round(cut.share, 6),
        "elements": cut.elements,
        "bytes": cut.bytes,
    }


def listing(found: Draft, json: bool) -> None:
    """What `split` without tensors prints."""
    if json:
        print_json({"proposals": [{**cut_json(p.cut), "why": p.why} for p in found.proposals],
                    "cuts": [cut_json(cut) for cut in found.cuts]})  # fmt: skip
        return
    listed = worth_listing(found.cuts, found.proposals)
    whys = {proposal.cut: proposal.why for proposal in found.proposals}
    rows = [[*row, whys.get(cut, "")] for row, cut in zip(as_rows(listed), listed, strict=True)]
    print_table(
        f"{found.path.name}: complete cuts. Bytes are an estimate: codec 'paper', four symbols, a made image.",
        [*COLUMNS, "proposed as"],
        rows,
        left=0,
    )
    if len(listed) < len(found.cuts):
        say(f"{len(found.cuts) - len(listed)} more have more elements for more work; --json has them all")
    if found.proposals:
        cut = ",".join(found.proposals[0].cut.names)
        say(f"to cut: {shlex.join(['midstream', 'split', str(found.path), '--at', cut])} -o DIR")
