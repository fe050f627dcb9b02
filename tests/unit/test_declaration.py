"""What a bitstream says of itself before any of it is decoded."""

from __future__ import annotations

import numpy as np
import pytest
from tests.helpers import profiles

import midstream as ms
from midstream.codec.api import declaration
from midstream.codec.base import Declaration
from midstream.errors import CorruptError, InputError, LimitError, TruncatedError
from midstream.limits import Limits

PROFILE = profiles.profile()
PYRAMID = profiles.pyramid()
SHAPES = {name: values.shape for name, values in PYRAMID.items()}


def calibrated(embed: bool = False) -> bytes:
    return ms.encode(PYRAMID, "calibrated", profile=PROFILE, quality=1, embed=embed)


def test_names_and_shapes_are_in_the_header_of_paper_and_in_that_of_calibrated_with_its_profile() -> None:
    assert declaration(ms.encode(PYRAMID)) == Declaration("paper", False, SHAPES)
    assert declaration(calibrated(), profile=PROFILE) == Declaration("calibrated", False, SHAPES)
    assert declaration(calibrated()) == Declaration("calibrated", False, None)
    wide = {name: np.repeat(values, 2, axis=2) for name, values in PYRAMID.items()}
    data = ms.encode(wide, "calibrated", profile=PROFILE, quality=1)
    assert declaration(data, profile=PROFILE).shapes == {name: values.shape for name, values in wide.items()}


def test_a_key_of_a_stream_says_its_shapes_and_other_units_do_not() -> None:
    encoder = ms.StreamEncoder(profile=PROFILE, quality=50)
    key, later = encoder.encode(PYRAMID), encoder.encode(PYRAMID)
    assert declaration(key, profile=PROFILE) == Declaration("temporal", False, SHAPES, unit=True)
    assert declaration(key) == declaration(later, profile=PROFILE) == Declaration("temporal", False, None, unit=True)
    with pytest.raises(LimitError, match="elements"):
        declaration(key, profile=PROFILE, limits=Limits(elements=10))
    with pytest.raises(TruncatedError):
        declaration(later[:-1])
    with pytest.raises(InputError, match=PROFILE.name):
        declaration(key, profile=profiles.profile(seed=9))


def test_an_embedded_profile_is_recognised_and_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*_: object) -> None:
        raise AssertionError("the profile is read")

    data = calibrated(embed=True)
    monkeypatch.setattr(ms.Profile, "parse", read)
    assert declaration(data, profile=PROFILE) == Declaration("calibrated", True, None)


@pytest.mark.parametrize("data", [ms.encode(PYRAMID), calibrated()])
def test_what_a_header_shows_to_be_unusable_is_refused(data: bytes) -> None:
    with pytest.raises(TruncatedError):
        declaration(data[:-1], profile=PROFILE)
    with pytest.raises(CorruptError):
        declaration(data + b"\0", profile=PROFILE)
    with pytest.raises(LimitError, match="elements"):
        declaration(data, profile=PROFILE, limits=Limits(elements=10))


def test_another_profile_is_refused() -> None:
    with pytest.raises(InputError, match=PROFILE.name):
        declaration(calibrated(), profile=profiles.profile(seed=9))
