"""`paper` in a stream: frames that look at the symbols of one before decode to what each decodes to alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.helpers import format_symbols
from tests.helpers.golden import fingerprint, golden_symbol_units
from tests.helpers.toy import smooth_symbols

import midstream as ms
from midstream import _native
from midstream.codec.chain import KEPT_FRAMES, MOST_FRAMES
from midstream.codec.paper.frames import PaperFrames
from midstream.codec.paper.memory import PaperFrame
from midstream.codec.paper.unit_decoder import PaperUnitInfo, PaperUnits
from midstream.errors import InputError, MissingReferenceError

GOLDEN = Path(__file__).parents[1] / "golden" / "v1"
Pyramid = dict[str, NDArray[Any]]
FOUR: dict[str, Any] = {"symbols": 4, "z": 1.5}
RULES: list[dict[str, Any]] = [
    FOUR,
    {"symbols": 3, "z": 1.0},
    {"symbols": 1},
    {"symbols": 2, "thresholds": [0.0]},
    {"symbols": 7, "thresholds": "lloyd-max"},
    {"symbols": 30, "thresholds": "uniform", "step": 0.2},
    {"symbols": 40, "thresholds": "range"},
]


def clip(count: int, seed: int = 0, change: float = 0.05, size: int = 8) -> list[Pyramid]:
    """A scene that hardly changes."""
    rng = np.random.default_rng(seed)
    still = {"p3": rng.normal(size=(6, size, size)), "p4": rng.normal(size=(5, size // 2, size // 2))}
    return [
        {name: (values + change * rng.normal(size=values.shape)).astype(np.float32) for name, values in still.items()}
        for _ in range(count)
    ]


def encoder_of(rule: Mapping[str, Any] = FOUR, **options: Any) -> ms.StreamEncoder:
    return ms.StreamEncoder("paper", **({"coder": "dense"} | options), **rule)


def alone(frame: Mapping[str, Any], options: Mapping[str, Any]) -> Pyramid:
    return ms.decode(ms.encode(frame, "paper", coder="dense", **options))


def same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return list(one) == list(other) and all(
        one[name].dtype == other[name].dtype and one[name].tobytes() == other[name].tobytes() for name in one
    )


def is_key(encoder: ms.StreamEncoder) -> bool:
    assert encoder.last is not None
    return encoder.last.key


def kept(stream: ms.StreamEncoder | ms.StreamDecoder) -> Mapping[int, PaperFrame]:
    sequence = stream._sequence if isinstance(stream, ms.StreamEncoder) else stream._sequences[3]
    assert isinstance(sequence, PaperFrames | PaperUnits)
    return sequence._kept


@st.composite
def streams(draw: st.DrawFn) -> tuple[dict[str, Any], list[Pyramid]]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    still = {}
    for name in ("a", "b"):
        shape = (draw(st.sampled_from([1, 3, 33])), draw(st.integers(1, 6)), draw(st.integers(1, 6)))
        dtype = draw(st.sampled_from([np.float32, np.float16, ml_dtypes.bfloat16]))
        still[name] = (rng.laplace(size=shape) * draw(st.sampled_from([1e-3, 1.0, 1e3]))).astype(dtype)
    frames = []
    for _ in range(4):
        change = draw(st.sampled_from([0.0, 0.05, 0.5]))
        frame = {}
        for name, values in still.items():
            moved = values.astype(np.float64) * (1 + change * rng.normal(size=values.shape))
            frame[name] = moved.astype(values.dtype)
            if draw(st.booleans()):  # channels that are constant now and then
                frame[name][rng.integers(len(values), size=1 + len(values) // 3)] = 0.5
        frames.append(frame)
    return draw(st.sampled_from(RULES)), frames


@settings(max_examples=60)
@given(streams(), st.data())
def test_frames_decode_to_what_they_decode_to_alone(
    case: tuple[dict[str, Any], list[Pyramid]], data: st.DataObject
) -> None:
    options, frames = case
    encoder, decoder, reader = encoder_of(options), ms.StreamDecoder(), format_symbols.Decoder()
    for number, frame in enumerate(frames):
        if data.draw(st.integers(0, 5)) == 0:
            encoder.request_key()
        unit = encoder.encode(frame)
        wanted = alone(frame, options)
        assert same(decoder.decode(unit), wanted)
        assert same(reader.decode(unit), wanted)
        assert kept(encoder)[number].pack() == kept(decoder)[number].pack()


@pytest.mark.parametrize("options", RULES, ids=str)
def test_the_same_bytes_on_every_path_and_for_any_number_of_threads(options: dict[str, Any], simd_path: str) -> None:
    frames = [{"a": values["p3"].repeat(20, axis=0), **values} for values in clip(4, size=24, change=0.2)]
    made = [encoder_of(options, threads=1).encode(frames[0])]
    for threads in (1, 3):
        encoder, decoder = encoder_of(options, threads=threads), ms.StreamDecoder(threads=threads)
        units = [encoder.encode(frame) for frame in frames]
        decoded = [decoder.decode(unit) for unit in units]
        _native.set_simd_path("reference")
        again, reader = encoder_of(options), ms.StreamDecoder()
        assert [again.encode(frame) for frame in frames] == units
        assert all(same(reader.decode(unit), each) for unit, each in zip(units, decoded, strict=True))
        assert units[0] == made[0]
        _native.set_simd_path(simd_path)


def test_a_still_scene_takes_a_fraction_and_one_that_stands_next_to_nothing() -> None:
    for change, share in ((0.02, 0.6), (0.0, 0.1)):
        encoder = encoder_of()
        sizes = [len(encoder.encode(frame)) for frame in clip(6, change=change, size=32)]
        assert max(sizes[2:]) < share * sizes[0]


def test_a_key_comes_first_at_the_interval_on_request_at_a_cut_and_at_other_levels() -> None:
    encoder = encoder_of(key_interval=5)
    keys = []
    for frame in clip(7):
        encoder.encode(frame)
        keys.append(is_key(encoder))
    assert keys == [True, False, False, False, False, True, False]
    encoder.request_key()
    for frames in (clip(2), clip(2, seed=1), clip(2, seed=1, size=16)):  # asked for; another scene; another size
        for number, frame in enumerate(frames):
            encoder.encode(frame)
            assert is_key(encoder) == (number == 0)
    half = [{name: values.astype(np.float16) for name, values in frame.items()} for frame in clip(1, seed=1, size=16)]
    encoder.encode(half[0])
    assert is_key(encoder)


def test_a_frame_of_another_kind_than_the_newest_that_arrived_is_a_key() -> None:
    encoder, decoder = encoder_of(), ms.StreamDecoder()
    small, large = clip(3), clip(2, size=16)
    decoder.decode(encoder.encode(small[0]))
    encoder.acknowledge(0)
    encoder.encode(large[0])  # a key that never arrives
    encoder.lost(1)
    assert same(decoder.decode(encoder.encode(large[1])), alone(large[1], FOUR))
    assert is_key(encoder)


@pytest.mark.parametrize("coder", ["fast", "raw", "prefix"])
def test_other_coders_write_frames_alone(coder: str) -> None:
    encoder = encoder_of(coder=coder)
    for frame in clip(3):
        assert encoder.encode(frame) == ms.encode(frame, coder=coder, **FOUR)
        assert is_key(encoder)


def test_levels_that_are_not_asked_for_are_kept_all_the_same() -> None:
    encoder, decoder = encoder_of(), ms.StreamDecoder()
    frames = clip(3)
    assert list(decoder.decode(encoder.encode(frames[0]), levels=["p4"])) == ["p4"]
    assert list(decoder.decode(encoder.encode(frames[1]), levels=[])) == []
    unit = encoder.encode(frames[2])
    with pytest.raises(InputError, match="unknown level"):
        decoder.decode(unit, levels=["p9"])
    assert same(decoder.decode(unit), alone(frames[2], FOUR))


def test_after_a_loss_the_next_unit_refers_to_what_has_arrived_or_is_a_key() -> None:
    frames = clip(8)
    encoder, decoder = encoder_of(), ms.StreamDecoder()
    for number in (0, 1):
        decoder.decode(encoder.encode(frames[number]))
    encoder.acknowledge(1)
    encoder.encode(frames[2])
    encoder.lost(2)
    unit = encoder.encode(frames[3])
    found = ms.inspect(unit)
    assert isinstance(found, PaperUnitInfo)
    assert (found.key, found.refers_to, found.frame) == (False, 1, 3)
    assert same(decoder.decode(unit), alone(frames[3], FOUR))
    encoder.lost(1)
    assert same(decoder.decode(encoder.encode(frames[4])), alone(frames[4], FOUR))
    assert is_key(encoder)


def test_a_gap_is_named_and_eight_frames_are_kept() -> None:
    frames = clip(2 * KEPT_FRAMES)
    encoder, decoder = encoder_of(), ms.StreamDecoder()
    units = [encoder.encode(frame) for frame in frames]
    with pytest.raises(MissingReferenceError, match="frame 1 refers to frame 0, which was not decoded here"):
        decoder.decode(units[1])
    for unit in units:
        decoder.decode(unit)
    assert sorted(kept(decoder)) == list(range(KEPT_FRAMES, 2 * KEPT_FRAMES))
    assert len(kept(encoder)) == 1
    other = [encoder_of().encode(clip(1, seed=5)[0])]
    decoder.decode(other[0])
    with pytest.raises(MissingReferenceError, match="which is another one here"):
        decoder.decode(units[1])
    with pytest.raises(MissingReferenceError):
        ms.decode(units[1])


def test_a_stream_ends_before_its_numbers_do() -> None:
    encoder = encoder_of()
    encoder._sequence._next = MOST_FRAMES  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="begin another one"):
        encoder.encode(clip(1)[0])


def test_what_is_kept_is_two_bytes_an_element() -> None:
    encoder = encoder_of()
    for frame in clip(3, size=64):
        encoder.encode(frame)
    (memory,) = kept(encoder).values()
    elements = sum(values.size for values in clip(1, size=64)[0].values())
    assert 2 * elements <= memory.size < 2.1 * elements
    assert len(memory.pack()) < 2.1 * elements


def test_inspect_says_where_the_bytes_of_a_unit_go() -> None:
    encoder = encoder_of()
    units = [encoder.encode(frame) for frame in clip(2)]
    for number, unit in enumerate(units):
        found = ms.inspect(unit)
        assert isinstance(found, PaperUnitInfo)
        assert found.header_bytes + sum(map(sum, found.level_bytes)) + found.checksum_bytes == found.total_bytes
        assert found.total_bytes == len(unit)
        assert (found.frame, found.key, found.codec) == (number, number == 0, "paper")
        assert found.table().rows[-1][-1] == f"{len(unit):,}"
    key = ms.inspect(units[0])
    assert key.shapes == {"p3": (6, 8, 8), "p4": (5, 4, 4)}
    assert key.bits_per_element == pytest.approx(8 * len(units[0]) / (6 * 64 + 5 * 16))
    assert ms.inspect(units[1]).shapes is None


@st.composite
def maps(draw: st.DrawFn) -> tuple[list[NDArray[np.uint8]], int, NDArray[np.uint8], NDArray[np.uint8]]:
    symbols = draw(st.sampled_from([2, 3, 4, 5, 8, 16, 17, 40, 256]))
    shape = (draw(st.integers(1, 4)), draw(st.integers(1, 7)), draw(st.integers(1, 7)))
    seed = draw(st.integers(0, 2**32))
    now, before = (smooth_symbols(symbols, shape, seed + draw(st.integers(0, 1)) * each) for each in (0, 1))
    past = np.random.default_rng(seed).integers(0, 32, shape).astype(np.uint8)
    order = np.array(draw(st.permutations(np.unique(now).tolist())), np.uint8)
    references = np.array([draw(st.integers(0, c)) for c in range(shape[0])], np.uint8)
    return [now, before, past], symbols, order, references


@given(maps())
def test_any_map_before_round_trips(
    case: tuple[list[NDArray[np.uint8]], int, NDArray[np.uint8], NDArray[np.uint8]],
) -> None:
    (now, before, past), symbols, order, references = case
    data = _native.dense_encode(now, symbols, order, references, (before, past))
    for path in _native.simd_paths():
        previous = _native.simd_path()
        _native.set_simd_path(path)
        try:
            decoded = _native.dense_decode(data, *now.shape, symbols, order, references, (before, past))
            assert _native.dense_encode(now, symbols, order, references, (before, past)) == data
        finally:
            _native.set_simd_path(previous)
        assert decoded is not None
        np.testing.assert_array_equal(decoded, now)
    assert _native.dense_decode(data + b"\0", *now.shape, symbols, order, references, (before, past)) is None
    assert _native.dense_decode(data[:-1], *now.shape, symbols, order, references, (before, past)) is None


def test_the_past_is_the_last_other_symbol_and_three_changes() -> None:
    past = np.zeros((1, 1, 1), np.uint8)
    seen = []
    row = [np.full((1, 1, 1), symbol, np.uint8) for symbol in (7, 7, 2, 2, 5, 5, 5, 5)]
    for before, now in pairwise(row):
        _native.dense_past(now, before, 8, past)
        seen.append((int(past[0, 0, 0]) & 3, int(past[0, 0, 0]) >> 2))
    assert seen == [(0, 0), (3, 1), (3, 2), (1, 5), (1, 2), (1, 4), (1, 0)]


def test_misuse_of_a_map_before_is_refused() -> None:
    values = smooth_symbols(4, (2, 4, 4))
    order, none, past = np.arange(4, dtype=np.uint8), np.zeros(2, np.uint8), np.zeros((2, 4, 4), np.uint8)
    for before, why in (
        ((values[:1], past[:1]), "another shape"),
        ((values, past[:1]), "another shape"),
        ((values + np.uint8(4), past), "outside the alphabet"),
        ((values, past + np.uint8(32)), "past"),
    ):
        with pytest.raises(ValueError, match=why):
            _native.dense_encode(values, 4, order, none, before)
        with pytest.raises(ValueError, match=why):
            _native.dense_decode(b"12345", 2, 4, 4, 4, order, none, before)
    with pytest.raises(ValueError, match="another shape"):
        _native.dense_past(values, values[:1], 4, past)


@pytest.mark.parametrize("number", range(3))
def test_golden_streams_decode_as_ever_and_are_still_written(number: int, simd_path: str) -> None:
    entry = json.loads((GOLDEN / "symbols.json").read_text())[number]
    with ms.ClipReader(GOLDEN / f"{entry['file']}.midv") as reader:
        units = [unit.data for unit in reader.units()]
    assert golden_symbol_units(entry["options"]) == units
    decoder, other = ms.StreamDecoder(), format_symbols.Decoder()
    for unit, wanted in zip(units, entry["frames"], strict=True):
        assert {level: fingerprint(values) for level, values in decoder.decode(unit).items()} == wanted
        if simd_path == "reference":
            assert {level: fingerprint(values) for level, values in other.decode(unit).items()} == wanted


def test_the_other_decoder_is_short() -> None:
    assert len(Path(format_symbols.__file__).read_text().splitlines()) <= 300
