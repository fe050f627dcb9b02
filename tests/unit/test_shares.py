"""Which levels a detector's candidates come from, and the scores of each level's importance map."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.helpers import profiles, toy

import midstream as ms
from midstream import models
from midstream.codec.base import ImportanceGrid
from midstream.halves.coding import map_scores, prepared
from midstream.halves.shares import has_heads_of_levels, level_shares
from midstream.models import FloatPyramid, ProposingModel
from midstream.models.tasks.detection import scores_in_cells

SIZE = 40, 50
FINE, COARSE = 16, 4  # cells of the toy network's levels, and candidates of them, in this order


@pytest.fixture
def network(tmp_path: Path) -> ProposingModel:
    """With a head for each of its levels."""
    found = models.load(str(toy.write_toy(tmp_path)), threads=1)
    assert isinstance(found, ProposingModel)
    return found


def pyramid_of(network: ProposingModel) -> FloatPyramid:
    return network.front(np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8))


def with_candidates(network: ProposingModel, monkeypatch: pytest.MonkeyPatch, make: Callable[[Any, Any], Any]) -> None:
    """The network with candidates that `make` makes of those that it had, and a pyramid."""
    had = network.candidates
    monkeypatch.setattr(network, "candidates", lambda pyramid: make(had, pyramid))


def mixed(had: Callable[[FloatPyramid], Any], pyramid: FloatPyramid) -> Any:
    """Of levels that are added to each other first."""
    fine, coarse = pyramid["p3"], pyramid["p4"]
    pooled = fine.reshape(len(fine), 2, 2, 2, 2).mean(axis=(2, 4))
    return had({"p3": fine + coarse.repeat(2, axis=1).repeat(2, axis=2), "p4": coarse + pooled})


def test_each_candidate_of_a_head_of_a_level_is_of_that_level(network: ProposingModel) -> None:
    pyramid = pyramid_of(network)
    shares = level_shares(network, pyramid)
    assert list(shares) == list(pyramid)
    np.testing.assert_array_equal(shares["p3"], np.repeat(np.float32([1, 0]), [FINE, COARSE]))
    np.testing.assert_array_equal(shares["p4"], 1 - shares["p3"])
    assert has_heads_of_levels(network, pyramid)


def test_candidates_of_levels_that_mix_are_of_all(network: ProposingModel, monkeypatch: pytest.MonkeyPatch) -> None:
    with_candidates(network, monkeypatch, mixed)
    pyramid = pyramid_of(network)
    shares = np.array(list(level_shares(network, pyramid).values()))
    assert shares.shape == (2, FINE + COARSE)
    assert (shares.max(axis=0) == 1).all()
    assert (shares >= 0).all()
    assert np.median(shares.min(axis=0)) > 0.25
    assert not has_heads_of_levels(network, pyramid)


@pytest.mark.parametrize("kind", ["still", "other"])
def test_what_nothing_moves_and_what_cannot_be_compared_is_of_all_levels_alike(
    kind: str, network: ProposingModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[FloatPyramid] = []

    def make(had: Callable[[FloatPyramid], Any], pyramid: FloatPyramid) -> Any:
        """The same whatever the levels are, or more of them each time."""
        asked.append(pyramid)
        found, count = had(pyramid), 5 + len(asked)
        if kind == "still":
            return type(found)(np.ones_like(found.boxes), np.zeros_like(found.scores))
        return type(found)(found.boxes[:count], found.scores[:count])

    with_candidates(network, monkeypatch, make)
    shares = np.array(list(level_shares(network, pyramid_of(network)).values()))
    assert shares.shape == (2, FINE + COARSE if kind == "still" else 6)
    assert (shares == 1).all()
    assert not has_heads_of_levels(network, pyramid_of(network))


def test_a_network_is_asked_once_for_each_size(network: ProposingModel, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def counted(had: Callable[[FloatPyramid], Any], pyramid: FloatPyramid) -> Any:
        asked.append(pyramid)
        return had(pyramid)

    with_candidates(network, monkeypatch, counted)
    pyramid = pyramid_of(network)
    first = level_shares(network, pyramid)
    assert len(asked) == 1 + len(pyramid)
    assert level_shares(network, {name: values * 2 for name, values in pyramid.items()}) is first
    assert len(asked) == 1 + len(pyramid)


def test_the_scores_of_a_map_are_those_of_its_levels(network: ProposingModel) -> None:
    pyramid, grid = pyramid_of(network), (4, 4)
    found, area = network.candidates(pyramid), network.input_size(SIZE)
    best = found.scores.max(axis=1)
    own = map_scores(network, pyramid, SIZE, ImportanceGrid(grid, (("p4",), ("p3",))))
    for scores, part in zip(own, (slice(FINE, None), slice(FINE)), strict=True):
        np.testing.assert_array_equal(scores, scores_in_cells(found.boxes[part], best[part], area, grid))
    assert own.shape == (2, *grid)
    assert not np.array_equal(own[0], own[1])
    (one,) = map_scores(network, pyramid, SIZE, ImportanceGrid(grid, (("p4", "p3"),)))
    np.testing.assert_array_equal(one, own.max(axis=0))


def test_an_encoder_is_told_the_scores_of_its_maps(network: ProposingModel) -> None:
    layout: tuple[profiles.Group, ...] = ({"p4": (5, (2, 2), 1)}, {"p3": (5, (4, 4), 2)})
    profile, pyramid = profiles.profile(layout=layout, layers=2), pyramid_of(network)
    codec = ms.Calibrated(profile=profile, importance="network")
    levels, hints = prepared(network, pyramid, SIZE, codec)
    assert hints.scores is not None
    assert hints.scores.shape == (2, 2, 2)
    data = codec.encode(levels, hints)
    assert list(ms.decode(data, profile=profile)) == ["p3", "p4"]


def test_candidates_that_nothing_moves_say_nothing_of_heads(
    network: ProposingModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a confident network, most of whose candidates are background beyond all doubt."""

    def few(had: Callable[[FloatPyramid], Any], pyramid: FloatPyramid) -> Any:
        found = had(pyramid)
        alive = np.arange(FINE + COARSE)[:, None] % 4 == 0
        return type(found)(np.where(alive, found.boxes, 1), np.where(alive, found.scores, 0))

    with_candidates(network, monkeypatch, few)
    pyramid = pyramid_of(network)
    assert np.mean([each == 1 for each in level_shares(network, pyramid).values()]) > 0.75
    assert has_heads_of_levels(network, pyramid)


