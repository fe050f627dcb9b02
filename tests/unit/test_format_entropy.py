"""docs/format.md is enough to read streams with an entropy model: a reader that follows it alone agrees."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.helpers import format_coefficients, format_entropy, profiles
from tests.helpers.drawn import agree
from tests.helpers.entropy import GROUP, PROFILE, STEPS, coefficients, decoded

import midstream as ms
from midstream.codec.calibrated.coding import quantised


def read(stream: bytes, grid: tuple[int, int]) -> tuple[list[int], list[list[int]]] | None:
    """Classes and numbers [cells, K], None where the stream is invalid."""
    tensors = format_coefficients.read_profile(PROFILE.data).group(0)
    try:
        group = format_entropy.EntropyGroup(stream, tensors, grid)
        classes = group.importance(len(STEPS))
        group.cells(classes, {place: int(STEPS[each]) for place, each in classes.items()})
    except ValueError:
        return None
    return list(classes.values()), list(group.coefficients.values())


def test_it_is_short() -> None:
    assert len(Path(format_entropy.__file__).read_text().splitlines()) <= 400


@settings(max_examples=15)
@example(0, (7, 9), 0.5)  # of one state
@example(1, (8, 8), 0.5)  # of two
@example(2, (2, 3), 1e5)  # escapes of all lengths
@example(3, (2, 2), 0.0)
@given(st.integers(0, 100), st.tuples(st.integers(1, 9), st.integers(1, 9)), st.sampled_from([0.05, 0.5, 40, 4e4]))
def test_the_same_numbers(seed: int, grid: tuple[int, int], scale: float) -> None:
    values, importance = coefficients(seed, grid, scale)
    stream, numbers, _ = quantised(GROUP, STEPS, values, importance)
    found = read(stream, grid)
    assert found is not None
    np.testing.assert_array_equal(found[0], importance.reshape(-1))
    np.testing.assert_array_equal(found[1], numbers.reshape(len(numbers), -1).T)


@pytest.mark.parametrize(("grid", "scale"), [((3, 2), 0.5), ((2, 2), 300.0), ((8, 8), 0.1)])
def test_damage_is_refused_here_and_there(grid: tuple[int, int], scale: float) -> None:
    stream = quantised(GROUP, STEPS, *coefficients(4, grid, scale))[0]
    rng, verdicts = np.random.default_rng(1), []
    for at in rng.integers(0, len(stream), 60).tolist():
        damaged = bytearray(stream)
        damaged[at] ^= 1 << int(rng.integers(8))
        theirs = decoded(GROUP, bytes(damaged), grid)
        ours = read(bytes(damaged), grid)
        verdicts.append(ours is None)
        assert (theirs is None) == (ours is None)
        if ours is not None:
            np.testing.assert_array_equal(theirs[0].reshape(-1), ours[0])
    assert True in verdicts
    for other in (stream[:-1], stream[:-2], stream[:3], b"", stream + b"\0", stream + b"\0\0"):
        assert decoded(GROUP, other, grid) is None
        assert read(other, grid) is None


@pytest.mark.parametrize("quality", [5, 90])
def test_a_pyramid_of_two_groups(quality: int) -> None:
    data = ms.encode(profiles.pyramid(scale=3), "calibrated", profile=PROFILE, quality=quality, embed=True)
    agree(ms.decode(data), format_coefficients.decode(data))
