"""Specs, codecs of other people, layouts."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.helpers import toy

from midstream import models
from midstream.codec.wire import Reader
from midstream.errors import CodecError, InputError
from midstream.pipelines import ffmpeg
from midstream.pipelines.base import ImageCodec, PyramidCodec
from midstream.pipelines.layout import places, tile, untile
from midstream.pipelines.own import OwnCodec
from midstream.pipelines.registry import known_codecs, make_codec, parse_curve, pipeline_of
from midstream.pipelines.shapes import read_shapes, write_shapes

Pyramid = dict[str, NDArray[np.float32]]
IMAGES = [name for name, kind in known_codecs().items() if issubclass(kind, ImageCodec)]
#: Not those that are fitted to a network: tests/unit/test_calibrate.py.
FITTED = "calibrated"
FEATURES = [name for name in known_codecs() if name not in IMAGES and name != FITTED]
#: What gives up at most so much of a channel's range.
PRECISE = {
    "uncompressed": 0.0, "float16+zstd": 1e-3, "blosc2": 1e-3, "pcodec": 1e-3, "int8+zstd": 0.5 / 255 + 1e-6,
    "zfp": 0.05, "paper": 0.6, "packed-vvc": 0.2, "packed-hevc": 0.2, "packed-av1": 0.2, "fcm": 0.2,
}  # fmt: skip


def image(height: int, width: int) -> NDArray[np.uint8]:
    coarse = np.random.default_rng(5).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def fine(codec: str) -> dict[str, str]:
    """Options with which a codec loses little."""
    if codec == "fcm":
        return {"qp": "0", "preset": "faster", "restore": "0"}
    if codec.startswith("packed"):
        return {"qp": "4", **({"preset": "faster"} if codec.endswith("vvc") else {})}
    return {
        "vvc": {"preset": "faster", "qp": "17"},
        "hevc": {"qp": "17"},
        "av1": {"qp": "15"},
        "h264": {"qp": "17"},
    }.get(codec, {})


def test_all_codecs_of_the_contract_are_known() -> None:
    assert {"vvc", "hevc", "h264", "av1", "jpegxl", "webp", "jpeg"} == set(IMAGES)
    assert set(FEATURES) == set(PRECISE)


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("size", [(96, 128), (97, 131)])
def test_a_image_comes_back_nearly_as_it_was(name: str, size: tuple[int, int]) -> None:
    codec = make_codec(name, fine(name))
    assert isinstance(codec, ImageCodec)
    source = image(*size)
    data = codec.encode(source)
    assert 100 < len(data) < source.size
    decoded = codec.decode(data)[: size[0], : size[1]]
    assert decoded.dtype == np.uint8
    assert decoded.shape == source.shape
    assert np.abs(decoded.astype(float) - source).mean() < 6
    assert codec.made_by()


@pytest.mark.parametrize("name", FEATURES)
def test_a_pyramid_comes_back_from_the_bytes_alone(name: str) -> None:
    rng = np.random.default_rng(3)
    pyramid: Pyramid = {}
    for level, side in (("p3", 32), ("p4", 16), ("a longer name", 9)):
        maps = cv2.resize(rng.normal(size=(6, 6, 7)).astype(np.float32), (side + 3, side)).transpose(2, 0, 1)
        pyramid[level] = np.ascontiguousarray(3 * maps + rng.normal(size=(7, 1, 1)).astype(np.float32))
    pyramid["p4"][2] = 0.25  # a channel without content
    codec = make_codec(name, fine(name))
    assert isinstance(codec, PyramidCodec | OwnCodec)
    data = codec.encode(pyramid)
    again = make_codec(name, fine(name))
    assert isinstance(again, PyramidCodec | OwnCodec)
    decoded = again.decode(data)
    assert list(decoded) == list(pyramid)
    for level, maps in pyramid.items():
        assert decoded[level].dtype == np.float32
        assert decoded[level].shape == maps.shape
        spread = maps.max() - maps.min()
        assert np.abs(decoded[level] - maps).max() <= PRECISE[name] * spread
    codec.made_by()


@pytest.mark.parametrize("options", [{"bits": "8"}, {"range": "channel"}, {"bits": "8", "range": "channel"}])
def test_packed_with_other_bits_and_ranges(options: dict[str, str], pyramid: Pyramid) -> None:
    codec = make_codec("packed-hevc", {"qp": "0", **options})
    assert isinstance(codec, PyramidCodec | OwnCodec)
    for level, maps in codec.decode(codec.encode(pyramid)).items():
        spread = pyramid[level].max() - pyramid[level].min()
        assert np.abs(maps - pyramid[level]).max() < 0.05 * spread


def test_a_feature_too_large_for_half_floats_is_an_error() -> None:
    codec = make_codec("float16+zstd", {})
    assert isinstance(codec, PyramidCodec | OwnCodec)
    with pytest.raises(CodecError, match="a feature of 70000 is too large for float16"):
        codec.encode({"p3": np.full((1, 2, 2), 7e4, np.float32)})


@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(1, 7), st.integers(1, 7)), min_size=1, max_size=4),
)
def test_layout_and_back(shapes: list[tuple[int, int, int]]) -> None:
    rng = np.random.default_rng(0)
    maps = {f"level {i}": rng.integers(1, 1000, shape).astype(np.uint16) for i, shape in enumerate(shapes)}
    at = places({name: values.shape for name, values in maps.items()})
    laid = tile(maps, at, 0)
    assert laid.shape[0] % 2 == laid.shape[1] % 2 == 0
    assert (laid > 0).sum() == sum(values.size for values in maps.values())  # nothing covers anything else
    back = untile(laid, at)
    assert all((back[name] == maps[name]).all() for name in maps)


@given(st.dictionaries(st.text(max_size=20), st.tuples(*[st.integers(1, 300)] * 3), max_size=3))
def test_shapes_and_back(shapes: dict[str, tuple[int, int, int]]) -> None:
    pyramid = {name: np.broadcast_to(np.float32(0), shape) for name, shape in shapes.items()}
    reader = Reader(write_shapes(pyramid) + b"rest", "a test")
    assert read_shapes(reader) == shapes
    assert bytes(reader.rest()) == b"rest"


def test_a_spec_is_a_curve() -> None:
    curve = parse_curve("vvc:preset=faster,qp=22,27,32")
    assert [point.codec.spec() for point in curve.points] == [f"vvc:qp={qp},preset=faster,qpa=1" for qp in (22, 27, 32)]
    assert curve.points[0].codec.label() == "vvc:qp=22,preset=faster"
    both = parse_curve("paper:symbols=3,4,coder=fast,dense")
    assert len(both.points) == 4
    lists = parse_curve("paper:thresholds=-1/0/1,-2/0/2").points
    assert [point.codec.options()["thresholds"] for point in lists] == [[-1, 0, 1], [-2, 0, 2]]
    assert len(parse_curve("jpeg:quality=70,70").points) == 1


@settings(max_examples=30)
@given(st.sampled_from([*IMAGES, *FEATURES]))
def test_a_spec_makes_its_codec_again(name: str) -> None:
    codec = make_codec(name, {})
    (again,) = parse_curve(codec.spec()).points
    assert again.codec.options() == codec.options()
    assert again == pipeline_of(again.codec)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("vcc:qp=3", "unknown codec 'vcc'; valid: av1, blosc2"),
        ("vvc:pq=3", "unknown option of vvc 'pq'; valid: qp, preset, qpa"),
        ("vvc:qp=64", "vvc: qp '64': Input should be less than or equal to 63"),
        ("vvc:qp=high", "vvc: qp 'high': Input should be a valid integer"),
        ("vvc:preset=quick", "vvc: preset 'quick': Input should be 'faster', 'fast', 'medium', 'slow' or 'slower'"),
        ("vvc:22", "is not NAME:option=value"),
        ("vvc:qp=", "is not NAME:option=value"),
        ("vvc:qp=1,qp=2", "qp is given twice"),
        ("paper:symbols=5,z=1", "paper: z is defined for 3 and 4 symbols, not 5"),
        ("calibrated", "calibrated: the codec calibrated needs a profile of the network"),
        ("calibrated:quality=50", "calibrated: the codec calibrated needs a profile of the network"),
        ("paper:coder=zip", "paper: unknown coder 'zip'; valid: fast, dense, raw, prefix"),
        ("jpeg:quality=" + ",".join(map(str, range(1, 100))) + ",optimize=0,1", "asks for 198 points"),
        ("", "unknown codec ''"),
    ],
)
def test_mistakes_in_specs(spec: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        parse_curve(spec)
    assert message in str(error.value)


def test_the_missing_program_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ffmpeg.FFMPEG_VARIABLE, "/nowhere/ffmpeg")
    ffmpeg.find_ffmpeg.cache_clear()
    ffmpeg.versions.cache_clear()
    try:
        with pytest.raises(CodecError, match=r"no ffmpeg with libvvenc.*imageio-ffmpeg carries one"):
            make_codec("vvc", {}).made_by()
    finally:
        ffmpeg.find_ffmpeg.cache_clear()


def test_a_failing_encoder_is_reported_with_its_command_and_output() -> None:
    program = ffmpeg.find_ffmpeg("libx265")
    with pytest.raises(CodecError, match=r"-c:v libx265 .*failed with exit code.*"):
        ffmpeg.encode([program, "-f", "rawvideo", "-s", "4x4", "-i", "-", "-c:v", "libx265", "-f", "hevc", "-"], b"")
    with pytest.raises(CodecError, match="PyAV does not decode this stream of 9 bytes as hevc"):
        ffmpeg.decode(b"not video", "hevc")


@pytest.mark.parametrize("at", ["input", "original"])
def test_pipelines_measure(at: str, tmp_path: Path) -> None:
    model = models.load(str(toy.write_toy(tmp_path)), threads=1)
    pixels = image(50, 70)
    anchor = parse_curve("jpeg:quality=100", at).points[0].measure(model, pixels)  # type: ignore[arg-type]
    assert anchor.elements is None
    assert anchor.pixels == toy.SIDE**2
    assert anchor.size > 0
    plain = parse_curve("uncompressed").points[0].measure(model, pixels)
    assert plain.elements == 5 * (16 + 4)
    assert plain.size == 4 * plain.elements + 1 + 2 * len("_p3") + 2 * 3 + len(b"\xc0\x02") + len(b"\x50")  # 320, 80
    wanted = model.back(model.front(pixels), (50, 70))
    assert (plain.output.scores == wanted.scores).all()
    given_pyramid = parse_curve("uncompressed").points[0].measure(model, pixels, model.front(pixels))
    assert (given_pyramid.output.boxes == wanted.boxes).all()


def test_resized_is_what_the_front_sees(tmp_path: Path) -> None:
    model = models.load(str(toy.write_toy(tmp_path)))
    pixels = image(50, 70)
    small = model.resized(pixels)
    assert small.shape == (toy.SIDE, toy.SIDE, 3)
    for name, values in model.front_resized(small, (50, 70)).items():
        assert (values == model.front(pixels)[name]).all()


def test_a_letterboxed_image_is_coded_without_its_padding(tmp_path: Path) -> None:
    description = toy.write_toy(tmp_path)
    text = description.read_text().replace(
        f"size = [{toy.SIDE}, {toy.SIDE}]", f'size = [{toy.SIDE}, {toy.SIDE}]\nresize = "letterbox"'
    )
    description.write_text(text)
    model = models.load(str(description))
    for size in ((50, 70), (70, 50), (31, 77), (1, 300)):  # 77 * (32 / 77) is a little less than 32
        pixels = image(*size)
        small = model.resized(pixels)
        assert max(small.shape) <= toy.SIDE
        for name, values in model.front_resized(small, size).items():
            assert (values == model.front(pixels)[name]).all()
