"""What a calibration takes for the loss of accuracy: what it does to AP beside detections in mirror images."""

from __future__ import annotations

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
from midstream.calibration.loss import USUAL, PseudoLabels, Relation, Seen, least_score, mirror
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
    assert same == Seen(0.5 / reference.objects, 0.0)
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
    assert jumped == pytest.approx(0.5 / reference.objects)
    assert jumped < reference.seen(found(reference, 0.1)).disagreement
    beyond = jumping.seen(found(reference, 0.3)).disagreement, reference.seen(found(reference, 0.3)).disagreement
    assert jumped < beyond[0] < beyond[1]


@given(st.lists(st.tuples(st.floats(0.01, 0.3), st.floats(-0.1, 0.4)), min_size=2, max_size=12))
def test_a_relation_fits_the_points(points: list[tuple[float, float]]) -> None:
    relation = Relation.of([Seen(d, lost) for d, lost in points])
    assert relation is not None

    def off(factor: float) -> float:
        usual = np.array([USUAL.loss(d) for d, _ in points])
        return float(np.square((factor * usual - [lost for _, lost in points]) / (usual + 0.02)).sum())

    assert 0.05 <= relation.factor <= 4
    assert all(off(relation.factor) <= off(other) + 1e-9 for other in (0.05, 0.3, 1.0, 4.0))


def test_few_or_useless_points_give_no_relation() -> None:
    assert Relation.of([Seen(0.1, 0.1)]) is None
    assert Relation.of([Seen(0.1, None)] * 5) is None
    assert Relation.of([Seen(0.5, 0.5)] * 5) is None
    shown = Relation.of([Seen(d, 0.2 * USUAL.loss(d)) for d in (0.1, 0.2)])
    assert shown is not None
    assert shown.factor == pytest.approx(0.2)
    drawn = Relation.of([Seen(d, 0.2 * USUAL.loss(d)) for d in (0.1, 0.2)], objects=50)
    assert drawn is not None
    assert drawn.factor == pytest.approx(0.2**0.25)
    assert USUAL.loss(1.0) == 1.0
    assert USUAL.loss(0.0) == 0.0


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
