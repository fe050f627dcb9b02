"""Comparisons from end to end on a toy network: results, resuming, failures, refusals, the report."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.helpers import toy
from tests.helpers.commands import midstream, mistake
from tests.helpers.one_process import comparing_here
from tests.helpers.progress import Quiet

from midstream import data as datasets
from midstream import models
from midstream.compare.results import Comparison, Results, to_csv
from midstream.compare.run import Request, compare
from midstream.compare.statistics import transmission_ms
from midstream.compare.store import Memory, PointRecord, Store, read_point, write_point
from midstream.compare.text import averaged_over
from midstream.errors import InputError, MidstreamError
from midstream.metrics.accuracy import accuracy_of
from midstream.models import Detections
from midstream.pipelines.registry import known_codecs
from midstream.report.page import chosen_points, write_report

ANCHOR, TEST = "jpeg:quality=20,60,95", "paper:symbols=4,z=1,2"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy.write_labelled(tmp_path_factory.mktemp("toy"))


def request_of(folder: Path, **changes: Any) -> Request:
    asked = Request(
        model=str(folder / "toy.toml"),
        data=f"coco:{folder / 'images'},{folder / 'truth.json'}",
        anchors=[ANCHOR],
        tests=[TEST],
        resamples=100,
        jobs=2,
        command="midstream compare ...",
    )
    return replace(asked, **changes)


@pytest.fixture(scope="module")
def done(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Results, Path]:
    output = tmp_path_factory.mktemp("results")
    return compare(request_of(folder), output, Quiet()), output


@pytest.fixture
def here(folder: Path) -> Iterator[None]:
    """Without processes for it, which `done` has."""
    with comparing_here(models.load(str(folder / "toy.toml"), threads=1)):
        yield


def test_results_are_what_the_pipelines_do(folder: Path, done: tuple[Results, Path]) -> None:
    results, output = done
    assert [(curve.label, curve.role, len(curve.points)) for curve in results.curves] == [
        ("uncompressed", "reference", 1), (ANCHOR, "anchor", 3), (TEST, "test", 2)
    ]  # fmt: skip
    assert not results.failures
    request = request_of(folder)
    model, dataset = models.load(request.model), datasets.load(request.data)
    point = next(p for p in results.points if p.label == "paper:symbols=4,z=1.0")
    record = read_point(output / "points" / f"{point.key}.safetensors")
    assert record is not None
    assert point.bytes == record.sizes.mean()
    assert point.bits_per_pixel == pytest.approx(8 * point.bytes / toy.SIDE**2)
    assert point.bits_per_element == pytest.approx(8 * point.bytes / 100)
    detections = {p.id: found for p, found in zip(dataset.images, record.outputs, strict=True)}
    wanted = accuracy_of(dataset, detections, model.classes)
    assert point.accuracy["ap"].value == pytest.approx(wanted.ap, abs=1e-9)
    assert point.accuracy["ap50"].value == pytest.approx(wanted.ap50, abs=1e-9)
    reference = results.point(results.reference)
    assert point.accuracy["ap"].loss == pytest.approx(100 * (1 - wanted.ap / reference.accuracy["ap"].value))
    assert reference.accuracy["ap"].loss == 0
    assert reference.accuracy["ap"].loss_interval is not None
    assert reference.accuracy["ap"].loss_interval.low == reference.accuracy["ap"].loss_interval.high == 0
    times = point.milliseconds
    spent = times.front + times.encode + times.decode + times.back
    assert point.latency_ms["10"] == pytest.approx(spent + transmission_ms(point.bytes, 10))
    assert transmission_ms(1e6, 8) == pytest.approx(1000)
    assert set(point.accuracy["ap"].by_class) <= set(toy.CLASSES)


def test_files_hold_the_results(done: tuple[Results, Path]) -> None:
    results, output = done
    assert Results.model_validate_json((output / "results.json").read_bytes()) == results
    rows = (output / "results.csv").read_text().splitlines()
    assert len(rows) == 1 + 6
    assert (output / "results.csv").read_bytes() == to_csv(results)
    assert rows[0].startswith("curve,role,spec,bytes,bytes_low,bytes_high,bits_per_pixel,bits_per_element,ap,")


@pytest.mark.usefixtures("here")
def test_a_second_run_measures_nothing_and_finds_the_same(folder: Path, done: tuple[Results, Path]) -> None:
    results, output = done
    before = {path: path.stat().st_mtime_ns for path in (output / "points").iterdir()}
    quiet = Quiet()
    again = compare(request_of(folder), output, quiet)
    assert ("measuring", 0) in quiet.stages
    assert {path: path.stat().st_mtime_ns for path in (output / "points").iterdir()} == before
    assert (again.points, again.comparisons, again.curves) == (results.points, results.comparisons, results.curves)


def test_a_new_curve_and_a_damaged_point_cost_only_themselves(folder: Path, done: tuple[Results, Path]) -> None:
    results, output = done
    damaged = output / "points" / f"{results.reference}.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-9])
    before = {path: path.stat().st_mtime_ns for path in (output / "points").iterdir()}
    quiet = Quiet()
    compare(request_of(folder, tests=[TEST, "int8+zstd"]), output, quiet)
    assert ("measuring", 2 * 4) in quiet.stages
    changed = {path for path in (output / "points").iterdir() if path.stat().st_mtime_ns != before.get(path)}
    assert damaged in changed
    assert len(changed) == 2


@pytest.mark.usefixtures("here")
def test_a_codec_that_fails_takes_its_curve_along_and_nothing_else(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIDSTREAM_FFMPEG", "/nowhere/ffmpeg")  # for this process and its workers
    from midstream.pipelines import ffmpeg

    ffmpeg.find_ffmpeg.cache_clear()
    ffmpeg.versions.cache_clear()
    quiet = Quiet()
    try:
        results = compare(request_of(folder, anchors=[ANCHOR, "hevc:qp=22,32"]), tmp_path / "out", quiet)
    finally:
        ffmpeg.find_ffmpeg.cache_clear()
        ffmpeg.versions.cache_clear()
    assert [(failure.curve, failure.spec) for failure in results.failures] == [
        ("hevc:qp=22,32", f"hevc:qp={qp},preset=slow") for qp in (22, 32)
    ]
    assert "imageio-ffmpeg" in results.failures[0].why
    assert any("hevc:qp=22: failed: no ffmpeg with libx265" in line for line in quiet.said)
    assert len(results.points) == 6
    page = write_report(results, request_of(folder), tmp_path / "out", Quiet()).read_text()
    assert "2 points failed" in page
    assert "no ffmpeg with libx265" in page


@pytest.mark.usefixtures("here")
def test_a_codec_that_fails_on_a_image_says_with_which_command(folder: Path, tmp_path: Path) -> None:
    results = compare(request_of(folder, anchors=[], tests=["vvc:qp=30,preset=faster", "paper"]), tmp_path, Quiet())
    if results.failures:  # vvenc codes nothing as small as the toy's 32x32 pixels in some versions
        assert "-c:v libvvenc -preset faster -qp 30" in results.failures[0].why
        assert ".png: " in results.failures[0].why
    assert any(point.label == "paper" for point in results.points)


def test_a_folder_of_other_results_is_refused(folder: Path, done: tuple[Results, Path], tmp_path: Path) -> None:
    _, output = done
    with pytest.raises(InputError, match=r"holds results on other data .*4 images; this is .*2 images"):
        compare(request_of(folder, limit=2), output, Quiet())
    (tmp_path / "other").mkdir()
    other = toy.write_labelled(tmp_path / "other")
    description = (other / "toy.toml").read_text().replace('name = "toy"', 'name = "other"')
    (other / "toy.toml").write_text(description)
    with pytest.raises(InputError, match=r"holds results of another network \(toy, .*this is other, "):
        compare(request_of(folder, model=str(other / "toy.toml")), output, Quiet())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metric": "map"}, "unknown metric 'map'; valid: agreement, ap, ap50, cosine"),
        ({"metric": "segm_ap"}, "have no metric 'segm_ap'; they have ap, ap50"),
        ({"links": [0.0]}, "a link has a finite number of Mbit/s, more than 0"),
        ({"links": [float("inf")]}, "a link has a finite number of Mbit/s, more than 0"),
        ({"tests": ["papr"]}, "unknown codec 'papr'"),
        ({"model": "nothing"}, "unknown model 'nothing'"),
    ],
)
def test_mistakes(folder: Path, tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(MidstreamError) as error:
        compare(request_of(folder, anchors=[], **{"tests": ["uncompressed"], **changes}), tmp_path, Quiet())
    assert message in str(error.value)


@pytest.mark.usefixtures("here")
def test_images_without_labels_are_compared_by_agreement(folder: Path, tmp_path: Path) -> None:
    results = compare(request_of(folder, data=str(folder / "images"), anchors=[]), tmp_path, Quiet())
    assert results.run.agreement
    assert results.point(results.reference).accuracy["ap"].value == pytest.approx(100)


class _Links(HTMLParser):
    """Whatever a page would load from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.images = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.images += tag in ("img", "svg")
        assert tag not in ("script", "link", "iframe")
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "srcset") and not (value or "").startswith(("data:", "#")):
                self.found.append(f"{tag} {name}={value}")


