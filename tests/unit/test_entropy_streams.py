"""Streams of profiles from version 4 on with clips: keys by the entropy model, frames after them by context mixing."""

from __future__ import annotations

import numpy as np
import pytest
from tests.helpers import format_frames, profiles
from tests.helpers.drawn import agree

import midstream as ms
from midstream import _native
from midstream.errors import MissingReferenceError

LAYOUT: tuple[profiles.Group, ...] = ({"a": (4, (4, 6), 2), "b": (3, (2, 3), 1)}, {"c": (3, (2, 2), 1)})
LAYERED: tuple[profiles.Group, ...] = ({"b": LAYOUT[0]["b"]}, {"a": LAYOUT[0]["a"]}, LAYOUT[1])
PROFILES = {
    "4": profiles.profile(layout=LAYOUT, ways=2, entropy=True),
    "5": profiles.profile(layout=LAYERED, ways=2, layers=2),
}
FRAMES = profiles.clip(5, scale=3.0, layout=LAYOUT, change=0.1)


def units_of(profile: ms.Profile) -> list[bytes]:
    """A key, two frames after it, and again."""
    encoder = ms.StreamEncoder(profile=profile, quality=70, key_interval=3)
    return [encoder.encode(frame) for frame in FRAMES]


each_profile = pytest.mark.parametrize(
    ("profile", "units"), [(profile, units_of(profile)) for profile in PROFILES.values()], ids=PROFILES
)


def sealed(unit: bytes, at: int, damage: int) -> bytes:
    """With a byte of its streams changed, and the checksum of these right."""
    size = int.from_bytes(unit[6:8], "little")
    chunk = bytearray(unit[size:-4])
    chunk[at] ^= damage
    return unit[:size] + bytes(chunk) + _native.crc32c(bytes(chunk)).to_bytes(4, "little")


def streams_of(unit: bytes) -> int:
    """How many bytes the streams have."""
    return len(unit) - 4 - int.from_bytes(unit[6:8], "little")


@each_profile
def test_a_stream_goes_on_from_a_state_and_begins_at_each_key(profile: ms.Profile, units: list[bytes]) -> None:
    decoder = ms.StreamDecoder(profile)
    whole = [decoder.decode(unit) for unit in units]
    for stop in range(1, len(units)):
        one, other = ms.StreamDecoder(profile), ms.StreamDecoder(profile)
        for unit in units[:stop]:
            one.decode(unit)
        other.restore(one.state())
        for unit, wanted in zip(units[stop:], whole[stop:], strict=True):
            agree(other.decode(unit), wanted)
    late = ms.StreamDecoder(profile)
    with pytest.raises(MissingReferenceError):
        late.decode(units[1])
    for unit, wanted in zip(units[3:], whole[3:], strict=True):
        agree(late.decode(unit), wanted)


def test_frames_after_a_key_are_coded_as_with_a_profile_without_entropy_models() -> None:
    """Only keys are other streams; what follows them takes about as many bytes."""
    without = units_of(profiles.profile(layout=LAYOUT, ways=2, cells=True))
    units = units_of(PROFILES["4"])
    assert streams_of(units[0]) != streams_of(without[0])
    for at in (1, 2, 4):
        assert streams_of(units[at]) < streams_of(units[0])
        assert streams_of(units[at]) == pytest.approx(streams_of(without[at]), rel=0.1)


@each_profile
@pytest.mark.parametrize("number", [0, 2])
def test_each_damaged_byte_is_refused_or_decodes_and_costs_nothing(
    number: int, profile: ms.Profile, units: list[bytes]
) -> None:
    decoder, wanted = ms.StreamDecoder(profile), ms.StreamDecoder(profile)
    for unit in units[:number]:
        agree(decoder.decode(unit), wanted.decode(unit))
    state, good = decoder.state(), wanted.decode(units[number])
    for at in range(len(units[number])):
        damaged = bytearray(units[number])
        damaged[at] ^= 0x55
        with pytest.raises(ms.BitstreamError):
            decoder.decode(damaged)
        with pytest.raises(ms.BitstreamError):
            decoder.decode(units[number][:at])
    assert decoder.state() == state
    decoded = 0
    for at in range(streams_of(units[number])):
        for damage in (0x01, 0x80, 0xFF):
            try:
                found = decoder.decode(sealed(units[number], at, damage))
            except ms.BitstreamError:
                assert decoder.state() == state
                continue
            assert all(np.isfinite(values).all() for values in found.values())
            decoder.restore(state)
            decoded += 1
    assert decoded < 1.5 * streams_of(units[number])
    agree(decoder.decode(units[number]), good)


@each_profile
@pytest.mark.parametrize("number", [0, 1])
def test_a_damaged_unit_is_the_same_to_the_reader_of_the_document(
    number: int, profile: ms.Profile, units: list[bytes]
) -> None:
    for at in range(0, streams_of(units[number]), 5):
        decoder, reader = ms.StreamDecoder(profile), format_frames.Decoder(profile.data)
        for unit in units[:number]:
            agree(decoder.decode(unit), reader.decode(unit))
        damaged = sealed(units[number], at, 0x10)
        try:
            found = decoder.decode(damaged)
        except ms.BitstreamError:
            with pytest.raises(ValueError, match="corrupt"):
                reader.decode(damaged)
        else:
            agree(found, reader.decode(damaged))
