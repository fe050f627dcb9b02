"""The native coder of transform coefficients."""

from __future__ import annotations

import copy
import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.helpers import profiles
from tests.helpers.format_values import predicted_from_cells

import midstream as ms
from midstream import _native
from midstream.codec.calibrated.parts import step_sizes

SCALES = np.array([130, 120, 110], np.int16)
REFERENCES = np.array([[0, 0], [1, 0], [2, 1]], np.uint16)
OFFSETS = np.zeros((_native.COEFFICIENT_LEVELS, 3), np.int8)
PREDICTION = np.full((3, 2, 3), 0.1, np.float32)
STEPS = np.array([100, 106], np.int16)
VALUES = np.linspace(-9, 9, 60, dtype=np.float32).reshape(20, 3)
IMPORTANCE = np.arange(20, dtype=np.uint8).reshape(4, 5) % 2


def encoded(model: _native.CoefficientModel, steps: NDArray[np.int16] = STEPS) -> bytes:
    return model.encode(VALUES, IMPORTANCE, False, steps, step_sizes(steps), _native.coefficient_state())[0]


def test_context_mixing_codes_all_that_there_is() -> None:
    model = _native.CoefficientModel(SCALES, REFERENCES, OFFSETS, PREDICTION, False)
    with pytest.raises(ValueError, match="only an entropy model"):
        model.encode(VALUES, IMPORTANCE, False, STEPS, step_sizes(STEPS), _native.coefficient_state(), told=2)


@given(
    seed=st.integers(0, 1 << 30),
    height=st.integers(1, 6),
    width=st.integers(1, 7),
    coefficients=st.integers(1, 40),
    classes=st.integers(1, 8),
    step=st.integers(60, 160),
    known=st.booleans(),
    whole=st.booleans(),
)
def test_what_the_encoder_says_is_decoded_is(
    seed: int, height: int, width: int, coefficients: int, classes: int, step: int, known: bool, whole: bool
) -> None:
    rng = np.random.default_rng(seed)
    values = (rng.standard_t(2, (height * width, coefficients)) * rng.uniform(0, 40)).astype(np.float32)
    importance = rng.integers(0, classes, (height, width)).astype(np.uint8)
    steps = (step + 6 * np.arange(classes)).astype(np.int16)
    inputs, outputs = rng.integers(0, coefficients + 1, 2)
    model = _native.CoefficientModel(
        rng.integers(90, 150, coefficients).astype(np.int16),
        np.minimum(rng.integers(0, 9, (coefficients, 2)), np.arange(coefficients)[:, None]).astype(np.uint16),
        rng.integers(-48, 49, (_native.COEFFICIENT_LEVELS, 3)).astype(np.int8),
        (rng.normal(size=(3, inputs, outputs)) * 0.1).astype(np.float32),
        whole,
    )
    sizes, held = (steps, step_sizes(steps)), importance if known else None
    stream, chosen, decoded = model.encode(values, importance, known, *sizes, _native.coefficient_state())
    found = model.decode(stream, height, width, *sizes, _native.coefficient_state(), held)
    assert found is not None
    assert np.array_equal(found[0], importance)
    assert np.array_equal(found[1], decoded)
    again = model.encode(values, importance, known, *sizes, _native.coefficient_state(), choices=False)
    assert again[0] == stream
    assert again[1].shape == (0, coefficients)
    assert np.array_equal(again[2], decoded)
    assert np.abs(chosen).max() <= 1 << 20
    assert model.decode(stream + b"\0", height, width, *sizes, _native.coefficient_state(), held) is None


