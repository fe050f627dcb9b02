"""demo: one clip of scenes in motion, as a stream of this project's and as x264's video."""

from __future__ import annotations

from pathlib import Path

from midstream.cli.demo_image import MODEL, PROFILE
from midstream.cli.progress import Stages
from midstream.compare.results import Results
from midstream.compare.run import Request, compare
from midstream.data.scenes import motion

#: Seed of a clip in which much crosses, of those for measuring; frames of it.
SEED, FRAMES = 15, 50
#: Of both curves the point that loses between one and four percent of AP: docs/streets.md, "Clips".
_X264, _CALIBRATED = "h264:qp=32", f"calibrated:profile={PROFILE},quality=50"


def clip_request(jobs: int | None) -> Request:
    """What is measured on the clip: against its own labels, without intervals, of which one clip has none."""
    return Request(
        model=MODEL,
        data=f"scenes-video:1,{SEED}",
        limit=FRAMES,
        anchors=[_X264],
        tests=[_CALIBRATED],
        metric="ap",
        resamples=0,
        jobs=jobs,
    )


def compare_clip(request: Request, folder: Path, stages: Stages) -> Results:
    """Measure what `clip_request` asks for; the folder is for this alone."""
    frames = request.limit or motion.FRAMES
    stages.say(f"a clip of {frames / motion.RATE:g} seconds, as a stream and as video")
    return compare(request, folder, stages)


def clip_rows(results: Results) -> tuple[list[str], list[list[str]]]:
    """Columns and rows of a table: bytes, rate and scores of each point."""
    scores = list(results.points[0].accuracy)
    rows = []
    for point in results.points:
        kbit = 8 * point.bytes * motion.RATE / 1000
        values = [f"{point.accuracy[name].value:.1f}" for name in scores]
        rows.append([point.label, f"{point.bytes:,.0f}", f"{kbit:,.0f}", *values])
    return ["a clip, what is sent", "bytes", "kbit/s", *scores], rows
