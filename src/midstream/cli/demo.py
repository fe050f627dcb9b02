"""demo."""

from __future__ import annotations

import shlex
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from midstream.cli import options
from midstream.cli.console import note, print_json, print_table
from midstream.cli.demo_image import MODEL, PROFILE, show_image
from midstream.cli.progress import Stages
from midstream.evaluation.paper_tables import PAPER_Z
from midstream.files import own_folder, write_bytes
from midstream.report.lead import anchors, ordered_tests, sentences
from midstream.report.paper_table import curve_rows, paper_metric, paper_rows

if TYPE_CHECKING:
    from midstream.compare.results import PointResult, Results

#: The table is of the benchmark's own AP of masks, as the paper's; curves are of COCO's, which has intervals.
_CURVES = "segm_ap"
_RESAMPLES = 300
_Z = ",".join(f"{z:g}" for z in PAPER_Z)
#: The paper's Table 3, and the optimum that it asks for; the first with this project's denser coder.
_PAPER = (
    "paper:symbols=256,thresholds=range",
    f"paper:symbols=4,z={_Z}",
    f"paper:symbols=3,z={_Z}",
    "paper:symbols=4,3,thresholds=lloyd-max",
    "paper:symbols=4,z=1.5,coder=dense",
)
_VVC = "vvc:preset=faster,qp=22,32,42"
_QUALITIES = (80, 60, 50)
#: Of the clip, beside results.json of the scenes.
CLIP_RESULTS = "clip.json"
_CALIBRATED = f"calibrated:profile={PROFILE},quality={','.join(map(str, _QUALITIES))}"


def demo_command(
    output: options.Folder = Path("midstream-demo"),
    image: Annotated[
        Path | None,
        typer.Option(help="Instead, draw what the network finds in this image before and after coding, as image.png."),
    ] = None,
    scenes: Annotated[int, typer.Option(help="How many scenes to measure on.", min=1)] = 50,
    seed: Annotated[int, typer.Option(help="Seed of the first scene.", min=0)] = 0,
    jobs: Annotated[
        int | None, typer.Option(help="How many processes to use.", min=1, show_default="all cores")
    ] = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Run the founding paper's experiment on a network and scenes of the project's own, without any download.

    This makes 50 street scenes, runs a Mask R-CNN that was trained on other scenes of the kind, and prints the paper's
    Table 3 with the bytes that are really written; then the project's own codecs and the image coded by VVC; and a clip
    of two seconds as a stream, beside x264. The report, report.html, plays the clip.

    --image accepts one of the project's scenes, or a photograph if the weights of a detector of photographs are here
    ('midstream models' lists them).

    Example: midstream demo --image photo.jpg
    """
    if image is not None:
        lines = show_image(image, output)
        if not quiet:
            for line in lines:
                note(line)
        return
    with own_folder(output):
        results, clip = _measure(output, scenes, seed, jobs, quiet)
    if json:
        print_json(results.model_dump(mode="json"))
    else:
        _print(results, clip)
    if not quiet:
        for line in (f"{output / 'report.html'}, results.json, results.csv, {CLIP_RESULTS}", *_NEXT):
            note(line)


def _measure(output: Path, scenes: int, seed: int, jobs: int | None, quiet: bool) -> tuple[Results, Results]:
    """Compare on the scenes and on a clip, and leave the report in the folder; nothing is kept for a next time."""
    from midstream.cli.demo_clip import clip_request, compare_clip
    from midstream.compare.run import RESULTS, TABLE, Request, compare
    from midstream.metrics.cityscapes import require_program
    from midstream.report.page import REPORT, moving_beside, write_report

    require_program()
    with Stages(quiet) as stages, tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        request = Request(
            model=MODEL,
            data=f"scenes:{scenes},{seed}",
            anchors=[_VVC],
            tests=[_CALIBRATED, *_PAPER],
            metric=_CURVES,
            resamples=_RESAMPLES,
            jobs=jobs,
            command=shlex.join(["midstream", *sys.argv[1:]]),
        )
        stages.say(f"making {scenes} street scenes, then measuring {2 + len(request.tests)} curves on them")
        results = compare(request, work, stages)
        on_clip, clip_work = clip_request(jobs), work / "clip"
        clip = compare_clip(on_clip, clip_work, stages)
        write_report(results, request, work, stages, moving_beside(clip, on_clip, clip_work))
        for name in (REPORT, RESULTS, TABLE):
            write_bytes(str(output / name), (work / name).read_bytes())
        write_bytes(str(output / CLIP_RESULTS), (clip_work / RESULTS).read_bytes())
    return results, clip


def _print(results: Results, clip: Results) -> None:
    """The paper's Table 3 with the bytes written, the other codecs, what it comes to, and the clip."""
    metric = paper_metric(results)
    whole, image = results.point(results.reference).accuracy[metric].value, 3 * results.network.pixels

    def cells(point: PointResult) -> list[str]:
        ap = point.accuracy[metric].value
        kept = f"{ap / whole:.1%}" if whole else "-"
        return [f"{ap:.2f}", kept, f"{point.bytes:,.0f}", f"{point.bytes / image:.3f}"]

    others = curve_rows(results, [*ordered_tests(results)[:1], *anchors(results)])
    rows = [[row.name, row.how, row.bits, *cells(row.point)] for row in [*paper_rows(results), *others]]
    for curve, why in {failure.curve: failure.why for failure in results.failures}.items():
        rows.append([curve.partition(":")[0], f"not available here: {why}", "", "", "", "", ""])
    title = (
        f"{results.run.model} on {results.run.images} scenes that it has not seen: "
        f"{results.network.elements:,.0f} elements, {image:,.0f} bytes of image each"
    )
    columns = ["what is sent", "thresholds, options", "bits", "mask AP", "kept", "bytes", "of the 8-bit input"]
    print_table(title, columns, rows, left=2)
    print("mask AP: that of the Cityscapes benchmark; bytes per image as written, side information included")
    for sentence in sentences(results):
        print(sentence)
    from midstream.cli.demo_clip import clip_rows

    columns, lines = clip_rows(clip)
    print_table(f"{clip.run.images} frames of a clip, coded one after another", columns, lines, left=1)
    for failure in clip.failures:
        print(f"{failure.curve}: not available here: {failure.why}")


#: What to try with one's own.
_NEXT = (
    "With a network and images of your own (docs/models.md describes a network):",
    "  midstream calibrate --model NETWORK.toml --images IMAGES -o network.profile",
    "  midstream eval --model NETWORK.toml --data IMAGES --codec calibrated --profile network.profile --quality 60",
    "  midstream compare --model NETWORK.toml --data IMAGES --anchor vvc:qp=22,27,32,37,42 "
    "--test calibrated:profile=network.profile,quality=80,60,40,20 -o results",
)