@given(
    path=st.sampled_from(_native.simd_paths()),
    seed=st.integers(0, 1 << 30),
    sides=st.tuples(st.integers(1, 5), st.integers(1, 11)),
    counts=st.tuples(st.integers(1, 80), st.integers(1, 80)),
    octaves=st.integers(-30, 12),
)
def test_whole_numbers_are_those_of_the_format(
    path: str, seed: int, sides: tuple[int, int], counts: tuple[int, int], octaves: int
) -> None:
    """As the second decoder has them; with weights, too, of which a sum could be beyond 2^31."""
    _native.set_simd_path(path)
    rng, count = np.random.default_rng(seed), max(counts)
    weights = (rng.normal(size=(3, *counts)) * rng.choice([0.01, 0.2, 8])).astype(np.float32)
    weights[:, :, 0] = weights.flat[0]  # a column of equal weights is the longest there is
    model = _native.CoefficientModel(
        np.full(count, 128, np.int16), np.zeros((count, 2), np.uint16), OFFSETS, weights, True
    )
    steps = np.array([128 + 8 * octaves], np.int16)
    values = (rng.laplace(size=(math.prod(sides), count)) * step_sizes(steps) * 9).astype(np.float32)
    stream, chosen, _ = model.encode(
        values, np.zeros(sides, np.uint8), True, steps, step_sizes(steps), _native.coefficient_state()
    )
    found = model.decode(
        stream, *sides, steps, step_sizes(steps), _native.coefficient_state(), np.zeros(sides, np.uint8)
    )
    assert found is not None
    differences = chosen.reshape(*sides, count).astype(np.float32) * step_sizes(steps)
    expected = predicted_from_cells(differences, weights, {}, True)
    np.testing.assert_array_equal(found[1].reshape(expected.shape).view(np.uint32), expected.view(np.uint32))


def test_whole_numbers_are_next_to_the_floats() -> None:
    rng = np.random.default_rng(0)
    values, weights = rng.normal(size=(77, 40)).astype(np.float32), 0.04 * rng.normal(size=(3, 30, 40))
    chosen = []
    for whole in (False, True):
        model = _native.CoefficientModel(
            np.full(40, 128, np.int16), np.zeros((40, 2), np.uint16), OFFSETS, weights.astype(np.float32), whole
        )
        steps = np.array([88], np.int16)
        chosen.append(
            model.encode(
                values, np.zeros((7, 11), np.uint8), True, steps, step_sizes(steps), _native.coefficient_state()
            )[1]
        )
    unlike = np.abs(chosen[0] - chosen[1])
    assert unlike.max() <= 1
    assert unlike.mean() < 0.1


@pytest.mark.parametrize(
    "arrays",
    [
        (SCALES[:0], REFERENCES[:0], OFFSETS, PREDICTION[:, :0, :0]),
        (SCALES[:2], REFERENCES, OFFSETS, PREDICTION[:, :, :2]),
        (SCALES, REFERENCES + np.uint16(1), OFFSETS, PREDICTION),
        (SCALES, REFERENCES, OFFSETS, np.zeros((3, 4, 1), np.float32)),
        (SCALES, REFERENCES, OFFSETS, np.zeros((3, 1, 4), np.float32)),
        (SCALES, REFERENCES, OFFSETS, np.full((3, 1, 1), 2.0**15, np.float32), True),
    ],
)
def test_a_model_of_arrays_that_do_not_belong_together_is_refused(arrays: tuple[np.ndarray, ...]) -> None:
    with pytest.raises(ValueError, match="coefficients: "):
        _native.CoefficientModel(*arrays)


@pytest.mark.parametrize(
    "arrays",
    [
        (SCALES, REFERENCES[:, :1], OFFSETS, PREDICTION),
        (SCALES, REFERENCES, OFFSETS[1:], PREDICTION),
        (SCALES, REFERENCES, OFFSETS, PREDICTION[:2]),
    ],
)
def test_a_model_of_arrays_of_other_shapes_is_refused(arrays: tuple[np.ndarray, ...]) -> None:
    with pytest.raises(TypeError):
        _native.CoefficientModel(*arrays)