def test_the_report_needs_nothing_but_itself(folder: Path, done: tuple[Results, Path]) -> None:
    results, output = done
    page = write_report(results, request_of(folder), output, Quiet()).read_text()
    links = _Links()
    links.feed(page)
    assert links.found == []
    assert links.images > 8
    for shown in (ANCHOR, "paper:symbols=4,z=1.0", "midstream compare ...", results.run.images_hash):
        assert shown in page
    assert chosen_points(results)[0][0] == "uncompressed"
    assert "import " not in page.split("</style>")[0]
    headings = re.findall("<h2>(.*?)</h2>", page)
    assert headings[:3] == ["Result", "The founding paper's table", "All curves"]
    # On a telephone a row is a card: each value has its column's name with it. An image enlarges at a click.
    assert re.findall("<td(?![^>]*data-label)", page) == []
    assert page.count("<img") == page.count('<label class="zoom">')


@pytest.mark.parametrize("masks", [False, True])
def test_points_survive_the_disk(tmp_path: Path, masks: bool) -> None:
    def found(count: int) -> Detections:
        runs = [{"size": [4, 5], "counts": f"0{i}".encode()} for i in range(count)] if masks else None
        boxes = np.arange(4 * count, dtype=np.float32).reshape(count, 4)
        return Detections(boxes, np.linspace(1, 0.5, count, dtype=np.float32), np.arange(count), runs)

    record = PointRecord(
        description={"codec": "x"}, sizes=np.array([3, 4, 5]), seconds=np.ones((3, 4)), pixels=7, elements=None,
        task="detection", outputs=[found(2), found(0), found(3)], memory=Memory(1, None),
    )  # fmt: skip
    path = tmp_path / "point.safetensors"
    write_point(path, record)
    again = read_point(path)
    assert again is not None
    assert (again.description, again.pixels, again.elements, again.memory) == ({"codec": "x"}, 7, None, Memory(1, None))
    assert (again.sizes == record.sizes).all()
    for one, other in zip(again.outputs, record.outputs, strict=True):
        assert (one.boxes == other.boxes).all()
        assert (one.scores == other.scores).all()
        assert one.masks == other.masks
    data = path.read_bytes()
    for cut in range(0, len(data), 7):  # whatever is left of it, it is not taken for a point
        path.write_bytes(data[:cut])
        assert read_point(path) is None


