"""Streams of a profile of version 4 with clips: keys by the entropy model, frames after them by context mixing."""

from __future__ import annotations

import numpy as np
import pytest
from tests.helpers import format_frames, profiles
from tests.helpers.drawn import agree

import midstream as ms
from midstream import _native
from midstream.errors import MissingReferenceError

LAYOUT: tuple[profiles.Group, ...] = ({"a": (4, (4, 6), 2), "b": (3, (2, 3), 1)}, {"c": (3, (2, 2), 1)})
PROFILE = profiles.profile(layout=LAYOUT, ways=2, entropy=True)
FRAMES = profiles.clip(5, scale=3.0, layout=LAYOUT, change=0.1)


def units_of(profile: ms.Profile) -> list[bytes]:
    """A key, two frames after it, and again."""
    encoder = ms.StreamEncoder(profile=profile, quality=70, key_interval=3)
    return [encoder.encode(frame) for frame in FRAMES]


UNITS = units_of(PROFILE)


def sealed(unit: bytes, at: int, damage: int) -> bytes:
    """With a byte of its streams changed, and the checksum of these right."""
    size = int.from_bytes(unit[6:8], "little")
    chunk = bytearray(unit[size:-4])
    chunk[at] ^= damage
    return unit[:size] + bytes(chunk) + _native.crc32c(bytes(chunk)).to_bytes(4, "little")


def streams_of(unit: bytes) -> int:
    """How many bytes the streams have."""
    return len(unit) - 4 - int.from_bytes(unit[6:8], "little")


def test_a_stream_goes_on_from_a_state_and_begins_at_each_key() -> None:
    decoder = ms.StreamDecoder(PROFILE)
    whole = [decoder.decode(unit) for unit in UNITS]
    for stop in range(1, len(UNITS)):
        one, other = ms.StreamDecoder(PROFILE), ms.StreamDecoder(PROFILE)
        for unit in UNITS[:stop]:
            one.decode(unit)
        other.restore(one.state())
        for unit, wanted in zip(UNITS[stop:], whole[stop:], strict=True):
            agree(other.decode(unit), wanted)
    late = ms.StreamDecoder(PROFILE)
    with pytest.raises(MissingReferenceError):
        late.decode(UNITS[1])
    for unit, wanted in zip(UNITS[3:], whole[3:], strict=True):
        agree(late.decode(unit), wanted)


def test_frames_after_a_key_are_coded_as_with_a_profile_without_entropy_models() -> None:
    """Only keys are other streams; what follows them takes about as many bytes."""
    without = units_of(profiles.profile(layout=LAYOUT, ways=2, cells=True))
    assert streams_of(UNITS[0]) != streams_of(without[0])
    for at in (1, 2, 4):
        assert streams_of(UNITS[at]) < streams_of(UNITS[0])
        assert streams_of(UNITS[at]) == pytest.approx(streams_of(without[at]), rel=0.1)


@pytest.mark.parametrize("number", [0, 2])
def test_each_damaged_byte_is_refused_or_decodes_and_costs_nothing(number: int) -> None:
    decoder, wanted = ms.StreamDecoder(PROFILE), ms.StreamDecoder(PROFILE)
    for unit in UNITS[:number]:
        agree(decoder.decode(unit), wanted.decode(unit))
    state, good = decoder.state(), wanted.decode(UNITS[number])
    for at in range(len(UNITS[number])):
        damaged = bytearray(UNITS[number])
        damaged[at] ^= 0x55
        with pytest.raises(ms.BitstreamError):
            decoder.decode(damaged)
        with pytest.raises(ms.BitstreamError):
            decoder.decode(UNITS[number][:at])
    assert decoder.state() == state
    decoded = 0
    for at in range(streams_of(UNITS[number])):
        for damage in (0x01, 0x80, 0xFF):
            try:
                found = decoder.decode(sealed(UNITS[number], at, damage))
            except ms.BitstreamError:
                assert decoder.state() == state
                continue
            assert all(np.isfinite(values).all() for values in found.values())
            decoder.restore(state)
            decoded += 1
    assert decoded < 1.5 * streams_of(UNITS[number])
    agree(decoder.decode(UNITS[number]), good)


@pytest.mark.parametrize("number", [0, 1])
def test_a_damaged_unit_is_the_same_to_the_reader_of_the_document(number: int) -> None:
    for at in range(0, streams_of(UNITS[number]), 5):
        decoder, reader = ms.StreamDecoder(PROFILE), format_frames.Decoder(PROFILE.data)
        for unit in UNITS[:number]:
            agree(decoder.decode(unit), reader.decode(unit))
        damaged = sealed(UNITS[number], at, 0x10)
        try:
            found = decoder.decode(damaged)
        except ms.BitstreamError:
            with pytest.raises(ValueError, match="corrupt"):
                reader.decode(damaged)
        else:
            agree(found, reader.decode(damaged))
