"""The report's beginning: which curves lead, what the sentences say, the paper's table, and what to beware of."""

from __future__ import annotations

import re
from typing import Any

import pytest

from midstream.compare.results import (
    Bounds,
    Comparison,
    CurveResult,
    MemoryMb,
    MetricResult,
    Milliseconds,
    NetworkResult,
    PointResult,
    Results,
    Role,
    Run,
)
from midstream.report.lead import busy, lead_curves, ordered_tests, sentences
from midstream.report.page import chosen_points
from midstream.report.paper_table import curve_rows, paper_rows
from midstream.report.plots import accuracy_plot, latency_plot

OURS, VVC = "calibrated:profile=net.profile,quality=60,20", "vvc:qp=22,42"
FRONT_MS = 20.0


def point(codec: str, options: dict[str, Any], value: float, size: float, front: float = FRONT_MS) -> PointResult:
    spec = f"{codec}:{','.join(f'{key}={one}' for key, one in options.items())}"
    accuracy = MetricResult(
        value=value, interval=None, loss=100 - value, loss_interval=None, by_class={"car": value}, by_size={}
    )
    return PointResult(
        key=spec, spec=spec, label=spec, bytes=size, bytes_interval=None, bits_per_pixel=1.0, bits_per_element=None,
        description={"codec": codec, "pipeline": "image" if codec == "vvc" else "features", "options": options},
        accuracy={"ap": accuracy}, milliseconds=Milliseconds(front=front, encode=1, decode=1, back=9),
        memory=MemoryMb(encode=None, decode=None), latency_ms={"10": 40.0 + front}, at_equal_accuracy=[],
    )  # fmt: skip


def curve(label: str, role: Role, points: list[PointResult]) -> CurveResult:
    return CurveResult(label=label, role=role, points=[each.key for each in points], left_out=0, targets=[])


def results(comparison: dict[str, Any] | None = None, fronts: tuple[float, float] = (FRONT_MS, FRONT_MS)) -> Results:
    """Ours last of five tests, against VVC's image; three of the paper's are single points."""
    reference = point("uncompressed", {}, 100.0, 9000.0, fronts[0])
    singles = [
        point("paper", {"symbols": 256, "thresholds": "range", "coder": "fast"}, 99.9, 5000.0),
        point("paper", {"symbols": 3, "thresholds": "lloyd-max", "coder": "fast"}, 80.0, 700.0),
        point("paper", {"symbols": 4, "z": 1.5, "coder": "dense"}, 90.0, 800.0),
    ]
    by_z = [point("paper", {"symbols": 4, "z": z, "coder": "fast"}, 80 + z, 1000 - 10 * z) for z in (2.0, 0.5)]
    ours = [point("calibrated", {"quality": q}, 80.0 + q / 4, 10.0 * q, fronts[1]) for q in (20, 60)]
    vvc = [point("vvc", {"qp": qp}, 105.0 - qp / 2, 6000.0 / qp) for qp in (42, 22)]
    curves = [curve("uncompressed", "reference", [reference]), curve(VVC, "anchor", vvc)]
    curves += [curve(each.label, "test", [each]) for each in singles]
    curves += [curve("paper:symbols=4,z=0.5,2", "test", by_z), curve(OURS, "test", ours)]
    run = Run(
        midstream="0", command="", model="net", data="d", images=50, images_hash="", anchor_size="input",
        metric="ap", metric_title="mask AP", agreement=False, interpolation="pchip", resamples=9, links=[10.0], jobs=1,
        machine={}, packages={},
    )  # fmt: skip
    network = NetworkResult(name="net", identity="", front_ms=1, back_ms=1, memory_mb=None, pixels=1000, elements=1)
    beside = {"bd_rate": -43.0, "bd_rate_interval": Bounds(low=-76, high=7), "overlap_share": 0.5, **(comparison or {})}
    return Results(
        run=run, network=network, reference=reference.key, curves=curves,
        points=[reference, *vvc, *singles, *by_z, *ours], failures=[],
        comparisons=[Comparison(anchor=VVC, test=OURS, **beside)],
    )  # fmt: skip


