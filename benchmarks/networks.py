"""The tables of docs/networks.md: networks from their file to a measured profile, beside coded pictures.

    python benchmarks/networks.py FOLDER --images PHOTOS --data coco:IMAGES,ANNOTATIONS.json -o RUNS
    python benchmarks/networks.py best.onnx other.toml yolox-nano-416 --images PHOTOS --data PHOTOS2 --limit 40 -o RUNS

A network is an ONNX file, a description, a folder of either, or the name of one that ships. For each, `midstream init`
writes the description (of an ONNX file), `midstream calibrate` the profile, and `midstream compare` the figures, all
into a folder of the network's name in RUNS. What is there is not made again: delete a profile to have another one. A
network that fails is named, and the others go on. The tables are of all networks in RUNS, so that several runs with
other data may share one.

Qualities are those of `calibrated`. Bytes of pictures are interpolated at the score of each quality; ">" and "<" stand
where even the best or the cheapest picture that was measured does not meet it, "-" where a network takes arrays. The
last column is the BD-rate to VVC with a confidence interval of 95 %.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from midstream.compare.results import Comparison, PointResult, Results
from midstream.data import load
from midstream.data.images import ARRAY_SUFFIX
from midstream.metrics import known_metrics
from midstream.models.registry import descriptions

#: That the table shows, and two around them, for the curve.
SHOWN, AROUND = (60, 40), (75, 20)
VVC, JPEG = "vvc:preset=faster,qp=", "jpeg:quality="
COLUMNS = ["network", "task", "cut at", "work before it", "elements"]
OF_QUALITY = ("bytes", "score", "JPEG", "VVC")


@dataclass(frozen=True)
class Network:
    """One to measure: `source` is an ONNX file, a description or a shipped name; `folder` has all that is made."""

    source: str
    folder: Path

    @property
    def name(self) -> str:
        """That of the file, or the shipped one."""
        return self.folder.name

    @property
    def profile(self) -> Path:
        """Where its profile is, or will be."""
        return self.folder / f"{self.name}.profile"

    def model(self) -> list[str]:
        """Options that name it; an ONNX file by the description that is made of it."""
        if Path(self.source).suffix.lower() != ".onnx":
            return ["-m", self.source]
        return ["-m", str(self.folder / f"{self.name}.toml"), "--weights", self.source]


def networks(given: Sequence[str], output: Path) -> list[Network]:
    """Those that are named; ValueError for what is none."""
    sources: list[str] = []
    for each in given:
        path = Path(each)
        if path.is_dir():
            there = [*sorted(path.glob("*.onnx")), *sorted(path.glob("*.toml"))]
            sources += [str(file) for file in there]
        elif path.is_file() or each in descriptions():
            sources.append(each)
        else:
            raise ValueError(f"{each}: no file, no folder and no network that ships")
    return [Network(source, output / (Path(source).stem if Path(source).exists() else source)) for source in sources]


def run(arguments: Iterable[object]) -> str:
    """A command of midstream, printed as one would type it; what it prints on standard output."""
    command = [str(each) for each in arguments]
    print(f"$ midstream {shlex.join(command)}", file=sys.stderr, flush=True)
    return subprocess.run(
        [sys.executable, "-m", "midstream", *command], check=True, stdout=subprocess.PIPE, text=True
    ).stdout


def measured(network: Network, options: argparse.Namespace) -> None:
    """The three commands, as far as their results are not there."""
    network.folder.mkdir(parents=True, exist_ok=True)
    description = network.folder / f"{network.name}.toml"
    if "--weights" in network.model() and not description.exists():
        found = run(["init", network.source, "-o", description, "--json", *shlex.split(options.init)])
        (network.folder / "init.json").write_text(found)
    if not network.profile.exists():
        effort = ["--budget", options.budget] if options.passes is None else ["--passes", options.passes]
        given = ["--images", options.images, "--max-images", options.max_images, *effort]
        run(["calibrate", "-q", *network.model(), *given, "-o", network.profile])
    if (network.folder / "results.json").exists():
        return
    data = ["-d", options.data, *(["--limit", options.limit] if options.limit else [])]
    qualities = ",".join(str(each) for each in sorted({*SHOWN, *AROUND}, reverse=True))
    curves = ["--anchor", f"{VVC}{options.qp}", "--anchor", f"{JPEG}{options.jpeg}"] if of_images(options.data) else []
    curves += ["--test", f"calibrated:profile={network.profile},quality={qualities}"]
    run(["compare", "-q", *network.model(), *data, *curves, "--jobs", options.jobs, "-o", network.folder])


def of_images(data: str) -> bool:
    """Whether there are pictures to code; else there are arrays."""
    return load(data, 1).images[0].path.suffix != ARRAY_SUFFIX


def point_at(results: Results, quality: int) -> PointResult:
    """The point of a quality. Raises KeyError where it failed."""
    for point in results.points:
        if point.spec.startswith("calibrated:") and f"quality={quality}" in point.spec.split(","):
            return point
    raise KeyError(f"quality {quality}")


def picture(results: Results, point: PointResult, anchor: str) -> str:
    """Bytes of the picture whose network is as good as the point."""
    label = next((curve.label for curve in results.curves if curve.label.startswith(anchor)), None)
    if label is None:
        return "-"
    beside = next(each for each in point.at_equal_accuracy if each.anchor == label)
    if beside.rate_change is not None:
        return f"{point.bytes / (1 + beside.rate_change / 100):,.0f}"
    sizes = [results.point(key).bytes for curve in results.curves if curve.label == label for key in curve.points]
    return f"> {max(sizes):,.0f}" if "not reached" in (beside.refusal or "") else f"< {min(sizes):,.0f}"


def bd_rate(results: Results) -> str:
    """That of `calibrated` to VVC, in percent."""
    beside = next((c for c in results.comparisons if _is_ours(c)), None)
    if beside is None or beside.bd_rate is None:
        return "-"
    bounds = beside.bd_rate_interval
    return f"{beside.bd_rate:+.0f}" + (f" ({bounds.low:+.0f} to {bounds.high:+.0f})" if bounds else "")


def _is_ours(beside: Comparison) -> bool:
    return beside.anchor.startswith(VVC) and beside.test.startswith("calibrated")


def cut(network: Path, results: Results) -> list[str]:
    """What is cut at, and the share of the work before it, as far as `init` has found them."""
    elements = f"{results.network.elements:,.0f}"
    if not (network / "init.json").exists():
        return ["as it ships", "-", elements]
    chosen = json.loads((network / "init.json").read_text())["proposals"][0]
    tensors = [f"`{name}` {'x'.join(map(str, shape[1:]))}" for name, shape in chosen["tensors"].items()]
    return [", ".join(tensors), f"{chosen['work_before']:.0%}", elements]


def score(results: Results) -> list[str]:
    """Of what the score is, the uncompressed network's, then the cells of each quality and the BD-rate."""
    run, metric = results.run, known_metrics()[results.run.metric].title
    whole = results.point(results.reference).accuracy[run.metric].value
    cells = [f"{run.images}", f"{metric}, {'agreement' if run.agreement else 'labels'}", f"{whole:.1f}"]
    for quality in SHOWN:
        point = point_at(results, quality)
        value = f"{point.accuracy[run.metric].value:.1f}"
        cells += [f"{point.bytes:,.0f}", value, picture(results, point, JPEG), picture(results, point, VVC)]
    return [*cells, bd_rate(results)]


