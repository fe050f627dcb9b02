"""Profiles with layers: what is read of them, what they may lack, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.helpers import profiles

import midstream as ms
from midstream.arrays import pack_tensors, unpack_tensors
from midstream.codec.calibrated.parts import SEEN_BY_LAYERS, CellProbe, GroupSight
from midstream.codec.calibrated.profile_file import tensors_of
from midstream.errors import InputError

PROFILE = profiles.profile(layers=2, ways=2)
TENSORS, DOCUMENT = unpack_tensors(PROFILE.data, "it")
SECOND, WIDTH = len(PROFILE.groups[1].scales), TENSORS["1/prediction"].shape[1]
Tensors = dict[str, Any]


def parsed(tensors: Mapping[str, Any], document: Mapping[str, Any] | None = None) -> ms.Profile:
    return ms.Profile.parse(pack_tensors(dict(tensors), DOCUMENT | (document or {})), "it")


def test_what_is_written_is_what_was_read() -> None:
    found = tensors_of(PROFILE.groups, 255)
    assert found.keys() == TENSORS.keys()
    for name, values in TENSORS.items():
        assert found[name].dtype == values.dtype, name
        np.testing.assert_array_equal(found[name], values, name)


def test_what_a_profile_says_of_its_layers() -> None:
    assert PROFILE.layers == 2
    assert PROFILE.about.map_levels == (("p4", "p5"), ("p3",))
    assert profiles.profile(entropy=True).about.map_levels == (("p3", "p4", "p5"),)
    assert [group.layer for group in PROFILE.groups] == [False, True, False]
    first, second, coarser = (group.probe for group in PROFILE.groups)
    assert isinstance(first, CellProbe)
    assert first.out.shape == (2, len(first.around) + 1)
    assert isinstance(second, GroupSight)
    assert not isinstance(second, CellProbe)
    assert coarser is None


@pytest.mark.parametrize(
    ("match", "document"),
    [
        ("layers belong to version 5", {"version": 4}),
        ("layers belong to version 5", {"layers": None}),
        ("layers: Input should be greater", {"layers": 1}),
        ("layers: Input should be greater", {"layers": 0}),
        ("layers: Input should be a valid integer", {"layers": 2.0}),
        ("layers: Input should be a valid integer", {"layers": True}),
        ("more layers than groups", {"layers": 4}),
        ("more layers than groups", {"layers": 1 << 62}),
        ("layers do not lie over the same cells", {"layers": 3}),
        ("maps: Extra inputs are not permitted", {"maps": 2}),
    ],
)
def test_documents_that_cannot_be(match: str, document: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=match):
        parsed(TENSORS, document)


@pytest.mark.parametrize("change", [{"ratio": 1}, {"size": [14, 20]}, {"size": [16, 22]}, {"size": [1, 1]}])
def test_a_layer_on_another_grid(change: dict[str, Any]) -> None:
    groups = [{"levels": [dict(level) for level in group["levels"]]} for group in DOCUMENT["groups"]]
    groups[1]["levels"][0] |= change
    with pytest.raises(InputError, match="layers do not lie over the same cells"):
        parsed(TENSORS, {"groups": groups})


def zeros(dtype: str, *shape: int) -> Callable[[Tensors], Any]:
    return lambda _: np.zeros(shape, dtype)


PREDICTIONS = {
    "a column too few": zeros("f2", SECOND, WIDTH - 1),
    "a column too many": zeros("f2", SECOND, WIDTH + 1),
    "of one cell": zeros("f2", SECOND, (WIDTH - 1) // 5 + 1),
    "of nine cells": zeros("f2", SECOND, (WIDTH - 1) // 5 * 9 + 1),
    "without a cell": zeros("f2", SECOND, WIDTH - (WIDTH - 1) // 5),
    "of none": zeros("f2", SECOND, 1),
    "a row too many": zeros("f2", SECOND + 1, WIDTH),
    "without a row": zeros("f2", 0, WIDTH),
    "of another type": zeros("f4", SECOND, WIDTH),
    "a line": zeros("f2", WIDTH),
    "infinite": lambda _: np.full((SECOND, WIDTH), np.inf, np.float16),
    "no number": lambda _: np.full((SECOND, WIDTH), np.nan, np.float16),
}


@pytest.mark.parametrize("name", PREDICTIONS)
def test_a_prediction_of_a_layer_that_cannot_be(name: str) -> None:
    with pytest.raises(InputError, match=r"a damaged profile: .*prediction"):
        parsed({**TENSORS, "1/prediction": PREDICTIONS[name](TENSORS)})


def test_the_first_group_is_predicted_from_nothing_and_coarser_ones_from_the_first() -> None:
    first, coarser = (len(PROFILE.groups[number].scales) for number in (0, 2))
    for columns in (1, first + 1, 9 * first + 1):
        with pytest.raises(InputError, match="a prediction that does not fit"):
            parsed({**TENSORS, "0/prediction": np.zeros((first, columns), np.float16)})
    assert parsed({**TENSORS, "2/prediction": np.zeros((coarser, 9 * first + 1), np.float16)}).groups[2].layer is False
    for columns in (9 * (first + 1) + 1, first + SECOND + 1):
        with pytest.raises(InputError, match="a prediction that does not fit"):
            parsed({**TENSORS, "2/prediction": np.zeros((coarser, columns), np.float16)})


def test_a_layer_is_predicted_from_so_many_of_each_before_it_at_most() -> None:
    def width(first: int) -> int:
        layout: tuple[profiles.Group, ...] = ({"a": (first, (2, 3), 1)}, {"b": (3, (2, 3), 1)}, {"c": (4, (2, 3), 1)})
        tensors, document = unpack_tensors(profiles.profile(layout=layout, layers=3, ways=1).data, "it")
        found: int = tensors["2/prediction"].shape[1]
        for columns in {5 * (first + 3) + 1, found + 5, found - 5, found + 1, found - 1} - {found}:
            with pytest.raises(InputError, match="a prediction that does not fit"):
                parsed({**tensors, "2/prediction": np.zeros((4, columns), np.float16)}, document)
        return found

    here, beside, corner = SEEN_BY_LAYERS
    assert corner == 0
    assert width(beside) == 5 * (beside + 3) + 1
    assert width(beside + 1) == width(beside) + 1
    assert width(here) == width(beside) + here - beside == width(here + 1) == width(here + 20)


def taken(*starts: str) -> Callable[[Tensors], Tensors]:
    """Without these tensors."""
    return lambda tensors: {name: values for name, values in tensors.items() if not name.startswith(starts)}


def put(name: str, *shape: int) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {**tensors, name: np.zeros(shape, np.float32)}


FEATURES = TENSORS["1/probe.mix"].shape[1]
PROBES = {
    "layers without a probe": (taken("0/probe", "1/probe"), "layers without a probe"),
    "a layer that sees nothing": (taken("1/probe"), "does not fit that of the first"),
    "a layer that sees alone": (taken("0/probe"), "does not fit that of the first"),
    "fewer numbers of a layer": (put("1/probe.mix", 3, FEATURES), "does not fit that of the first"),
    "more numbers of a layer": (put("1/probe.mix", 5, FEATURES), "does not fit that of the first"),
    "numbers of other features": (put("1/probe.mix", 4, FEATURES + 1), "1/probe.mix"),
    "rows of other coefficients": (put("1/probe.p3.rows", 3, 7), "1/probe.p3.rows"),
    "a bias of other features": (put("1/probe.p3.bias", 4), "1/probe.p3.bias"),
    "a layer without rows": (taken("1/probe.p3.rows"), "1/probe.p3.rows"),
    "one map of two": (put("0/probe.out", 6), "0/probe.out"),
    "three maps of two": (put("0/probe.out", 3, 6), "0/probe.out"),
    "maps of other numbers": (put("0/probe.out", 2, 5), "0/probe.out"),
    "a probe of a coarser group": (put("2/probe.out", 6), "2/probe"),
}


@pytest.mark.parametrize("name", PROBES)
def test_probes_that_cannot_be(name: str) -> None:
    change, match = PROBES[name]
    with pytest.raises(InputError, match=f"a damaged profile: .*{match}"):
        parsed(change(dict(TENSORS)))


def test_tensors_that_no_page_names_are_ignored() -> None:
    more = {"1/probe.out": np.zeros(6, np.float32), "1/probe.around": np.zeros(1, np.float32), "7/basis": np.zeros(1)}
    profile = parsed({**TENSORS, **more})
    pyramid = profiles.pyramid()
    coded = [ms.encode(pyramid, "calibrated", profile=each, quality=60) for each in (PROFILE, profile)]
    assert coded[0][40:] == coded[1][40:]  # but for the profile's name


@pytest.mark.parametrize("name", [name for name in sorted(TENSORS) if name.startswith("1/probe")] + ["0/probe.out"])
def test_one_number_out_of_range(name: str) -> None:
    for value in (np.nan, np.inf, -(2.0**31)):
        changed = TENSORS[name].copy()
        changed.reshape(-1)[-1] = value
        with pytest.raises(InputError, match=f"{name}.*out of range"):
            parsed({**TENSORS, name: changed})


@settings(max_examples=40)
@given(st.integers(0, 1 << 32), st.sampled_from([1.0, 60.0, 60000.0]), st.sampled_from([1.0, 100.0]))
def test_whatever_a_layer_expects_what_is_coded_decodes(seed: int, most: float, scale: float) -> None:
    """Predictions that have nothing to do with the levels, however large."""
    rng = np.random.default_rng(seed)
    tensors = {name: values for name, values in TENSORS.items() if "neighbours" not in name or seed % 2}
    for name in ("1/prediction", "2/prediction"):
        tensors[name] = rng.uniform(-most, most, tensors[name].shape).astype(np.float16)
    profile, pyramid = parsed(tensors), profiles.pyramid(seed, scale)
    encoder, decoder = ms.StreamEncoder(profile=profile), ms.StreamDecoder(profile)
    try:
        data = ms.encode(pyramid, "calibrated", profile=profile, quality=int(rng.integers(1, 101)))
        units = [encoder.encode(pyramid) for _ in range(3)]
    except InputError:
        return
    for back in (ms.decode(data, profile=profile), *(decoder.decode(unit) for unit in units)):
        assert all(np.isfinite(values).all() for values in back.values())