def test_a_manifest_that_is_none_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    request = request_of(folder)
    with pytest.raises(InputError, match=r"run\.json is not a manifest of results"):
        Store(tmp_path, models.load(request.model), datasets.load(request.data))


@pytest.mark.usefixtures("here")
def test_images_that_cannot_be_read_are_left_out_of_every_point(tmp_path: Path) -> None:
    """The rest is scored as if they were not listed; sizes that are wrong in the labels are said."""
    folder = toy.write_labelled(tmp_path)
    truth = json.loads((folder / "truth.json").read_text())
    truth["images"][3]["width"] = 99
    (folder / "truth.json").write_text(json.dumps({**truth, "images": truth["images"][1:]}))
    fewer = compare(request_of(folder), tmp_path / "fewer", Quiet())
    (folder / "truth.json").write_text(json.dumps(truth))
    (folder / "images" / "0.png").write_bytes(b"no image")
    quiet, request = Quiet(), request_of(folder)
    results = compare(request, tmp_path / "out", quiet)
    assert (results.run.images, len(results.run.skipped)) == (3, 1)
    assert results.run.skipped[0][0] == str(folder / "images" / "0.png")
    assert [p.accuracy["ap"].value for p in results.points] == [p.accuracy["ap"].value for p in fewer.points]
    assert [p.bytes for p in results.points] == [p.bytes for p in fewer.points]
    assert "1 of 3 images are not of the size" in results.run.notes[0]
    assert {f"skipped: {results.run.skipped[0][1]}", *results.run.notes} <= set(quiet.said)
    page = write_report(results, request, tmp_path / "out", quiet).read_text()
    assert "1 of 3 images are not of the size" in page
    assert "1 of the images cannot be read, and no figure counts them; the first: cannot read the image" in page
    with pytest.raises(InputError, match=r"cannot read the image .*0\.png"):
        compare(replace(request, strict=True), tmp_path / "strict", Quiet())


