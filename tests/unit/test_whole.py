"""int8 and uint8: what went in comes out, by every coder, beside floats, in streams and from files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from tests.helpers import profiles
from tests.helpers.commands import call
from tests.helpers.golden import whole_pyramid

import midstream as ms

CODERS = ["fast", "dense", "raw", "prefix"]


def same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return list(a) == list(b) and all(a[n].dtype == b[n].dtype and np.array_equal(a[n], b[n]) for n in a)


@pytest.mark.parametrize("coder", CODERS)
def test_every_value_comes_back(coder: str) -> None:
    every = np.arange(256, dtype=np.uint8)
    wide = np.random.default_rng(0).integers(0, 256, (70, 40, 130)).astype(np.uint8)  # several streams
    wide[5] = 255
    pyramid = {
        "unsigned": every.reshape(4, 8, 8), "signed": every.view(np.int8).reshape(2, 8, 16), "wide": wide,
        "one": np.full((3, 2, 2), -128, np.int8),
    }  # fmt: skip
    data = ms.encode(pyramid, coder=coder)
    assert same(ms.decode(data), pyramid)
    assert data == ms.encode(pyramid, coder=coder, threads=1)
    info = ms.inspect(data, symbols=True)
    assert info.to_dict()["options"] == {"coder": coder}
    assert info.total_bytes == len(data)


@pytest.mark.parametrize("coder", CODERS)
def test_floats_beside_them_are_coded_as_alone(coder: str) -> None:
    pyramid = whole_pyramid(mixed=True)
    options: dict[str, Any] = {"symbols": 5, "coder": coder}
    back = ms.decode(ms.encode(pyramid, **options))
    alone = ms.decode(ms.encode({"floats": pyramid["floats"]}, **options))
    assert same(back, {**whole_pyramid(), **alone})


def test_a_quantiser_has_no_options_for_them() -> None:
    assert ms.encode(whole_pyramid(), symbols=256) == ms.encode(whole_pyramid())
    for option in ({"symbols": 4}, {"z": 1.0}, {"thresholds": "range"}):
        with pytest.raises(ms.InputError, match="is for floats: int8 and uint8 are coded without loss"):
            ms.encode(whole_pyramid(), **option)  # type: ignore[arg-type]


def test_codecs_of_floats_refuse_them() -> None:
    pyramid = {name: values.astype(np.int8) for name, values in profiles.pyramid().items()}
    with pytest.raises(ms.InputError, match="is int8, which the codec calibrated does not code: take paper"):
        ms.encode(pyramid, "calibrated", profile=profiles.profile())


def test_in_a_stream_each_frame_stands_alone() -> None:
    encoder, decoder = ms.StreamEncoder("paper", coder="dense"), ms.StreamDecoder()
    for _ in range(3):
        assert same(decoder.decode(encoder.encode(whole_pyramid())), whole_pyramid())
        assert encoder.last is not None
        assert encoder.last.key


@pytest.mark.parametrize("coder", CODERS)
def test_every_flipped_bit_is_detected(coder: str) -> None:
    data = ms.encode(whole_pyramid(), coder=coder)
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ms.BitstreamError):
            ms.decode(damaged)


def test_limits_hold() -> None:
    data = ms.encode({"x": np.zeros((2, 1 << 9, 1 << 10), np.int8), "y": np.ones((2, 2, 2), np.uint8)})
    with pytest.raises(ms.LimitError, match="1048584 elements; the limit is 1048583"):
        ms.decode(data, limits=ms.Limits(elements=(1 << 20) + 7))


def test_files(tmp_path: Path) -> None:
    arrays, bits = whole_pyramid(), tmp_path / "x.mids"
    np.savez(tmp_path / "x.npz", **arrays)
    safetensors.numpy.save_file(arrays, tmp_path / "x.safetensors")
    for name in ("x.npz", "x.safetensors"):
        assert call("encode", tmp_path / name, "-o", bits, "--coder", "dense") == 0
        assert call("decode", bits, "-o", tmp_path / "y.npz") == 0
        found = np.load(tmp_path / "y.npz")
        assert same({each: found[each] for each in arrays}, arrays)
        assert call("decode", bits, "-o", tmp_path / "y.safetensors") == 0
        found = safetensors.numpy.load_file(tmp_path / "y.safetensors")
        assert same({each: found[each] for each in arrays}, arrays)
