"""Options of codecs as people, programs and attackers give them."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from tests.helpers import profiles
from tests.helpers.commands import call

import midstream as ms
from midstream.errors import InputError
from midstream.pipelines.registry import parse_curve

LEVELS = {"x": np.linspace(-1, 1, 60, dtype=np.float32).reshape(3, 4, 5)}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"thresholds": list(range(256))}, "symbols is a whole number from 1 to 256, not 257"),
        ({"thresholds": [0, 10**400]}, "thresholds are increasing numbers"),
        ({"thresholds": b"4"}, "thresholds are increasing numbers"),
        ({"z": 10**400}, "z is a positive number of standard deviations, not 1000"),
        ({"z": b"4"}, "z is a positive number"),
        ({"z": True}, "z is a positive number"),
        ({"symbols": True}, "symbols is a whole number"),
        ({"symbols": "9" * 100_000}, "symbols is a whole number from 1 to 256, not '9+\\.\\.\\.$"),
        ({"symbols": 10**5000}, "a number of more digits"),
        ({"coder": np.array(["fast"])}, "unknown coder"),
        ({"coder": "\udcff"}, "no valid text: `?coder"),
        ({"thresholds": "\udcff"}, "unknown thresholds '.*udcff'"),
    ],
)
def test_what_cannot_be_an_option_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ms.Paper(**options)


def test_the_command_line_says_it_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    many = ",".join(map(str, range(256)))
    for more in (("--thresholds", many), ("--coder", "\udcff"), ("--profile", "/tmp/\udcff", "--codec", "calibrated")):
        assert call("encode", "nothing.npz", "-o", "x.mids", *more) == 2
        err = capsys.readouterr().err
        assert err.startswith("midstream: ")
        assert len(err.splitlines()) == 1
        assert len(err) < 300
    with pytest.raises(InputError):
        parse_curve("paper:coder=\udcff")


def test_what_programs_give_is_taken() -> None:
    numbers = ms.Paper(thresholds=np.array([-1.0, 0, 1]))
    assert numbers == ms.Paper(thresholds=[-1, 0, 1]) == ms.Paper(thresholds="-1,0,1") == ms.Paper(thresholds="-1/0/1")
    assert ms.Paper(symbols=np.int64(3), z=np.float32(1)) == ms.Paper(symbols=3, z=1.0) == ms.Paper(symbols="3", z="1")
    assert ms.Paper(symbols=None, z=None).describe() == ms.Paper().describe()


def test_a_codec_comes_back_from_what_was_written_of_it() -> None:
    for codec in (ms.Paper(), ms.Paper(symbols=3, z=1.5, coder="dense"), ms.Paper(thresholds=[0, 1])):
        for again in (
            pickle.loads(pickle.dumps(codec)),
            type(codec).model_validate_json(codec.model_dump_json()),
            ms.Paper(**{key: value for key, value in codec.describe().items() if key != "codec"}),
        ):
            assert again.describe() == codec.describe()
            assert ms.encode(LEVELS, again) == ms.encode(LEVELS, codec)


def test_a_changed_codec_is_checked_and_codes_as_it_says() -> None:
    codec = ms.Paper(symbols=4)
    assert codec.parameters.symbols == 4
    for other in (codec.changed(symbols=3), codec.model_copy(update={"symbols": 3})):
        assert other.describe()["symbols"] == 3
        assert ms.encode(LEVELS, other) == ms.encode(LEVELS, symbols=3)
    with pytest.raises(InputError, match="not -99"):
        codec.model_copy(update={"symbols": -99})
    with pytest.raises(ValueError, match="frozen"):
        codec.symbols = 3  # type: ignore[misc]
    with pytest.raises(ValueError, match="frozen"):
        codec.parameters = ms.Paper(symbols=3).parameters  # type: ignore[misc]


def test_what_is_no_codec_and_no_file_is_said() -> None:
    with pytest.raises(InputError, match=r"a codec is a midstream\.Codec or the name of one, not list"):
        ms.encode(LEVELS, [])  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no file has such a name"):
        ms.Profile.read("a\0b")
    with pytest.raises(InputError, match="goes with the name of a codec"):
        ms.encode(LEVELS, ms.Paper(), symbols=3)


def test_calls_of_an_earlier_release_go_on() -> None:
    assert ms.encode(LEVELS, embed=False) == ms.encode(LEVELS)
    with pytest.raises(InputError, match="embed is no option of the codec paper"):
        ms.encode(LEVELS, embed=True)
    with pytest.raises(InputError, match="the codec paper makes no use of scores"):
        ms.encode(LEVELS, scores=np.ones((2, 2)))
    profile = profiles.profile()
    with pytest.warns(DeprecationWarning, match="the option places is now importance"):
        codec = ms.Calibrated(profile=profile, places="probe")  # type: ignore[call-arg]
    assert codec == ms.Calibrated(profile=profile, importance="probe")
    assert codec.changed(quality=30).changed(quality=None, max_bytes=5000).describe()["max_bytes"] == 5000
