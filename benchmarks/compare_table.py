"""The Markdown tables of docs/benchmarks.md from the results.json of a comparison.

python benchmarks/compare_table.py results/results.json
"""

from __future__ import annotations

import argparse
from pathlib import Path

from midstream.compare.assembly import BEST
from midstream.compare.results import Bounds, Results
from midstream.metrics import known_metrics

#: Metrics that only clips have.
OF_CLIPS = ("hota", "idf1", "mota", "found", "jitter")


def value(number: float | None, bounds: Bounds | None, form: str, refusal: str | None = None) -> str:
    if number is None:
        return (refusal or "-").partition(":")[0]
    return f"{number:{form}}" + (f" [{bounds.low:{form}}, {bounds.high:{form}}]" if bounds else "")


def points(results: Results) -> None:
    metric = results.run.metric
    titles = {name: kind.title for name, kind in known_metrics().items()}
    more = [name for name in OF_CLIPS if name in results.points[0].accuracy]
    print("| point | bytes | bits a pixel | AP | AP50 | loss, % |" + "".join(f" {titles[name]}, % |" for name in more))
    print("|---|---|---|---|---|---|" + "---|" * len(more))
    for curve in results.curves:
        for key in curve.points if curve.label != BEST else ():
            point = results.point(key)
            main = point.accuracy[metric]
            row = [
                f"`{point.label}`", f"{point.bytes:,.0f}", f"{point.bits_per_pixel:.3f}", f"{main.value:.2f}",
                f"{point.accuracy['ap50'].value:.2f}", value(main.loss, main.loss_interval, ".1f"),
                *(f"{point.accuracy[name].value:.1f}" for name in more),
            ]  # fmt: skip
            print("| " + " | ".join(row) + " |")


def curves(results: Results) -> None:
    anchors = [curve.label for curve in results.curves if curve.role == "anchor"]
    beside = {(each.anchor, each.test): each for each in results.comparisons}
    print(
        "| curve | bytes at a loss of 1 % | of 3 % | BD-rate to the first anchor, % | over, AP | share of the range |"
    )
    print("|---|---|---|---|---|---|")
    for curve in results.curves[1:]:
        targets = [value(t.bytes, t.interval, ",.0f", t.refusal) for t in curve.targets]
        each = beside.get((anchors[0], curve.label)) if anchors else None
        row = [f"`{curve.label}`", *targets]
        if each is None:
            row += ["-", "-", "-"]
        else:
            over = "-" if each.overlap is None else "{:.1f} to {:.1f}".format(*each.overlap)
            share = "-" if each.overlap_share is None else f"{each.overlap_share:.0%}"
            row += [value(each.bd_rate, each.bd_rate_interval, "+.1f", each.refusal), over, share]
        print("| " + " | ".join(row) + " |")


def clips(results: Results) -> None:
    names = list(results.points[0].bytes_by_clip)
    print("| bytes a frame | " + " | ".join(names) + " |")
    print("|---|" + "---|" * len(names))
    for point in results.points:
        print(f"| `{point.label}` | " + " | ".join(f"{point.bytes_by_clip[name]:,.0f}" for name in names) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path)
    results = Results.model_validate_json(parser.parse_args().results.read_bytes())
    curves(results)
    print()
    points(results)
    if results.run.clips:
        print()
        clips(results)


if __name__ == "__main__":
    main()