def test_a_level_that_only_boxes_hang_on_counts(network: ProposingModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores that stand still, and boxes that move with their level."""

    def still(had: Callable[[FloatPyramid], Any], pyramid: FloatPyramid) -> Any:
        found = had(pyramid)
        return type(found)(found.boxes, np.full_like(found.scores, 0.5))

    with_candidates(network, monkeypatch, still)
    shares = level_shares(network, pyramid_of(network))
    assert (shares["p3"][:FINE] == 1).all()
    assert (shares["p3"][FINE:] == 0).all()
    assert (shares["p4"][FINE:] == 1).all()


def test_masks_may_be_made_of_any_level(network: ProposingModel, monkeypatch: pytest.MonkeyPatch) -> None:
    assert has_heads_of_levels(network, pyramid_of(network))
    monkeypatch.setattr(type(network), "has_masks", True)
    assert not has_heads_of_levels(network, pyramid_of(network))


def test_scores_of_another_number_of_candidates_are_of_all_levels(
    network: ProposingModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a graph that gives as many as it finds."""
    pyramid, wanted = pyramid_of(network), ImportanceGrid((4, 4), (("p4",), ("p3",)))
    level_shares(network, pyramid)
    with_candidates(
        network, monkeypatch, lambda had, given: type(had(given))(had(given).boxes[:6], had(given).scores[:6])
    )
    own = map_scores(network, pyramid, SIZE, wanted)
    np.testing.assert_array_equal(own[0], own[1])


def test_a_network_that_does_not_propose_has_no_heads_of_levels(
    network: ProposingModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(network), "proposes", False)
    assert not has_heads_of_levels(network, pyramid_of(network))
