"""docs/format.md is enough for a decoder of codec 1, too: one that was written after it alone agrees to the bit."""

from __future__ import annotations

import lzma
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from tests.helpers import format_coefficients, profiles
from tests.helpers.drawn import CASES, Case, agree, frames_of, profile_of, scores_of

import midstream as ms
from midstream.arrays import unpack_tensors
from midstream.codec.calibrated import coding
from midstream.codec.calibrated.coding import analyse, quantised
from midstream.codec.calibrated.profile import pack_profile
from midstream.codec.calibrated.transform import laid_out
from midstream.features import check_pyramid

GOLDEN = Path(__file__).parents[1] / "golden" / "v1"


def test_it_is_short() -> None:
    assert len(Path(format_coefficients.__file__).read_text().splitlines()) <= 400


@pytest.mark.parametrize("name", ["calibrated", "calibrated-4", "calibrated-5"])
def test_the_golden_streams(name: str) -> None:
    data = lzma.decompress((GOLDEN / f"{name}.mids.xz").read_bytes())
    agree(ms.decode(data), format_coefficients.decode(data))


def test_the_numbers_of_coefficients_and_the_importance_classes() -> None:
    profile, pyramid = profiles.profile(), profiles.pyramid(scale=3)
    analysed = analyse(check_pyramid(pyramid), profile)
    assert len(np.unique(analysed.importance[0])) > 1
    step = profile.step_of(50)
    data = ms.encode(pyramid, "calibrated", profile=profile, quality=50)
    found = format_coefficients.decode_coefficients(format_coefficients.read_header(data, profile.data))
    for (_, steps), importance in zip(found, analysed.importance, strict=True):
        np.testing.assert_array_equal(steps, step + profile.about.importance.spacing * importance.astype(int))
    steps = profile.about.importance.steps(step)
    values = laid_out(analysed.values(0, steps), analysed.importance[0].shape)
    own = quantised(profile.groups[0], steps, values, analysed.importance[0])
    np.testing.assert_array_equal(found[0][0], own[1].transpose(1, 2, 0))


@settings(max_examples=30)
@given(CASES)
def test_any_stream(case: Case) -> None:
    profile, (pyramid,) = profile_of(case), frames_of(case, 1)
    scores = scores_of(case, pyramid)
    data = ms.encode(pyramid, "calibrated", profile=profile, quality=1, scores=scores, embed=case.embed)
    ours = ms.decode(data, profile=None if case.embed else profile)
    agree(ours, format_coefficients.decode(data, None if case.embed else profile.data))


def unstable(width: int) -> ms.Profile:
    """A profile that expects of each cell four times what is in the one before, for a level [3, 1, width]."""
    made = profiles.profile(layout=[{"a": (3, (1, width), 1)}], qualities=(0,) * 100)
    tensors = unpack_tensors(made.data, "")[0]
    tensors["0/neighbours"] = np.stack([4 * np.eye(3), np.zeros((3, 3)), np.zeros((3, 3))]).astype(np.float16)
    tensors["0/a.synthesis"] = np.full((3, 3), 256, np.float16)
    return pack_profile(made.about, tensors)


@pytest.mark.parametrize(("width", "what"), [(80, "coefficient"), (62, "value")])
def test_what_is_not_finite_is_corrupt(width: int, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Differences are cut off at the finest step, so that predictions go astray: further with every cell."""
    profile, pyramid = unstable(width), {"a": np.full((3, 1, width), 1000, np.float32)}
    with pytest.raises(ms.InputError, match="too large to code"):
        ms.encode(pyramid, "calibrated", profile=profile, quality=1)
    monkeypatch.setattr(coding, "check_size", lambda _: None)
    data = ms.encode(pyramid, "calibrated", profile=profile, quality=1)
    with pytest.raises(ms.CorruptError, match=f"{what}s out of range"):
        ms.decode(data, profile=profile)
    with pytest.raises(ValueError, match=f"corrupt: a {what} that is not finite"):
        format_coefficients.decode(data, profile.data)


@pytest.mark.parametrize("sides", [(5, 5), (9, 1), (1, 9)])
def test_a_grid_far_larger_than_the_first_is_corrupt(sides: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    layout = ({"p3": (6, (16, 20), 2), "p4": (5, (8, 10), 1)}, {"p5": (4, sides, 1)})
    far: profiles.Group = {"p5": (4, (sides[0] * 4, sides[1] * 4), 1)}
    profile, pyramid = profiles.profile(layout=layout), profiles.pyramid(layout=(layout[0], far))
    with pytest.raises(ms.InputError, match="do not lie over one another"):
        ms.encode(pyramid, "calibrated", profile=profile)
    with monkeypatch.context() as without:
        without.setattr("midstream.codec.calibrated.transform._MOST_LARGER", 99)
        data = ms.encode(pyramid, "calibrated", profile=profiles.profile(layout=layout))
    with pytest.raises(ms.CorruptError, match=r"level p5: .* cells beside"):
        ms.decode(data, profile=profile)
    with pytest.raises(ValueError, match="corrupt: a grid that is too large beside the first"):
        format_coefficients.decode(data, profile.data)


def test_grids_are_as_large_as_a_network_makes_them() -> None:
    """Images of other sizes than calibration's: what is rounded up, a level that is halved, one that is fixed."""
    profile = profiles.profile()
    for height, width, fixed in ((1, 1, 0), (2, 9, 0), (7, 7, 0), (33, 50, 0), (64, 3, 0), (1, 1, 1)):
        sizes = {"p3": (6, (height, width), 2), "p4": (5, (-(-height // 2), -(-width // 2)), 1)}
        coarser: profiles.Group = {"p5": (4, (4, 5) if fixed else (-(-height // 4), -(-width // 4)), 1)}
        pyramid = profiles.pyramid(layout=(sizes, coarser))
        data = ms.encode(pyramid, "calibrated", profile=profile)
        agree(ms.decode(data, profile=profile), format_coefficients.decode(data, profile.data))
