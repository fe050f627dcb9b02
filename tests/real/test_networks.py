"""Real networks of ten kinds from their file through every command, with what `init` chooses."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.helpers.commands import call, midstream, mistake, process
from tests.helpers.one_process import asked, comparing_here
from tests.helpers.serving import Server

import midstream as ms
from midstream import data, models
from midstream.codec.calibrated.profile import Profile
from midstream.compare.run import Request, compare
from midstream.evaluation.run import run
from midstream.models import Output, SplitModel
from midstream.progress import SILENT
from midstream.report.page import write_report

#: File, options of `init`, task, and what `paper` with 256 symbols keeps at least of the main score, in percent.
NETWORKS: dict[str, tuple[list[str], str, float]] = {
    "yolo11n_int8": ([], "detection", 85),
    "v5lite_e": ([], "detection", 85),
    "nanodet": ([], "detection", 85),
    "nanodet_fp16_io16": ([], "detection", 85),
    "deimv2_atto_int8": ([], "detection", 60),
    "rfb320": ([], "detection", 85),
    "scrfd_500m": (["--size", "320x320"], "keypoints", 85),
    "ppocrv4_det": (["--size", "320x320"], "semantic segmentation", 85),
    "mobilenetv3_small": ([], "tensors", 95),
    "silero_vad_half": (["--shape", "input=1,512"], "tensors", 95),
}
#: What a calibration can do without when nobody asks how good it is.
QUICK = "power,flips,references,neighbours,prediction"
#: Those for which the transform over all levels takes longer than all else: one that is fitted level by level will do.
WIDE = ("nanodet", "nanodet_fp16_io16")
#: The one with which `compare`, `serve` and `push` are commands and have processes of their own.
WHOLE = "scrfd_500m"
#: Images that are compared, and that a server answers.
FEW = 2


@dataclass(frozen=True)
class Material:
    """A network as `init` and `calibrate` leave it, and the folder of what it is measured on."""

    description: Path
    weights: Path
    profile: Path
    inputs: Path

    @property
    def named(self) -> list[object]:
        """Options of commands."""
        return ["-m", self.description, "--weights", self.weights]

    def load(self) -> SplitModel:
        return models.load(str(self.description), self.weights, threads=1)


@pytest.fixture(scope="module")
def inputs(assets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of a few photographs, and of as many made sounds: to calibrate on, and others to measure."""
    root = tmp_path_factory.mktemp("inputs")
    rng = np.random.default_rng(0)
    for use, chosen in (("calib", slice(0, 20)), ("eval", slice(9, 13))):  # in these four are faces
        for kind in ("images", "sounds"):
            (root / f"{use}-{kind}").mkdir()
        for number, path in enumerate(sorted((assets / "coco" / use).iterdir())[chosen]):
            (root / f"{use}-images" / path.name).symlink_to(path)
            np.save(root / f"{use}-sounds" / f"{number}.npy", sound(rng))
    return root


def sound(rng: np.random.Generator) -> NDArray[np.float32]:
    """A voice of sorts, [1, 512] at 16 kHz: a pitch with harmonics that fall off, in noise."""
    time, pitch = np.arange(512) / 16_000, rng.uniform(80, 300)
    tones = [np.sin(2 * np.pi * pitch * k * time + rng.uniform(0, 6)) / k for k in range(1, 12)]
    return (rng.uniform(0, 0.3) * np.sum(tones, axis=0) + rng.normal(0, 0.01, 512)).astype(np.float32)[None]


@pytest.mark.parametrize("name", NETWORKS)
def test_from_its_file_to_figures_and_answers(name: str, assets: Path, inputs: Path, tmp_path: Path) -> None:
    weights = assets / "networks" / f"{name}.onnx"
    assert weights.is_file(), f"the real material lacks {weights}"
    kind = "sounds" if name == "silero_vad_half" else "images"
    made = Material(tmp_path / "x.toml", weights, tmp_path / "x.profile", inputs / f"eval-{kind}")
    assert call("init", weights, "-o", made.description, *NETWORKS[name][0]) == 0
    without = f"{QUICK},fused" if name in WIDE else QUICK
    few = ["--images", inputs / f"calib-{kind}", "--max-images", 20, "--passes", 4, "--without", without]
    assert call("calibrate", "-q", *made.named, *few, "-o", made.profile) == 0
    model = made.load()
    measured(name, made, model)
    if name == WHOLE:
        compared(name, made, tmp_path / "compared")
        pushed(made, model, tmp_path / "lines.jsonl")
        return
    with comparing_here(model):
        compared(name, made, tmp_path / "compared")
    served(made, model)


