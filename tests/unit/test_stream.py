"""Streams: keys, references, what is sent twice or not at all, several codecs in one stream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.helpers import deltas, profiles

import midstream as ms
from midstream.errors import InputError, MissingReferenceError, OptionError

Pyramid = dict[str, NDArray[np.float32]]
STEP_ERROR = 0.5 * 2 ** (16 / 8 - 6) + 1e-6


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    deltas.install(monkeypatch)


def clip(count: int, seed: int = 0, size: int = 8) -> list[Pyramid]:
    """A scene that hardly changes."""
    rng = np.random.default_rng(seed)
    still = {"p3": rng.normal(size=(4, size, size)), "p4": rng.normal(size=(4, size // 2, size // 2))}
    return [
        {name: (values + 0.05 * rng.normal(size=values.shape)).astype(np.float32) for name, values in still.items()}
        for _ in range(count)
    ]


def close(one: Mapping[str, NDArray[Any]], other: Mapping[str, NDArray[Any]]) -> bool:
    return list(one) == list(other) and all(np.abs(one[name] - other[name]).max() <= STEP_ERROR for name in one)


def units_of(encoder: ms.StreamEncoder, frames: list[Pyramid]) -> tuple[list[bytes], list[bool]]:
    units, keys = [], []
    for frame in frames:
        units.append(encoder.encode(frame))
        assert encoder.last is not None
        assert encoder.last.size == len(units[-1])
        keys.append(encoder.last.key)
    return units, keys


def test_a_key_comes_first_at_the_interval_on_request_at_a_cut_and_at_another_size() -> None:
    encoder = ms.StreamEncoder("deltas", key_interval=5)
    frames = clip(7)
    units, keys = units_of(encoder, frames)
    assert keys == [True, False, False, False, False, True, False]
    assert max(len(unit) for unit, key in zip(units, keys, strict=True) if not key) < min(
        map(len, (units[0], units[5]))
    )
    encoder.request_key()
    assert units_of(encoder, clip(2))[1] == [True, False]
    assert units_of(encoder, clip(2, seed=1))[1] == [True, False]  # another scene
    assert units_of(encoder, clip(2, seed=1, size=16))[1] == [True, False]
    assert units_of(ms.StreamEncoder("deltas", key_interval=None), clip(100))[1] == [True] + [False] * 99
    assert units_of(ms.StreamEncoder("deltas", key_interval=1), clip(3))[1] == [True] * 3


def test_what_is_decoded_is_what_went_in_to_half_a_step_however_long_the_stream() -> None:
    encoder, decoder = ms.StreamEncoder("deltas"), ms.StreamDecoder()
    for frame in clip(80):
        assert close(decoder.decode(encoder.encode(frame)), frame)


def test_a_codec_without_memory_writes_the_same_units_as_alone() -> None:
    frames = clip(3)
    decoder = ms.StreamDecoder()
    units, keys = units_of(ms.StreamEncoder("paper", symbols=4, z=1.5), frames)
    assert keys == [True] * 3
    for unit, frame in zip(units, frames, strict=True):
        assert unit == ms.encode(frame, "paper", symbols=4, z=1.5)
        back, alone = decoder.decode(unit), ms.decode(unit)
        assert all(np.array_equal(back[name], alone[name]) for name in alone)


def test_a_gap_is_named_and_the_next_key_heals_it() -> None:
    units, keys = units_of(ms.StreamEncoder("deltas", key_interval=4), clip(9))
    decoder = ms.StreamDecoder()
    decoded = []
    for number, unit in enumerate(units):
        if number == 2:
            continue
        try:
            decoder.decode(unit)
            decoded.append(number)
        except MissingReferenceError:
            pass
    assert keys[4]
    assert decoded == [0, 1, 4, 5, 6, 7, 8]


def test_a_stream_can_be_entered_at_every_key_and_nowhere_else() -> None:
    frames = clip(12)
    units, keys = units_of(ms.StreamEncoder("deltas", key_interval=4), frames)
    for start, key in enumerate(keys):
        decoder = ms.StreamDecoder()
        if not key:
            with pytest.raises(MissingReferenceError, match="which is not here"):
                decoder.decode(units[start])
            continue
        for number in range(start, 12):
            assert close(decoder.decode(units[number]), frames[number])


def test_units_twice_and_out_of_order_are_right_or_named() -> None:
    frames = clip(6)
    units, _ = units_of(ms.StreamEncoder("deltas"), frames)
    decoder = ms.StreamDecoder()
    for number in (0, 0, 1, 1, 2):
        assert close(decoder.decode(units[number]), frames[number])
    with pytest.raises(MissingReferenceError):
        decoder.decode(units[5])
    for number in (3, 4, 5):  # nothing was lost by the one that came too early
        assert close(decoder.decode(units[number]), frames[number])
    with pytest.raises(MissingReferenceError):  # of another stream
        decoder.decode(units_of(ms.StreamEncoder("deltas"), clip(2, seed=1))[0][1])


def test_a_unit_that_cannot_be_decoded_leaves_the_stream_as_it_was() -> None:
    frames = clip(3)
    units, _ = units_of(ms.StreamEncoder("deltas"), frames)
    decoder = ms.StreamDecoder()
    decoder.decode(units[0])
    for at in range(0, len(units[1]), 7):
        damaged = bytearray(units[1])
        damaged[at] ^= 0x40
        with pytest.raises(ms.BitstreamError):
            decoder.decode(damaged)
        with pytest.raises(ms.BitstreamError):
            decoder.decode(units[1][:at])
    assert close(decoder.decode(units[1]), frames[1])
    assert close(decoder.decode(units[2]), frames[2])


def test_a_frame_that_cannot_be_coded_leaves_the_stream_as_it_was() -> None:
    encoder, decoder = ms.StreamEncoder("deltas", key_interval=3), ms.StreamDecoder()
    frames = clip(4)
    broken = {name: values.copy() for name, values in frames[0].items()}
    broken["p3"][0, 0, 0] = np.nan
    for number, frame in enumerate(frames):
        with pytest.raises(InputError, match="NaN"):
            encoder.encode(broken)
        assert encoder.frames == number
        assert close(decoder.decode(encoder.encode(frame)), frame)
        assert encoder.last is not None
        assert encoder.last.key == (number % 3 == 0)


def test_a_lost_frame_is_healed_by_one_that_arrived_or_by_a_key() -> None:
    frames = clip(6)
    encoder, decoder = ms.StreamEncoder("deltas"), ms.StreamDecoder()
    for frame in frames[:2]:
        decoder.decode(encoder.encode(frame))
    encoder.acknowledge(1)
    encoder.encode(frames[2])  # never arrives
    encoder.lost(2)
    assert close(decoder.decode(encoder.encode(frames[3])), frames[3])
    assert encoder.last is not None
    assert not encoder.last.key
    for wrong in (4, -1, True, "1"):
        with pytest.raises(InputError, match="the stream has 4 frames"):
            encoder.lost(wrong)  # type: ignore[arg-type]
        with pytest.raises(InputError, match="the stream has 4 frames"):
            encoder.acknowledge(wrong)  # type: ignore[arg-type]
    without = ms.StreamEncoder("deltas")
    without.encode(frames[0])
    without.lost(0)
    assert close(ms.StreamDecoder().decode(without.encode(frames[1])), frames[1])


def test_a_state_goes_on_in_another_decoder_and_what_is_no_state_is_refused() -> None:
    frames = clip(5)
    units, _ = units_of(ms.StreamEncoder("deltas"), frames)
    one, other = ms.StreamDecoder(), ms.StreamDecoder()
    for unit in units[:3]:
        one.decode(unit)
    state = one.state()
    other.restore(state)
    assert close(other.decode(units[3]), frames[3])
    assert close(one.decode(units[3]), frames[3])
    one.restore(state)
    with pytest.raises(MissingReferenceError):
        one.decode(units[4])
    for wrong in (
        b"",
        state[:-1],
        state + b"x",
        b"x" + state,
        bytes([*state[:20], state[20] ^ 1, *state[21:]]),
        "state",
    ):
        with pytest.raises(InputError, match="state"):
            other.restore(wrong)  # type: ignore[arg-type]
    assert close(other.decode(units[4]), frames[4])  # as it was
    fresh = ms.StreamDecoder()
    fresh.restore(ms.StreamDecoder().state())
    fresh.decode(units[0])


def test_the_codec_may_change_with_a_key_and_change_back() -> None:
    frames = clip(4)
    units, _ = units_of(ms.StreamEncoder("deltas"), frames)
    decoder = ms.StreamDecoder()
    decoder.decode(units[0])
    alone = ms.encode(frames[1], symbols=4, z=1.5)
    assert list(decoder.decode(alone)) == ["p3", "p4"]
    assert close(decoder.decode(units[1]), frames[1])


def test_levels_limits_and_kinds_are_those_of_decode() -> None:
    frames = clip(2)
    units, _ = units_of(ms.StreamEncoder("paper", symbols=4, z=1.5), frames)
    decoder = ms.StreamDecoder()
    assert list(decoder.decode(units[0], levels=["p4"])) == ["p4"]
    with pytest.raises(InputError, match=r"levels is a list of names: \['p4'\]"):
        decoder.decode(units[0], levels="p4")
    with pytest.raises(InputError, match="levels is a list of names"):
        decoder.decode(units[0], levels=0)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="unknown value of like 'jax'"):
        decoder.decode(units[0], like="jax")  # type: ignore[arg-type]
    with pytest.raises(ms.LimitError):
        decoder.decode(units[0], limits=ms.Limits(elements=10))
    with pytest.raises(ms.LimitError):
        ms.StreamDecoder(limits=ms.Limits(elements=10)).decode(units[0])
    assert list(decoder.decode(units[1])) == ["p3", "p4"]


def test_a_unit_of_another_profile_is_refused_by_name_and_costs_nothing() -> None:
    one, other = profiles.profile(), profiles.profile(seed=1)
    frame = profiles.pyramid(0)
    decoder = ms.StreamDecoder(one)
    with pytest.raises(InputError, match="profile"):
        decoder.decode(ms.StreamEncoder(profile=other).encode(frame))
    decoder.decode(ms.StreamEncoder(profile=one).encode(frame))


def test_options_are_refused_in_words() -> None:
    for wrong in (0, -3, 2.5, True, "64"):
        with pytest.raises(OptionError, match="key_interval is a whole number, 1 or more"):
            ms.StreamEncoder("paper", key_interval=wrong, symbols=4, z=1.5)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="needs a profile"):
        ms.StreamEncoder()
    with pytest.raises(InputError, match="makes no use of scores"):
        ms.StreamEncoder("paper", symbols=4, z=1.5).encode(clip(1)[0], scores=np.zeros((2, 2)))
    with pytest.raises(InputError, match="cannot be read"):
        ms.StreamDecoder("nowhere.profile")


def test_cells_that_are_refreshed_stand_alone_in_turn() -> None:
    """Once in so many frames, whatever the encoder would choose: nothing before them shows in them."""
    frames = [profiles.pyramid(0)] * 6
    encoder = ms.StreamEncoder(profile=profiles.profile(), quality=60, refresh_interval=3)
    usual = ms.StreamEncoder(profile=profiles.profile(), quality=60)
    sizes, fewer = ([len(each.encode(frame)) for frame in frames] for each in (encoder, usual))
    assert sizes[0] == fewer[0]
    assert sum(sizes) > sum(fewer)
    with pytest.raises(ms.InputError, match="refresh_interval is a whole number"):
        ms.StreamEncoder(profile=profiles.profile(), refresh_interval=0)
