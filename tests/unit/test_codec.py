"""The codec `paper` against the paper's equations, and its edge cases."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray

import midstream as ms
from midstream import _native
from midstream.codec.paper import Paper
from midstream.codec.paper.normalize import ChannelStatistics
from midstream.codec.paper.quantize import Histogram, lloyd_max_thresholds, uniform_thresholds, z_thresholds

Pyramid = dict[str, NDArray[np.float32]]


def symbols_of(values: NDArray[Any], thresholds: list[float]) -> list[list[int]]:
    rows = np.asarray(values, np.float32)
    return _native.quantize(rows, thresholds, len(thresholds) + 1)[4].tolist()


# A channel of mean 0 and population std 1, with elements on every boundary of z = 1 and both zeros.
ON_BOUNDARIES = [-1.0, 1.0, -1.0, 1.0, -2.0, 2.0, 0.0, -0.0, -0.0, 0.0, 0.0, 0.0]


def test_equation_2_closes_the_sides_that_the_paper_closes() -> None:
    assert _native.channel_statistics(np.array([ON_BOUNDARIES], np.float32))[1].tolist() == [1.0]
    # v < -z | -z <= v < 0 | 0 <= v <= z | v > z
    assert symbols_of([ON_BOUNDARIES], z_thresholds(4, 1.0)) == [[1, 2, 1, 2, 0, 3, 2, 2, 2, 2, 2, 2]]
    # v < -z | -z <= v <= z | v > z
    assert symbols_of([ON_BOUNDARIES], z_thresholds(3, 1.0)) == [[1, 1, 1, 1, 0, 2, 1, 1, 1, 1, 1, 1]]


@pytest.mark.parametrize(("n", "z"), [(n, z) for n in (3, 4) for z in (0.5, 1.0, 1.5, 2.0)])
def test_symbols_equal_the_equation_in_double(n: int, z: float) -> None:
    x = np.random.default_rng(1).gamma(2, 3, (5, 4000)).astype(np.float32)
    exact = x.astype(np.float64)
    v = (exact - exact.mean(1, keepdims=True)) / exact.std(1, keepdims=True)
    expected = np.select([v < -z, v < 0, v <= z], [0, 1, 2], 3) if n == 4 else np.select([v < -z, v <= z], [0, 1], 2)
    assert symbols_of(x, z_thresholds(n, z)) == expected.tolist()


def test_reconstruction_is_the_interval_mean_denormalised(pyramid: Pyramid) -> None:
    decoded = ms.decode(ms.encode(pyramid, symbols=4, z=1.5))
    for name, x in pyramid.items():
        exact = x.reshape(len(x), -1).astype(np.float64)
        mean, std = exact.mean(1, keepdims=True), exact.std(1, keepdims=True)
        v = (exact - mean) / std
        symbols = np.select([v < -1.5, v < 0, v <= 1.5], [0, 1, 2], 3)
        refined = exact.shape[1] >= 64  # each channel's own interval means, else the level's
        for c in range(len(x)):
            for s in set(symbols[c]):
                pool = v[c][symbols[c] == s] if refined else v[symbols == s]
                got = np.unique(decoded[name].reshape(exact.shape)[c][symbols[c] == s])
                assert len(got) == 1
                # statistics and refinements are coded in steps of an eighth of a deviation: half a step off at most
                assert got[0] == pytest.approx(mean[c, 0] + std[c, 0] * pool.mean(), abs=0.09 * std[c, 0])


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 7, 8, 9, 16, 31, 64, 100, 255, 256])
@pytest.mark.parametrize("coder", ["fast", "dense", "raw", "prefix"])
def test_any_number_of_symbols(pyramid: Pyramid, n: int, coder: str) -> None:
    decoded = ms.decode(ms.encode(pyramid, symbols=n, coder=coder))
    assert list(decoded) == list(pyramid)
    for name, x in pyramid.items():
        assert decoded[name].shape == x.shape
        assert decoded[name].dtype == np.float32
        assert max(len(np.unique(channel)) for channel in decoded[name]) <= n
        error = np.mean(((decoded[name] - x) / x.std((1, 2), keepdims=True)) ** 2)
        assert error <= {1: 1.01, 2: 0.7, 3: 0.45, 4: 0.35}.get(n, 0.25 if n < 16 else 0.05)


def test_coders_give_the_same_pyramid(pyramid: Pyramid) -> None:
    first, *others = (ms.decode(ms.encode(pyramid, symbols=5, coder=c)) for c in ("fast", "dense", "raw", "prefix"))
    for other in others:
        for name in pyramid:
            np.testing.assert_array_equal(other[name], first[name])


def test_raw_takes_ceil_log2_bits(pyramid: Pyramid) -> None:
    elements = sum(x.size for x in pyramid.values())
    for n, bits in [(1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (8, 3), (9, 4), (256, 8)]:
        assert ms.inspect(ms.encode(pyramid, symbols=n, coder="raw")).payload_bytes == pytest.approx(
            elements * bits / 8, abs=len(pyramid)
        )


def test_every_byte_is_accounted_for(pyramid: Pyramid) -> None:
    data = ms.encode(pyramid)
    info = ms.inspect(data)
    assert info.header_bytes + info.side_bytes + info.payload_bytes + info.checksum_bytes == info.total_bytes
    assert info.total_bytes == len(data)
    assert [level.name for level in info.levels] == ["p3", "p4", "p5"]
    assert info.levels[0].shape == (6, 16, 17)
    assert info.bits_per_element == 8 * len(data) / sum(x.size for x in pyramid.values())
    assert info.options == {"symbols": 4, "z": 1.5, "coder": "fast"}


def test_same_bytes_on_every_path(pyramid: Pyramid) -> None:
    pyramid["zeros"] = np.full((1, 4, 8), 5, np.float32)
    pyramid["zeros"][0, 0, 1], pyramid["zeros"][0, 2, 0] = 0.0, -0.0  # seen in another order by other lanes
    before, streams = _native.simd_path(), {}
    try:
        for path in _native.simd_paths():
            _native.set_simd_path(path)
            streams[path] = [
                ms.encode(pyramid, symbols=n, coder=c) for n in (3, 4, 20, 256) for c in ("raw", "fast", "dense")
            ]
    finally:
        _native.set_simd_path(before)
    assert all(made == streams["reference"] for made in streams.values())


def test_one_level_alone_ignores_damage_elsewhere(pyramid: Pyramid) -> None:
    data = bytearray(ms.encode(pyramid))
    data[-10] ^= 1  # in p3, the finest and therefore the last
    with pytest.raises(ms.CorruptError, match="p3"):
        ms.decode(data)
    one = ms.decode(data, levels=["p5"])
    assert list(one) == ["p5"]
    np.testing.assert_array_equal(one["p5"], ms.decode(ms.encode(pyramid))["p5"])
    with pytest.raises(ms.InputError, match="unknown level 'p9'; valid: p3, p4, p5"):
        ms.decode(data, levels=["p9"])


def test_decodes_in_another_process(pyramid: Pyramid, tmp_path: Path) -> None:
    (tmp_path / "x.mids").write_bytes(ms.encode(pyramid))
    code = "import sys, numpy as np, midstream as ms;np.savez(sys.argv[2], **ms.decode(open(sys.argv[1], 'rb').read()))"
    subprocess.run([sys.executable, "-c", code, tmp_path / "x.mids", tmp_path / "x.npz"], check=True)
    with np.load(tmp_path / "x.npz") as there:
        for name, here in ms.decode(ms.encode(pyramid)).items():
            np.testing.assert_array_equal(there[name], here)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("options", [{}, {"symbols": 256}, {"symbols": 1}])
def test_constant_channels_come_back_exactly(dtype: Any, options: dict[str, Any]) -> None:
    x = np.random.default_rng(0).normal(size=(5, 9, 9)).astype(dtype)
    x[1], x[4] = 1 / 3, -0.0
    back = ms.decode(ms.encode({"a": x, "b": np.full((3, 2, 2), 7e-3, dtype)}, **options))
    assert back["a"].dtype == dtype
    assert (back["a"][[1, 4]] == x[[1, 4]]).all()
    assert (back["b"] == np.full((3, 2, 2), 7e-3, dtype)).all()
    varying = [options.get("symbols") != 1 and c not in (1, 4) for c in range(5)]
    assert (back["a"].astype(float).std((1, 2)) > 0).tolist() == varying


def test_one_by_one_maps_are_exact() -> None:
    x = np.random.default_rng(0).normal(size=(7, 1, 1)).astype(np.float32)
    for options in ({}, {"symbols": 256}, {"symbols": 1}):
        np.testing.assert_array_equal(ms.decode(ms.encode({"gap": x}, **options))["gap"], x)  # type: ignore[arg-type]


def test_one_channel_and_a_symbol_that_never_occurs() -> None:
    x = np.zeros((1, 8, 8), np.float32)
    x[0, 0] = 1  # at z = 3 neither tail occurs
    for coder in ("fast", "dense", "raw", "prefix"):
        back = ms.decode(ms.encode({"x": x}, symbols=4, z=3, coder=coder))["x"]
        assert len(np.unique(back)) == 2
    assert ms.inspect(ms.encode({"x": x}, symbols=3, z=3)).payload_bytes == 2


def test_misaligned_and_big_endian_input(pyramid: Pyramid) -> None:
    x = pyramid["p3"]
    misaligned = np.frombuffer(b"\0" + x.tobytes(), np.float32, offset=1).reshape(x.shape)
    assert ms.encode({"x": misaligned}) == ms.encode({"x": x})
    assert ms.encode({"x": x.astype(">f4")}) == ms.encode({"x": x})


def test_options_of_a_bitstream_encode_again(pyramid: Pyramid) -> None:
    for options in (
        {},
        {"thresholds": [-1, 2]},
        {"symbols": 7, "thresholds": "uniform", "step": 0.5},
        {"symbols": 256},
    ):
        data = ms.encode(pyramid, **options)  # type: ignore[arg-type]
        assert ms.encode(pyramid, **ms.inspect(data).options) == data


def test_non_contiguous_input(pyramid: Pyramid) -> None:
    x = pyramid["p3"]
    views = [x[:, ::-1, ::2], x.transpose(0, 2, 1), np.asfortranarray(x)]
    for view in views:
        assert ms.encode({"x": view}) == ms.encode({"x": np.ascontiguousarray(view)})


def test_extreme_values_stay_finite() -> None:
    largest = np.finfo(np.float32).max
    x = np.array(
        [[[-largest, largest], [largest, 0]], [[1e-45, 0], [0, 0]], [[1e38, 1e38], [1e38, 1.1e38]]], np.float32
    )
    for options in ({}, {"symbols": 256}, {"symbols": 3, "z": 0.01}, {"thresholds": [-1e30, 1e30]}):
        back = ms.decode(ms.encode({"x": x}, **options))["x"]  # type: ignore[arg-type]
        assert np.isfinite(back).all()
    half = np.full((1, 4, 4), 65504, np.float16)
    half[0, 0] = -65504
    assert np.isfinite(ms.decode(ms.encode({"x": half}, thresholds=[-0.1]))["x"]).all()


def test_a_large_mean_keeps_a_small_spread() -> None:
    x = (1e6 + np.random.default_rng(0).normal(size=(2, 40, 40))).astype(np.float32)
    back = ms.decode(ms.encode({"x": x}, symbols=4))["x"]
    assert np.abs(back.astype(float) - x).mean() < 0.5


@pytest.mark.parametrize(("bad", "word"), [(np.nan, "NaN"), (np.inf, "infinity"), (-np.inf, "infinity")])
def test_what_is_not_finite_is_named(pyramid: Pyramid, bad: float, word: str) -> None:
    pyramid["p4"][3, 2, 1] = bad
    with pytest.raises(ms.InputError, match=f"level 'p4', channel 3 holds an? {word}"):
        ms.encode(pyramid)


def test_8_bit_conversion_is_minimum_to_maximum(pyramid: Pyramid) -> None:
    back = ms.decode(ms.encode(pyramid, symbols=256))
    for name, x in pyramid.items():
        low, high = x.min((1, 2), keepdims=True), x.max((1, 2), keepdims=True)
        assert (np.abs(back[name] - x) <= (high - low) / 255 / 2 * 1.0001).all()
        np.testing.assert_array_equal(back[name].min((1, 2)), x.min((1, 2)))
        np.testing.assert_array_equal(back[name].max((1, 2)), x.max((1, 2)))


def test_uniform_thresholds_contain_the_papers() -> None:
    assert uniform_thresholds(4, 1.5) == z_thresholds(4, 1.5)
    assert uniform_thresholds(3, 3.0) == z_thresholds(3, 1.5)
    assert uniform_thresholds(2, 1.0) == [0.0]
    assert uniform_thresholds(1, 1.0) == []


def test_lloyd_max_of_a_normal_distribution_is_maxs_table() -> None:
    x = np.random.default_rng(0).normal(size=(4, 500_000)).astype(np.float32)
    histogram = Histogram.of(x, ChannelStatistics(*_native.channel_statistics(x)))
    found = lloyd_max_thresholds([histogram], 4)
    assert found == pytest.approx([-0.9816, 0, 0.9816], abs=0.01)  # Max 1960, table I, N = 4
    found = lloyd_max_thresholds([histogram], 8)
    assert found == pytest.approx([-1.748, -1.050, -0.5006, 0, 0.5006, 1.050, 1.748], abs=0.02)


def test_lloyd_max_beats_every_z_in_squared_error(pyramid: Pyramid) -> None:
    def error(data: bytes) -> float:
        back = ms.decode(data)
        return sum(float((((back[n] - x) / x.std((1, 2), keepdims=True)) ** 2).sum()) for n, x in pyramid.items())

    optimal = error(ms.encode(pyramid, symbols=4, thresholds="lloyd-max"))
    assert optimal < min(error(ms.encode(pyramid, symbols=4, z=z)) for z in (0.5, 1.0, 1.5, 2.0))


def test_fitted_thresholds_are_in_the_bitstream(pyramid: Pyramid) -> None:
    values = ms.inspect(ms.encode(pyramid, symbols=5, thresholds="lloyd-max")).thresholds
    assert values == sorted(values)
    assert len(values) == 4
    assert ms.inspect(ms.encode(pyramid, symbols=3, z=0.5)).thresholds == [-0.5, 0.5]
    assert ms.inspect(ms.encode(pyramid, thresholds=[-1, 0.5])).options["thresholds"] == [-1.0, 0.5]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"codec": "jpeg"}, "unknown codec 'jpeg'; valid: paper"),
        ({"coder": "zip"}, "unknown coder 'zip'; valid: fast, dense, raw, prefix"),
        ({"symbols": 0}, "1 to 256, not 0"),
        ({"symbols": 257}, "1 to 256, not 257"),
        ({"symbols": 4.0}, "whole number"),
        ({"symbols": 5, "z": 1.0}, "z is defined for 3 and 4 symbols, not 5"),
        ({"z": 0}, "z is a positive number"),
        ({"z": "one"}, "z is a positive number"),
        ({"z": 1e-50}, "z is a positive number"),
        ({"thresholds": 0.5}, "increasing numbers or one of"),
        ({"thresholds": [[1, 2], [3]]}, "increasing numbers or one of"),
        ({"thresholds": [0.1, 0.1 + 1e-12]}, "must increase"),
        ({"z": float("nan")}, "z is a positive number"),
        ({"z": 1.0, "thresholds": [0]}, "either z or thresholds"),
        ({"thresholds": "otsu"}, "unknown thresholds 'otsu'; valid: uniform, lloyd-max, range"),
        ({"thresholds": "uniform"}, "needs a step"),
        ({"step": 1.0}, "step belongs to thresholds='uniform'"),
        ({"thresholds": [1, 0]}, "must increase"),
        ({"thresholds": [0, float("inf")]}, "finite"),
        ({"symbols": 4, "thresholds": [0]}, "4 symbols need 3 thresholds, not 1"),
        ({"symbols": 1, "thresholds": "range"}, "at least 2 symbols"),
    ],
)
def test_bad_options_are_named(pyramid: Pyramid, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ms.InputError, match=message.replace("(", r"\(")):
        ms.encode(pyramid, **options)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({}, "no levels"),
        ([np.zeros((1, 2, 2))], "a mapping"),
        ({"": np.zeros((1, 2, 2), np.float32)}, "non-empty string"),
        ({"\ud800": np.zeros((1, 2, 2), np.float32)}, "not valid Unicode"),
        ({"x" * 256: np.zeros((1, 2, 2), np.float32)}, "longer than 255 bytes"),
        ({"x": np.zeros((1, 2, 2))}, "element type float64; valid: float32, float16, bfloat16"),
        ({"x": np.zeros((1, 1, 2, 2), np.float32)}, "without the batch dimension"),
        ({"x": np.zeros((2, 2), np.float32)}, r"shape \[2, 2\], expected \[channels, height, width\]"),
        ({"x": np.zeros((1, 0, 2), np.float32)}, "is empty"),
    ],
)
def test_bad_pyramids_are_named(bad: Any, message: str) -> None:
    with pytest.raises(ms.InputError, match=message):
        ms.encode(bad)


def test_default_thresholds_by_number_of_symbols() -> None:
    rules = {n: Paper(symbols=n).parameters.rule.label for n in (1, 2, 3, 4, 5, 255, 256)}
    assert rules == {1: "lloyd-max", 2: "lloyd-max", 3: "z", 4: "z", 5: "lloyd-max", 255: "lloyd-max", 256: "range"}
    assert Paper(symbols=3).parameters.parameter == 1.0
    assert Paper(symbols=4).parameters.parameter == 1.5


def test_the_public_api_is_small_and_light() -> None:
    assert set(ms.__all__) == {
        "BitstreamError", "Calibrated", "ClipHeader", "ClipReader", "ClipWriter", "Codec", "CorruptError",
            "InputError", "LimitError", "Limits", "MidstreamError",
        "MissingReferenceError",
        "Paper", "Profile", "StreamDecoder", "StreamEncoder", "Tensor", "TruncatedError", "UnsupportedError", "decode",
        "decode_batch", "encode", "encode_batch", "inspect",
    }  # fmt: skip
    code = "import sys, midstream; assert not {'onnx', 'onnxruntime', 'cv2', 'torch', 'typer'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