def measured(name: str, made: Material, model: SplitModel) -> None:
    """`eval` with both codecs: 256 symbols keep what is seen, and `calibrated` takes fewer bytes."""
    _, task, least = NETWORKS[name]
    profile = Profile.read(made.profile)
    codecs = [ms.Calibrated(profile=profile, quality=quality) for quality in (90, 20)]
    dataset = data.load(str(made.inputs))
    fine, good, poor = run(model, dataset, [ms.Paper(symbols=256, thresholds="range"), *codecs])
    main = next(iter(fine.scores))
    assert (fine.task, fine.images, fine.skipped) == (task, 4, [])
    assert fine.scores_uncompressed[main] == pytest.approx(100, abs=1e-6)
    assert least <= fine.scores[main] <= 100 + 1e-6
    assert poor.bytes_per_image <= good.bytes_per_image < fine.bytes_per_image
    assert all(0 <= each.scores[main] <= 100 + 1e-6 for each in (good, poor))
    says_nothing = any("are the same for the first" in line for line in fine.notes)
    assert says_nothing == (name == "mobilenetv3_small")  # whose weights answer all images alike


def compared(name: str, made: Material, folder: Path) -> None:
    """`compare`: every point is there, and the uncompressed network agrees with itself."""
    tests = [f"calibrated:profile={made.profile},quality=90,20"]
    anchors = [] if name == "silero_vad_half" else ["jpeg:quality=95,20"]
    request = Request(
        str(made.description), str(made.inputs), anchors, tests, weights=made.weights, limit=FEW, jobs=1, resamples=20
    )
    results = compare(request, folder)
    assert (results.failures, results.run.task) == ([], NETWORKS[name][1])
    assert len(results.points) == 3 + 2 * len(anchors)
    assert "calibrated" in write_report(results, request, folder, SILENT).read_text()
    assert results.point(results.reference).accuracy[results.run.metric].value == pytest.approx(100, abs=1e-6)


def served(made: Material, model: SplitModel) -> None:
    """A server's answers are what the two halves give here."""
    profile = Profile.read(made.profile)
    codec = {"codec": "calibrated", "profile": profile, "quality": 60}
    images = [data.read_image(image.path) for image in data.load(str(made.inputs), FEW).images]
    prepared = ms.serve.prepare(model, profile, max_pixels=1 << 24, batch=1, threads=1, elements=None)

    async def client(address: str) -> list[Output]:
        async with ms.serve.AsyncClient(address, model, **codec) as connection:
            return [await connection.infer(image) for image in images]

    for found, image in zip(asked(prepared, client), images, strict=True):
        same(model, found, here(model, image, codec))


def pushed(made: Material, model: SplitModel, lines: Path) -> None:
    """`serve` and `push`, and a client in Python: what comes back is what the two halves give here."""
    profile = Profile.read(made.profile)
    codec = {"codec": "calibrated", "profile": profile, "quality": 60}
    first = data.read_image(data.load(str(made.inputs)).images[0].path)
    with Server(made.description, "--weights", made.weights, "--profile", made.profile) as server:
        options = ["--codec", "calibrated", "--profile", made.profile, "--quality", 60, "-o", lines]
        process("push", made.inputs, "--to", server.address, *made.named, *options)
        with ms.serve.Client(server.address, model, **codec) as client:
            found = client.infer(first)
    same(model, found, here(model, first, codec))
    entries = [json.loads(line) for line in lines.read_text().splitlines()]
    assert len(entries) == 4
    assert set(model.task.listed(found, model.classes, None)) <= set(entries[0])


def here(model: SplitModel, image: NDArray[np.uint8], codec: dict[str, Any]) -> Output:
    """What the network gives for an image that is coded and decoded here."""
    sent = ms.encode(model.front(image), **codec)
    return model.back(ms.decode(sent, profile=codec["profile"]), image.shape[:2])


def same(model: SplitModel, found: Output, expected: Output) -> None:
    """To the last bit."""
    for key, values in model.task.pack(expected).items():
        np.testing.assert_array_equal(model.task.pack(found)[key], values)


def test_a_network_of_sounds_says_what_it_takes(assets: Path, inputs: Path, tmp_path: Path) -> None:
    weights = assets / "networks" / "silero_vad_half.onnx"
    assert "such as --shape input=1,512" in mistake("init", weights)
    assert "such as" in mistake("eval", "-m", weights, "--data", inputs / "eval-images")
    description = tmp_path / "x.toml"
    midstream("init", weights, "-o", description, "--shape", "input=1,512")
    named = ["-m", description, "--weights", weights]
    photos = inputs / "calib-images"
    film = ["--draw", tmp_path / "x.mp4"]
    said = mistake("push", photos, "--to", "127.0.0.1:1", *named, *film)
    assert "takes arrays, into which nothing can be drawn" in said
    for command in (["eval", "--data", photos], ["calibrate", "--images", photos, "-o", tmp_path / "x.profile"]):
        said = mistake(command[0], "-q", *named, *command[1:])
        assert "takes arrays of shape [1, 512] (.npy files), not images" in said
