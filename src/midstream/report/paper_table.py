"""The founding paper's Table 3, from the points of a comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from midstream.codec.paper.options import DEFAULT_CODER
from midstream.codec.paper.parameters import Rule
from midstream.codec.paper.quantize import MAX_SYMBOLS
from midstream.compare.results import CurveResult, PointResult, Results
from midstream.report.lead import spoken

#: The benchmark's own AP of masks is that of the paper's tables.
_PAPER_METRIC = "instance_ap"
_CODEC = "paper"


@dataclass(frozen=True)
class PaperRow:
    """A row: what is sent, how it was made, bits of an element as the paper counts them, and the point."""

    name: str
    how: str
    bits: str
    point: PointResult


def paper_metric(results: Results) -> str:
    """The metric of the table: the paper's own where the data set has it, else the comparison's."""
    there = results.point(results.reference).accuracy
    return _PAPER_METRIC if _PAPER_METRIC in there else results.run.metric


def paper_rows(results: Results) -> list[PaperRow]:
    """The uncompressed network and all points of the codec `paper`, in the order of its table; none without any."""
    points = [point for point in results.points if point.description["codec"] == _CODEC]
    if not points:
        return []
    points.sort(key=lambda point: _place(point.description["options"]))
    first = PaperRow("original, 32 bit", "-", "32", results.point(results.reference))
    return [first, *(_row(point) for point in points)]


def curve_rows(results: Results, curves: Sequence[CurveResult]) -> list[PaperRow]:
    """The points of curves of other codecs, to stand below."""
    rows = []
    for curve in curves:
        for point in (results.point(key) for key in curve.points):
            if point.description["codec"] != _CODEC:
                rows.append(PaperRow(spoken(results, curve), options_of(point), "", point))
    return rows


def options_of(point: PointResult) -> str:
    """What tells a point from others of its curve: its options but for the profile."""
    parts = point.label.partition(":")[2].split(",")
    return ", ".join(part for part in parts if not part.startswith("profile=")).replace("=", " ")


def _place(options: Mapping[str, Any]) -> tuple[Any, ...]:
    """8 bit, then z for falling numbers of symbols, then other thresholds; the table's own coder before others."""
    named = "z" not in options and not _is_8_bit(options)
    return options["coder"] != DEFAULT_CODER, named, -options["symbols"], options.get("z", 0.0)


def _is_8_bit(options: Mapping[str, Any]) -> bool:
    return bool(options["symbols"] == MAX_SYMBOLS and options.get("thresholds") == Rule.range.label)


def _row(point: PointResult) -> PaperRow:
    options = point.description["options"]
    n, thresholds = options["symbols"], options.get("thresholds")
    name = "converted, 8 bit" if _is_8_bit(options) else f"{n} symbols"
    if options["coder"] != DEFAULT_CODER:
        name += f", coder {options['coder']}"
    how = f"z = {options['z']:g}" if "z" in options else str(thresholds)
    if thresholds == Rule.lloyd_max.label:
        how = f"optimum ({how})"
    bits = "1 to 2" if n == 3 else str((n - 1).bit_length())
    return PaperRow(name, "-" if _is_8_bit(options) else how, bits, point)