def test_the_schema_in_the_documents_is_that_of_the_code() -> None:
    written = Path(__file__).parents[2] / "docs" / "results.schema.json"
    assert json.loads(written.read_text()) == Results.model_json_schema()


def _arguments(folder: Path, output: Path, *more: str) -> list[str]:
    asked = request_of(folder)
    return [
        "compare", "--model", asked.model, "--data", asked.data, "--resamples", "20", "-o", str(output), *more,
    ]  # fmt: skip


def test_killed_and_started_again_it_measures_only_the_rest(folder: Path, tmp_path: Path) -> None:
    points = "paper:symbols=" + ",".join(map(str, range(5, 25)))
    command = [sys.executable, "-m", "midstream", *_arguments(folder, tmp_path, "--test", points)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as running:
        assert running.stderr is not None
        done_points = (line for line in running.stderr if b"bytes an image" in line)  # beside those about progress
        assert len(list(islice(done_points, 4))) == 4
        running.kill()
    kept = list((tmp_path / "points").glob("*.safetensors"))
    assert 4 <= len(kept) < 21
    before = {path: path.stat().st_mtime_ns for path in kept}
    done = subprocess.run(command, capture_output=True, check=True)
    assert done.stderr.count(b"bytes an image") == 21 - len(kept)
    assert {path: path.stat().st_mtime_ns for path in kept} == before
    assert not [path for path in tmp_path.rglob(".*") if path.is_file()]  # no lock, and nothing half written
    assert len(Results.model_validate_json((tmp_path / "results.json").read_bytes()).points) == 21


def test_what_a_bd_rate_is_averaged_over() -> None:
    narrow = Comparison(anchor="a", test="b", bd_rate=-3.0, overlap=(30.04, 31.0), overlap_share=0.098)
    assert averaged_over(narrow) == "over 30.0 to 31.0, 10% of the range"
    assert averaged_over(Comparison(anchor="a", test="b", refusal="no overlap: ...")) == ""


@pytest.mark.usefixtures("here")
def test_the_command(folder: Path, tmp_path: Path) -> None:
    arguments = _arguments(folder, tmp_path, "--anchor", ANCHOR, "--test", TEST)
    done = midstream(*arguments, "--json", "--link", "0.5,20")
    results = Results.model_validate_json(done.stdout)
    assert results.run.links == [0.5, 20]
    assert results.run.command.startswith("midstream compare --model")
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")
    tables = midstream(*arguments)
    assert "paper:symbols=4,z=1" in tables.stdout.decode()
    beside = averaged_over(results.comparisons[0])
    assert re.fullmatch(r"over \d+\.\d to \d+\.\d, \d+% of the range", beside)
    assert beside in tables.stdout.decode()
    assert beside in (tmp_path / "report.html").read_text()
    assert b"bytes an image" not in tables.stderr


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ([], "nothing to compare: give --anchor and --test"),
        (["--test", "paper", "--link", "fast"], "--link fast: expected numbers of Mbit/s"),
        (["--test", "paper", "--anchor-size", "huge"], "unknown anchor size 'huge'; valid: input, original"),
        (["--test", "paper", "--interpolation", "cubic"], "unknown interpolation 'cubic'; valid: pchip, akima"),
        (["--test", "hevc:qp=4000"], "hevc: qp '4000': Input should be less than or equal to 51"),
    ],
)
def test_mistakes_on_the_command_line(folder: Path, tmp_path: Path, more: list[str], message: str) -> None:
    assert f"midstream: {message}" in mistake(*_arguments(folder, tmp_path, *more))


def test_codecs_are_listed() -> None:
    assert set(json.loads(midstream("codecs", "--json").stdout)) == set(known_codecs())
