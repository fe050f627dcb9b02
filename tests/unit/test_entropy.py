"""The entropy model of coefficients: what is written is read, on every path, and what is damaged is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.helpers import profiles
from tests.helpers.entropy import COUNT, GROUP, PROFILE, STEPS, coefficients, decoded

import midstream as ms
from midstream import _native
from midstream.arrays import pack_tensors, unpack_tensors
from midstream.calibration.entropy import Observed, fit_entropy, laplacians
from midstream.codec.calibrated.coding import quantised
from midstream.codec.calibrated.parts import Floats, step_sizes
from midstream.errors import InputError


@example(0, (1, 1), 1.0, True)
@example(1, (8, 9), 1e4, False)
@example(2, (16, 3), 0.0, True)
@given(
    st.integers(0, 100), st.tuples(st.integers(1, 12), st.integers(1, 12)), st.sampled_from([0.05, 0.5, 4, 400]),
    st.booleans(),
)  # fmt: skip
def test_what_the_encoder_says_is_decoded_is(seed: int, grid: tuple[int, int], scale: float, known: bool) -> None:
    values, importance = coefficients(seed, grid, scale)
    stream, _, expected = quantised(GROUP, STEPS, values, importance, known=known)
    found = decoded(GROUP, stream, grid, importance if known else None)
    np.testing.assert_array_equal(found[0], importance)
    np.testing.assert_array_equal(found[1].T.reshape(values.shape), expected)


def test_every_path_writes_the_same_bytes() -> None:
    streams = set()
    before = _native.simd_path()
    try:
        for path in _native.simd_paths():
            _native.set_simd_path(path)
            streams.add(quantised(GROUP, STEPS, *coefficients(3, (9, 11), 0.7))[0])
    finally:
        _native.set_simd_path(before)
    assert len(streams) == 1


def test_an_encoder_looks_at_the_parts_that_there_are() -> None:
    grid = (9, 11)
    values, importance = coefficients(5, grid, 0.4)
    cells = np.ascontiguousarray(values.reshape(len(values), -1).T)
    parts = np.arange(len(cells)).astype(np.uint8) % 2

    def encoded(cells: Floats, **more: Any) -> tuple[bytes, Floats]:
        model, sizes = GROUP.coefficient_model, step_sizes(STEPS)
        return model.encode(cells, importance, False, STEPS, sizes, GROUP.state, choices=False, **more)[::2]

    told = max(GROUP.neighbours.shape[1], 1)
    stream, few = encoded(np.where(parts[:, None] > 0, cells, np.float32(np.nan)), parts=parts, told=told)
    wanted, all_of_them = encoded(np.where(parts[:, None] > 0, cells, np.float32(0)))
    assert stream == wanted
    np.testing.assert_array_equal(few, all_of_them[:, :told])
    for wrong in ({"parts": parts[1:]}, {"told": len(values) + 1}):
        with pytest.raises(ValueError, match="coefficients: "):
            encoded(cells, **wrong)


@pytest.mark.parametrize("grid", [(3, 4), (9, 11)])
def test_each_damaged_byte_is_refused_or_decodes(grid: tuple[int, int]) -> None:
    stream = quantised(GROUP, STEPS, *coefficients(4, grid, 0.4))[0]
    refused = 0
    for at in range(len(stream)):
        for damage in (0x01, 0x80, 0xFF):
            damaged = bytearray(stream)
            damaged[at] ^= damage
            refused += decoded(GROUP, bytes(damaged), grid) is None
    assert refused > 2.5 * len(stream)  # what is left of the states at the end tells; another sign is as good
    for size in range(len(stream)):
        assert decoded(GROUP, stream[:size], grid) is None
    assert decoded(GROUP, stream + b"\0\0", grid) is None


TENSORS, DOCUMENT = unpack_tensors(PROFILE.data, "the profile")


def changed(name: str, index: tuple[int, ...], value: int) -> dict[str, NDArray[Any]]:
    values = TENSORS[name].copy()
    values[index] = value
    return TENSORS | {name: values}


@pytest.mark.parametrize(
    ("tensors", "match"),
    [
        (changed("0/entropy.values.weights", (0, 0), 300), "overflow"),
        (changed("0/entropy.values.bias", (0, 3), -32768), "overflow"),
        (changed("1/entropy.flags.weights", (9, 7), -32768), "overflow"),
        (changed("0/entropy.values.out", (0,), 1 << 20), "overflow"),
        (changed("0/entropy.values.out", (0,), -(1 << 31)), "overflow"),
        (changed("0/entropy.values.out", (16,), -(1 << 31)), "overflow"),
        (changed("0/entropy.values.rows", (3, 0), 1), "add up"),
        (changed("0/entropy.flags.rows", (3, 2), 1 << 15), "add up"),
        (changed("0/entropy.flags.rows", (3, 1), 1 << 14), "without a place"),
        (changed("0/entropy.importance.rows", (3, 1), 0), "without a place"),
        ({**TENSORS, "0/entropy.flags.bias": TENSORS["0/entropy.flags.bias"][:-1]}, "flags.bias"),
        ({k: v for k, v in TENSORS.items() if k != "1/entropy.values.rows"}, "values.rows"),
    ],
)
def test_models_that_do_not_fit_are_refused(tensors: dict[str, NDArray[Any]], match: str) -> None:
    with pytest.raises(InputError, match=match):
        ms.Profile.parse(pack_tensors(tensors, DOCUMENT), "it")


def test_a_pyramid_comes_back() -> None:
    pyramid = profiles.pyramid()
    for quality in (5, 50, 95):
        data = ms.encode(pyramid, "calibrated", profile=PROFILE, quality=quality)
        found = ms.decode(data, profile=PROFILE)
        errors = [float(np.square(found[name] - values).mean()) for name, values in pyramid.items()]
        assert all(np.isfinite(errors))


def test_a_fitted_model_takes_fewer_bytes_and_is_the_same_again() -> None:
    samples = [coefficients(seed, (8, 8), 0.5) for seed in range(12)]
    first, again = (fit_entropy(GROUP, samples, [STEPS], seed=5) for _ in range(2))
    np.testing.assert_array_equal(first.values.weights, again.values.weights)
    np.testing.assert_array_equal(first.value_rows, again.value_rows)
    fitted = replace(GROUP, entropy=first)
    new = coefficients(100, (8, 8), 0.5)
    stream, _, values = quantised(fitted, STEPS, *new)
    assert len(stream) < 0.8 * len(quantised(GROUP, STEPS, *new)[0])
    np.testing.assert_array_equal(decoded(fitted, stream, (8, 8))[1].T.reshape(values.shape), values)


def test_a_group_of_which_nothing_was_seen_has_a_model() -> None:
    nothing = [(np.zeros((COUNT, 2, 2), np.float32), np.zeros((2, 2), np.uint8))]
    model = fit_entropy(GROUP, nothing, [STEPS], seed=0)
    values, importance = coefficients(1, (5, 5), 3.0)
    stream, _, expected = quantised(replace(GROUP, entropy=model), STEPS, values, importance)
    found = decoded(replace(GROUP, entropy=model), stream, (5, 5))
    np.testing.assert_array_equal(found[1].T.reshape(values.shape), expected)


def test_distributions_are_wider_from_row_to_row() -> None:
    chances = laplacians()
    np.testing.assert_allclose(chances.sum(axis=1), 1, rtol=1e-5)
    assert (np.diff(chances[:, 0]) < 1e-6).all()


def test_samples_are_as_many_as_there_is_room_for() -> None:
    part = Observed(np.zeros((10, 3), np.int8), np.arange(10, dtype=np.uint16), np.zeros(10, np.uint8))
    some = Observed.of([part, part], 7, np.random.default_rng(0))
    assert len(some.inputs) == len(some.items) == len(some.symbols) == 7


def test_more_coefficients_than_sums_hold_are_refused() -> None:
    part = GROUP.entropy
    assert part is not None
    many = replace(part.values, bias=np.zeros((16385, part.values.bias.shape[1]), np.int16))
    flags = replace(part.flags, bias=np.zeros((1025, part.flags.bias.shape[1]), np.int16))
    with pytest.raises(ValueError, match="16384"):
        _ = replace(part, values=many, flags=flags).model


def test_a_model_that_does_not_learn_is_not_asked_to() -> None:
    with pytest.raises(ValueError, match="does not learn"):
        quantised(GROUP, STEPS, *coefficients(1, (3, 3), 1.0), GROUP.state.copy())
