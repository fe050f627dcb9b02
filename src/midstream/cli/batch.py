"""batch encode, decode and eval: large collections on Ray."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from midstream import data as datasets
from midstream import models
from midstream.batch import PART_ROWS
from midstream.cli import options
from midstream.cli.batch_read import read_command
from midstream.cli.codec_options import takes_codec
from midstream.cli.console import SHOWN_FAILURES, SOME_FAILED, note, print_json
from midstream.cli.evaluation import leave_with_remarks, print_result
from midstream.cli.progress import progress
from midstream.codec.base import Codec
from midstream.codec.calibrated.profile import Profile
from midstream.codec.stream import DEFAULT_KEY_INTERVAL
from midstream.data import Dataset
from midstream.errors import InputError
from midstream.evaluation.checks import require
from midstream.models import SplitModel
from midstream.models.onnx_model import OnnxModel
from midstream.models.reference import Reference
from midstream.models.running import CPU, has_device
from midstream.wording import counted

if TYPE_CHECKING:
    from midstream.batch.inputs import Chunk
    from midstream.batch.job import Job
    from midstream.batch.run import BatchSummary
    from midstream.batch.schema import JobKind

_BATCH = "Batch"
_CLIPS = "Clips"
_LOCAL = "local"

app = typer.Typer(
    no_args_is_help=True,
    help="Code or evaluate a large collection on Ray, into a table in Parquet; a stopped job can be resumed.",
)

Inputs = Annotated[
    list[str],
    typer.Option(
        "--input",
        "-i",
        metavar="WHAT",
        help="Files, a folder or a quoted pattern (** for any depth), or clips:DIR for "
        "folders of frames; may be repeated.",
    ),
]
Output = Annotated[
    Path,
    typer.Option(
        "--output", "-o", help="Folder for the tables, on a disk that all machines see; a stopped job resumes there."
    ),
]
Address = Annotated[
    str,
    typer.Option(
        "--ray",
        metavar="ADDRESS",
        help="The Ray to use: HOST:PORT, 'auto' for the one of this machine, or 'local' to start one for the job.",
        rich_help_panel=_BATCH,
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        help="Processes that hold the network, each on one core.",
        show_default="all cores",
        min=1,
        rich_help_panel=_BATCH,
    ),
]
PartRows = Annotated[
    int,
    typer.Option(
        help="Least number of rows in a file of the table; a kill loses the rows that are not in a file yet.",
        min=1,
        rich_help_panel=_BATCH,
    ),
]
Device = Annotated[
    str,
    typer.Option(
        help="Where ONNX networks run: cpu, cuda, or auto, which is a GPU if Ray and ONNX Runtime have one.",
        rich_help_panel=_BATCH,
    ),
]
KeyInterval = Annotated[
    int,
    typer.Option(
        help="Of clips: frames of a group, each of which begins with a key and refers to nothing outside of it.",
        min=1,
        rich_help_panel=_CLIPS,
    ),
]
Independent = Annotated[
    bool,
    typer.Option(
        "--independent",
        help="Code each frame of a clip by itself, as images are: a row a frame.",
        rich_help_panel=_CLIPS,
    ),
]
RetryFailed = Annotated[
    bool, typer.Option("--retry-failed", help="Try inputs again that have failed.", rich_help_panel=_BATCH)
]


@app.command("encode")
@takes_codec()
def encode_command(
    inputs: Inputs,
    output: Output,
    model: options.ModelName,
    codec: Codec,
    weights: options.Weights = None,
    ray: Address = _LOCAL,
    workers: Workers = None,
    device: Device = "auto",
    part_rows: PartRows = PART_ROWS,
    retry_failed: RetryFailed = False,
    key_interval: KeyInterval = DEFAULT_KEY_INTERVAL,
    independent: Independent = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Code images, clips, or Parquet tables with a column of images or of their paths, into bitstreams.

    A clip is a video file (.mp4 and the like), or, with clips:DIR, a folder of frames or of such folders. It is coded
    as a stream, in groups of --key-interval frames, and a row of the table is a group. Images in a folder, a pattern or
    a table are coded each by itself, and a row is an image. Clips and images are jobs of their own.

    The exit code is 0, or 1 if all is done but some inputs failed; those are in OUTPUT/failures, with the reason.

    Example: midstream batch encode -i 'photos/**/*.jpg' -o coded -m picodet-s-416 --codec calibrated --profile M

    Example: midstream batch encode -i 'cameras/**/*.mp4' -o coded -m picodet-s-416 --codec calibrated --profile M
    """
    from midstream.batch import schema, sources  # noqa: F401 (the first says which extra is missing)

    chunks = sources.find(inputs, "encode", None if independent else key_interval)
    network, job = _job("encode", model, weights, device, codec, chunks, key_interval=key_interval)
    summary = _run(job, network, chunks, output, ray, workers, part_rows, retry_failed, quiet)
    _report(summary, json, quiet)


