"""A profile is data from elsewhere: every number is bounded when it is read, and what is accepted codes without ado."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.helpers import profiles

import midstream as ms
from midstream.arrays import pack_tensors, unpack_tensors
from midstream.codec.calibrated.coding import analyse
from midstream.codec.paper.decoder import open_levels
from midstream.errors import InputError
from midstream.evaluation.codecs import calibrated_options
from midstream.features import check_pyramid

PROFILE = profiles.profile()
PYRAMID = profiles.pyramid()
TENSORS, DOCUMENT = unpack_tensors(PROFILE.data, "the profile")
CELLS, CELLS_DOCUMENT = unpack_tensors(profiles.profile(cells=True).data, "the profile")
LAYERS, LAYERS_DOCUMENT = unpack_tensors(profiles.profile(layers=2).data, "the profile")


def refused(match: str, document: dict[str, Any] | None = None, **tensors: Any) -> None:
    with pytest.raises(InputError, match=match):
        ms.Profile.parse(pack_tensors(TENSORS | tensors, DOCUMENT | (document or {})), "it")


@pytest.mark.parametrize("version", ["1", "2", 1.0, 2.0, True, None, [1], 2, 0, 5, 6])
def test_a_version_is_the_whole_number_1(version: object) -> None:
    refused("version", {"version": version})


POINT = {"step": 5, "bytes": 100.0, "loss": 0.1}


@pytest.mark.parametrize(
    ("match", "document"),
    [
        ("curve", {"curve": [POINT, POINT]}),
        ("curve", {"curve": [POINT | {"step": 6}, POINT]}),
        ("curve", {"curve": [POINT, POINT | {"step": 6, "loss": 0.05}]}),
        ("curve.0.bytes", {"curve": [POINT | {"bytes": 1e300}]}),
        ("curve.0.bytes", {"curve": [POINT | {"bytes": 1e-300}]}),
        ("curve.0.step", {"curve": [POINT | {"step": 5.0}]}),
        ("curve.0.step", {"curve": [POINT | {"step": "5"}]}),
        ("curve.0.loss", {"curve": [POINT | {"loss": True}]}),
        ("places.knee", {"places": {"classes": 3, "spacing": 6, "knee": 1e-300}}),
        ("places.knee", {"places": {"classes": 3, "spacing": 6, "knee": 1e300}}),
        ("places.classes", {"places": {"classes": True, "spacing": 6, "knee": 0.5}}),
        ("qualities", {"qualities": [130.0] * 100}),
        ("qualities", {"qualities": [256] + [100] * 99}),
        ("pictures", {"pictures": 1 << 70}),
        ("power", {"power": -1}),
        ("network", {"network": "n" * 5000}),
        ("order", {"order": ["p3", "p4"]}),
        ("n{80}: Extra", {"n" * 100_000: 1}),
    ],
)
def test_documents_that_are_out_of_range_or_of_another_type(match: str, document: dict[str, Any]) -> None:
    refused(match, document)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("0/p3.mean", 3e38),
        ("0/p3.weight", 3e38),
        ("0/p3.weight", 0),
        ("0/p3.weight", -1),
        ("0/p3.low", np.nan),
        ("0/p3.high", np.inf),
        ("0/p3.basis", 6e4),
        ("1/p5.synthesis", -6e4),
        ("0/basis", 3),
        ("0/basis", np.nan),
        ("0/scales", -32768),
        ("0/scales", 32767),
        ("1/neighbours", -65376),
        ("1/prediction", np.inf),
        ("0/probe.mean", 1e30),
        ("0/probe.scale", 1e-30),
        ("0/probe.out", 1e30),
        ("0/state.weights", -(1 << 31)),
        ("0/state.learnt", 5000),
    ],
)
def test_one_number_out_of_range(name: str, value: float) -> None:
    changed = TENSORS[name].copy()
    changed.reshape(-1)[-1] = value
    refused(f"{name}.*out of range", **{name: changed})


@pytest.mark.parametrize("name", [name for name in sorted(CELLS) if "probe." in name])
def test_one_number_of_a_probe_of_cells_out_of_range(name: str) -> None:
    for value in (np.nan, np.inf, -(2.0**31)):
        changed = CELLS[name].copy()
        changed.reshape(-1)[-1] = value
        with pytest.raises(InputError, match=f"{name}.*out of range"):
            ms.Profile.parse(pack_tensors(CELLS | {name: changed}, CELLS_DOCUMENT), "it")


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("p3.rows", (3, 5)),
        ("p3.rows", (66, 6)),
        ("p4.rows", (2, 5)),
        ("p4.bias", (4,)),
        ("mix", (4, 8)),
        ("mix", (66, 9)),
        ("mix_bias", (5,)),
        ("around", (5, 35)),
        ("around", (5, 9, 4)),
        ("around_bias", (1,)),
        ("out", (5,)),
        ("out", (0,)),
    ],
)
def test_a_probe_of_cells_whose_parts_do_not_fit(name: str, shape: tuple[int, ...]) -> None:
    tensors = CELLS | {f"0/probe.{name}": np.zeros(shape, np.float32)}
    with pytest.raises(InputError, match="a damaged profile"):
        ms.Profile.parse(pack_tensors(tensors, CELLS_DOCUMENT), "it")


def test_each_version_has_its_probe() -> None:
    for tensors, document, version in ((CELLS, CELLS_DOCUMENT, 1), (TENSORS, DOCUMENT, 3)):
        with pytest.raises(InputError, match=r"a damaged profile: .*probe\."):
            ms.Profile.parse(pack_tensors(tensors, document | {"version": version}), "it")


def test_coefficients_are_no_more_than_the_dimensions_they_come_from() -> None:
    refused("more coefficients than dimensions", **{"1/basis": np.ones((5, 4), np.float16)})


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A profile with some bytes of its tensors changed: anywhere, or all that are the highest of a number."""
    whole, document = draw(st.sampled_from([(TENSORS, DOCUMENT), (CELLS, CELLS_DOCUMENT), (LAYERS, LAYERS_DOCUMENT)]))
    tensors = {name: values.copy() for name, values in whole.items()}
    small = [name for name in tensors if "state." not in name]  # most of it is the coder's state: as often what is not
    for _ in range(draw(st.integers(1, 3))):
        values = tensors[draw(st.sampled_from(small) | st.sampled_from(list(tensors)))]
        octets = values.reshape(-1).view(np.uint8)
        byte = draw(st.integers(0, 255))
        if draw(st.booleans()):
            octets[draw(st.lists(st.integers(0, octets.size - 1), min_size=1, max_size=20))] = byte
        else:
            octets[values.itemsize - 1 :: values.itemsize] = byte
    return pack_tensors(tensors, document)


