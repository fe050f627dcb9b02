"""docs/format.md is enough for a decoder of codec 2, too: one that was written after it alone agrees to the bit."""

from __future__ import annotations

import hashlib
import json
import lzma
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from tests.helpers import format_frames, format_values, profiles
from tests.helpers.drawn import CASES, Case, agree, frames_of, profile_of, scores_of
from tests.helpers.golden import fingerprint, golden_units

import midstream as ms
from midstream import _native
from midstream.codec.base import NO_HINTS
from midstream.codec.temporal.decoder import TemporalUnits
from midstream.codec.temporal.reference import FrameMemory
from midstream.features import check_pyramid

GOLDEN = Path(__file__).parents[1] / "golden" / "v1"


def kept_by(decoder: ms.StreamDecoder) -> dict[int, FrameMemory]:
    units = decoder._sequences[2]
    assert isinstance(units, TemporalUnits)
    return units._kept


def same_memory(ours: dict[int, FrameMemory], theirs: dict[int, format_frames.Frame]) -> None:
    """What later frames are predicted from, in whole numbers as in others."""
    assert sorted(ours) == sorted(theirs)
    for number, frame in theirs.items():
        assert ours[number].digest == frame.digest
        for mine, other in zip(ours[number].groups, frame.groups, strict=True):
            rows, columns, count = other.numbers.shape
            np.testing.assert_array_equal(mine.symbols.reshape(rows, columns, count), other.numbers)
            np.testing.assert_array_equal(mine.decoded(frame.unit).reshape(rows, columns, count), other.values)
            np.testing.assert_array_equal(mine.importance.reshape(-1), list(other.classes.values()))
            np.testing.assert_array_equal(mine.modes.reshape(-1), [other.modes[place] for place in other.classes])


def golden_entry(version: int) -> dict[str, Any]:
    entries: list[dict[str, Any]] = json.loads((GOLDEN / "frames.json").read_text())
    return next(each for each in entries if each["file"][-1] == str(version))


def golden(version: int) -> tuple[ms.Profile, list[bytes], list[dict[str, str]]]:
    """Profile and units of a golden stream, and what they decode to."""
    entry = golden_entry(version)
    profile = ms.Profile.parse(lzma.decompress((GOLDEN / f"{entry['file']}.profile.xz").read_bytes()), "the profile")
    with ms.ClipReader(GOLDEN / f"{entry['file']}.midv") as clip:
        return profile, [unit.data for unit in clip.units()], entry["frames"]


@pytest.mark.parametrize("version", [1, 2, 4, 5])
def test_golden_streams_decode_as_ever(version: int, simd_path: str) -> None:
    profile, units, frames = golden(version)
    decoder = ms.StreamDecoder(profile)
    for unit, wanted in zip(units, frames, strict=True):
        assert {level: fingerprint(values) for level, values in decoder.decode(unit).items()} == wanted


@pytest.mark.parametrize("version", [1, 2, 4, 5])
def test_what_is_written_of_the_golden_frames(version: int, simd_path: str) -> None:
    """The same on every path. An encoder may choose anew (docs/format.md): then `written` is, too, but nothing else."""
    profile, units, _ = golden(version)
    written = golden_units(profile)
    assert hashlib.sha256(b"".join(written)).hexdigest() == golden_entry(version)["written"]
    assert sum(map(len, written)) <= 1.1 * sum(map(len, units))  # at the same step, of which more is made now


@pytest.mark.parametrize("version", [1, 2, 4, 5])
def test_golden_streams(version: int) -> None:
    profile, units, frames = golden(version)
    reader = format_frames.Decoder(profile.data)
    for unit, wanted in zip(units, frames, strict=True):
        assert {level: fingerprint(values) for level, values in reader.decode(unit).items()} == wanted


def test_the_documents_have_the_sizes_that_are_read() -> None:
    text = (Path(__file__).parents[2] / "docs" / "profile.md").read_text("utf-8")
    assert f"| u16, u8 [{_native.FRAME_SLOTS}] |" in text
    assert f"| u16, u8 [{_native.COEFFICIENT_SLOTS}] |" in text


def test_it_is_short() -> None:
    for module in (format_frames, format_values):
        assert len(Path(module.__file__ or "").read_text().splitlines()) <= 400


@settings(max_examples=10)
@given(CASES)
def test_any_stream(case: Case) -> None:
    profile, frames = profile_of(case), frames_of(case, 3)
    encoder = ms.StreamEncoder(profile=profile, quality=1)
    decoder, reader = ms.StreamDecoder(profile), format_frames.Decoder(profile.data)
    for frame in frames:
        unit = encoder.encode(frame, scores=scores_of(case, frame))
        agree(decoder.decode(unit), reader.decode(unit))
    same_memory(kept_by(decoder), reader.frames)


@pytest.mark.parametrize("ways", [0, 3])
def test_a_scene_of_which_a_part_changes(ways: int) -> None:
    """Cells of all modes, values of all sizes, keys in between, a loss."""
    profile, seen = profiles.profile(ways=ways), set()
    encoder = ms.StreamEncoder(profile=profile, quality=80, key_interval=5)
    decoder, reader = ms.StreamDecoder(profile), format_frames.Decoder(profile.data)
    frames, others = profiles.clip(8, change=0.15), profiles.clip(8, seed=2, scale=40)
    for number, (frame, other) in enumerate(zip(frames, others, strict=True)):
        for name in frame:
            width = frame[name].shape[2]
            frame[name][:, :, : number * width // 24] = other[name][:, :, : number * width // 24]
        unit = encoder.encode(frame)
        if number == 6:  # never arrives
            encoder.lost(6)
            continue
        agree(decoder.decode(unit), reader.decode(unit))
        seen |= {mode for group in kept_by(decoder)[number].groups for mode in np.unique(group.modes).tolist()}
        encoder.acknowledge(number)
    same_memory(kept_by(decoder), reader.frames)
    assert seen >= {0, 1, 2}


def test_frames_that_are_far_finer_than_their_key_and_coarse_again() -> None:
    profile, frames = profiles.profile(), profiles.clip(7, change=0.02)
    encoder, decoder = ms.StreamEncoder(profile=profile), ms.StreamDecoder(profile)
    reader, errors = format_frames.Decoder(profile.data), []
    for frame, step in zip(frames, [170, 150, 130, 100, 70, 175, 176], strict=True):
        pending = encoder._sequence.frame(check_pyramid(frame), NO_HINTS, False, None)
        unit = pending.code(step)
        pending.keep(unit)
        back = decoder.decode(unit)
        agree(back, reader.decode(unit))
        errors.append(max(np.abs(back[name] - frame[name]).max() for name in frame))
    same_memory(kept_by(decoder), reader.frames)
    assert errors[4] < errors[0] / 50


def test_a_missing_reference_has_a_name_here_and_there() -> None:
    profile = profiles.profile()
    encoder, other = (ms.StreamEncoder(profile=profile, quality=q) for q in (60, 61))
    units = [encoder.encode(frame) for frame in profiles.clip(3)]
    mixed = [other.encode(frame) for frame in profiles.clip(3)]
    for sent in ([units[1]], [units[0], units[2]], [mixed[0], units[1]]):
        decoder, reader = ms.StreamDecoder(profile), format_frames.Decoder(profile.data)
        for unit in sent[:-1]:
            agree(decoder.decode(unit), reader.decode(unit))
        with pytest.raises(ms.MissingReferenceError):
            decoder.decode(sent[-1])
        with pytest.raises(ValueError, match="missing reference"):
            reader.decode(sent[-1])
