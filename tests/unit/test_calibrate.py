"""Calibration from end to end on a toy network: the profile, its repetition, resuming, refusals, the command."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from tests.helpers import toy
from tests.helpers.calibration import FAST, calibrated
from tests.helpers.commands import call
from tests.helpers.progress import Quiet

import midstream as ms
from midstream import data as datasets
from midstream import models
from midstream.calibration import curve, layout, sensitivity
from midstream.calibration.distance import responder
from midstream.calibration.run import Calibration, fit
from midstream.calibration.settings import EARLIER_NAMES, Tools
from midstream.calibration.views import Views
from midstream.cli.console import SOME_FAILED
from midstream.codec.base import ImportanceGrid
from midstream.codec.calibrated.coding import analyse, code
from midstream.compare.run import Request, compare
from midstream.errors import InputError
from midstream.evaluation.codecs import calibrated_options, paper_options
from midstream.evaluation.run import run
from midstream.features import check_pyramid
from midstream.halves.coding import encode_features, map_scores
from midstream.pipelines.registry import parse_curve
from midstream.report.page import write_report


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = toy.write_labelled(tmp_path_factory.mktemp("toy"))
    toy.write_images(folder / "calib", 26)
    (folder / "calib" / "broken.png").write_bytes(b"no image")
    return folder


@pytest.fixture(scope="module")
def done(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Calibration:
    return calibrated(folder, tmp_path_factory.mktemp("work"), replace(FAST, tools=Tools()))


def test_a_profile_codes_the_network_s_pyramids(folder: Path, done: Calibration) -> None:
    network = models.load(str(folder / "toy.toml"))
    pyramid = network.front(datasets.read_image(folder / "images" / "0.png"))
    sizes, errors = [], []
    for quality in (5, 50, 100):
        data = ms.encode(pyramid, "calibrated", profile=done.profile, quality=quality)
        decoded = ms.decode(data, profile=done.profile)
        sizes.append(len(data))
        errors.append(sum(float(np.square(pyramid[name] - decoded[name]).sum()) for name in pyramid))
    assert sizes == sorted(sizes)
    assert errors[0] > errors[-1]
    losses = [point.loss for point in done.profile.about.curve]
    assert losses == sorted(losses)
    assert list(done.profile.about.qualities) == sorted(done.profile.about.qualities, reverse=True)
    assert all(part in done.profile.about.made_by for part in (ms.__version__, "numpy", "onnxruntime", "opencv"))


class AskedError(Exception):
    """The network's back was run."""


@pytest.fixture
def front_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> models.SplitModel:
    """The toy network, nothing of whose back may be run."""

    def asked(*_: object) -> None:
        raise AskedError

    network = models.load(str(folder / "toy.toml"))
    for part in ("back", "candidates"):
        monkeypatch.setattr(type(network), part, asked)
    return network


def test_an_encoder_runs_nothing_of_the_back(folder: Path, done: Calibration, front_alone: models.SplitModel) -> None:
    pyramid = front_alone.front(datasets.read_image(folder / "images" / "0.png"))
    codec = ms.Calibrated(profile=done.profile)
    data = encode_features(front_alone, pyramid, (80, 96), codec)
    assert data == ms.encode(pyramid, codec)
    with pytest.raises(AskedError):
        encode_features(front_alone, pyramid, (80, 96), codec.changed(importance="network"))


def test_the_curve_is_of_what_a_device_sends(
    folder: Path, done: Calibration, front_alone: models.SplitModel, tmp_path: Path
) -> None:
    views = Views(front_alone, datasets.load(str(folder / "calib")).images, tmp_path, FAST)
    cases = [analyse(check_pyramid(views.sent(view)), done.profile) for view in views.held_out]
    for point in done.profile.about.curve[:3]:
        assert np.mean([len(code(case, point.step)) for case in cases]) == pytest.approx(point.bytes)


def test_the_same_seed_gives_the_same_profile_and_another_does_not(folder: Path, tmp_path: Path) -> None:
    first, again = (calibrated(folder, tmp_path / name) for name in "ab")
    other = calibrated(folder, tmp_path / "a", replace(FAST, seed=1))
    assert first.profile.data == again.profile.data
    assert first.profile.key != other.profile.key


