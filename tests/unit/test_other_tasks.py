"""Networks that are no detectors through every command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.helpers import toy_tasks
from tests.helpers.commands import process
from tests.helpers.one_process import comparing_here
from tests.helpers.serving import Server

import midstream as ms
from midstream import models
from midstream.calibration.run import fit
from midstream.calibration.settings import CalibrationSettings
from midstream.calibration.views import Views
from midstream.compare.run import Request, compare
from midstream.data import load, read_image
from midstream.evaluation.checks import about_nothing
from midstream.evaluation.run import run
from midstream.models import Tensors
from midstream.progress import SILENT
from midstream.report.page import write_report

MAIN = {
    "classification": "top1", "semantic segmentation": "miou", "depth": "relative", "embedding": "cosine",
    "tensors": "fidelity",
}  # fmt: skip


@pytest.fixture(params=sorted(MAIN))
def task(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def description(task: str, tmp_path: Path) -> Path:
    return toy_tasks.write_network(tmp_path, task)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return toy_tasks.write_images(tmp_path, 24)


def test_evaluated_by_agreement(task: str, description: Path, images: Path) -> None:
    model, dataset = models.load(str(description)), load(str(images))
    assert model.task.name == task
    fine, coarse = run(model, dataset, [ms.Paper(symbols=256), ms.Paper(symbols=3, z=1.0)])
    main = MAIN[task]
    assert next(iter(fine.scores)) == main
    assert fine.scores_uncompressed[main] == pytest.approx(100, abs=1e-4)
    assert 95 < fine.scores[main] <= 100 + 1e-4
    assert coarse.scores[main] < fine.scores[main] or task == "classification"
    assert (fine.task, fine.ap, "agreement" in fine.metric) == (task, None, True)
    assert json.loads(json.dumps(fine.model_dump()))["scores"] == fine.scores


def test_calibrated_and_as_good_as_it_says(task: str, description: Path, images: Path, tmp_path: Path) -> None:
    model = models.load(str(description), threads=1)
    settings = CalibrationSettings(images=24, passes=8)
    views = Views(model, load(str(images)).images, tmp_path / "work", settings)
    profile = fit(model, views, settings).profile
    assert profile.about.importance.classes == 1  # such a task looks nowhere
    pyramid = model.front(read_image(sorted(images.iterdir())[0]))
    sizes = [len(ms.encode(pyramid, codec="calibrated", profile=profile, quality=q)) for q in (20, 60, 95)]
    assert sizes[0] < sizes[1] < sizes[2]
    worst, best = run(model, load(str(images)), [ms.Calibrated(profile=profile, quality=q) for q in (5, 95)])
    assert worst.bytes_per_image < best.bytes_per_image
    assert worst.scores[MAIN[task]] <= best.scores[MAIN[task]]


def test_compared_with_coded_images(task: str, description: Path, images: Path, tmp_path: Path) -> None:
    request = Request(
        str(description), str(images), limit=6, anchors=("jpeg:quality=95,60,20",), tests=("paper:symbols=4,z=1,2",),
        resamples=20, jobs=1,
    )  # fmt: skip
    with comparing_here(models.load(str(description), threads=1)):
        results = compare(request, tmp_path / "out")
    assert results.run.metric == MAIN[task]
    assert not results.failures
    accuracies = [point.accuracy[MAIN[task]].value for point in results.points]
    assert max(accuracies) == pytest.approx(100, abs=1e-3)
    assert all(np.isfinite(accuracies))
    page = write_report(results, request, tmp_path / "out", SILENT).read_text()
    assert known_title(task) in page
    assert "Detections" not in page


def known_title(task: str) -> str:
    from midstream.metrics import known_metrics

    return known_metrics()[MAIN[task]].title.replace("<", "&lt;")


def test_served(task: str, description: Path, images: Path, tmp_path: Path) -> None:
    model = models.load(str(description))
    image = read_image(sorted(images.iterdir())[0])
    with Server(description) as server:
        with ms.serve.Client(server.address, model, symbols=4, z=1.5) as client:
            found = client.infer(image)
            data = client.edge.encode(image)
        lines = tmp_path / "lines.jsonl"
        options = ("-m", description, "-o", lines, "--symbols", "4", "--z", "1.5")
        process("push", images, "--to", server.address, *options)
    assert isinstance(found, Tensors)
    expected = model.task.pack(model.back(ms.decode(data), image.shape[:2]))
    for name, values in model.task.pack(found).items():
        np.testing.assert_array_equal(values, expected[name])
    entries = [json.loads(line) for line in lines.read_text().splitlines()]
    assert len(entries) == 24
    assert set(model.task.listed(found, model.classes, None)) <= set(entries[0])


def test_in_batches(task: str, description: Path, images: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    import pyarrow as pa

    from midstream.batch import schema

    model = models.load(str(description))
    output = model.back(model.front(read_image(sorted(images.iterdir())[0])), (40, 50))
    column, _ = schema.columns_for(model.task)
    fields = schema.results("decode", model.task)
    assert column == "outputs"
    table = pa.Table.from_pylist([{column: schema.output_rows(model, output)}], pa.schema([fields.field(column)]))
    (again,) = schema.read_outputs(model, table[column])
    for name, values in model.task.pack(output).items():
        np.testing.assert_array_equal(model.task.pack(again)[name], values)


@pytest.mark.parametrize(
    ("task", "old", "new", "message"),
    [
        ("classification", "softmax = true", "softmax = false", "softmax = true"),
        ("classification", 'kind = "classification"\nsoftmax = true', 'kind = "depth"', "'depth' expects"),
        ("depth", 'kind = "depth"', 'kind = "embedding"', "'embedding' expects"),
        ("semantic segmentation", 'kind = "segmentation"', 'kind = "segmentation"\noutput = "nap"', "output 'nap'"),
        ("embedding", 'kind = "embedding"', 'kind = "segmentation"', "expects .1, classes, h, w."),
        ("embedding", 'kind = "embedding"', 'kind = "depth"', "'depth' expects"),
    ],
)
def test_a_head_that_does_not_fit_is_named(task: str, old: str, new: str, message: str, tmp_path: Path) -> None:
    description = toy_tasks.write_network(tmp_path, task)
    description.write_text(description.read_text().replace(old, new))
    with pytest.raises(ms.InputError, match=message):
        models.load(str(description))


def test_no_map_of_importance_by_the_network(tmp_path: Path) -> None:
    from midstream.codec.base import ImportanceGrid
    from midstream.halves.coding import map_scores

    model: Any = models.load(str(toy_tasks.write_network(tmp_path, "classification")))
    pyramid = model.front(np.zeros((40, 50, 3), np.uint8))
    with pytest.raises(ms.InputError, match="does not say where it looks"):
        map_scores(model, pyramid, (40, 50), ImportanceGrid((2, 2), (tuple(pyramid),)))


def test_a_segmenter_with_its_labels_inside_is_calibrated(tmp_path: Path) -> None:
    description = toy_tasks.write_network(tmp_path, "semantic segmentation")
    toy_tasks.with_labels_inside(tmp_path / "task.onnx")
    model = models.load(str(description), threads=1)
    images = toy_tasks.write_images(tmp_path, 24)
    settings = CalibrationSettings(images=24, passes=8)
    done = fit(model, Views(model, load(str(images)).images, tmp_path / "work", settings), settings)
    assert all((each > 0).all() for each in done.sensitivity.values())


def test_levels_that_nothing_looks_at_are_calibrated(tmp_path: Path) -> None:
    """As the tokens of an image behind a cut of which only that of the class is read."""
    description = toy_tasks.write_network(tmp_path, "tensors", unread=True)
    model = models.load(str(description), threads=1)
    images = toy_tasks.write_images(tmp_path, 24)
    settings = CalibrationSettings(images=24, passes=8)
    profile = fit(model, Views(model, load(str(images)).images, tmp_path / "work", settings), settings).profile
    pyramid = model.front(read_image(sorted(images.iterdir())[0]))
    assert ms.decode(ms.encode(pyramid, codec="calibrated", profile=profile), profile=profile)


def test_outputs_that_no_image_changes_are_said_to_say_nothing() -> None:
    values = np.random.default_rng(1).normal(size=(4, 3, 50)).astype(np.float32)
    alike = [Tensors({"a": values[0, 0] + 1e-3 * each[0], "b": values[1, 1]}) for each in values]
    (line,) = about_nothing({"fidelity": 100.0}, alike)
    assert line.startswith("the network's outputs are the same for the first 4 images")
    assert about_nothing({"fidelity": 100.0}, alike[:1]) == []
    some = [Tensors({"a": values[0, 0], "b": each[1]}) for each in values]
    assert about_nothing({"fidelity": 100.0}, some) == []
    assert about_nothing({"top1": 100.0}, alike) == []
