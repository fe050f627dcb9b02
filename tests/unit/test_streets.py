"""The network that ships with the project, on scenes that it has not seen, and `midstream demo`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from midstream import data as datasets
from midstream import models
from midstream.cli import demo, demo_clip
from midstream.cli.demo_image import MODEL, PROFILE
from midstream.cli.main import app
from midstream.data.cityscapes import CLASSES
from midstream.data.scenes import generate
from midstream.evaluation.codecs import calibrated_options, paper_options
from midstream.evaluation.run import run
from midstream.models.registry import SHIPPED
from midstream.pipelines.ffmpeg import FFMPEG_VARIABLE, find_ffmpeg

SCENES = 12
#: Of masks on so few scenes; docs/streets.md has that of 200.
LEAST_AP = 28.0
MEGABYTE = 1_000_000


@pytest.fixture(scope="module", autouse=True)
def nothing_but_the_package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("MIDSTREAM_ASSETS", "nowhere")
        yield


@pytest.fixture(scope="module")
def network() -> models.SplitModel:
    return models.load(MODEL)


def test_it_is_small_enough_to_ship() -> None:
    sizes = {path.suffix: path.stat().st_size for path in SHIPPED.iterdir()}
    assert set(sizes) == {".onnx", ".profile"}
    assert sizes[".onnx"] <= 12 * MEGABYTE
    assert sizes[".profile"] <= 8 * MEGABYTE


def test_it_is_of_the_papers_kind(network: models.SplitModel) -> None:
    assert network.classes == tuple(CLASSES)
    assert network.has_masks
    pyramid = network.front(generate(0).image)
    assert {name: level.shape for name, level in pyramid.items()} == {
        f"p{i}": (256, 256 >> i, 512 >> i) for i in range(2, 7)
    }
    assert list(network.derived) == ["p6"]
    np.testing.assert_array_equal(network.derived["p6"].compute(pyramid), pyramid["p6"])


def test_it_finds_what_is_there_and_its_profile_fits(network: models.SplitModel) -> None:
    dataset = datasets.load(f"scenes:{SCENES},0")
    codecs = [paper_options(256), paper_options(4, z=1.5), calibrated_options(PROFILE, quality=50)]
    eight_bit, four, calibrated = run(network, dataset, codecs)
    assert four.segm_ap is not None
    assert eight_bit.segm_ap is not None
    assert calibrated.segm_ap is not None
    assert four.segm_ap_uncompressed is not None
    assert four.segm_ap_uncompressed > LEAST_AP
    assert eight_bit.segm_ap == pytest.approx(four.segm_ap_uncompressed, abs=1)
    assert four.segm_ap > 0.6 * four.segm_ap_uncompressed
    assert calibrated.segm_ap > 0.8 * four.segm_ap_uncompressed
    assert calibrated.bytes_per_image < 0.5 * four.bytes_per_image < eight_bit.bytes_per_image


def test_the_demo_measures_all_and_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FFMPEG_VARIABLE, str(tmp_path / "no-ffmpeg"))
    find_ffmpeg.cache_clear()
    monkeypatch.setattr(demo, "_RESAMPLES", 20)
    monkeypatch.setattr(demo_clip, "FRAMES", 3)
    result = CliRunner().invoke(app, ["demo", "--scenes", "2", "-o", str(tmp_path)])
    find_ffmpeg.cache_clear()
    assert result.exception is None
    lines = [line for line in result.stdout.splitlines() if line.startswith("│")]
    starts = ("original, 32 bit", "converted, 8 bit", *["4 symbols"] * 4, *["3 symbols"] * 4, "4 symbols", "3 symbols")
    assert [line[2:].startswith(start) for line, start in zip(lines, starts, strict=False)] == [True] * len(starts)
    assert sum("optimum" in line for line in lines) == 2
    assert sum(line[2:].startswith("calibrated") for line in lines) == len(demo._QUALITIES) + 1  # of the clip
    assert any("vvc" in line and "not available here" in line for line in lines)
    assert result.stderr.count("midstream calibrate --model") == 1
    results = json.loads((tmp_path / "results.json").read_bytes())
    assert results["run"]["data"] == "scenes:2,0"
    assert f"{results['points'][0]['bytes']:,.0f}" in result.stdout
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "Figure 3" in page
    assert page.count("data:image/jpeg") > 6
    assert page.count("data:video/mp4") == 1
    assert "In motion" in page
    clip = json.loads((tmp_path / "clip.json").read_bytes())
    assert (clip["run"]["data"], clip["run"]["images"]) == (f"scenes-video:1,{demo_clip.SEED}", 3)
    assert {"ap", "hota", "idf1", "mota"} <= clip["points"][0]["accuracy"].keys()
    assert "h264:qp=32: not available here" in result.stdout


def test_what_is_extracted_can_be_coded(tmp_path: Path) -> None:
    image, bitstream = tmp_path / "street.png", tmp_path / "street.mids"
    cv2.imwrite(str(image), generate(3).image[:, :, ::-1])
    extract = ["extract", "--model", MODEL, str(image), "-o", str(tmp_path)]
    encode = ["encode", str(tmp_path / "street.npz"), "-o", str(bitstream), "--profile", str(PROFILE)]
    encode += ["--codec", "calibrated", "--max-bytes", "3000"]
    assert CliRunner().invoke(app, extract).exit_code == 0
    assert "extract --sent" in str(CliRunner().invoke(app, encode).exception)
    assert CliRunner().invoke(app, [*extract, "--sent"]).exit_code == 0
    assert CliRunner().invoke(app, encode).exit_code == 0
    assert 1000 < bitstream.stat().st_size <= 3000