def test_a_network_that_finds_nothing_is_warned_of(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, progress = models.load(str(folder / "toy.toml"), threads=1), Quiet()
    back = network.back

    def unsure(pyramid: models.FloatPyramid, size: tuple[int, int]) -> models.Detections:
        found = back(pyramid, size)
        assert isinstance(found, models.Detections)
        return replace(found, scores=0.01 * found.scores)

    monkeypatch.setattr(network, "back", unsure)
    views = Views(network, datasets.load(str(folder / "calib")).images, tmp_path, FAST)
    made = fit(network, views, FAST, progress)
    assert {point.loss for point in made.profile.about.curve} == {1.0}
    said = [line for line in progress.said if "nothing is found in 6 images even without coding" in line]
    assert len(said) == 1
    assert "RGB or BGR" in said[0]
    assert not [line for line in progress.said if "losses are estimated from 0 objects" in line]


@pytest.mark.parametrize("least", [0.04, 0.09])
def test_a_loss_that_no_step_is_without_is_warned_of(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, least: float
) -> None:
    network, progress, points = models.load(str(folder / "toy.toml"), threads=1), Quiet(), curve.curve_points
    monkeypatch.setattr(
        curve,
        "curve_points",
        lambda *given: [p.model_copy(update={"loss": least + 0.5 * p.loss}) for p in points(*given)],
    )
    fit(network, Views(network, datasets.load(str(folder / "calib")).images, tmp_path, FAST), FAST, progress)
    said = [line for line in progress.said if "even the finest steps lose about 9%" in line]
    assert len(said) == (least > 0.05)


def test_a_run_goes_on_where_it_was(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = calibrated(folder, tmp_path)

    def measured_again(*_: object) -> None:
        raise AssertionError("sensitivity was measured again")

    monkeypatch.setattr(sensitivity, "_image", measured_again)
    monkeypatch.setattr(models.base.DerivedLevel, "compute", measured_again)
    assert calibrated(folder, tmp_path).profile.data == first.profile.data


def test_damaged_leftovers_are_made_again(folder: Path, tmp_path: Path) -> None:
    first = calibrated(folder, tmp_path)
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[:100])
    assert calibrated(folder, tmp_path).profile.data == first.profile.data


def test_images_that_cannot_be_read_are_listed(folder: Path, tmp_path: Path) -> None:
    views = Views(models.load(str(folder / "toy.toml")), datasets.load(str(folder / "calib")).images, tmp_path,
                  replace(FAST, images=100))  # fmt: skip
    assert [Path(path).name for path, _ in views.skipped] == ["broken.png"]
    assert views.count == 26
    with pytest.raises(InputError, match=r"cannot read the image .*broken\.png"):
        Views(models.load(str(folder / "toy.toml")), datasets.load(str(folder / "calib")).images, tmp_path,
              replace(FAST, images=100), strict=True)  # fmt: skip
    assert not {view.file for view in views.held_out} & {view.file for view in views.fit}
    with pytest.raises(InputError, match="19 images to calibrate on; at least 20"):
        Views(models.load(str(folder / "toy.toml")), datasets.load(str(folder / "calib")).images, tmp_path,
              replace(FAST, images=19))  # fmt: skip


def test_the_probe_sees_a_part_of_each_image_that_is_fitted_to(folder: Path, tmp_path: Path) -> None:
    network, files = models.load(str(folder / "toy.toml")), datasets.load(str(folder / "calib")).images
    views = Views(network, files, tmp_path, FAST)
    assert [(part.file, part.flipped) for part in views.parts] == [(view.file, view.flipped) for view in views.fit]
    assert len({view.variant for view in views.parts}) > len(views.parts) // 2
    for part, view in zip(views.parts, views.fit, strict=True):
        pixels, (top, left), (height, width) = datasets.read_image(view.file.path), part.corner or (0, 0), part.size
        assert 32 <= height < view.size[0]
        assert 32 <= width < view.size[1]
        cut = pixels[top : top + height, left : left + width]
        wanted = network.front(np.ascontiguousarray(cut[:, ::-1] if part.flipped else cut))
        for name, values in views.full(part).items():
            np.testing.assert_array_equal(values, wanted[name])
    assert Views(network, files, tmp_path, FAST).parts == views.parts
    assert Views(network, files, tmp_path, replace(FAST, seed=1)).parts != views.parts
    assert not Views(network, files, tmp_path, replace(FAST, tools=replace(FAST.tools, importance=False))).parts


def test_few_images_make_no_layers(folder: Path, tmp_path: Path) -> None:
    network = models.load(str(folder / "toy.toml"), threads=1)
    views = Views(network, datasets.load(str(folder / "calib")).images, tmp_path / "few", FAST)
    assert len(views.plain) < layout.FEWEST_IMAGES
    assert fit(network, views, FAST, Quiet()).profile.about.version == 4
    assert calibrated(folder, tmp_path / "enough").profile.about.version == 5


@pytest.mark.parametrize("cheaper", ["levels one after another", "all levels together"])
def test_levels_are_coded_in_the_way_that_takes_fewer_bytes(
    cheaper: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, quiet = models.load(str(folder / "toy.toml"), threads=1), Quiet()
    costs = [1000.0, 2000.0] if cheaper == "levels one after another" else [1000.0, 900.0]
    monkeypatch.setattr(layout, "FEWEST_IMAGES", 1)
    monkeypatch.setattr(curve, "costs_at_equal_loss", lambda curves: costs[: len(curves)])

    def made() -> Calibration:
        views = Views(network, datasets.load(str(folder / "calib")).images, tmp_path, FAST)
        return fit(network, views, FAST, quiet)

    done = made()
    layered = cheaper == "levels one after another"
    assert (done.profile.about.version, done.profile.layers > 1) == ((5, True) if layered else (4, False))
    assert f"{cheaper}: {min(costs):,.0f} bytes an image at equal losses down to 0.6%" in quiet.said
    assert f"taken: {cheaper}" in quiet.said
    quiet.said.clear()
    assert made().profile == done.profile
    assert not any("at equal losses" in line for line in quiet.said)  # what was chosen has been kept


@pytest.mark.parametrize("tool", [field.name for field in fields(Tools)])
def test_every_part_can_be_left_out(tool: str, folder: Path, tmp_path: Path) -> None:
    tools = replace(FAST.tools, **{tool: False})
    left_out = calibrated(folder, tmp_path, replace(FAST, tools=tools)).profile
    assert left_out.about.tools[EARLIER_NAMES.get(tool, tool)] is False
    assert left_out.about.version == {"layers": 4, "importance": 4, "pretrained": 3}.get(tool, 5)
    if tool == "importance":
        assert left_out.groups[0].probe is None
        assert left_out.layers == 1
    if tool == "prediction":
        assert all(group.prediction is None for group in left_out.groups)
    if tool == "neighbours":
        assert left_out.groups[0].neighbours.size == 0
    if tool == "offsets":
        assert not left_out.groups[0].offsets.any()


class WithoutCandidates:
    """A network of which only its detections can be had."""

    def __init__(self, network: Any) -> None:
        for name in (
            "name",
            "task",
            "classes",
            "has_masks",
            "derived",
            "fingerprint",
            "identity",
            "input_size",
            "front",
        ):
            setattr(self, name, getattr(network, name))
        self.back = network.back


def test_a_network_that_shows_its_detections_only(folder: Path, tmp_path: Path) -> None:
    network = WithoutCandidates(models.load(str(folder / "toy.toml"), threads=1))
    found = calibrated(folder, tmp_path, model=network)
    assert all(values.min() > 0 for values in found.sensitivity.values())
    pixels = datasets.read_image(folder / "images" / "0.png")
    pyramid = network.front(pixels)
    respond = responder(network, pyramid, pixels.shape[:2])
    still, moved = respond(pyramid), respond({name: values * 0 for name, values in pyramid.items()})
    assert float(np.square(still).sum()) < 1e-9 < float(np.square(moved).sum())
    scores = map_scores(network, pyramid, pixels.shape[:2], ImportanceGrid((2, 2), (("p3",), ("p4",))))
    assert scores.shape == (2, 2, 2)
    assert scores.max() > 0
    assert (scores[0] == scores[1]).all()  # nothing says which level a detection is of


def test_with_so_many_passes_no_clock_is_asked(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sensitivity, "seconds_a_pass", lambda *_: pytest.fail("the clock was asked"))
    some, same, more = (
        calibrated(folder, tmp_path / str(n), replace(FAST, passes=passes)).profile.data
        for n, passes in enumerate((9, 9, 99))
    )
    assert some == same != more


def test_what_is_left_out_depends_on_what_detections_need(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(curve, "transform_loss", lambda *_: 1.0)
    needy = calibrated(folder, tmp_path / "a").profile
    monkeypatch.setattr(curve, "transform_loss", lambda *_: 0.0)
    content = calibrated(folder, tmp_path / "b").profile
    assert len(needy.groups[0].basis) > len(content.groups[0].basis)


def test_evaluation_and_comparison(folder: Path, done: Calibration, tmp_path: Path) -> None:
    done.profile.write(tmp_path / "toy.profile")
    network = models.load(str(folder / "toy.toml"))
    spec = f"coco:{folder / 'images'},{folder / 'truth.json'}"
    by_probe, by_network = run(
        network,
        datasets.load(spec),
        [calibrated_options(done.profile, 60, places=source) for source in ("probe", "network")],
    )
    assert by_probe.codec["importance"] == "probe"
    assert by_probe.bytes_per_image > 0 < by_network.bytes_per_image
    text = f"calibrated:profile={tmp_path / 'toy.profile'},quality=20,90"
    request = Request(model=str(folder / "toy.toml"), data=spec, anchors=["jpeg:quality=20,90"], tests=[text], jobs=1,
                      resamples=20)  # fmt: skip
    results = compare(request, tmp_path / "out", Quiet())
    assert not results.failures
    write_report(results, request, tmp_path / "out", Quiet())
    page = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert "<code>calibrated:profile=toy.profile,quality=20" in page
    assert f"profile={tmp_path}" not in page
    tested = next(point for point in results.points if point.spec.startswith("calibrated"))
    assert tested.memory.encode is not None
    assert tested.memory.decode is not None
    label = "calibrated:profile=toy.profile,quality=20,90"
    assert len(next(c for c in results.curves if c.label == label).points) == 2
    assert parse_curve(text).points[0].codec.spec().startswith("calibrated:profile=")


def test_a_profile_of_another_network_is_refused(folder: Path, done: Calibration, tmp_path: Path) -> None:
    (tmp_path / "toy.onnx").write_bytes((folder / "toy.onnx").read_bytes())
    (tmp_path / "toy.toml").write_text(toy.DESCRIPTION.replace("std = [64.0", "std = [63.0"))
    other = models.load(str(tmp_path / "toy.toml"))
    pyramid = other.front(datasets.read_image(folder / "images" / "0.png"))
    with pytest.raises(InputError, match="was made for toy, cut graph"):
        encode_features(other, pyramid, (60, 50), calibrated_options(done.profile))
    with pytest.raises(InputError, match="was made for toy, cut graph"):
        run(other, datasets.load(str(folder / "images")), [calibrated_options(done.profile)])


def test_other_coders_are_counted_for_paper_alone(folder: Path, done: Calibration) -> None:
    network, data = models.load(str(folder / "toy.toml")), datasets.load(str(folder / "images"))
    with pytest.raises(InputError, match="calibrated has no choice of coders: leave also_coders out"):
        run(network, data, [paper_options(), calibrated_options(done.profile)], also_coders=["dense"])
    with pytest.raises(InputError, match="coder 'densee'"):
        run(network, data, [paper_options()], also_coders=["densee"])
    (both,) = run(network, data, [paper_options()], also_coders=["dense"])
    assert set(both.bytes_by_coder) == {"fast", "dense"}


def test_the_commands(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    profile, toml = tmp_path / "toy.profile", folder / "toy.toml"
    fit = ("calibrate", "-m", toml, "--images", folder / "calib", "-o", profile, "--max-images", 22)
    # One of the images cannot be read.
    assert call(*fit, "--without", "power,flips", "--figure", tmp_path / "s.png", "--json") == SOME_FAILED
    out, err = capsys.readouterr()
    assert json.loads(out)["images"] == 22
    assert "toy.profile: profile" in err
    assert not (tmp_path / "toy.profile.work").exists()
    assert cv2.imread(str(tmp_path / "s.png")) is not None
    assert call("extract", folder / "images" / "0.png", "-m", toml, "-o", tmp_path) == 0
    for target in (("--quality", 70), ("--max-bytes", 400), ("--max-loss", "90%"), ("--embed",)):
        assert call("encode", tmp_path / "0.npz", "-o", tmp_path / "0.mids", "--codec", "calibrated",
                    "--profile", profile, *target) == 0  # fmt: skip
    assert call("decode", tmp_path / "0.mids", "-o", tmp_path / "back.npz") == 0  # the profile is embedded
    assert call("inspect", tmp_path / "0.mids") == 0
    assert "(embedded)" in capsys.readouterr().out
    evaluate = ("eval", "-m", toml, "-d", folder / "images", "--codec", "calibrated", "--profile", profile)
    assert call(*evaluate, "--quality", 40, "--importance", "network", "--json") == 0
    assert json.loads(capsys.readouterr().out)["codec"]["quality"] == 40


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--budget", "soon"), "--budget soon: a time such as"),
        (("--without", "luck"), "unknown part of the method 'luck'"),
        (("--max-images", "10"), "Invalid value for '--max-images'"),
        (("--images", "/nope"), "there is no folder /nope\n"),
        (("--images", "FEW"), "4 images to calibrate on; at least 20 are needed"),
        (("--figure", "s.gif"), "s.gif"),
    ],
)
def test_commands_that_are_refused(
    arguments: tuple[str, ...], message: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = ("calibrate", "-m", folder / "toy.toml", "--images", folder / "calib", "-o", tmp_path / "p")
    assert call(*base, *(folder / "images" if each == "FEW" else each for each in arguments)) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