@settings(max_examples=60)
@given(damaged(), st.sampled_from([{"quality": 1}, {"quality": 60}, {"quality": 100}, {"max_bytes": 1 << 20}]))
def test_a_damaged_profile_is_refused_or_codes(data: bytes, target: dict[str, Any]) -> None:
    """Without a warning of NumPy's, which would fail here."""
    try:
        profile = ms.Profile.parse(data, "it")
        coded = ms.encode(PYRAMID, "calibrated", profile=profile, **target)
    except InputError:
        return
    for name, values in ms.decode(coded, profile=profile).items():
        assert values.shape == PYRAMID[name].shape
        assert np.isfinite(values).all()


def test_objects_that_hold_arrays_are_shown_in_a_line() -> None:
    shown = repr(PROFILE)
    assert shown == f"Profile({PROFILE.name}, network 'toy', levels p3 p4 p5, {len(PROFILE.data):,} bytes)"
    group, options = PROFILE.groups[0], calibrated_options(PROFILE)
    levels = check_pyramid(PYRAMID)
    reader = open_levels(ms.encode(PYRAMID))["p3"]
    for each in (
        group,
        group.levels[0],
        group.probe,
        options,
        PROFILE.about,
        levels[0],
        reader,
        analyse(levels, PROFILE),
    ):
        assert len(repr(each)) < 800
