"""What a calibration takes for the loss of accuracy: what it does to precision beside detections in mirror images."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pycocotools.mask
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.helpers import toy
from tests.helpers.calibration import FAST

from midstream import data as datasets
from midstream import models
from midstream.calibration.loss import HARSH, ITSELF, USUAL, PseudoLabels, Relation, Seen, least_score, mirror
from midstream.calibration.views import Views
from midstream.masks import decode_mask
from midstream.models import Detections, FloatPyramid


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> PseudoLabels:
    folder = toy.write_labelled(tmp_path_factory.mktemp("toy"))
    toy.write_images(folder / "calib", 26)
    network = models.load(str(folder / "toy.toml"))
    files = datasets.load(str(folder / "calib")).images
    views = Views(network, files, tmp_path_factory.mktemp("work"), FAST)
    return PseudoLabels(network, views, views.held_out)


def found(reference: PseudoLabels, scale: float) -> dict[int, Detections]:
    """What the toy network finds, its boxes moved by so much of their size."""
    out = {}
    for view in reference.views.held_out:
        there = reference.model.back(reference.views.full(view), view.size)
        sides = there.boxes[:, 2:] - there.boxes[:, :2]
        out[view.file.id] = replace(there, boxes=there.boxes + scale * np.concatenate([sides, sides], axis=1))
    return out


def test_nothing_is_lost_of_what_stays_and_more_where_boxes_move_farther(reference: PseudoLabels) -> None:
    assert not reference.empty
    same = reference.seen(found(reference, 0))
    assert same == Seen(reference.unseen, 0.0)
    assert 0 < reference.unseen < 0.1
    moved = [reference.seen(found(reference, scale)) for scale in (0.1, 0.2, 0.4)]
    assert 0 < moved[0].disagreement < moved[1].disagreement < moved[2].disagreement <= 1
    assert all(each.lost is not None for each in moved)
    assert reference.seen({}).disagreement == 1


def test_what_a_network_s_own_rounding_makes_of_any_change_is_not_lost(
    reference: PseudoLabels, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network of integers jumps as soon as anything changes, however little."""
    model, views = reference.model, reference.views
    untouched = {values.tobytes() for view in views.all for values in views.full(view).values()}
    real = model.back

    def back(pyramid: FloatPyramid, size: tuple[int, int]) -> Detections:
        there = real(pyramid, size)
        if all(values.tobytes() in untouched for values in pyramid.values()):
            return there
        return replace(there, boxes=there.boxes + 0.1 * np.tile(there.boxes[:, 2:] - there.boxes[:, :2], 2))

    monkeypatch.setattr(model, "back", back)
    jumping = PseudoLabels(model, views, views.held_out)
    jumped = jumping.seen(found(reference, 0.1)).disagreement
    assert jumped == pytest.approx(reference.unseen, rel=0.01)
    assert jumped < reference.seen(found(reference, 0.1)).disagreement
    beyond = jumping.seen(found(reference, 0.3)).disagreement, reference.seen(found(reference, 0.3)).disagreement
    assert jumped < beyond[0] < beyond[1]


def test_scores_that_change_without_their_order_lose_nothing(reference: PseudoLabels) -> None:
    there = found(reference, 0)
    halved = {image: replace(each, scores=each.scores * np.float32(0.5)) for image, each in there.items()}
    assert reference.seen(halved).disagreement == pytest.approx(reference.unseen)


@given(st.floats(0.02, 50), st.lists(st.floats(0.05, 0.4), min_size=2, max_size=6, unique=True))
def test_a_relation_is_found_again(half: float, disagreements: list[float]) -> None:
    """From losses that are known, as they are of very many objects."""
    true = Relation(half)
    relation = Relation.of([Seen(d, true.loss(d)) for d in disagreements], 10**6)
    for disagreement in disagreements:
        assert relation.loss(disagreement) == pytest.approx(true.loss(disagreement), rel=0.2, abs=0.004)


def test_few_objects_say_little_of_a_relation() -> None:
    assert Relation.of([], 100) == Relation.of([Seen(0.1, None)], 100)
    assert Relation.of([], 100).loss(0.1) == pytest.approx(USUAL.loss(0.1), rel=0.05)
    points = [Seen(d, ITSELF.loss(d)) for d in (0.1, 0.2)]  # all of the disagreement is lost
    of_many, of_few, of_none = (Relation.of(points, objects) for objects in (2000, 20, 0))
    assert of_many.half < of_few.half < of_none.half < 1.05 * USUAL.half
    assert of_many.loss(0.1) > 0.85 * 0.1
    # Chance makes more of coded images than of others: as if no disagreement mattered.
    assert Relation.of([Seen(d, -0.05) for d in (0.1, 0.2)], 2000).loss(0.1) == pytest.approx(0.01, rel=0.2)


@pytest.mark.parametrize("relation", [USUAL, HARSH, ITSELF, Relation(100.0)])
def test_a_larger_disagreement_loses_more_and_never_more_than_itself(relation: Relation) -> None:
    losses = [relation.loss(d) for d in np.linspace(0, 1, 50)]
    assert losses[0] == 0
    assert losses[-1] == pytest.approx(1)
    assert all(a < b for a, b in itertools.pairwise(losses))
    assert all(d**2 - 1e-9 <= loss <= d + 1e-9 for d, loss in zip(np.linspace(0, 1, 50), losses, strict=True))


def test_a_mirror_image_s_detections_are_mirrored() -> None:
    pixels = np.zeros((5, 8), np.uint8)
    pixels[1:3, 0:3] = 1
    there = Detections(np.array([[0, 1, 3, 3]], np.float32), np.ones(1, np.float32), np.zeros(1, np.int64),
                       [pycocotools.mask.encode(np.asfortranarray(pixels))])  # fmt: skip
    other = mirror(there, 8)
    assert other.boxes.tolist() == [[5, 1, 8, 3]]
    assert other.masks is not None
    assert np.array_equal(decode_mask(other.masks[0]), pixels[:, ::-1])
    again = mirror(other, 8)
    assert np.array_equal(again.boxes, there.boxes)
    assert again.masks == there.masks


def test_what_a_network_is_less_sure_of_counts_where_little_is_sure() -> None:
    few, many = [np.float32(score) / 100 for score in (90, 40)], [np.float32(n) / 100 for n in range(99)]
    assert least_score([np.array(many, np.float32)]) == pytest.approx(0.3)
    assert least_score([np.array(few, np.float32), np.array(many[:29], np.float32)]) == pytest.approx(0.11)
    assert least_score([np.array(few, np.float32)]) == 0  # all of them
    assert least_score([np.array(many[:29], np.float32)]) == pytest.approx(0.3)  # noise is nothing found
    assert least_score([np.zeros(0, np.float32)]) == pytest.approx(0.3)