def tables(output: Path) -> str:
    """Markdown: the networks that are done, then their figures."""
    done = {
        path.parent: Results.model_validate_json(path.read_bytes()) for path in sorted(output.glob("*/results.json"))
    }
    networks = [[path.name, each.run.task, *cut(path, each)] for path, each in done.items()]
    figures = [[path.name, *score(each)] for path, each in done.items()]
    titles = [f"{what} at {quality}" for quality in SHOWN for what in OF_QUALITY]
    head = ["network", "images", "score", "uncompressed", *titles, "BD-rate to VVC, %"]
    return markdown([COLUMNS, *networks]) + "\n" + markdown([head, *figures])


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table; the first row is its head."""
    head, *others = rows
    return "".join(f"| {' | '.join(cells)} |\n" for cells in [head, ["---"] * len(head), *others])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", nargs="*", help="none: only print the tables of what is there")
    parser.add_argument("--images", help="to calibrate on: others than those of --data")
    parser.add_argument("--data", help="as midstream's --data; a folder measures agreement")
    parser.add_argument("--limit", type=int, help="the first so many images of --data")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--max-images", type=int, default=100, help="to calibrate on (default: %(default)s)")
    parser.add_argument("--budget", default="4m", help="for each calibration (default: %(default)s)")
    parser.add_argument("--passes", type=int, help="of calibrate instead of a budget: the same profile on any machine")
    parser.add_argument("--init", default="", help="more options of init, such as '--size 640x480'")
    parser.add_argument("--qp", default="22,30,38,46", help="of VVC (default: %(default)s)")
    parser.add_argument("--jpeg", default="95,80,50,25,10", help="qualities of JPEG (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    if options.network and not (options.images and options.data):
        parser.error("networks need --images and --data")
    failed = []
    for network in networks(options.network, options.output):
        try:
            measured(network, options)
        except subprocess.CalledProcessError:
            failed.append(network.name)
    print(tables(options.output))
    for name in failed:
        print(f"failed: {name}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
