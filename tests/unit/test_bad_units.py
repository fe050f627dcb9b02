"""Units, states and profiles of streams that are damaged or hostile: an error with a name, never anything else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.helpers import profiles

import midstream as ms
from midstream import _native
from midstream.arrays import pack_tensors, unpack_tensors
from midstream.codec.chain import MOST_FRAMES
from midstream.codec.temporal import frames
from midstream.codec.temporal.reference import FrameMemory
from midstream.codec.wire import varint
from midstream.errors import BitstreamError, CorruptError, InputError, LimitError, TruncatedError, UnsupportedError

LAYOUT = ({"a": (3, (4, 5), 2), "b": (3, (2, 3), 1)}, {"c": (3, (2, 2), 1)})
PROFILE = profiles.profile(layout=LAYOUT, ways=2)
FRAMES = profiles.clip(4, layout=LAYOUT, change=0.3)
_encoder = ms.StreamEncoder(profile=PROFILE, quality=100)
#: A key and three frames that follow it.
UNITS = [_encoder.encode(frame) for frame in FRAMES]
KINDS = {"key": 0, "first": 1, "second": 2}
LIMITS = ms.Limits(elements=1 << 12)


def ready(number: int) -> ms.StreamDecoder:
    """A decoder of what comes before a unit."""
    decoder = ms.StreamDecoder(PROFILE, limits=LIMITS)
    for unit in UNITS[:number]:
        decoder.decode(unit)
    return decoder


def with_sum(data: bytes) -> bytes:
    return data + _native.crc32c(data).to_bytes(4, "little")


def sealed(unit: bytes) -> bytes:
    """The unit with right checksums."""
    size = int.from_bytes(unit[6:8], "little")
    return with_sum(unit[: size - 4]) + with_sum(unit[size:-4])


def body_of(number: int) -> bytes:
    """A unit's fields behind the codec's number."""
    return UNITS[number][9 : int.from_bytes(UNITS[number][6:8], "little") - 4]


def unit_of(fields: bytes, chunk: bytes) -> bytes:
    return with_sum(b"MIDS\1\0" + (13 + len(fields)).to_bytes(2, "little") + b"\2" + fields) + with_sum(chunk)


@pytest.mark.parametrize("number", KINDS.values(), ids=KINDS)
def test_every_prefix_is_truncated_and_every_byte_matters(number: int) -> None:
    decoder, unit = ready(number), UNITS[number]
    for size in range(len(unit)):
        with pytest.raises(TruncatedError):
            decoder.decode(unit[:size])
    with pytest.raises(CorruptError, match="data follows"):
        decoder.decode(unit + b"\0")
    for at in range(len(unit)):
        for change in (1, 0x80):
            with pytest.raises(BitstreamError):
                decoder.decode(bytes([*unit[:at], unit[at] ^ change, *unit[at + 1 :]]))
    decoder.decode(unit)


@pytest.mark.parametrize("number", KINDS.values(), ids=KINDS)
def test_damage_behind_right_checksums_is_an_error_or_a_frame(number: int) -> None:
    """And what later frames are predicted from is then in range, too."""
    unit, decoded = UNITS[number], 0
    state = ready(number).state()
    for at in range(8, len(unit) - 4):
        for change in (1, 0x55, 0xFF):
            decoder = ms.StreamDecoder(PROFILE, limits=LIMITS)
            decoder.restore(state)
            try:
                back = decoder.decode(sealed(bytes([*unit[:at], unit[at] ^ change, *unit[at + 1 :]])))
            except (BitstreamError, InputError):  # InputError: another profile is asked for
                assert decoder.state() == state
                continue
            decoded += 1
            assert all(np.isfinite(values).all() for values in back.values())
            ms.StreamDecoder(PROFILE).restore(decoder.state())
    assert decoded > 8


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(8, 1 << 12), st.integers(1, 255)), min_size=1, max_size=6))
def test_a_stream_of_which_much_is_damaged(changes: list[tuple[int, int, int]]) -> None:
    units = [bytearray(unit) for unit in UNITS]
    for number, at, change in changes:
        header = int.from_bytes(units[number][6:8], "little")
        units[number][header + at % (len(units[number]) - header - 4)] ^= change
    decoder = ms.StreamDecoder(PROFILE, limits=LIMITS)
    for unit in units:
        try:
            back = decoder.decode(sealed(bytes(unit)))
        except BitstreamError:
            continue
        assert all(np.isfinite(values).all() for values in back.values())


def test_what_a_header_may_not_say() -> None:
    key, later = body_of(0), body_of(1)
    chunks = [unit[int.from_bytes(unit[6:8], "little") : -4] for unit in UNITS]
    digest, behind = later[4:8], later[8:]  # flags, step, number 1, distance 1, digest
    assert unit_of(later, chunks[1]) == UNITS[1]

    def refused(kind: type[Exception], fields: bytes, match: str, number: int = 1, chunk: bytes = chunks[1]) -> None:
        with pytest.raises(kind, match=match):
            ready(number).decode(unit_of(fields, chunk))

    for flags in (2, 4, 6, 8, 0x81):
        refused(UnsupportedError, bytes([flags]) + later[1:], "unknown flags")
    refused(UnsupportedError, b"\x09" + key[1:], "unknown flags", 0, chunks[0])
    for number, distance in ((1, 0), (1, 2), (0, 1), (20, 9), (MOST_FRAMES, 1)):
        refused(CorruptError, later[:2] + varint(number) + varint(distance) + digest + behind, "frame ")
    refused(CorruptError, key[:2] + varint(MOST_FRAMES) + key[3:], "frame number", 0, chunks[0])
    missing = ms.MissingReferenceError
    refused(missing, later[:2] + varint(2) + b"\1" + digest + behind, "refers to frame 1, which was not decoded")
    refused(missing, later[:4] + b"\0\0\0\0" + behind, "is another one here")
    refused(CorruptError, later[:8] + b"\0", "0 groups", chunk=b"")
    refused(CorruptError, later[:8] + b"\x11" + b"\1" * 17, "17 groups", chunk=bytes(17))
    refused(CorruptError, later[:8] + b"\1" + varint(len(chunks[1])), "1 groups, the profile has 2")
    refused(CorruptError, later + b"\0", "bytes too many")
    refused(CorruptError, later[:-1], "where 0 are left")
    refused(CorruptError, b"\3" + key[1:11] + b"\2\1\1\1\1" + key[11:], "2 levels", 0, chunks[0])
    refused(CorruptError, b"\3" + key[1:11] + b"\3\1\1\1\1\1\0" + key[11:], "without elements", 0, chunks[0])
    refused(UnsupportedError, b"\5" + key[1:11] + b"\3\0\3\0" + key[11:], "element type number 3", 0, chunks[0])
    refused(LimitError, b"\5" + key[1:11] + varint(1 << 11) + key[11:], "levels; the limit", 0, chunks[0])
    huge = b"\3" + key[1:11] + b"\3" + varint(1 << 40) * 6 + key[11:]
    refused(LimitError, huge, "elements; the limit is 4096", 0, chunks[0])


def test_limits_count_the_sizes_of_the_stream() -> None:
    sizes = {"a": (8, 12), "b": (4, 6), "c": (3, 4)}
    wide = [{name: np.full((3, *size), value, np.float32) for name, size in sizes.items()} for value in (1, 1.5, 2)]
    encoder, decoder = ms.StreamEncoder(profile=PROFILE, quality=60), ms.StreamDecoder(PROFILE)
    units = [encoder.encode(frame) for frame in wide]
    elements = sum(values.size for values in wide[0].values())
    decoder.decode(units[0])
    with pytest.raises(LimitError, match=f"{elements} elements; the limit is {elements - 1}"):
        decoder.decode(units[1], limits=ms.Limits(elements=elements - 1))
    decoder.decode(units[1], limits=ms.Limits(elements=elements))
    with pytest.raises(LimitError, match="chunk"):
        decoder.decode(units[2], limits=ms.Limits(chunk_bytes=8))
    one, other = ms.StreamEncoder(profile=PROFILE, quality=60), ms.StreamDecoder(PROFILE)
    small = [{"a": frame["a"][:, :2, :2], "b": frame["b"][:, :1, :1], "c": frame["c"][:, :1, :1]} for frame in FRAMES]
    fits = ms.Limits(elements=sum(values.size for values in small[0].values()))
    for frame in small:  # less than the profile's own sizes
        other.decode(one.encode(frame), limits=fits)


def memory() -> FrameMemory:
    units = ready(2)._sequences[2]
    kept: dict[int, FrameMemory] = units._kept  # type: ignore[attr-defined]
    return kept[1]


def state_of(frame: bytes) -> bytes:
    """The state of a decoder that keeps one frame."""
    own = varint(len(frame)) + frame
    return with_sum(b"MIDSTAT\1\2" + varint(len(own)) + own)


def test_a_state_goes_on_where_it_was() -> None:
    decoder, other = ready(3), ms.StreamDecoder(PROFILE)
    other.restore(decoder.state())
    assert other.state() == decoder.state()
    one, two = decoder.decode(UNITS[3]), other.decode(UNITS[3])
    assert all(one[name].tobytes() == two[name].tobytes() for name in one)
    assert len(state_of(memory().pack())) > memory().size


def test_a_state_with_any_byte_changed_is_refused() -> None:
    state = state_of(memory().pack())
    rng = np.random.default_rng(0)
    places = {*range(3000), *rng.integers(0, len(state), 500).tolist(), *range(len(state) - 50, len(state))}
    for at in places:
        with pytest.raises(InputError, match="state"):
            ms.StreamDecoder(PROFILE).restore(bytes([*state[:at], state[at] ^ 1, *state[at + 1 :]]))
    for size in (*range(60), len(state) - 1):
        with pytest.raises(InputError, match="state"):
            ms.StreamDecoder(PROFILE).restore(state[:size])


def test_a_state_with_any_byte_changed_and_right_checksums_is_refused_or_decodes() -> None:
    state = state_of(memory().pack())
    rng = np.random.default_rng(1)
    start = state.index(b"{")
    tensors = start + int.from_bytes(state[start - 8 : start], "little")
    places = [*range(8, tensors + 600, 3), *rng.integers(tensors, len(state) - 4, 300).tolist()]
    refused = 0
    for at in places:
        change = int(rng.integers(1, 256))
        decoder = ms.StreamDecoder(PROFILE)
        try:
            decoder.restore(with_sum(bytes([*state[:at], state[at] ^ change, *state[at + 1 : -4]])))
            back = decoder.decode(UNITS[2])
        except (BitstreamError, InputError):
            refused += 1
            continue
        assert all(np.isfinite(values).all() for values in back.values())
    assert refused > 100


Changes = Callable[[dict[str, Any], dict[str, Any]], object]


def changed_state(change: Changes) -> bytes:
    tensors, about = unpack_tensors(memory().pack(), "it")
    tensors = {name: values.copy() for name, values in tensors.items()}
    change(tensors, about)
    return state_of(pack_tensors(tensors, about))


def put(name: str, value: float, at: int = 0) -> Changes:
    def change(tensors: dict[str, Any], _: dict[str, Any]) -> None:
        tensors[name].reshape(-1)[at] = value

    return change


def said(**fields: Any) -> Changes:
    return lambda _, about: about.update(fields)


HOSTILE: dict[str, Changes] = {
    "a mode that the profile lacks": put("0/modes", 3),
    "a mode of no profile": put("0/modes", 255),
    "a class that the profile lacks": put("0/importance", 3),
    "a class of no profile": put("1/importance", 255),
    "contexts that were seen more often than is counted": put("0/contexts", 1023),
    "a weight beyond all weights": put("0/contexts", (1 << 19) + 1, -100),
    "updates beyond all updates": put("0/contexts", 4097, -1),
    "contexts of another size": lambda tensors, _: tensors.update({"0/contexts": tensors["0/contexts"][1:]}),
    "contexts of another type": lambda tensors, _: tensors.update({"0/contexts": tensors["0/contexts"].astype("i8")}),
    "contexts of a group too many": lambda tensors, _: tensors.update({"1/contexts": tensors["0/contexts"]}),
    "contexts of a group of no layers": lambda tensors, _: tensors.update({"1/contexts": tensors.pop("0/contexts")}),
    "values of another type": lambda tensors, _: tensors.update({"0/values": tensors["0/values"].astype(np.float32)}),
    "values of no cell": lambda tensors, _: tensors.update({"0/values": tensors["0/values"][:0]}),
    "values of fewer cells": lambda tensors, _: tensors.update({"0/values": tensors["0/values"][1:]}),
    "symbols of fewer coefficients": lambda tensors, _: tensors.update({"0/symbols": tensors["0/symbols"][:, 1:]}),
    "a turned map": lambda tensors, _: tensors.update({"0/modes": tensors["0/modes"].T}),
    "a line for a map": lambda tensors, _: tensors.update({"0/modes": tensors["0/modes"].reshape(-1)}),
    "a group too few": said(groups=1),
    "a group too many": said(groups=3),
    "no groups": said(groups=0),
    "any number of groups": said(groups=1 << 60),
    "a number below all": said(number=-1),
    "a number beyond all": said(number=1 << 32),
    "a number with a fraction": said(number=1.0),
    "a digest of more bits": said(digest=1 << 32),
    "a profile of another length": said(profile="00"),
    "a profile that is none": said(profile=7),
    "a unit beyond all steps": said(octave=5000),
    "a unit below all steps": said(octave=-17),
    "sizes of a list": said(sizes=[1]),
    "sizes of other levels": said(sizes={"a": [4, 5]}),
    "sizes of nothing": said(sizes={"a": [0, 5], "b": [2, 3], "c": [2, 2]}),
    "sizes that are not those of the maps": said(sizes={"a": [8, 10], "b": [4, 5], "c": [4, 4]}),
    "sizes beyond the limits": said(sizes={"a": [1 << 30, 1 << 30], "b": [1 << 29, 1 << 29], "c": [2, 2]}),
    "sizes that do not lie over one another": said(sizes={"a": [4, 5], "b": [9, 9], "c": [2, 2]}),
    "a type of no level": said(dtypes={"a": "float64", "b": "float32", "c": "float32"}),
    "types of other levels": said(dtypes={"d": "float32"}),
    "infinity": said(octave=float("inf")),
    "more than is known": said(more=1),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_state_is_refused(name: str) -> None:
    decoder, state = ms.StreamDecoder(PROFILE, limits=LIMITS), changed_state(HOSTILE[name])

    def go_on() -> None:
        decoder.restore(state)
        decoder.decode(UNITS[2])

    with pytest.raises((InputError, BitstreamError)):
        go_on()


def test_a_state_of_too_many_frames_or_of_other_codecs_is_refused() -> None:
    frames = [replace(memory(), number=number).pack() for number in range(9)]
    own = b"".join(varint(len(frame)) + frame for frame in frames)
    with pytest.raises(InputError, match="9 frames"):
        ms.StreamDecoder(PROFILE).restore(with_sum(b"MIDSTAT\1\2" + varint(len(own)) + own))
    with pytest.raises(InputError, match="keeps nothing"):
        ms.StreamDecoder(PROFILE).restore(with_sum(b"MIDSTAT\1\1\1x"))
    with pytest.raises(InputError, match="another release"):
        ms.StreamDecoder(PROFILE).restore(with_sum(b"MIDSTAT\1\x4d\1x"))
    other = ms.StreamDecoder(profiles.profile(seed=9, layout=LAYOUT))
    other.restore(ready(2).state())
    with pytest.raises(InputError, match=PROFILE.name):
        other.decode(UNITS[2])


TENSORS, DOCUMENT = unpack_tensors(PROFILE.data, "it")


def refused(match: str, document: dict[str, Any] | None = None, **tensors: Any) -> None:
    with pytest.raises(InputError, match=match):
        ms.Profile.parse(pack_tensors(TENSORS | tensors, DOCUMENT | (document or {})), "it")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("0/frames.gains", 1.001),
        ("0/frames.gains", -0.5),
        ("1/frames.gains", np.nan),
        ("0/frames.scales", 513),
        ("1/frames.scales", -257),
        ("0/frames.state.weights", 1 << 20),
        ("1/frames.state.learnt", 5000),
    ],
)
def test_one_number_of_a_profile_with_clips_out_of_range(name: str, value: float) -> None:
    changed = TENSORS[name].copy()
    changed.reshape(-1)[-1] = value
    refused(f"{name}.*out of range", **{name: changed})


def test_a_profile_with_clips_that_does_not_fit_itself_is_refused() -> None:
    gains, scales, chances = (TENSORS[f"0/frames.{name}"] for name in ("gains", "scales", "state.chances"))
    many = {"0/frames.gains": np.repeat(gains, 2, axis=0), "0/frames.scales": np.repeat(scales, 2, axis=0)}
    refused("4 ways to predict a cell", **many)
    refused("frames.gains is", **{"0/frames.gains": gains[:0]})
    refused("frames.gains is", **{"0/frames.gains": gains[:, 1:]})
    refused("frames.scales is", **{"0/frames.scales": scales[1:]})
    refused("frames.state.chances is", **{"0/frames.state.chances": chances[1:]})
    refused("frames.state.chances is", **{"0/frames.state.chances": TENSORS["0/state.chances"]})
    refused("belong together, to version 2", {"version": 1})
    refused("belong together, to version 2", {"frames": None})
    refused("frame_hash", {"frame_hash": "x" * 5000})
    refused("frames", {"frames": -1})
    without = {name: values for name, values in TENSORS.items() if "frames" not in name}
    with pytest.raises(InputError, match=r"damaged profile: '0/frames\.gains'"):
        ms.Profile.parse(pack_tensors(without, DOCUMENT), "it")


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    tensors = {name: values.copy() for name, values in TENSORS.items()}
    names = [name for name in tensors if "frames." in name]
    for _ in range(draw(st.integers(1, 4))):
        octets = tensors[draw(st.sampled_from(names))].reshape(-1).view(np.uint8)
        if draw(st.booleans()):
            octets[draw(st.lists(st.integers(0, octets.size - 1), min_size=1, max_size=20))] = draw(st.integers(0, 255))
        else:
            octets[:] = draw(st.integers(0, 255))
    return pack_tensors(tensors, DOCUMENT)


@settings(max_examples=60)
@given(damaged(), st.sampled_from([1, 60, 100]))
def test_a_damaged_profile_with_clips_is_refused_or_codes(data: bytes, quality: int) -> None:
    try:
        profile = ms.Profile.parse(data, "it")
    except InputError:
        return
    encoder, decoder = ms.StreamEncoder(profile=profile, quality=quality), ms.StreamDecoder(profile)
    for frame in FRAMES[:3]:
        back = decoder.decode(encoder.encode(frame))
        assert all(np.isfinite(back[name]).all() and back[name].shape == values.shape for name, values in frame.items())


def test_what_is_not_finite_is_corrupt_and_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a profile that expects of each cell four times what is in the one before, at the finest step."""
    made = profiles.profile(layout=[{"a": (3, (1, 80), 1)}], qualities=(0,) * 100)
    tensors, document = unpack_tensors(made.data, "it")
    tensors["0/neighbours"] = np.stack([4 * np.eye(3), np.zeros((3, 3)), np.zeros((3, 3))]).astype(np.float16)
    profile = ms.Profile.parse(pack_tensors(tensors, document), "it")
    pyramid = {"a": np.full((3, 1, 80), 1000, np.float32)}
    monkeypatch.setattr(frames, "finest_step", lambda _: 0)
    encoder, decoder = (ms.StreamEncoder(profile=profile, quality=1), ms.StreamDecoder(profile))
    with pytest.raises(InputError, match="too large to code"):
        encoder.encode(pyramid)
    monkeypatch.setattr(frames, "check_size", lambda _: None)
    with pytest.raises(CorruptError, match="group 0: coefficients out of range"):
        decoder.decode(encoder.encode(pyramid))
    with pytest.raises(ms.MissingReferenceError, match="which was not decoded here"):
        decoder.decode(encoder.encode(pyramid))
