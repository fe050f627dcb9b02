"""Arrays that are no maps come back as they went in: every kind of axes, every element type, whatever is damaged."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.helpers import format_layouts
from tests.helpers.commands import call
from tests.helpers.damage import resealed
from tests.helpers.golden import laid_out_pyramid

import midstream as ms
from midstream import _native

FLOATS = [np.float32, np.float16, ml_dtypes.bfloat16]
WHOLE = [np.int8, np.uint8]
KINDS = ["CHW", "HWC", "WCH", "NC", "CN", "CT", "TC", "C", "GNC", "NGC", "GC", "CGHW"]
STREAMS = {
    "small": ms.encode({"t": ms.Tensor(np.arange(60, dtype=np.float32).reshape(1, 10, 6) % 7, "1NC", extra=1)}),
    "several": ms.encode(laid_out_pyramid(), symbols=3),
}


def plain(value: Any) -> Any:
    return value.values if isinstance(value, ms.Tensor) else value


@st.composite
def arrays(draw: st.DrawFn, dtypes: list[Any]) -> ms.Tensor:
    axes = draw(st.sampled_from(KINDS))
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(axes)))
        axes = axes[:at] + "1" + axes[at:]
    shape = [1 if axis == "1" else draw(st.integers(1, 7)) for axis in axes]
    grid, extra = None, 0
    if "N" in axes:
        rows, columns, extra = draw(st.integers(1, 4)), draw(st.integers(1, 4)), draw(st.integers(0, 3))
        grid = draw(st.sampled_from([None, (rows, columns)]))
        shape[axes.index("N")] = rows * columns + extra
    dtype = np.dtype(draw(st.sampled_from(dtypes)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    if dtype.kind in "iu":
        values = rng.integers(0, 256, shape).astype(np.uint8).view(dtype)
    else:
        values = rng.normal(size=shape).astype(dtype)
    return ms.Tensor(values, axes, grid=grid, extra=extra)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(["a", "b", "Ä"]), arrays(FLOATS + WHOLE), min_size=1))
def test_any_arrays_come_back(pyramid: dict[str, ms.Tensor]) -> None:
    data = ms.encode(pyramid, thresholds="range", symbols=256) if _floats(pyramid) else ms.encode(pyramid)
    decoded = ms.decode(data)
    assert list(decoded) == list(pyramid)
    for name, tensor in pyramid.items():
        values, back = tensor.values, decoded[name]
        assert (back.shape, back.dtype) == (values.shape, values.dtype)
        assert back.flags.c_contiguous
        if values.dtype.kind in "iu":
            np.testing.assert_array_equal(back, values)
        else:
            bound = 0.1 if values.dtype == ml_dtypes.bfloat16 else 0.03
            assert np.abs(back.astype(np.float64) - values.astype(np.float64)).max() < bound
    theirs = format_layouts.decode(data)
    assert list(theirs) == list(decoded)
    for name, back in decoded.items():
        assert theirs[name].dtype == back.dtype
        np.testing.assert_array_equal(theirs[name], back)


def _floats(pyramid: dict[str, ms.Tensor]) -> bool:
    return any(tensor.values.dtype.kind not in "iu" for tensor in pyramid.values())


def test_tokens_with_a_grid_are_a_map_and_extra_tokens_a_level_beside_it() -> None:
    x = np.arange(1 * 15 * 4, dtype=np.float32).reshape(1, 15, 4)
    patches, extra = ms.Tensor(x, "1NC", grid=(2, 6), extra=3).levels()
    assert [patches.shape, extra.shape] == [(4, 2, 6), (4, 1, 3)]
    np.testing.assert_array_equal(patches[:, 1, 2], x[0, 3 + 6 + 2])
    np.testing.assert_array_equal(extra[:, 0, 1], x[0, 1])
    assert repr(ms.Tensor(x, "1NC", grid=(2, 6), extra=3)) == "Tensor([1, 15, 4], axes='1NC', grid=(2, 6), extra=3)"
    (cache,) = ms.Tensor(np.zeros((3, 9, 4), np.float32), "GNC").levels()
    assert cache.shape == (12, 1, 9)


def test_maps_keep_their_bytes() -> None:
    x = np.random.default_rng(0).normal(size=(1, 40, 64)).astype(np.float32)
    data = ms.encode({"x": ms.Tensor(x, "CHW")})
    assert data[8] == 0
    assert data[8 + 1 :].count(b"CHW") == 0
    assert ms.decode(data)["x"].shape == (1, 40, 64)
    y = x.reshape(4, 10, 64)
    assert ms.encode({"x": ms.Tensor(y, "CHW")}) == ms.encode({"x": y})


def test_a_reader_of_before_refuses_it_as_unsupported() -> None:
    assert STREAMS["small"][8] == 4  # docs/format.md: an unknown codec is unsupported, and 4 was unknown


def test_tokens_with_a_batch_dimension_are_not_taken_for_one_channel() -> None:
    x = np.zeros((1, 197, 384), np.float32)
    for encode in (ms.encode, ms.StreamEncoder("paper").encode, lambda pyramid: ms.encode_batch([pyramid])):
        with pytest.raises(ms.InputError, match=r"midstream.Tensor\(x, axes='1NC'\) for 197 tokens of 384 numbers"):
            encode({"x": x})
    assert ms.encode({"x": x[:, :, :-1]})  # no network has 383
    with pytest.raises(ms.InputError, match="say what the axes are"):
        ms.encode({"x": x[0]})


@pytest.mark.parametrize(
    ("shape", "given", "message"),
    [
        ((2, 9, 4), {"axes": "1NC"}, "an axis 1 has one entry"),
        ((9, 4), {"axes": "1NC"}, "axes 1NC are 3, the array has 2"),
        ((9, 4), {"axes": "NH"}, "one C, with H and W, N"),
        ((9, 4), {"axes": "HC"}, "one C, with H and W, N"),
        ((9, 4), {"axes": "CC"}, "one C, with H and W, N"),
        ((9, 4), {"axes": ("N", "C")}, "one C, with H and W, N"),
        ((9, 0), {"axes": "NC"}, r"the array is empty: \[9, 0\]"),
        ((9, 4), {"axes": "NC", "grid": (2, 4)}, "2 x 4 and 0 extra ones are 8 tokens, the array has 9"),
        ((9, 4), {"axes": "NC", "grid": (9,)}, r"grid is \(rows, columns\)"),
        ((9, 4), {"axes": "NC", "extra": 9}, "extra is how many of the 9 tokens"),
        ((9, 4), {"axes": "TC", "extra": 1}, "axes TC have no N"),
    ],
)
def test_what_does_not_fit(shape: tuple[int, ...], given: dict[str, Any], message: str) -> None:
    with pytest.raises(ms.InputError, match=message):
        ms.Tensor(np.zeros(shape, np.float32), **given)


def test_two_levels_of_one_name() -> None:
    tokens = ms.Tensor(np.zeros((5, 4), np.float32), "NC", extra=1)
    with pytest.raises(ms.InputError, match=r"two levels are called 'a\+extra'"):
        ms.encode({"a": tokens, "a+extra": np.zeros((4, 2, 2), np.float32)})


def test_arrays_are_asked_for_by_their_names() -> None:
    data = STREAMS["several"]
    whole = ms.decode(data)
    assert list(whole) == list(laid_out_pyramid())
    for name, values in whole.items():
        (found,) = ms.decode(data, levels=[name]).values()
        np.testing.assert_array_equal(found, values)
    for name in ("tokens+extra", "token"):
        with pytest.raises(ms.InputError, match="unknown level"):
            ms.decode(data, levels=[name])
    assert str(ms.inspect(data).layouts[0]) == ("array 'tokens': axes 1NC, the first 2 of its tokens in 'tokens+extra'")
    assert ms.inspect(data).total_bytes == len(data)


def test_of_a_cut_bitstream_whole_arrays_come_back() -> None:
    data, seen = STREAMS["several"], set[str]()
    for length in range(len(data)):
        with pytest.raises(ms.TruncatedError):
            ms.decode(data[:length])
        try:
            found = ms.decode(data[:length], partial=True)
        except ms.TruncatedError:
            continue
        seen.update(found)
        assert all(values.shape == plain(laid_out_pyramid()[name]).shape for name, values in found.items())
    assert seen == set(laid_out_pyramid()) - {"map"}  # of the finest level, which comes last


def test_a_batch_of_pyramids() -> None:
    rng = np.random.default_rng(2)
    frames = [rng.normal(size=(1, 9, 8)).astype(np.float32) for _ in range(3)]
    coded = ms.encode_batch([{"t": ms.Tensor(frame, "1NC")} for frame in frames])
    assert coded == [ms.encode({"t": ms.Tensor(frame, "1NC")}) for frame in frames]
    assert [each["t"].shape for each in ms.decode_batch(coded)] == [(1, 9, 8)] * 3


@pytest.mark.parametrize("name", STREAMS)
def test_every_flipped_bit_is_detected(name: str) -> None:
    data = STREAMS[name]
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ms.BitstreamError):
            ms.decode(damaged)


@pytest.mark.parametrize("name", STREAMS)
def test_every_header_byte_with_a_right_checksum_is_handled(name: str) -> None:
    data = STREAMS[name]
    for at in range(8, int.from_bytes(data[6:8], "little") - 4):
        for value in {0, 1, 2, 4, 49, 67, 71, 78, 127, 128, 255, data[at] ^ 1}:
            changed = resealed(data, {at: value})
            try:
                ours = ms.decode(changed)
            except ms.BitstreamError as error:
                kind = type(error).__name__.removesuffix("Error").lower()
                if kind != "limit":  # the other reader has limits of its own, and knows one codec
                    with pytest.raises(ValueError, match=f"^({kind}|limit|unsupported: codec)"):
                        format_layouts.decode(changed)
                continue
            theirs = format_layouts.decode(changed)
            assert list(ours) == list(theirs)
            assert all(np.array_equal(ours[each], theirs[each]) for each in ours)


def test_nothing_is_made_of_a_declared_number_of_layouts() -> None:
    data = STREAMS["small"]
    body = data[8 : int.from_bytes(data[6:8], "little") - 4]
    assert body[1] == 1  # one layout: then 2^62 of them
    many = body[:1] + b"\xff" * 8 + b"\x3f" + body[2:]
    head = data[:6] + (12 + len(many)).to_bytes(2, "little") + many
    with pytest.raises(ms.CorruptError, match="header"):
        ms.decode(head + _native.crc32c(head).to_bytes(4, "little") + data[8 + len(body) + 4 :])


@pytest.mark.parametrize("coder", ["fast", "dense"])
def test_units_of_a_stream(coder: str) -> None:
    encoder, decoder, later = ms.StreamEncoder("paper", coder=coder), ms.StreamDecoder(), ms.StreamDecoder()
    rng = np.random.default_rng(1)
    frame = rng.normal(size=(1, 17, 8)).astype(np.float32)
    sizes = []
    for number in range(4):
        unit = encoder.encode({"t": ms.Tensor(frame, "1NC", grid=(4, 4), extra=1)})
        sizes.append(len(unit))
        back = decoder.decode(unit)["t"]
        assert back.shape == frame.shape
        assert np.abs(back - frame).max() < 4
        if number == 1:
            later.restore(decoder.state())
        elif number > 1:
            np.testing.assert_array_equal(later.decode(unit)["t"], back)
        frame = frame + np.float32(0.01)
    assert coder == "fast" or max(sizes[1:]) < sizes[0]


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    tokens, sound = rng.normal(size=(1, 13, 32)).astype(np.float32), rng.normal(size=(50, 4)).astype(np.float32)
    single, several = tmp_path / "x.npy", tmp_path / "p.npz"
    np.save(single, tokens)
    np.savez(several, tokens=tokens, sound=sound, map=rng.normal(size=(3, 4, 4)).astype(np.float32))
    bits, out = tmp_path / "x.mids", tmp_path / "y.npz"
    assert call("encode", single, "-o", bits) == 2
    assert call("encode", single, "-o", bits, "--axes", "1NC", "--grid", "3x4", "--extra", 1) == 0
    assert call("inspect", bits) == 0
    assert "array 'x': axes 1NC, the first 1 of its tokens in 'x+extra'" in capsys.readouterr().out
    assert call("decode", bits, "-o", out) == 0
    assert np.load(out)["x"].shape == tokens.shape
    options = ["--axes", "tokens:1NC", "--axes", "sound:TC", "--grid", "tokens:3x4", "--extra", "tokens:1"]
    assert call("encode", several, "-o", bits, *options) == 0
    assert call("decode", bits, "-o", out) == 0
    assert {name: values.shape for name, values in np.load(out).items()} == {
        "tokens": (1, 13, 32), "sound": (50, 4), "map": (3, 4, 4),
    }  # fmt: skip
    for wrong, message in [
        (["--axes", "tokns:1NC"], "unknown level in --axes 'tokns'"),
        (["--grid", "3x4"], "--grid and --extra go with --axes"),
        (["--axes", "sound:TC", "--axes", "sound:CT"], "--axes is given twice for level 'sound'"),
        (["--axes", "tokens:1NC", "--grid", "tokens:3*4"], "expected a whole number"),
        (["--axes", "tokens:1NC", "--grid", "tokens:3x3"], "the array has 13"),
    ]:
        capsys.readouterr()
        assert call("encode", several, "-o", bits, *wrong) == 2
        assert message in capsys.readouterr().err


def test_elements_are_those_of_the_array() -> None:
    for name, value in laid_out_pyramid().items():
        if isinstance(value, ms.Tensor):
            assert sum(level.size for level in value.levels()) == math.prod(value.values.shape), name
