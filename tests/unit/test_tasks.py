"""Tasks: distances, packing and scores of outputs that are no boxes, and keypoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from midstream.data import Dataset, ImageFile
from midstream.errors import InputError
from midstream.evaluation.checks import about_labels, require
from midstream.metrics.agreement import reference_dataset
from midstream.metrics.scores import labelled, main_metric, score
from midstream.models import Detections, Tensors
from midstream.models.tasks import known_tasks, task_named
from midstream.models.tasks.classification import Classification
from midstream.models.tasks.depth import Depth
from midstream.models.tasks.detection import Keypoints
from midstream.models.tasks.embedding import Embedding
from midstream.models.tasks.segmentation import SemanticSegmentation, labels_of, resized_labels
from midstream.models.tasks.tensors import AnyTensors

NAMES = {
    "classification", "depth", "detection", "embedding", "function", "instance segmentation", "keypoints",
    "semantic segmentation", "tensors",
}  # fmt: skip


def images(count: int, labels: Any = None, truth: Any = None) -> Dataset:
    return Dataset("made", labels, tuple(ImageFile(i, Path(f"{i}.png")) for i in range(count)), truth)


def chances(*rows: list[float]) -> dict[int, Tensors]:
    return {i: Tensors({"scores": np.array(row, np.float32)}) for i, row in enumerate(rows)}


def test_tasks_are_found_by_name() -> None:
    assert set(known_tasks()) == NAMES
    with pytest.raises(InputError, match="classificatoin"):
        task_named("classificatoin")


def example(task: str) -> Any:
    rng = np.random.default_rng(0)
    if task in ("detection", "instance segmentation", "keypoints"):
        boxes = np.array([[1, 2, 30, 40], [5, 5, 9, 9]], np.float32)
        masks = [{"size": [50, 60], "counts": b"01"}, {"size": [50, 60], "counts": b"9"}]
        points = rng.random((2, 5, 3)).astype(np.float32)
        has_masks, has_points = task == "instance segmentation", task == "keypoints"
        return Detections(
            boxes, np.array([0.9, 0.4], np.float32), np.array([1, 0]), masks if has_masks else None,
            points if has_points else None,
        )  # fmt: skip
    return Tensors(
        {
            "classification": {"scores": np.array([0.2, 0.5, 0.3], np.float32)},
            "semantic segmentation": {"logits": rng.normal(size=(3, 8, 9)).astype(np.float32)},
            "depth": {"values": rng.random((6, 7)).astype(np.float32) + 1},
            "embedding": {"vector": rng.normal(size=16).astype(np.float32)},
            "function": {"a": rng.normal(size=(2, 3)).astype(np.float32)},
            "tensors": {"a": rng.normal(size=(2, 3)).astype(np.float32), "b": np.arange(4)},
        }[task]
    )


@pytest.mark.parametrize("name", sorted(NAMES))
def test_an_output_comes_back_from_its_arrays_and_agrees_with_itself(name: str) -> None:
    task, output = task_named(name), example(name)
    assert task.fault(output, 3) == ""
    again = task.unpack(task.pack(output))
    assert task.fault(again, 3) == ""
    for key, values in task.pack(output).items():
        np.testing.assert_array_equal(task.pack(again)[key], values)
    assert task.disagreement([output, output], [again, again]) == pytest.approx(0, abs=1e-6)
    assert float(np.square(task.moved(output, output)).sum()) < 1e-9
    drawn = task.annotate(np.full((50, 60, 3), 96, np.uint8), output, ("a", "b", "c"))
    assert (drawn.shape, drawn.dtype) == ((50, 60, 3), np.uint8)
    assert task.listed(output, ("a", "b", "c"), None)


@pytest.mark.parametrize(
    ("task", "output", "fault"),
    [
        (Classification(), {"scores": np.array([2.0, -1.0, 5.0], np.float32)}, "softmax = true"),
        (Classification(), {"scores": np.array([0.5, 0.5], np.float32)}, "2 scores for 3 classes"),
        (Classification(), {"vector": np.ones(3, np.float32)}, "no tensor 'scores'"),
        (SemanticSegmentation(), {"logits": np.full((3, 2, 2), np.nan, np.float32)}, "not a finite number"),
        (SemanticSegmentation(), {"labels": np.full((2, 2), 7, np.uint8)}, "not one of the 3 classes"),
        (Depth(), {"values": np.full((2, 2), np.inf, np.float32)}, "not finite"),
        (Embedding(), {"vector": np.ones((2, 2), np.float32)}, "expected 1 axes"),
    ],
)
def test_an_output_that_cannot_be_one_is_named(task: Any, output: dict[str, Any], fault: str) -> None:
    assert fault in task.fault(Tensors(output), 3)


@pytest.mark.parametrize(
    ("task", "arrays"),
    [
        (Classification(), {"scores": np.ones((2, 2), np.float32)}),
        (SemanticSegmentation(), {"labels": np.ones((2, 2), np.float32)}),
        (SemanticSegmentation(), {}),
        (Keypoints(), {"boxes": np.ones((2, 4), np.float32)}),
    ],
)
def test_arrays_of_no_output_are_refused(task: Any, arrays: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        task.unpack(arrays)


@given(arrays(np.float32, array_shapes(max_dims=4, max_side=5), elements=st.integers(-100, 100).map(float)))
def test_the_error_of_tensors_is_relative(values: Any) -> None:
    task = AnyTensors()
    lost = task.disagreement([Tensors({"x": values})], [Tensors({"x": values * np.float32(0.9)})])
    assert lost == pytest.approx(0.01 if values.any() else 0.0, rel=1e-3, abs=1e-9)
    assert task.disagreement([Tensors({"x": values})], [Tensors({"x": values[..., :0]})]) == float(values.any())


def test_what_is_infinite_in_both_is_right() -> None:
    task, mask = AnyTensors(), np.array([0.0, -np.inf, 2.0], np.float32)
    assert task.disagreement([Tensors({"x": mask})], [Tensors({"x": mask})]) == 0
    now = np.array([0.0, 1.0, 2.0], np.float32)
    assert np.isfinite(task.moved(Tensors({"x": mask}), Tensors({"x": now}))).all()


def test_large_tensors_are_measured_by_some_of_their_numbers() -> None:
    values = np.arange(3 << 18, dtype=np.float32).reshape(3, -1)
    kept = AnyTensors().kept(Tensors({"x": values})).values["x"]
    assert kept.size == 1 << 18
    np.testing.assert_array_equal(kept, values.reshape(-1)[::3])


def test_top_1_and_top_5_beside_labels() -> None:
    categories = [{"id": i, "name": name} for i, name in enumerate("abcdefg")]
    truth = {"images": [], "categories": categories, "annotations": [
        {"image_id": i, "category_id": c} for i, c in enumerate([0, 1, 6])]}  # fmt: skip
    dataset = images(3, "classes", truth)
    found = chances(
        [0.4, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1],
        [0.3, 0.2, 0.1, 0.1, 0.1, 0.1, 0.1],
        [0.3, 0.2, 0.15, 0.15, 0.1, 0.1, 0.0],
    )
    scores = score(Classification(), dataset, tuple("abcdefg"), found, found)
    assert scores.values == {"top1": pytest.approx(100 / 3), "top5": pytest.approx(200 / 3)}
    assert scores.metric == "top-1, top-5"
    # Without names the order of the classes is the data set's; of another number nobody knows which is which.
    assert score(Classification(), dataset, (), found, found).values == scores.values
    with pytest.raises(InputError, match="the network gives 2 scores"):
        score(Classification(), images(1, "classes", truth), (), chances([0.5, 0.5]), chances([0.5, 0.5]))


def test_without_labels_the_uncompressed_network_is_right() -> None:
    reference, found = chances([0.9, 0.1], [0.2, 0.8]), chances([0.6, 0.4], [0.7, 0.3])
    scores = score(Classification(), images(2), (), found, reference)
    assert scores.values["top1"] == 50
    assert "agreement" in scores.metric
    assert Classification().disagreement(list(reference.values()), list(found.values())) == pytest.approx(0.4)


def test_labels_of_another_task_are_left_aside_and_it_is_said() -> None:
    dataset = images(1, "coco", {"images": [], "categories": [], "annotations": []})
    left = labelled(Classification(), dataset)
    assert (left.labels, left.ground_truth) == (None, None)
    assert "none of classification" in left.notes[0]
    assert labelled(Keypoints(), dataset) is dataset


def test_label_maps_at_any_stride() -> None:
    logits = np.zeros((3, 4, 6), np.float32)
    logits[1, :, :3], logits[2, 2:, 3:] = 1, 2
    labels = labels_of(Tensors({"logits": logits}))
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, [[1, 1, 1, 0, 0, 0]] * 2 + [[1, 1, 1, 2, 2, 2]] * 2)
    np.testing.assert_array_equal(resized_labels(labels, (8, 12))[::2, ::2], labels)
    one = labels_of(Tensors({"logits": np.array([[[-1, 2]]], np.float32)}))
    np.testing.assert_array_equal(one, [[0, 1]])
    task, half = SemanticSegmentation(), labels.copy()
    half[:, :3] = 0
    lost = task.disagreement([Tensors({"labels": labels})], [Tensors({"labels": half})])
    assert lost == pytest.approx(1 - (6 / 18 + 0 + 1) / 3)
    found = {0: Tensors({"labels": half})}
    scores = score(task, images(1), (), found, {0: Tensors({"labels": labels})})
    assert scores.values == {"miou": pytest.approx(100 * (1 - lost)), "pixel_accuracy": 50}


def test_depth_and_embeddings() -> None:
    near, far = np.full((4, 4), 2.0, np.float32), np.full((4, 4), 2.0, np.float32)
    far[0] = 3
    scores = score(Depth(), images(1), (), {0: Tensors({"values": far})}, {0: Tensors({"values": near})})
    assert scores.values == {"relative": pytest.approx(87.5), "delta1": 75}
    vectors = {i: Tensors({"vector": v}) for i, v in enumerate(np.eye(3, dtype=np.float32) + 0.1)}
    turned = dict(vectors) | {0: Tensors({"vector": 5 * vectors[0].values["vector"]})}
    scores = score(Embedding(), images(3), (), turned, vectors)
    assert scores.values == {"cosine": pytest.approx(100, abs=1e-4), "recall1": 100}


def test_keypoints_are_scored_by_similarity() -> None:
    rng = np.random.default_rng(1)
    boxes = np.array([[10, 10, 60, 90], [70, 10, 120, 90]], np.float32)
    points = np.concatenate([rng.uniform(12, 58, (2, 17, 2)), np.ones((2, 17, 1))], axis=2).astype(np.float32)
    points[1, :, 0] += 60
    found = Detections(boxes, np.array([0.9, 0.8], np.float32), np.zeros(2, np.int64), None, points)
    reference = {0: found}
    dataset = images(1)
    assert score(Keypoints(), dataset, ("person",), reference, reference).values["kp_ap"] == pytest.approx(100)
    away = points.copy()
    away[0, :, 1] += 40  # as far as half of the person is high
    moved = {0: Detections(boxes, found.scores, found.labels, None, away)}
    scores = score(Keypoints(), dataset, ("person",), moved, reference).values
    assert scores["ap"] == pytest.approx(100)
    assert 0 < scores["kp_ap"] < 60
    assert next(iter(scores)) == "kp_ap"
    truth = reference_dataset(dataset, reference, ("person",)).ground_truth
    assert truth is not None
    assert truth["annotations"][0]["num_keypoints"] == 17


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_task_has_a_main_metric(name: str) -> None:
    assert main_metric(task_named(name))


@pytest.mark.parametrize(
    ("classes", "says"),
    [
        (("tench", "goldfish"), ""),
        (("tench, Tinca tinca", "goldfish, Carassius auratus"), "the first of their names"),
        (("n01440764", "n01443537"), "WordNet's ids"),
        (("class 0", "class 1"), "in the data set's order"),
    ],
)
def test_classes_are_matched_as_data_sets_name_them(classes: tuple[str, ...], says: str) -> None:
    categories = [
        {"id": 0, "name": "tench", "synset": "n01440764"}, {"id": 1, "name": "goldfish", "synset": "n01443537"},
    ]  # fmt: skip
    truth = {"images": [], "categories": categories, "annotations": [{"image_id": 0, "category_id": 1}]}
    dataset = images(1, "classes", truth)
    found = chances([0.2, 0.8])
    assert score(Classification(), dataset, classes, found, found).values["top1"] == 100
    notes = about_labels(dataset, Classification(), classes)
    assert says in "".join(notes)
    with pytest.raises(InputError, match="no class name in common"):
        require(dataset, Classification(), ("a", "b", "c"))
