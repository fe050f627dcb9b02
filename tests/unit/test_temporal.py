"""Frames that are predicted from the one before: what the encoder keeps is what the decoder keeps, whatever happens."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.helpers import profiles
from tests.helpers.drawn import CASES, Case, frames_of, profile_of

import midstream as ms
from midstream import _native
from midstream.codec.chain import KEPT_FRAMES, digest_of
from midstream.codec.stream import SentUnit
from midstream.codec.temporal.decoder import TemporalUnits, UnitInfo
from midstream.codec.temporal.frames import TemporalFrames
from midstream.codec.temporal.reference import FrameMemory
from midstream.errors import InputError, MissingReferenceError

PROFILE = profiles.profile()
Pyramid = Mapping[str, Any]


def encoder_of(profile: ms.Profile = PROFILE, **options: Any) -> ms.StreamEncoder:
    return ms.StreamEncoder(profile=profile, **({"quality": 60} | options))


def sent(encoder: ms.StreamEncoder) -> SentUnit:
    assert encoder.last is not None
    return encoder.last


def refers_to(unit: bytes) -> int | None:
    found = ms.inspect(unit)
    assert isinstance(found, UnitInfo)
    return found.refers_to


def same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return list(one) == list(other) and all(one[name].tobytes() == other[name].tobytes() for name in one)


def same_memory(encoder: ms.StreamEncoder, decoder: ms.StreamDecoder, number: int) -> bool:
    frames, units = encoder._sequence, decoder._sequences[2]
    assert isinstance(frames, TemporalFrames)
    assert isinstance(units, TemporalUnits)
    one, other = frames._kept[number], units._kept[number]
    assert one.size == other.size
    return one.pack() == other.pack()


def frames_apart(count: int, seed: int = 1) -> list[dict[str, Any]]:
    return profiles.clip(count, seed)


@settings(max_examples=25)
@given(CASES, st.data())
def test_what_the_encoder_keeps_is_what_a_decoder_keeps(case: Case, data: st.DataObject) -> None:
    profile, frames = profile_of(case), frames_of(case, 4)
    encoder, decoder = encoder_of(profile, quality=1), ms.StreamDecoder(profile, threads=1)
    for number, frame in enumerate(frames):
        kind = data.draw(st.sampled_from(["as it is", "as it is", "zeros", "constant", "huge", "key", "coarse"]))
        if kind in ("zeros", "constant", "huge"):
            value = {"zeros": 0.0, "constant": 7.0, "huge": 3e4}[kind]
            frame = {name: np.full_like(values, value) for name, values in frame.items()}
        if kind == "key":
            encoder.request_key()
        path = data.draw(st.sampled_from(_native.simd_paths()))
        before = _native.simd_path()
        try:
            unit = encoder.encode(frame)
            _native.set_simd_path(path)
            back = decoder.decode(unit)
        finally:
            _native.set_simd_path(before)
        assert all(np.isfinite(values.astype(np.float32)).all() for values in back.values())
        assert all(back[name].shape == values.shape for name, values in frame.items())
        assert same_memory(encoder, decoder, number)


def test_the_same_bytes_on_every_path_and_for_any_number_of_threads(simd_path: str) -> None:
    frames = frames_apart(4)
    units = [encoder_of(threads=1).encode(frame) for frame in frames[:1]]
    for threads in (1, 3):
        encoder, decoder = encoder_of(threads=threads), ms.StreamDecoder(PROFILE, threads=threads)
        made = [encoder.encode(frame) for frame in frames]
        decoded = [decoder.decode(unit) for unit in made]
        _native.set_simd_path("reference")
        again, reader = encoder_of(), ms.StreamDecoder(PROFILE)
        assert [again.encode(frame) for frame in frames] == made
        assert all(same(reader.decode(unit), each) for unit, each in zip(made, decoded, strict=True))
        assert made[0] == units[0]
        _native.set_simd_path(simd_path)


def test_frames_that_hardly_change_take_few_bytes_and_stay_as_near() -> None:
    frames, keys = profiles.clip(8, change=0.01), []
    encoder, decoder = encoder_of(), ms.StreamDecoder(PROFILE)
    sizes, errors = [], []
    for frame in frames:
        unit = encoder.encode(frame)
        keys.append(sent(encoder).key)
        sizes.append(len(unit))
        back = decoder.decode(unit)
        errors.append(np.sqrt(np.mean([np.square(back[name] - frame[name]).mean() for name in frame])))
    assert keys == [True] + [False] * 7
    assert max(sizes[1:]) < sizes[0] / 8
    assert max(errors[1:]) < 1.3 * errors[0]


def test_a_digest_tells_units_of_one_length_apart() -> None:
    """Behind its own checksum a CRC is a constant: over whole units it would be the same for all of these."""
    units = [encoder_of().encode(frames_apart(1)[0])]
    header = int.from_bytes(units[0][6:8], "little")
    rng = np.random.default_rng(0)
    for _ in range(20):
        body = rng.bytes(header - 8) + rng.bytes(40)
        content = units[0][:8] + body
        head, chunk = content[: header - 4], content[header - 4 :]
        units.append(b"".join([head, sum_of(head), chunk, sum_of(chunk)]))
    assert len({digest_of(unit) for unit in units}) == len(set(units)) > 20


def sum_of(data: bytes) -> bytes:
    return _native.crc32c(data).to_bytes(4, "little")


def test_units_of_two_streams_cannot_be_mixed() -> None:
    one, other = encoder_of(), encoder_of()
    frames, others = frames_apart(3), frames_apart(3, seed=2)
    mine, theirs = [one.encode(each) for each in frames], [other.encode(each) for each in others]
    decoder = ms.StreamDecoder(PROFILE)
    decoder.decode(mine[0])
    with pytest.raises(MissingReferenceError, match="frame 1 refers to frame 0, which is another one here"):
        decoder.decode(theirs[1])
    decoder.decode(mine[1])
    with pytest.raises(MissingReferenceError, match="frame 2 refers to frame 1, which is another one here"):
        decoder.decode(theirs[2])
    decoder.decode(theirs[0])
    decoder.decode(theirs[1])
    with pytest.raises(MissingReferenceError):
        decoder.decode(mine[2])


def test_after_a_loss_the_next_unit_refers_to_what_has_arrived_or_is_a_key() -> None:
    frames = frames_apart(14)
    encoder, decoder = encoder_of(), ms.StreamDecoder(PROFILE)
    for number in range(3):
        decoder.decode(encoder.encode(frames[number]))
        if number < 2:
            encoder.acknowledge(number)
    for number in range(3, 6):  # 3 is lost, so that 4 and 5 are of no use
        encoder.encode(frames[number])
    encoder.lost(3)
    unit = encoder.encode(frames[6])
    assert refers_to(unit) == 1
    decoder.decode(unit)
    for late in (4, 5):  # it is healed already
        encoder.lost(late)
    unit = encoder.encode(frames[7])
    assert refers_to(unit) == 6
    decoder.decode(unit)
    encoder.lost(7)  # nothing is known of 6: 1 it is again, as far as a unit may reach
    unit = encoder.encode(frames[8])
    assert refers_to(unit) == 1
    decoder.decode(unit)
    encoder.encode(frames[9])
    encoder.lost(8)
    unit = encoder.encode(frames[10])
    assert sent(encoder).key
    decoder.decode(unit)
    encoder.lost(2)
    assert refers_to(encoder.encode(frames[11])) == 10


def test_a_key_that_is_lost_does_not_end_a_stream_with_acknowledged_frames() -> None:
    frames = frames_apart(8)
    encoder, decoder = encoder_of(key_interval=4), ms.StreamDecoder(PROFILE)
    for number in range(4):
        decoder.decode(encoder.encode(frames[number]))
        encoder.acknowledge(number)
    encoder.encode(frames[4])
    assert sent(encoder).key
    encoder.lost(4)
    unit = encoder.encode(frames[5])
    assert refers_to(unit) == 3
    decoder.decode(unit)


def test_what_comes_behind_a_key_does_not_forget_what_was_acknowledged_before() -> None:
    """The key has arrived, its acknowledgement has not, and the next frame is lost."""
    frames = frames_apart(8)
    encoder, decoder = encoder_of(key_interval=4), ms.StreamDecoder(PROFILE)
    for number in range(4):
        decoder.decode(encoder.encode(frames[number]))
        encoder.acknowledge(number)
    decoder.decode(encoder.encode(frames[4]))
    encoder.encode(frames[5])
    encoder.lost(5)
    unit = encoder.encode(frames[6])
    assert refers_to(unit) == 3
    decoder.decode(unit)


@settings(max_examples=30)
@given(st.lists(st.sampled_from(["arrives", "arrives", "lost", "silent", "acked"]), min_size=1, max_size=24))
def test_whatever_is_lost_a_receiver_that_tells_goes_on(fates: Sequence[str]) -> None:
    """Reports come at once: the unit behind one that was reported lost decodes, and what decodes is what was kept."""
    encoder, decoder = encoder_of(key_interval=9), ms.StreamDecoder(PROFILE)
    frames, healthy = frames_apart(3), True
    for number, fate in enumerate(fates):
        unit = encoder.encode(frames[number % 3])
        if fate in ("lost", "silent"):
            healthy = False
            if fate == "lost":
                encoder.lost(number)
                healthy = True
            continue
        try:
            decoder.decode(unit)
        except MissingReferenceError:
            assert not healthy
            encoder.lost(number)
            healthy = True
            continue
        healthy = True
        assert same_memory(encoder, decoder, number)
        if fate == "acked":
            encoder.acknowledge(number)


def test_eight_frames_are_kept_and_a_unit_reaches_no_farther() -> None:
    frames = frames_apart(1)
    for silent, key in ((KEPT_FRAMES - 1, False), (KEPT_FRAMES, True)):
        encoder, decoder = encoder_of(), ms.StreamDecoder(PROFILE)
        decoder.decode(encoder.encode(frames[0]))
        encoder.acknowledge(0)
        for _ in range(silent):
            decoder.decode(encoder.encode(frames[0]))
        assert len(decoder._sequences[2]._kept) == min(silent + 1, KEPT_FRAMES)  # type: ignore[attr-defined]
        encoder.lost(silent)
        unit = encoder.encode(frames[0])
        assert sent(encoder).key is key
        decoder.decode(unit)


def test_units_twice_late_and_out_of_order_cost_nothing() -> None:
    encoder = encoder_of(key_interval=6)
    frames = frames_apart(16)
    units = [encoder.encode(frame) for frame in frames]
    decoder = ms.StreamDecoder(PROFILE)
    alone = [decoder.decode(unit) for unit in units]
    decoder = ms.StreamDecoder(PROFILE)
    for number in (0, 1, 0, 2, 2, 1, 3, 0, 4, 5, 6, 7, 6, 8, 9, 7, 8, 10, 11, 12, 13, 6, 14, 15):
        assert same(decoder.decode(units[number]), alone[number])
    with pytest.raises(MissingReferenceError, match="frame 5 refers to frame 4, which was not decoded here"):
        decoder.decode(units[5])
    decoder.decode(units[0])  # another stream, or this one from its begin
    with pytest.raises(MissingReferenceError):
        decoder.decode(units[15])
    assert same(decoder.decode(units[1]), alone[1])


def test_a_stream_can_be_entered_at_any_key() -> None:
    frames = frames_apart(10)
    encoder, whole = encoder_of(key_interval=3), ms.StreamDecoder(PROFILE)
    units, keys, alone = [], [], []
    for frame in frames:
        units.append(encoder.encode(frame))
        keys.append(sent(encoder).key)
        alone.append(whole.decode(units[-1]))
    assert [number for number, key in enumerate(keys) if key] == [0, 3, 6, 9]
    for start, key in enumerate(keys):
        decoder = ms.StreamDecoder(PROFILE)
        if key:
            assert all(same(decoder.decode(units[n]), alone[n]) for n in range(start, 10))
        else:
            with pytest.raises(MissingReferenceError):
                decoder.decode(units[start])
    assert same(ms.decode(units[3], profile=PROFILE), alone[3])
    with pytest.raises(MissingReferenceError):
        ms.decode(units[4], profile=PROFILE)


def test_size_and_type_may_change_and_the_unit_is_then_a_key() -> None:
    encoder, decoder = encoder_of(), ms.StreamDecoder(PROFILE)
    wide = [{name: np.repeat(values, 2, axis=2) for name, values in frame.items()} for frame in frames_apart(2)]
    half = [{name: values.astype(np.float16) for name, values in frame.items()} for frame in frames_apart(2)]
    keys = []
    for frame in [*frames_apart(2), *wide, *half, *frames_apart(2)]:
        back = decoder.decode(encoder.encode(frame))
        keys.append(sent(encoder).key)
        assert all(back[name].dtype == frame[name].dtype and back[name].shape == frame[name].shape for name in frame)
    assert keys == [True, False] * 4


def test_another_profile_in_the_middle_of_a_stream_is_refused_by_name() -> None:
    other = profiles.profile(seed=3)
    encoder, decoder = encoder_of(), ms.StreamDecoder(PROFILE)
    decoder.decode(encoder.encode(frames_apart(1)[0]))
    with pytest.raises(InputError, match=f"the profile {other.name}, the one given is {PROFILE.name}"):
        decoder.decode(encoder_of(other).encode(frames_apart(1)[0]))
    decoder.decode(encoder.encode(frames_apart(2)[1]))
    with pytest.raises(InputError, match=PROFILE.name):
        ms.StreamDecoder().decode(encoder_of().encode(frames_apart(1)[0]))


def test_levels_that_are_asked_for_alone_leave_the_stream_as_all_do() -> None:
    encoder = encoder_of()
    units = [encoder.encode(frame) for frame in frames_apart(3)]
    one, other = ms.StreamDecoder(PROFILE), ms.StreamDecoder(PROFILE)
    for name, unit in zip(("p3", "p5", "p4"), units, strict=True):
        alone, all_of_them = one.decode(unit, levels=[name]), other.decode(unit)
        assert list(alone) == [name]
        assert alone[name].tobytes() == all_of_them[name].tobytes()


def test_a_scene_that_is_cut_begins_with_a_key_and_one_that_moves_does_not() -> None:
    rng = np.random.default_rng(0)
    scenes = [{name: rng.laplace(size=(6, 32, 60)) for name in ("p3", "p4", "p5")} for _ in range(2)]
    encoder, keys = encoder_of(key_interval=None), []
    for scene in scenes:
        for shift in range(4):  # a pan, by a position a frame
            frame = {name: scene[name][: v.shape[0], : v.shape[1], shift : shift + v.shape[2]] for name, v in usual()}
            smooth = {name: (values + np.roll(values, 1, 2)).astype(np.float32) for name, values in frame.items()}
            encoder.encode(smooth)
            keys.append(sent(encoder).key)
    assert [number for number, key in enumerate(keys) if key] == [0, 4]
    still = encoder_of()
    for value in (0.0, 0.0, 1.0, 0.0):  # nothing is like nothing
        still.encode({name: np.full_like(values, value) for name, values in usual()})


def usual() -> list[tuple[str, Any]]:
    return list(profiles.pyramid().items())


def test_what_a_frame_takes_is_below_four_bytes_a_coefficient() -> None:
    """Of a grid as networks have it, frames that hand on contexts included."""
    layout: Any = [{"p3": (48, (52, 52), 4), "p4": (48, (26, 26), 2), "p5": (48, (13, 13), 1)}, {"p6": (48, (7, 7), 1)}]
    profile = profiles.profile(layout=layout, kept=0.8)
    encoder = encoder_of(profile)
    for frame in profiles.clip(3, layout=layout):
        encoder.encode(frame)
        frames = encoder._sequence
        assert isinstance(frames, TemporalFrames)
        (memory,) = frames._kept.values()
        assert isinstance(memory, FrameMemory)
        coefficients = sum(group.values.size for group in memory.groups)
        assert memory.size < 4 * coefficients
        assert len(memory.pack()) < memory.size + 4096


def test_a_unit_says_what_it_is() -> None:
    encoder = encoder_of()
    key, later = (encoder.encode(frame) for frame in frames_apart(2))
    about = ms.inspect(key, profile=PROFILE)
    assert isinstance(about, UnitInfo)
    assert about.shapes == {name: values.shape for name, values in usual()}
    assert (about.frame, about.key, about.refers_to, about.profile) == (0, True, None, PROFILE.name)
    assert about.header_bytes + about.payload_bytes + about.checksum_bytes == about.total_bytes == len(key)
    assert "frame 0, a key" in about.table().title
    about = ms.inspect(later)
    assert isinstance(about, UnitInfo)
    assert (about.frame, about.key, about.refers_to, about.profile, about.shapes) == (1, False, 0, None, None)
    assert sum(about.group_bytes) == about.payload_bytes
    assert "frame 1, predicted from frame 0" in about.table().title


@pytest.mark.parametrize("ways", [0, 3])
def test_a_profile_from_another_process_codes_the_same_even_in_memory_that_cannot_be_written(ways: int) -> None:
    profile = profiles.profile(ways=ways)
    parts: list[pickle.PickleBuffer] = []
    text = pickle.dumps(profile, protocol=5, buffer_callback=parts.append)
    assert parts
    there = pickle.loads(text, buffers=[bytes(part.raw()) for part in parts])  # as Ray does
    here, away = (encoder_of(each) for each in (profile, there))
    decoder, decoder_away = (ms.StreamDecoder(each) for each in (profile, there))
    for pyramid in profiles.clip(3):
        unit = here.encode(pyramid)
        assert away.encode(pyramid) == unit
        assert same(decoder_away.decode(unit), decoder.decode(unit))
    assert not sent(here).key
