"""Curves and times as SVG, for screen and print, in colours that the colour-blind can tell apart."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Any

from midstream.compare.results import Bounds, CurveResult, PointResult, Results
from midstream.compare.text import unit
from midstream.errors import MissingExtraError

try:
    import matplotlib as mpl
    from matplotlib.colors import to_rgba
    from matplotlib.figure import Figure
except ImportError as error:
    raise MissingExtraError("the report", "compare") from error

#: Okabe and Ito's palette (Color Universal Design, 2008) without its yellow, which paper swallows.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS = "osD^vP*Xph<>"
_LINES = {"anchor": "--", "test": "-"}
_STAGES = {
    "wait": "#CC79A7",
    "front": "#0072B2",
    "encode": "#E69F00",
    "link": "#999999",
    "decode": "#56B4E9",
    "back": "#009E73",
}
_HATCHES = ("", "", "//", "..", "\\\\", "xx")
#: Inches. On a telephone a figure is as wide as this; its text stays readable at that size.
_WIDTH = 5.2
_HEIGHT = 3.9
#: Of a row of a legend.
_ROW = 0.17
_WARNING = "#a03c00"
#: Opacity of error bars, which overlap.
_FAINT = 0.4


def drawable(results: Results) -> list[CurveResult]:
    """All curves that have points, but for the uncompressed network."""
    return [curve for curve in results.curves if curve.role != "reference" and curve.points]


def accuracy_plot(results: Results, curves: Sequence[CurveResult], name: str) -> str:
    """Accuracy over bytes of some curves, with the intervals over images; the uncompressed network and losses beside.

    `name` tells the figure from others of the page.
    """
    title = results.run.metric_title
    figure, axes = _axes(f"{title}, %", len(curves), unit(results.run))
    reference = results.point(results.reference).accuracy[results.run.metric].value
    for loss, dots, across, place in ((0.0, "-", 0, "bottom"), (1.0, "--", 0.24, "bottom"), (3.0, ":", 0, "top")):
        level = reference * (1 - loss / 100)
        axes.axhline(level, color="#666666", linewidth=0.8, linestyle=dots, zorder=0)
        said = f"-{loss:g} %" if loss else "uncompressed"
        axes.annotate(said, (across, level), (3, 0), xycoords=("axes fraction", "data"), textcoords="offset points",
                      fontsize=8, va=place, color="#444444")  # fmt: skip
    _draw(axes, results, curves, lambda point: point.accuracy[results.run.metric].value, "interval")
    return _svg(figure, f"{title} over bytes per {unit(results.run)}, {name}")


def loss_plot(results: Results, curves: Sequence[CurveResult]) -> str:
    """Relative loss over bytes, intervals paired: what is common to both networks on a resample cancels."""
    figure, axes = _axes(f"loss of {results.run.metric_title}, %", len(curves), unit(results.run))
    axes.axhline(0, color="#666666", linewidth=0.8, zorder=0)
    _draw(axes, results, curves, lambda point: point.accuracy[results.run.metric].loss, "loss_interval")
    axes.invert_yaxis()
    return _svg(figure, f"relative loss over bytes per {unit(results.run)}")


def bytes_plot(
    clips: Sequence[Sequence[float]], points: Sequence[tuple[str, Sequence[Sequence[int]]]], names: Sequence[str]
) -> str:
    """Bytes of each frame over time, one row a clip, one line a point.

    Args:
        clips: of each clip, the seconds of its frames.
        points: with its label, the bytes of each clip's frames.
        names: of the clips.
    """
    figure = Figure((_WIDTH, 0.7 + 1.5 * len(clips) + _ROW * len(points)), layout="constrained")
    for row, (times, name) in enumerate(zip(clips, names, strict=True)):
        axes = figure.add_subplot(len(clips), 1, row + 1)
        axes.set_yscale("log")
        for number, (label, sizes) in enumerate(points):
            axes.plot(times, sizes[row], color=_COLOURS[number % len(_COLOURS)], linewidth=1,
                      label=_shortened(label) if row == 0 else None)  # fmt: skip
        axes.set_title(name, fontsize=9, loc="left")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.yaxis.set_minor_formatter(lambda value, _: f"{value:,.0f}" if f"{value:.0e}"[0] in "25" else "")
        axes.tick_params(axis="both", which="both", labelsize=8)
        axes.grid(linewidth=0.3, color="#cccccc")
        axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("seconds", fontsize=9)
    figure.legend(fontsize=8, loc="outside lower left", ncols=1, frameon=False, labelspacing=0.2)
    return _svg(figure, "bytes of each frame over time")


def latency_plot(results: Results, points: Sequence[tuple[str, PointResult]], warning: str | None) -> str:
    """Where the time of an image goes on each link, for a few points with their labels, and what to beware of."""
    links = results.run.links
    stages = [stage for stage in _STAGES if stage != "wait" or any(point.wait_ms for _, point in points)]
    rows = max(len(points), 1)
    figure = Figure((_WIDTH, 0.9 + len(links) * (0.5 + 0.36 * rows)), layout="constrained")
    for place, link in enumerate(links, start=1):
        axes = figure.add_subplot(len(links), 1, place)
        for row, (named, point) in enumerate(points):
            times = point.milliseconds
            total = point.latency_ms[f"{link:g}"]
            sending = total - point.wait_ms - times.front - times.encode - times.decode - times.back
            parts = (point.wait_ms, times.front, times.encode, sending, times.decode, times.back)
            start = 0.0
            for (stage, colour), hatch, length in zip(_STAGES.items(), _HATCHES, parts, strict=True):
                if stage not in stages:
                    continue
                label = stage if row == 0 and place == 1 else None
                axes.barh(row, length, 0.4, left=start, color=colour, hatch=hatch, edgecolor="white", linewidth=0.4,
                          label=label)  # fmt: skip
                start += length
            axes.annotate(f"{total:,.0f} ms", (start, row), (3, 0), textcoords="offset points", va="center", fontsize=8)
            axes.annotate(_shortened(named), (0, row - 0.23), textcoords="data", va="bottom", fontsize=8)
        axes.set_yticks([])
        axes.set_ylim(rows - 0.6, -0.9)
        axes.margins(x=0.12)
        axes.set_title(f"{link:g} Mbit/s", fontsize=9, loc="left")
        axes.tick_params(axis="x", labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    if warning is not None:
        figure.suptitle("a busy machine's times: not comparable", fontsize=9, color=_WARNING)
    figure.legend(loc="outside lower center", ncols=len(stages), fontsize=8, frameon=False, columnspacing=0.8,
                  handlelength=1.2)  # fmt: skip
    return _svg(figure, "latency by stage and link")


def _axes(label: str, curves: int, each: str) -> tuple[Any, Any]:
    figure = Figure((_WIDTH, _HEIGHT + _ROW * curves), layout="constrained")
    axes = figure.add_subplot()
    axes.set_xscale("log")
    axes.set_xlabel(f"bytes per {each} (logarithmic)", fontsize=9)
    axes.set_ylabel(label, fontsize=9)
    axes.grid(which="both", linewidth=0.3, color="#cccccc")
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _draw(axes: Any, results: Results, curves: Sequence[CurveResult], value: Any, interval: str) -> None:
    # A curve looks the same in every figure of the page.
    numbers = {curve.label: number for number, curve in enumerate(drawable(results))}
    for curve in curves:
        number = numbers[curve.label]
        points = [results.point(key) for key in curve.points]
        values = [value(point) for point in points]
        bounds = [getattr(point.accuracy[results.run.metric], interval) for point in points]
        colour = _COLOURS[number % len(_COLOURS)]
        axes.errorbar([p.bytes for p in points], values, _bars(values, bounds), label=_shortened(curve.label),
                      color=colour, marker=_MARKERS[number % len(_MARKERS)], linestyle=_LINES[curve.role],
                      linewidth=1.3, markersize=5, ecolor=to_rgba(colour, _FAINT), elinewidth=1,
                      capsize=2)  # fmt: skip
    low, high = axes.get_xlim()
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    if high / low < 100:
        axes.xaxis.set_minor_formatter(lambda value, _: f"{value:,.0f}" if f"{value:.0e}"[0] in "235" else "")
    axes.tick_params(axis="both", which="both", labelsize=8)
    if curves:
        axes.figure.legend(fontsize=8, loc="outside lower left", ncols=1, frameon=False, labelspacing=0.2)


def _bars(values: Sequence[float], bounds: Sequence[Bounds | None]) -> list[list[float]] | None:
    """Lengths below and above; where a basic interval leaves its value out, as it may, on one side only."""
    if any(each is None for each in bounds):
        return None
    pairs = [(max(v - b.low, 0.0), max(b.high - v, 0.0)) for v, b in zip(values, bounds, strict=True) if b is not None]
    return [[low for low, _ in pairs], [high for _, high in pairs]]


def _shortened(label: str, most: int = 52) -> str:
    return label if len(label) <= most else label[: most - 3] + "..."


def _svg(figure: Any, description: str) -> str:
    """The figure as an <svg> element that scales to its container, text as text."""
    text = io.StringIO()
    # Identifiers that follow from the content, and no date: the same results give the same file.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": description, "font.family": "sans-serif"}):
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    svg = text.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    # Several figures in one page must not share identifiers.
    prefix = re.sub(r"\W+", "-", description)
    svg = re.sub(r'(id="|url\(#|href="#)', rf"\g<1>{prefix}-", svg)
    return re.sub(r'width="[\d.]+pt" height="[\d.]+pt"', f'role="img" aria-label="{description}"', svg, count=1)
