"""Codecs on clips: video in its modes, features in video, FCM's chain, this project's streams; a clip at a time."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from tests.helpers import clips, toy
from tests.helpers.one_process import comparing_here

from midstream import data as datasets
from midstream import models
from midstream.codec.wire import Reader
from midstream.compare.results import Results
from midstream.compare.run import Request, compare
from midstream.compare.scoring import Scoring, weights
from midstream.compare.store import read_point
from midstream.errors import CodecError, InputError
from midstream.halves.cache import FrontCache
from midstream.halves.levels import sent
from midstream.models import SplitModel
from midstream.pipelines.basis import Cells, basis_of_one, fit_basis, read_basis
from midstream.pipelines.clips import ClipFrames, FeatureVideoPipeline, StreamPipeline, VideoPipeline
from midstream.pipelines.registry import make_codec, parse_curve
from midstream.pipelines.video import PlaneCodec, VideoImage, VideoOptions, image_of
from midstream.progress import SILENT
from midstream.report.lead import sentences
from midstream.report.page import chosen_points, write_report

FAST = {
    "vvc": "preset=faster,qp=22",
    "hevc": "preset=fast,qp=22",
    "h264": "preset=fast,qp=22",
    "av1": "preset=10,qp=20",
}
MODES = ("lowdelay", "random-access")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> SplitModel:
    return models.load(str(toy.write_toy(tmp_path_factory.mktemp("toy"))), threads=1)


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> ClipFrames:
    folder = clips.write_frames(tmp_path_factory.mktemp("clip") / "squares", clips.frames(10, step=3))
    return ClipFrames(datasets.load(f"clips:{folder}").images)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", FAST)
def test_a_video_has_its_frames_in_order_and_intra_frames_where_asked(name: str, mode: str, tmp_path: Path) -> None:
    codec = make_codec(name, dict(part.split("=") for part in FAST[name].split(",")))
    assert isinstance(codec, VideoImage)
    sources = [np.repeat(np.repeat(image, 4, 0), 4, 1) for image in clips.frames(20)]
    with (tmp_path / "raw").open("w+b") as raw:
        for image in sources:
            raw.write(image.tobytes())
        options = VideoOptions(mode=mode, intra_period=8)  # type: ignore[arg-type]
        video = codec.compress_clip(raw, 256, 192, 25.0, options)
        alone = codec.compress_clip(raw, 256, 192, 25.0, VideoOptions(intra_period=1))
    sizes = video.sizes()
    assert len(sizes) == 20
    assert sum(sizes) == len(video.data)
    decoded = [image_of(frame) for frame in video.frames()]
    for image, wanted in zip(decoded, sources, strict=True):  # each nearer to its own than to the next
        assert np.abs(image.astype(float) - wanted).mean() < 6
    if mode == "lowdelay":
        intra = [number for number, size in enumerate(sizes) if size > max(sizes) / 2]
        assert intra == [0, 8, 16]
    assert len(video.data) < len(alone.data) / 2


def test_a_mode_waits_for_what_it_reorders() -> None:
    for name in FAST:
        codec = make_codec(name, {})
        assert isinstance(codec, VideoImage)
        assert codec.clip_delay(VideoOptions()) < codec.clip_delay(VideoOptions(mode="random-access"))


@pytest.mark.parametrize(
    "spec",
    [
        "hevc:qp=20",
        "h264:qp=20,mode=random-access",
        "jpeg:quality=90",
        "paper:symbols=4",
        "uncompressed",
        "packed-hevc:qp=4,range=channel",
        "packed-vvc:qp=4,preset=faster",
        "fcm:codec=hevc,qp=4,preset=fast",
        "fcm:preset=faster,mode=random-access",
    ],
)
def test_a_clip_comes_back_frame_by_frame(spec: str, model: SplitModel, frames: ClipFrames) -> None:
    (pipeline,) = parse_curve(spec, "original", clips=True).points
    found = pipeline.measure_clip(model, frames)  # type: ignore[union-attr]
    assert len(found) == 10
    assert all(each.size > 0 and each.pixels == toy.SIDE**2 for each in found)
    assert pipeline.describe()["codec"] == spec.partition(":")[0]
    again = parse_curve(pipeline.spec(), "original", clips=True).points[0]
    assert again.describe() == pipeline.describe()
    waits = {"h264:qp=20,mode=random-access": 3, "fcm:preset=faster,mode=random-access": 36}
    assert found[0].wait_s == waits.get(spec, 4 if "vvc" in spec else 0) / 25


def test_what_is_lossless_is_what_the_network_finds(model: SplitModel, frames: ClipFrames, tmp_path: Path) -> None:
    kept = ClipFrames(frames.files, FrontCache(tmp_path, model))
    (pipeline,) = parse_curve("uncompressed", clips=True).points
    for each in (frames, kept, kept):  # made, kept, used again
        found = pipeline.measure_clip(model, each)  # type: ignore[union-attr]
        for file, there in zip(frames.files, found, strict=True):
            image = datasets.read_image(file.path)
            wanted = model.back(model.front(image), (image.shape[0], image.shape[1]))
            assert (there.output.boxes == wanted.boxes).all()


def test_options_beside_the_codecs(model: SplitModel) -> None:
    curve = parse_curve("hevc:qp=22,32,mode=random-access,intra_period=32", clips=True)
    first = curve.points[0]
    assert isinstance(first, VideoPipeline)
    assert first.label() == "hevc:qp=22,mode=random-access,intra_period=32"
    assert first.spec() == "hevc:qp=22,preset=slow,mode=random-access,intra_period=32"
    assert "keyint=32:min-keyint=32" in first.describe()["made_by"]["command"]
    assert first.describe()["options"]["intra_period"] == 32
    (stream,) = parse_curve("paper:symbols=4,key_interval=1", clips=True).points
    assert isinstance(stream, StreamPipeline)
    assert stream.label() == "paper:symbols=4,key_interval=1"
    assert parse_curve("paper", clips=True).points[0].spec().endswith(",key_interval=64")
    assert isinstance(parse_curve("packed-vvc", clips=True).points[0], FeatureVideoPipeline)
    del model


@pytest.mark.parametrize(
    ("spec", "of_clips", "why"),
    [
        ("vvc:mode=lowdelay", False, "unknown option of vvc 'mode'"),
        ("paper:key_interval=4", False, "unknown option of paper 'key_interval'"),
        ("jpeg:mode=lowdelay", True, "unknown option of jpeg 'mode'"),
        ("vvc:mode=slow", True, "vvc: mode 'slow': Input should be 'lowdelay' or 'random-access'"),
        ("hevc:intra_period=0", True, "hevc: intra_period '0': Input should be greater than or equal to 1"),
        ("paper:key_interval=0", True, "paper: key_interval '0': Input should be greater than or equal to 1"),
    ],
)
def test_options_that_are_wrong(spec: str, of_clips: bool, why: str) -> None:
    with pytest.raises(InputError) as error:
        parse_curve(spec, clips=of_clips)
    assert why in str(error.value)


def test_packed_ranges_grow_and_are_sent_then(model: SplitModel) -> None:
    codec = make_codec("packed-hevc", {})
    assert isinstance(codec, PlaneCodec)
    rng = np.random.default_rng(1)
    pyramids = [{"a": (scale * rng.uniform(-1, 1, (3, 8, 8))).astype(np.float32)} for scale in (1.0, 0.5, 3.0)]
    packer, unpacker = codec.packer(), codec.unpacker()
    packed = [packer.pack(pyramid) for pyramid in pyramids]
    assert [len(side) for side, _ in packed][1:] == [1, 1 + 8]
    for pyramid, (side, plane) in zip(pyramids, packed, strict=True):
        reader = Reader(side, "a test")
        back = unpacker.unpack(reader, lambda plane=plane: plane)  # type: ignore[misc]
        assert not reader.left
        assert np.abs(back["a"] - pyramid["a"]).max() <= 6 / 1023
    del model


def test_cells_come_apart_again() -> None:
    rng = np.random.default_rng(2)
    shapes = {"fine": (2, 13, 10), "middle": (3, 7, 5), "coarse": (4, 4, 3)}
    pyramid = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    cells = Cells.of(pyramid)
    joined = cells.join(pyramid)
    assert joined.shape == (2 * 4 * 4 + 3 * 2 * 2 + 4, 4, 3)
    for name, maps in cells.part(joined).items():
        np.testing.assert_array_equal(maps, pyramid[name])


def test_a_basis_is_the_principal_components(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    mixing = rng.normal(size=(6, 6)).astype(np.float32)
    pyramids = [{"a": np.tensordot(mixing, rng.normal(size=(6, 4, 4)).astype(np.float32), 1) + 2} for _ in range(50)]
    basis = fit_basis(pyramids, 2, "a network")
    vectors = np.concatenate([each["a"].reshape(6, -1) for each in pyramids], axis=1)
    values, wanted = np.linalg.eigh(np.cov(vectors, bias=True))
    assert basis.rows.shape == (2, 6)
    for row, vector in zip(basis.rows, wanted[:, ::-1].T, strict=False):
        assert abs(float(row @ vector)) == pytest.approx(1, abs=1e-3)
    np.testing.assert_allclose(basis.rows @ basis.rows.T, np.eye(2), atol=1e-5)
    assert values[-1] > values[0]
    whole = fit_basis(pyramids, 6)
    np.testing.assert_allclose(whole.inverse(whole.forward(pyramids[0]))["a"], pyramids[0]["a"], atol=1e-4)
    basis.write(tmp_path / "a.basis")
    again = read_basis(tmp_path / "a.basis")
    assert (again.cells, again.network) == (basis.cells, "a network")
    np.testing.assert_array_equal(again.rows, basis.rows)
    one = basis_of_one(pyramids[0], 99)
    np.testing.assert_allclose(one.inverse(one.forward(pyramids[0]))["a"], pyramids[0]["a"], atol=1e-4)


def test_a_basis_that_does_not_fit(model: SplitModel, tmp_path: Path) -> None:
    pyramid = sent(model, model.front(clips.frames(1)[0]))
    fit_basis([pyramid], 5, "another network").write(tmp_path / "other.basis")
    (pipeline,) = parse_curve(f"fcm:basis={tmp_path / 'other.basis'}", clips=True).points
    assert pipeline.label() == "fcm:basis=other.basis"
    with pytest.raises(InputError, match="is of another network than toy"):
        pipeline.codec.encode_for(model, pyramid, (48, 64))
    (tmp_path / "none.basis").write_text("none")
    for name in ("none.basis", "nowhere.basis"):
        codec = make_codec("fcm", {"basis": str(tmp_path / name)})
        with pytest.raises(InputError, match=name):
            codec.encode(pyramid)
    with pytest.raises(InputError, match="there is no image to fit"):
        fit_basis([], 5)
    with pytest.raises(InputError, match="the basis is for levels of"):
        fit_basis([pyramid], 5).forward({"p3": np.zeros((1, 2, 2), np.float32)})


def test_fcm_with_a_basis_names_it_and_restores_statistics(model: SplitModel, tmp_path: Path) -> None:
    pyramids = [sent(model, model.front(image)) for image in clips.frames(8)]
    fit_basis(pyramids, 6, model.fingerprint).write(tmp_path / "toy.basis")
    fit_basis(pyramids, 5, model.fingerprint).write(tmp_path / "less.basis")
    codec, bare, other = (
        make_codec("fcm", {"basis": str(tmp_path / name), "codec": "hevc", "preset": "fast", "qp": "30", "restore": r})
        for name, r in (("toy.basis", "1"), ("toy.basis", "0"), ("less.basis", "1"))
    )
    data = codec.encode(pyramids[0])
    assert len(data) == len(bare.encode(pyramids[0])) + 2 * 2 * 2
    for name, maps in codec.decode(data).items():
        assert maps.mean() == pytest.approx(float(pyramids[0][name].mean()), abs=2e-3)
        assert maps.std() == pytest.approx(float(pyramids[0][name].std()), rel=2e-3)
    with pytest.raises(CodecError, match="the stream is of another basis"):
        other.decode(data)
    assert len(data) < len(make_codec("fcm", {"codec": "hevc", "preset": "fast", "qp": "30"}).encode(pyramids[0]))


def test_clips_are_what_is_drawn(tmp_path: Path) -> None:
    dataset = datasets.load(f"clips:{clips.write_clips(tmp_path / 'set', (3, 2, 4))}")
    scoring = Scoring("", None, (), "detection", (), Path(), 50)
    drawn = weights(scoring, dataset)
    assert drawn.shape == (51, 9)
    assert (drawn[0] == 1).all()
    assert (drawn[:, :3] == drawn[:, :1]).all()
    assert (drawn[:, 5:] == drawn[:, 5:6]).all()
    assert (drawn[:, 0] + drawn[:, 3] + drawn[:, 5] == 3).all()
    assert weights(scoring, dataset.only({1, 2, 3})).shape == (1, 3)


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Request, Path]:
    folder = tmp_path_factory.mktemp("compared")
    network = toy.write_toy(folder)
    clips.write_clips(folder / "set", (6, 5, 6))
    request = Request(
        model=str(network),
        data=f"clips:{folder / 'set'}",
        anchors=["hevc:qp=10,30,45,preset=fast"],
        tests=["paper:symbols=4,z=1,2", "jpeg:quality=20,90"],
        anchor_size="original",
        limit=5,
        resamples=40,
        jobs=2,
    )
    return request, folder


@pytest.fixture
def here(compared: tuple[Request, Path]) -> Iterator[None]:
    """Without processes for it, which the first test below has."""
    with comparing_here(models.load(compared[0].model, threads=1)):
        yield


def test_a_comparison_of_clips(compared: tuple[Request, Path]) -> None:
    request, folder = compared
    results = compare(request, folder / "out")
    assert not results.failures
    assert (results.run.images, results.run.clips, results.run.resamples) == (15, 3, 40)
    point = next(each for each in results.points if each.label == "hevc:qp=30,preset=fast")
    record = read_point(folder / "out" / "points" / f"{point.key}.safetensors")
    assert record is not None
    assert len(record.sizes) == 15
    assert (record.sizes[[0, 5, 10]] > 1.5 * record.sizes[[1, 6, 11]]).all()  # a clip begins with an intra frame
    assert point.bytes == record.sizes.mean()
    assert point.bytes_by_clip == {f"clip{i}": record.sizes[5 * i : 5 * i + 5].mean() for i in range(3)}
    assert point.bytes_interval is not None
    assert point.memory.encode is None
    assert results.run.agreement
    assert {"ap", "hota", "idf1", "mota"} <= set(point.accuracy)
    reference = results.point(results.reference)
    assert [reference.accuracy[name].value for name in ("ap", "hota", "idf1", "mota")] == pytest.approx([100] * 4)


@pytest.mark.usefixtures("here")
def test_the_best_of_several_anchors_is_the_first_of_them(compared: tuple[Request, Path]) -> None:
    request, folder = compared
    results = compare(replace(request, anchors=[*request.anchors, "webp:quality=10,80"]), folder / "out")
    best, *others = [curve for curve in results.curves if curve.role == "anchor"]
    assert best.label == "best of the anchors"
    assert set(best.points) <= {key for curve in others for key in curve.points}
    values = [results.point(key).accuracy["ap"].value for key in best.points]
    assert values == sorted(set(values))
    assert values[-1] == max(results.point(key).accuracy["ap"].value for curve in others for key in curve.points)
    assert {each.test for each in results.comparisons if each.anchor == best.label} >= set(request.tests)


@pytest.mark.usefixtures("here")
def test_the_report_is_of_clips(compared: tuple[Request, Path]) -> None:
    request, folder = compared
    results = compare(request, folder / "out")
    page = write_report(results, request, folder / "out", SILENT).read_text()
    for shown in ("15 frames of 3 clips", "The unit is the clip", "Bytes over time", "Clips side by side", "wait, ms",
                  "resamples of the clips", "clip0, 0.10 s, uncompressed", "bytes per frame", "In motion"):  # fmt: skip
        assert shown in page, shown
    (film,) = re.findall(r'<video [^>]*src="data:video/mp4;base64,([^"]+)"', page)
    with av.open(io.BytesIO(base64.b64decode(film))) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        assert container.streams.video[0].codec_context.name == "h264"
    assert len(frames) == 5
    assert frames[0].shape[0] > 2 * 64  # two images, each below its caption
    assert any((frame != frames[0]).any() for frame in frames)
    assert "an image" not in " ".join(sentences(results))
    _, (_, first), *_, (_, anchor) = chosen_points(results)
    rates = [results.point(key).bytes for curve in results.curves if curve.role == "anchor" for key in curve.points]
    assert abs(np.log(anchor.bytes / first.bytes)) == min(abs(np.log(rate / first.bytes)) for rate in rates)


@pytest.mark.usefixtures("here")
def test_of_one_clip_there_are_no_intervals(compared: tuple[Request, Path], tmp_path: Path) -> None:
    request, folder = compared
    one = replace(request, data=f"clips:{folder / 'set' / 'clip0'}", tests=["jpeg:quality=20,50,90"])
    results = compare(one, tmp_path)
    assert (results.run.clips, results.run.resamples) == (1, 0)
    assert all(point.bytes_interval is None for point in results.points)
    page = write_report(results, one, tmp_path, SILENT).read_text()
    assert "of one there are no intervals" in page
    assert "There is no interval: there is one clip" in " ".join(sentences(results))
    assert results == Results.model_validate_json((tmp_path / "results.json").read_bytes())


@pytest.mark.usefixtures("here")
def test_a_frame_that_cannot_be_read_is_left_out_of_its_clip(compared: tuple[Request, Path], tmp_path: Path) -> None:
    request, _ = compared
    clips.write_clips(tmp_path / "set", (4, 4))
    (tmp_path / "set" / "clip0" / "3.png").write_bytes(b"none")
    one = replace(request, data=f"clips:{tmp_path / 'set'}", anchors=["hevc:preset=fast"], tests=[], resamples=0)
    results = compare(one, tmp_path / "out")
    assert (results.run.images, results.run.clips) == (7, 2)
    assert [Path(path).name for path, _ in results.run.skipped] == ["3.png"]
    with pytest.raises(InputError, match=r"3\.png: it is not a whole image"):
        compare(replace(one, strict=True), tmp_path / "strict")


@pytest.mark.usefixtures("here")
def test_frames_of_several_sizes_are_refused(compared: tuple[Request, Path], tmp_path: Path) -> None:
    request, _ = compared
    clips.write_frames(tmp_path / "clip", [*clips.frames(2), clips.frames(1)[0][:40]])
    with pytest.raises(
        InputError, match=r"3.png is 64x40, the clip's first frame 64x48: a clip's frames are of one size"
    ):
        compare(replace(request, data=f"clips:{tmp_path / 'clip'}"), tmp_path / "out")


@pytest.mark.usefixtures("here")
def test_what_was_measured_is_kept(compared: tuple[Request, Path]) -> None:
    request, folder = compared
    compare(request, folder / "out")
    before = {path: path.stat().st_mtime_ns for path in (folder / "out" / "points").iterdir()}
    compare(request, folder / "out")
    assert {path: path.stat().st_mtime_ns for path in (folder / "out" / "points").iterdir()} == before