def test_our_curve_leads_wherever_it_was_named_and_is_among_those_shown() -> None:
    found = results()
    assert [each.label for each in lead_curves(found)] == [OURS, VVC]
    assert [len(each.points) for each in ordered_tests(found)] == [2, 2, 1, 1, 1]
    shown = [each.description["codec"] for _, each in chosen_points(found)]
    assert shown == ["uncompressed", "calibrated", "paper", "paper", "vvc"]


def test_the_sentence_says_when_the_interval_includes_zero() -> None:
    first, second, ours, theirs = sentences(results())
    assert first == (
        "At equal mask AP, calibrated takes 43 % fewer bytes than the image by vvc (BD-rate, 95 %: -76 to +7 %)."
    )
    assert second.startswith("The interval includes zero: on these 50 images it may be chance")
    assert ours.startswith("Calibrated keeps 95.0 % of the mask AP with 600 bytes an image, 0.200 of the 8-bit input")
    assert theirs.startswith("The image by vvc keeps 94.0 % of the mask AP with 273 bytes")


@pytest.mark.parametrize(
    ("comparison", "words", "missing"),
    [
        ({"bd_rate_interval": Bounds(low=-76, high=-5)}, "43 % fewer bytes", "includes zero"),
        ({"bd_rate": 12.0, "bd_rate_interval": Bounds(low=3, high=20)}, "12 % more bytes", "includes zero"),
        ({"bd_rate_interval": None}, "There is no interval", "95 %"),
        ({"overlap_share": 0.1}, "share only 10% of their accuracies", "no BD-rate"),
        ({"bd_rate": None, "refusal": "no overlap"}, "There is no BD-rate of calibrated", "fewer"),
    ],
)
def test_the_sentence_follows_the_figures(comparison: dict[str, Any], words: str, missing: str) -> None:
    said = " ".join(sentences(results(comparison)))
    assert words in said
    assert missing not in said


def test_without_tests_or_anchors_there_is_still_a_result() -> None:
    found = results()
    alone = found.model_copy(update={"curves": [each for each in found.curves if each.role != "anchor"]})
    assert [each.split()[0] for each in sentences(alone)] == ["Calibrated"]
    anchors = found.model_copy(update={"curves": found.curves[:2]})
    assert [each[:16] for each in sentences(anchors)] == ["The image by vvc"]
    assert [label for label, _ in chosen_points(anchors)] == ["uncompressed", "vvc:qp=22"]


def test_the_papers_table_is_in_the_papers_order_with_our_curves_below() -> None:
    found = results()
    rows = [(row.name, row.how, row.bits) for row in [*paper_rows(found), *curve_rows(found, lead_curves(found))]]
    assert rows == [
        ("original, 32 bit", "-", "32"),
        ("converted, 8 bit", "-", "8"),
        ("4 symbols", "z = 0.5", "2"),
        ("4 symbols", "z = 2", "2"),
        ("3 symbols", "optimum (lloyd-max)", "1 to 2"),
        ("4 symbols, coder dense", "z = 1.5", "2"),
        ("calibrated", "quality 20", ""),
        ("calibrated", "quality 60", ""),
        ("the image by vvc", "qp 42", ""),
        ("the image by vvc", "qp 22", ""),
    ]


@pytest.mark.parametrize(
    ("fronts", "warned"), [((20.0, 20.0), False), ((20.0, 26.0), False), ((20.0, 27.0), True), ((0.001, 20.0), False)]
)
def test_a_front_that_took_a_third_longer_is_warned_of(fronts: tuple[float, float], warned: bool) -> None:
    """A front that was read from a cache, and took next to nothing, says nothing of the machine."""
    warning = busy(results(fronts=fronts))
    assert (warning is not None) == warned
    if warning is not None:
        assert "20 to 27 ms" in warning
    assert ("not comparable" in latency_plot(results(), [("x", results().points[0])], warning)) == warned


def test_a_figure_is_as_narrow_as_a_telephone_and_its_letters_are_readable_there() -> None:
    found = results()
    for svg in (accuracy_plot(found, found.curves[1:], "all"), latency_plot(found, chosen_points(found), None)):
        size = re.search(r'viewBox="0 0 ([\d.]+) ', svg)
        assert size is not None
        letters = [float(each) for each in re.findall(r"font:? ?(?:-size: )?([\d.]+)px", svg)]
        assert letters
        assert min(letters) * 366 / float(size[1]) > 7
