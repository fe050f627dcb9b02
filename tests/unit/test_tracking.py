"""Metrics of clips: HOTA, IDF1 and MOTA as TrackEval counts them, marked objects found, and jitter."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.helpers import clips

from midstream import data as datasets
from midstream.data import Dataset
from midstream.data.base import Mark
from midstream.errors import InputError
from midstream.metrics import known_metrics
from midstream.metrics.agreement import reference_dataset
from midstream.metrics.base import Evidence, Score
from midstream.metrics.case import Case
from midstream.metrics.tracking import count, total, weighted
from midstream.metrics.tracks import SequenceTracks, overlap, tracked
from midstream.models import Detections

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "tracking.json").read_text())
CLASSES = ("person", "cat")


def sequence(case: dict[str, Any]) -> SequenceTracks:
    frames = {name: [np.array(rows, float).reshape(-1, 5) for rows in case[name]] for name in ("true", "found")}
    ids = {
        name: [np.searchsorted(np.unique(np.concatenate(rows)[:, 0]), each[:, 0]) for each in rows]
        for name, rows in frames.items()
    }
    overlaps = [overlap(one[:, 1:], other[:, 1:]) for one, other in zip(frames["true"], frames["found"], strict=True)]
    return SequenceTracks(ids["true"], ids["found"], overlaps)


@pytest.mark.parametrize("case", GOLDEN["cases"])
def test_a_sequence_is_judged_as_by_trackeval(case: dict[str, Any]) -> None:
    found = count(sequence(case))
    for name, wanted in case["wanted"].items():
        assert float(getattr(found, name)()) == pytest.approx(wanted, abs=1e-9), name


def test_sequences_add_up_as_in_trackeval() -> None:
    parts = [count(sequence(case)) for case in GOLDEN["cases"]]
    for both in (total(parts), weighted(parts, np.ones((1, len(parts)), np.int64))):
        for name, wanted in GOLDEN["together"].items():
            assert float(getattr(both, name)().reshape(-1)[0]) == pytest.approx(wanted, abs=1e-9), name
    twice = weighted(parts, np.array([[2, 0, 0, 0, 1, 0, 0, 0, 0, 0]]))
    assert twice.hota()[0] == pytest.approx(float(total([parts[0], parts[0], parts[4]]).hota()), abs=1e-12)
    assert float(total([]).hota()) == float(total([]).idf1()) == float(total([]).mota()) == 0


def test_objects_that_cross_keep_their_identities(tmp_path: Path) -> None:
    folder = clips.write_frames(tmp_path / "clip", clips.frames(12))
    images = datasets.load(f"clips:{folder}").images
    found = {
        image.id: detections(
            [[20.0 * n, 10, 20.0 * n + 60, 70], [240 - 20.0 * n, 90, 300 - 20.0 * n, 150]], [0.9, 0.4 if n else 0.9]
        )
        for n, image in enumerate(images)
    }
    tracks = tracked(images, found, 0)
    assert [ids.tolist() for ids, _ in tracks] == [[0, 1]] * 12
    assert tracks[3][1].tolist() == found[images[3].id].boxes.tolist()
    assert all(len(ids) == 0 for ids, _ in tracked(images, found, 1))


def detections(boxes: list[list[float]], scores: list[float], label: int = 0) -> Detections:
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4), np.array(scores, np.float32), np.full(len(boxes), label, np.int64)
    )


def scored(name: str, dataset: Dataset, found: dict[int, Detections], reference: dict[int, Detections]) -> Score:
    if dataset.ground_truth is None:
        dataset = reference_dataset(dataset, reference, CLASSES)
    case = Case.of(dataset, found, CLASSES, reference)
    metric = known_metrics()[name]()
    assert metric.applies(case)
    return metric.score(Evidence(case, np.ones((1, len(dataset.images)), np.int64)))


def boxes_of(dataset: Dataset, shift: dict[int, float] | None = None, label: int = 0) -> dict[int, Detections]:
    """The square of each frame, moved to the right by so much in frames of these ids."""
    out = {}
    for part in dataset.parts:
        for number, image in enumerate(part):
            left, top, width, height = clips.box(number)
            moved = left + (shift or {}).get(image.id, 0.0)
            out[image.id] = detections([[moved, top, moved + width, top + height]], [0.8], label)
    return out


def test_the_uncompressed_network_agrees_with_its_own_tracks(tmp_path: Path) -> None:
    dataset = datasets.load(f"clips:{clips.write_clips(tmp_path / 'set', (6, 6))}")
    reference = boxes_of(dataset)
    for name in ("hota", "idf1", "mota"):
        assert scored(name, dataset, reference, reference).values == pytest.approx([100])
    lost = {key: each for key, each in reference.items() if key not in (3, 4)}
    assert scored("mota", dataset, lost, reference).values == pytest.approx([100 * 10 / 12])
    assert 50 < scored("hota", dataset, lost, reference).values[0] < 100


def test_labelled_tracks_are_what_counts(tmp_path: Path) -> None:
    dataset = datasets.load(f"mot:{clips.write_mot(tmp_path / 'train')}")
    found = boxes_of(dataset)
    assert scored("mota", dataset, found, {}).values == pytest.approx([100])
    assert scored("hota", dataset, found, {}).values == pytest.approx([100])
    # What lies on a distractor (the third kind of row of the miniature) costs nothing, elsewhere it does.
    for box, wanted in (([39.0, 29, 49, 39], 100.0), ([39.0, 2, 49, 12], 0.0)):
        both = {key: detections([each.boxes[0].tolist(), box], [0.8, 0.8]) for key, each in found.items()}
        assert scored("mota", dataset, both, {}).values == pytest.approx([wanted])


def test_photographs_have_no_tracks(tmp_path: Path) -> None:
    clips.write_frames(tmp_path / "images", clips.frames(2))
    dataset = datasets.load(str(tmp_path / "images"))
    found = boxes_of(dataset)
    case = Case.of(reference_dataset(dataset, found, CLASSES), found, CLASSES, found)
    assert not [name for name in ("hota", "idf1", "mota", "found", "jitter") if known_metrics()[name]().applies(case)]


def test_marked_objects_are_found_or_not(tmp_path: Path) -> None:
    dataset = datasets.load(f"clips:{clips.write_clips(tmp_path / 'set', (5,))}")  # the last frame has no mark
    reference = boxes_of(dataset, label=1)
    assert scored("found", dataset, reference, reference).values == [100]
    # Overlap 12 / 20 counts, 10 / 22 does not.
    shifted = boxes_of(dataset, {1: 4.0, 2: 6.0, 5: 50.0}, label=1)
    result = scored("found", dataset, shifted, reference)
    assert result.values == [75]
    assert result.by_class == {"cat": 75}
    assert scored("found", dataset, boxes_of(dataset), reference).values == [0]  # of another class
    faint = {key: replace(each, scores=np.array([0.2], np.float32)) for key, each in reference.items()}
    assert scored("found", dataset, faint, reference).values == [0]


def test_jitter_is_how_a_box_moves_otherwise(tmp_path: Path) -> None:
    dataset = datasets.load(f"clips:{clips.write_clips(tmp_path / 'set', (5,))}")
    reference = boxes_of(dataset, label=1)
    assert scored("jitter", dataset, reference, reference).values == [0]
    still = boxes_of(dataset, dict.fromkeys(range(1, 6), 2.0), label=1)
    assert scored("jitter", dataset, still, reference).values == [0]  # displaced, but not trembling
    # There and back in the second of four frames: 4 pixels of 16 in two of three steps.
    shaken = boxes_of(dataset, {2: 4.0}, label=1)
    assert scored("jitter", dataset, shaken, reference).values == pytest.approx([100 * 2 * 4 / 16 / 3])
    assert scored("jitter", dataset, {}, reference).values == [100]


def test_without_one_object_there_is_no_jitter(tmp_path: Path) -> None:
    dataset = datasets.load(f"clips:{clips.write_clips(tmp_path / 'set', (3,))}")
    marks = {key: (*there, Mark("cat", (0, 0, 5, 5))) for key, there in dataset.marks.items()}
    reference = boxes_of(dataset, label=1)
    case = Case.of(reference_dataset(replace(dataset, marks=marks), reference, CLASSES), reference, CLASSES, reference)
    assert not known_metrics()["jitter"]().applies(case)
    assert known_metrics()["found"]().applies(case)
    strange = {key: (Mark("dragon", mark.box),) for key, (mark,) in dataset.marks.items()}
    case = Case.of(
        reference_dataset(replace(dataset, marks=strange), reference, CLASSES), reference, CLASSES, reference
    )
    assert not known_metrics()["found"]().applies(case)


def test_no_curve_is_of_what_falls() -> None:
    from midstream.compare.run import Request, curves_of

    with pytest.raises(InputError, match="no curve can be of the metric 'jitter'"):
        curves_of(Request(model="toy", data="clips:x", tests=["paper"], metric="jitter"))