@app.command("decode")
def decode_command(
    inputs: Inputs,
    output: Output,
    model: options.ModelName,
    profile: options.ProfileFile = None,
    pyramids: Annotated[
        bool,
        typer.Option("--pyramids", help="Also keep the decoded pyramids as .safetensors, a hundred times larger."),
    ] = False,
    image_size: Annotated[
        str | None,
        typer.Option(
            metavar="WIDTHxHEIGHT", help="Size of the images, if the input is .mids files, which do not contain it."
        ),
    ] = None,
    weights: options.Weights = None,
    ray: Address = _LOCAL,
    workers: Workers = None,
    device: Device = "auto",
    part_rows: PartRows = PART_ROWS,
    retry_failed: RetryFailed = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Turn the folder of 'batch encode', Parquet tables with a column bitstream, or .mids files, into detections.

    Files of clips, .midv, and the folder of a job on clips are decoded in groups, a key and the frames after it, and a
    row of the table is a group.

    Example: midstream batch decode -i coded -o found -m picodet-s-416 --profile M.profile
    """
    from midstream.batch import schema, sources  # noqa: F401
    from midstream.batch.folder import Folder

    chunks = sources.find(inputs, "decode")
    known = None if profile is None else Profile.read(profile)
    size = None
    if image_size is not None:
        width, height = options.width_height("--image-size", image_size)
        size = (height, width)
    elif any(isinstance(chunk, sources.Files) for chunk in chunks):
        raise InputError(".mids files do not say how large the image was: give --image-size WIDTHxHEIGHT")
    network, job = _job("decode", model, weights, device, None, chunks, profile=known, pyramids=pyramids, size=size)
    if pyramids and job.groups:
        raise InputError("--pyramids is for images: those of a group of frames are too many for a row")
    for each in inputs:
        Folder(Path(each)).check_made_by(network)
    summary = _run(job, network, chunks, output, ray, workers, part_rows, retry_failed, quiet)
    _report(summary, json, quiet)


@app.command("eval")
@takes_codec()
def eval_command(
    inputs: Inputs,
    output: Output,
    model: options.ModelName,
    codec: Codec,
    weights: options.Weights = None,
    ray: Address = _LOCAL,
    workers: Workers = None,
    device: Device = "auto",
    part_rows: PartRows = PART_ROWS,
    retry_failed: RetryFailed = False,
    key_interval: KeyInterval = DEFAULT_KEY_INTERVAL,
    independent: Independent = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure rate and accuracy as 'midstream eval' does, on a large collection.

    --input is a data set as 'midstream eval --data' names it, such as coco:IMAGES_DIR,ANNOTATIONS.json or mot:ROOT, or
    anything that 'batch encode' takes; without labels accuracy is the agreement with the uncompressed network.

    Example: midstream batch eval -i coco:val2017,instances_val2017.json -o figures -m picodet-s-416 --symbols 4 --z 1.5
    """
    from midstream.batch import schema  # noqa: F401
    from midstream.batch.folder import Folder
    from midstream.batch.score import score
    from midstream.metrics.scores import labelled

    dataset, chunks = _images(inputs, None if independent else key_interval)
    network, job = _job("eval", model, weights, device, codec, chunks, key_interval=key_interval)
    if dataset is not None:
        dataset = labelled(network.task, dataset)
        require(dataset, network.task, network.classes)
    summary = _run(job, network, chunks, output, ray, workers, part_rows, retry_failed, quiet)
    result = score(Folder(output), network, codec, dataset)
    if not json:
        print_result(result)
    leave_with_remarks(result)
    _report(summary, json, quiet, result.model_dump())


def _images(inputs: Sequence[str], key_interval: int | None) -> tuple[Dataset | None, list[Chunk]]:
    from midstream.batch import sources

    alone = len(inputs) == 1 and datasets.has_clips(inputs[0]) and not inputs[0].startswith("video:")
    if not alone and not any(datasets.has_kind(each) and not datasets.has_clips(each) for each in inputs):
        return None, sources.find(inputs, "eval", key_interval)
    if len(inputs) > 1:
        raise InputError("one data set at a time: give --input once")
    dataset = datasets.load(inputs[0])
    return dataset, sources.of_dataset(dataset, key_interval)


def _job(
    kind: JobKind,
    model: str,
    weights: Path | None,
    device: str,
    codec: Codec | None,
    chunks: Sequence[Chunk],
    *,
    profile: Profile | None = None,
    pyramids: bool = False,
    size: tuple[int, int] | None = None,
    key_interval: int | None = None,
) -> tuple[SplitModel, Job]:
    from midstream.batch.job import AUTO, Job
    from midstream.batch.sources import are_groups

    network = models.load(model, weights)
    if codec is not None:
        codec.check_network(network.name, network.fingerprint)
    if profile is not None:
        profile.check_network(network.name, network.fingerprint)
    if device == AUTO and not isinstance(network, OnnxModel):
        device = CPU
    if device != AUTO:
        has_device(device)  # refuses an unknown one; what this machine has does not matter
    groups = any(are_groups(chunk) for chunk in chunks)
    return network, Job(
        kind,
        Reference.of(network, model, weights),
        codec,
        profile,
        pyramids,
        device,
        size,
        groups,
        key_interval if groups else None,
    )


def _run(
    job: Job,
    network: SplitModel,
    chunks: Sequence[Chunk],
    output: Path,
    address: str,
    workers: int | None,
    part_rows: int,
    retry_failed: bool,
    quiet: bool,
) -> BatchSummary:
    from midstream.batch import run
    from midstream.batch.folder import Folder

    counts = [chunk.count for chunk in chunks]
    total = None if None in counts else sum(count for count in counts if count is not None)
    with progress(f"{job.kind} with {network.name}", total, quiet) as advance:
        return run.run(
            job, network.name, chunks, Folder(output.absolute()), address, workers, part_rows, retry_failed, advance
        )


def _report(summary: BatchSummary, json: bool, quiet: bool, result: dict[str, Any] | None = None) -> None:
    """Print the summary; leave with SOME_FAILED when that is so."""
    if json:
        print_json(summary.to_dict() | ({} if result is None else {"result": result}))
    elif not quiet:
        now = summary.done + summary.failed - summary.before
        rate = f", {now / summary.work_seconds:.1f} a second" if now else ""
        before = f", {summary.before:,} done before" if summary.before else ""
        what = "" if summary.frames is None else f" groups of {counted(summary.frames, 'frame')}"
        note(
            f"{summary.output}: {summary.done:,}{what} done, {summary.failed:,} failed{before}; "
            f"{summary.bytes:,} bytes of bitstreams; {summary.workers} workers, {summary.seconds:.1f} s{rate}"
        )
    if summary.failed:
        _note_failures(summary)
    if summary.failed_frames:
        note(f"{counted(summary.failed_frames, 'frame')} in these groups failed: the column frames has the reasons")
    if summary.failed or summary.failed_frames:
        raise typer.Exit(SOME_FAILED)


def _note_failures(summary: BatchSummary) -> None:
    from midstream.batch.folder import Folder

    folder = Folder(Path(summary.output))
    for row in islice(folder.rows(folder.failures), SHOWN_FAILURES):
        note(f"failed: {row['id']}: {row['error']}")
    if summary.failed > SHOWN_FAILURES:
        note(f"and {summary.failed - SHOWN_FAILURES:,} more: midstream batch read {summary.output} --failures")


app.command("read")(read_command)