def test_what_does_not_fit_the_model_is_refused() -> None:
    model, sizes = _native.CoefficientModel(SCALES, REFERENCES, OFFSETS, PREDICTION), step_sizes(STEPS)
    fresh = _native.coefficient_state()
    for values, importance, steps in (
        (VALUES[1:], IMPORTANCE, STEPS),
        (VALUES[:, :2].copy(), IMPORTANCE, STEPS),
        (VALUES, IMPORTANCE + np.uint8(1), STEPS),
        (VALUES, IMPORTANCE, STEPS[:1]),
        (VALUES[:0], IMPORTANCE[:0], STEPS),
    ):
        with pytest.raises(ValueError, match="coefficients: "):
            model.encode(values, importance, False, steps, sizes, fresh)
    with pytest.raises(ValueError, match="a state of another size"):
        model.encode(VALUES, IMPORTANCE, False, STEPS, sizes, fresh[1:].copy())
    with pytest.raises(TypeError):  # what the coder learns would be lost in a copy of another type
        model.encode(VALUES, IMPORTANCE, False, STEPS, sizes, fresh.astype(np.int64))  # type: ignore[arg-type]
    for known in (IMPORTANCE[1:], IMPORTANCE + np.uint8(1)):
        with pytest.raises(ValueError, match="the importance map"):
            model.decode(b"", 4, 5, STEPS, sizes, fresh, known)
    with pytest.raises(ValueError, match="an empty grid"):
        model.decode(b"", 0, 5, STEPS, sizes, fresh)


def test_what_does_not_fit_a_model_of_frames_is_refused() -> None:
    alone, sizes = _native.CoefficientModel(SCALES, REFERENCES, OFFSETS, PREDICTION), step_sizes(STEPS)
    gains, scales = np.ones((2, 3), np.float32), np.full((2, 3), 110, np.int16)
    for bad in ((gains[:1], scales), (gains[:, :2].copy(), scales), (np.repeat(gains, 2, 0), np.repeat(scales, 2, 0))):
        with pytest.raises(ValueError, match="coefficients: predictors"):
            _native.FrameModel(alone, *bad)
    with pytest.raises(ValueError, match="coefficients: predictors"):
        _native.FrameModel(alone, gains[:0], scales[:0])
    model, state = _native.FrameModel(alone, gains, scales), _native.frame_state(_native.coefficient_state())
    symbols, modes = np.zeros((20, 3), np.int8), np.zeros((4, 5), np.uint8)
    good = (VALUES, symbols, IMPORTANCE, modes)
    stream = model.encode(VALUES, IMPORTANCE, False, STEPS, sizes, state.copy(), *good)[0]
    assert model.decode(stream, STEPS, sizes, state.copy(), *good, None) is not None
    for reference in (
        (VALUES[1:], *good[1:]),
        (VALUES[:, :2].copy(), *good[1:]),
        (VALUES, symbols[1:], *good[2:]),
        (VALUES, symbols, IMPORTANCE + np.uint8(1), modes),
        (VALUES, symbols, IMPORTANCE[1:], modes),
        (VALUES, symbols, IMPORTANCE, modes + np.uint8(3)),
        (VALUES, symbols, IMPORTANCE, modes[1:]),
    ):
        with pytest.raises(ValueError, match="coefficients: "):
            model.encode(VALUES, IMPORTANCE, False, STEPS, sizes, state.copy(), *reference)
        with pytest.raises(ValueError, match="coefficients: "):
            model.decode(stream, STEPS, sizes, state.copy(), *reference, None)
    with pytest.raises(ValueError, match="the importance map"):
        model.decode(stream, STEPS, sizes, state.copy(), *good, IMPORTANCE + np.uint8(1))
    with pytest.raises(ValueError, match="a state of another size"):
        model.decode(stream, STEPS, sizes, state[1:].copy(), *good, None)
    with pytest.raises(ValueError, match="a state of another size"):
        model.encode(VALUES, IMPORTANCE, False, STEPS, sizes, _native.coefficient_state(), *good)


def test_a_model_keeps_its_own_arrays() -> None:
    references = REFERENCES.copy()
    model = _native.CoefficientModel(SCALES, references, OFFSETS, PREDICTION)
    before = encoded(model)
    references[:] = 60000
    assert encoded(model) == before


def test_threads_share_a_model() -> None:
    model = _native.CoefficientModel(SCALES, REFERENCES, OFFSETS, PREDICTION)
    steps = [STEPS - np.int16(each) for each in range(8)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda each: encoded(model, each), steps * 8))
    assert together == [encoded(model, each) for each in steps] * 8


def test_a_profile_that_has_been_used_can_be_copied() -> None:
    profile, pyramid = profiles.profile(), profiles.pyramid()
    data = ms.encode(pyramid, "calibrated", profile=profile, quality=60)
    assert ms.encode(pyramid, "calibrated", profile=copy.deepcopy(profile), quality=60) == data
