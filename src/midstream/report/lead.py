"""What a comparison comes to: the curves that matter most, in a sentence or two, and what to beware of."""

from __future__ import annotations

from midstream.compare.assembly import BEST
from midstream.compare.results import Bounds, Comparison, CurveResult, PointResult, Results, Run
from midstream.compare.text import unit

#: A point of a curve that stands for it keeps the accuracy to so many percent, where one does.
SHOWN_LOSS = 3.0
#: Largest over least time of the same front, from which on the machine had other work to do.
_BUSY = 4 / 3
#: Fronts that took less than this share of the longest were read from a cache.
_CACHED = 0.01
#: An average over less than this share of both curves' accuracies says little of them.
_NARROW = 1 / 3


def ordered_tests(results: Results) -> list[CurveResult]:
    """The tests that have points: by BD-rate to the first anchor, then other curves, then single points.

    Where that says nothing, those come first that lose little, with few bytes.
    """
    first = anchors(results)[:1]
    tests = [curve for curve in results.curves if curve.role == "test" and curve.points]

    def place(curve: CurveResult) -> tuple[bool, float, bool, bool, float]:
        beside = [comparison(results, anchor, curve) for anchor in first]
        rate = next((each.bd_rate for each in beside if each is not None), None)
        point = typical(results, curve)
        poor = point.accuracy[results.run.metric].loss > SHOWN_LOSS
        return rate is None, rate or 0.0, len(curve.points) == 1, poor, point.bytes

    return sorted(tests, key=place)


def lead_curves(results: Results) -> list[CurveResult]:
    """Those that the page leads with: the test that comes first, and the anchor that it is held against."""
    return [*ordered_tests(results)[:1], *anchors(results)[:1]]


def anchors(results: Results) -> list[CurveResult]:
    """The anchors that have points; tests are held against the first one first."""
    return [curve for curve in results.curves if curve.role == "anchor" and curve.points]


def comparison(results: Results, anchor: CurveResult, test: CurveResult) -> Comparison | None:
    """The test against the anchor."""
    return next((c for c in results.comparisons if (c.anchor, c.test) == (anchor.label, test.label)), None)


def typical(results: Results, curve: CurveResult) -> PointResult:
    """The cheapest point of a curve that loses little, or else the one that loses least."""
    points = [results.point(key) for key in curve.points]
    good = [point for point in points if point.accuracy[results.run.metric].loss <= SHOWN_LOSS]
    return good[0] if good else min(points, key=lambda point: point.accuracy[results.run.metric].loss)


def spoken(results: Results, curve: CurveResult) -> str:
    """A curve in a sentence: `calibrated`, `the image by vvc`."""
    point = results.point(curve.points[0])
    name = str(point.description["codec"])
    if curve.label == BEST:
        return "the best of the anchors"
    sent = {"image": "the image by ", "video": "video by "}
    return f"{sent.get(str(point.description['pipeline']), '')}{name}"


def sentences(results: Results) -> list[str]:
    """The result, in the words of a reader: what our curve needs beside the anchor's, and what it keeps."""
    tests, first = ordered_tests(results)[:1], anchors(results)[:1]
    out = [each for test in tests for anchor in first for each in _beside(results, anchor, test)]
    return out + [_kept(results, curve) for curve in lead_curves(results)]


def _beside(results: Results, anchor: CurveResult, test: CurveResult) -> list[str]:
    beside = comparison(results, anchor, test)
    if beside is None:
        return []
    ours, theirs = spoken(results, test), spoken(results, anchor)
    if beside.bd_rate is None:
        return [f"There is no BD-rate of {ours} to {theirs}: {beside.refusal}."]
    more = f"{abs(beside.bd_rate):.0f} % {'fewer' if beside.bd_rate < 0 else 'more'} bytes"
    out = [f"At equal {results.run.metric_title}, {ours} takes {more} than {theirs} (BD-rate{_of(beside)})."]
    bounds = beside.bd_rate_interval
    if bounds is None or bounds.low <= 0 <= bounds.high:
        why = "There is no interval" if bounds is None else "The interval includes zero"
        out.append(f"{why}: {_by_chance(results.run)}")
    if beside.overlap_share is not None and beside.overlap_share < _NARROW:
        out.append(f"The two curves share only {beside.overlap_share:.0%} of their accuracies.")
    return out


def _by_chance(run: Run) -> str:
    if run.clips is None:
        return f"on these {run.images} images it may be chance; more images would tell."
    if run.clips == 1:
        return "there is one clip, and the frames of a clip are alike; more clips would tell."
    return f"on these {run.clips} clips it may be chance; more clips would tell."


def _of(beside: Comparison) -> str:
    bounds: Bounds | None = beside.bd_rate_interval
    return "" if bounds is None else f", 95 %: {bounds.low:+.0f} to {bounds.high:+.0f} %"


def _kept(results: Results, curve: CurveResult) -> str:
    point, run = typical(results, curve), results.run
    kept = 100 - point.accuracy[run.metric].loss
    share = point.bytes / (3 * results.network.pixels)
    return (
        f"{spoken(results, curve).capitalize()} keeps {kept:.1f} % of the {run.metric_title} with "
        f"{point.bytes:,.0f} bytes {'a' if run.clips else 'an'} {unit(run)}, {share:.3f} of the 8-bit input."
    )


def busy(results: Results) -> str | None:
    """A warning when the same front took much longer for some points than for others; None when it did not."""
    fronts = [point.milliseconds.front for point in results.points]
    ran = [front for front in fronts if front > _CACHED * max(fronts)]
    if not ran or max(ran) <= _BUSY * min(ran):
        return None
    return (
        f"the same front took {min(ran):.0f} to {max(ran):.0f} ms: this machine had other work to do, and times of "
        "different codecs cannot be compared; on a free machine, run again into a new folder, with --jobs 1"
    )
