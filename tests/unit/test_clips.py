"""midstream video: clips into files and back, whatever the clip and the file are like."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from tests.helpers import deltas, profiles, toy
from tests.helpers.commands import call, midstream, mistake

import midstream as ms
from midstream.codec.clip_info import clip_info
from midstream.data import read_image
from midstream.data.frames import open_source
from midstream.halves.clip import ClipBack, ClipEdge, ClipTally, decode_clip, encode_clip
from midstream.models.detections import Detections, listed_objects
from midstream.models.onnx_model import OnnxModel

av = pytest.importorskip("av")

PAPER = ("--codec", "paper", "--symbols", "4", "--z", "1.5")


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy.write_toy(tmp_path_factory.mktemp("network"))


@pytest.fixture
def _deltas(monkeypatch: pytest.MonkeyPatch) -> None:
    deltas.install(monkeypatch)


def image(number: int, size: tuple[int, int] = (48, 64), scene: int = 0) -> NDArray[np.uint8]:
    """A scene with something that moves through it."""
    coarse = np.random.default_rng(scene).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    drawn = cv2.resize(coarse, (size[1], size[0]))
    cv2.circle(drawn, (4 + number * 3 % size[1], size[0] // 2), 5, (255, 0, 0), cv2.FILLED)
    return drawn


def folder_of(path: Path, images: list[NDArray[np.uint8] | None]) -> Path:
    path.mkdir()
    for number, each in enumerate(images):
        file = path / f"{number:03}.png"
        file.write_bytes(b"no image") if each is None else cv2.imwrite(str(file), each)
    return path


def film_of(path: Path, images: list[NDArray[np.uint8]], times_ms: list[int] | None = None) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt, stream.bit_rate = "yuv420p", 4_000_000
        if times_ms is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for number, each in enumerate(images):
            frame = av.VideoFrame.from_ndarray(each, format="rgb24")
            if times_ms is not None:
                frame.pts, frame.time_base = times_ms[number], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def encoded(tmp_path: Path, network: Path, source: Path, *more: object, code: int = 0) -> Path:
    out = tmp_path / "clip.midv"
    assert call("video", "encode", source, "-m", network, "-o", out, "-q", *(more or PAPER)) == code
    return out


def decoded(tmp_path: Path, network: Path, clip: Path, *more: object, code: int = 0) -> list[dict[str, Any]]:
    out = tmp_path / "found.jsonl"
    assert call("video", "decode", clip, "-m", network, "-o", out, "-q", *more) == code
    return lines_of(out)


def test_what_is_found_in_a_clip_is_what_is_found_frame_by_frame(tmp_path: Path, network: Path) -> None:
    frames = folder_of(tmp_path / "frames", [image(n) for n in range(4)])
    clip = encoded(tmp_path, network, frames)
    model = ms.models.load(str(network))
    for number, line in enumerate(decoded(tmp_path, network, clip)):
        pixels = read_image(frames / f"{number:03}.png")
        data = ms.encode(model.front(pixels), symbols=4, z=1.5)
        found = model.back(ms.decode(data), (48, 64))
        assert line == {
            "frame": number,
            "source": "clip.midv",
            "time_s": number / 5,
            "height": 48,
            "width": 64,
            "detections": listed_objects(found, model.classes, model.category_ids),
            "bytes": len(data),
            "key": True,
        }
    assert number == 3


def test_a_network_that_pads_images_finds_in_a_clip_what_it_finds_in_them(tmp_path: Path) -> None:
    (tmp_path / "network").mkdir()
    description = toy.write_toy(tmp_path / "network")
    text = description.read_text()
    description.write_text(text.replace("[input]", '[input]\nresize = "letterbox"\npad_value = 114', 1))
    model = ms.models.load(str(description))
    frames = folder_of(tmp_path / "frames", [image(n, (48, 80)) for n in range(2)])
    found = decoded(tmp_path, description, encoded(tmp_path, description, frames))
    for number, line in enumerate(found):
        data = ms.encode(model.front(read_image(frames / f"{number:03}.png")), symbols=4, z=1.5)
        wanted = model.back(ms.decode(data), (48, 80))
        assert line["detections"] == listed_objects(wanted, model.classes, model.category_ids)
    assert number == 1


@pytest.mark.usefixtures("_deltas")
def test_keys_come_at_the_interval_and_where_the_size_of_the_images_changes(tmp_path: Path, network: Path) -> None:
    images = [image(n) for n in range(6)] + [image(n, (96, 128)) for n in range(3)]
    frames = folder_of(tmp_path / "frames", images)
    clip = encoded(tmp_path, network, frames, "--codec", "deltas", "--key-interval", 4, "--fps", 10)
    lines = decoded(tmp_path, network, clip)
    assert [line["key"] for line in lines] == [True, False, False, False, True, False, True, False, False]
    assert [(line["height"], line["width"]) for line in lines] == [(48, 64)] * 6 + [(96, 128)] * 3
    assert [line["time_s"] for line in lines] == [n / 10 for n in range(9)]
    assert [line["frame"] for line in decoded(tmp_path, network, clip, "--start", "0.5s", "--limit", 2)] == [5, 6]


def test_the_times_of_a_video_are_kept_whatever_they_are(tmp_path: Path, network: Path) -> None:
    times = [0, 40, 55, 200, 1200]
    film = film_of(tmp_path / "film.mp4", [image(n) for n in range(5)], times)
    clip = encoded(tmp_path, network, film)
    lines = decoded(tmp_path, network, clip, "--draw", tmp_path / "drawn.mp4", "--over", film)
    assert [line["time_s"] for line in lines] == pytest.approx([time / 1000 for time in times], abs=1e-3)
    with av.open(str(tmp_path / "drawn.mp4")) as container:
        drawn = [(frame.time, frame.width) for frame in container.decode(video=0)]
    assert [time for time, _ in drawn] == pytest.approx([time / 1000 for time in times], abs=2e-3)
    assert {width for _, width in drawn} == {64}


def test_one_frame_is_a_clip(tmp_path: Path, network: Path) -> None:
    cv2.imwrite(str(tmp_path / "one.png"), image(0))
    clip = encoded(tmp_path, network, tmp_path / "one.png")
    assert [line["frame"] for line in decoded(tmp_path, network, clip, "--draw", tmp_path / "drawn.mp4")] == [0]
    assert (tmp_path / "drawn.mp4").stat().st_size


def test_no_frame_is_one_line(tmp_path: Path, network: Path) -> None:
    (tmp_path / "empty").mkdir()
    out = tmp_path / "clip.midv"
    for source in (tmp_path / "empty", tmp_path / "nowhere.mp4"):
        mistake("video", "encode", source, "-m", network, "-o", out, *PAPER)
        assert not out.exists()
    said = mistake("video", "encode", "-", "-m", network, "-o", out, *PAPER, stdin=b"")
    assert "cannot read the video standard input" in said
    with ms.ClipWriter(tmp_path / "none.midv"):
        pass
    assert decoded(tmp_path, network, tmp_path / "none.midv") == []


def test_frames_that_cannot_be_read_are_skipped_and_counted(
    tmp_path: Path, network: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = folder_of(tmp_path / "frames", [image(0), None, image(2), image(3), None])
    encoded(tmp_path, network, frames, *PAPER, "--json", code=1)
    shown = capsys.readouterr()
    done = json.loads(shown.out)
    assert (done["frames"], done["skipped"], done["keys"]) == (3, 2, 3)
    assert [line.partition(" the image")[0] for line in shown.err.splitlines()] == [
        "skipped: frame 1: cannot read", "skipped: frame 4: cannot read",
    ]  # fmt: skip
    lines = decoded(tmp_path, network, tmp_path / "clip.midv", "--draw", tmp_path / "x.mp4", "--over", frames)
    assert [line["time_s"] for line in lines] == pytest.approx([0, 0.4, 0.6])


@pytest.mark.parametrize("times_ms", [None, [0, 40, 83, 200, 233, 234, 900]])
def test_encode_and_info_say_the_same_of_a_clip(
    tmp_path: Path, network: Path, times_ms: list[int] | None, capsys: pytest.CaptureFixture[str]
) -> None:
    film = film_of(tmp_path / "film.mkv", [image(n) for n in range(7)], times_ms)
    encoded(tmp_path, network, film, *PAPER, "--json")
    done = json.loads(capsys.readouterr().out)
    out = tmp_path / "said.midv"
    assert call("video", "encode", film, "-m", network, "-o", out, *PAPER) == 0
    said = capsys.readouterr().err
    assert call("video", "info", out, "--json") == 0
    info = json.loads(capsys.readouterr().out)
    assert done["duration_s"] == info["duration_s"] == (0.28 if times_ms is None else 1.05)
    assert done["bytes"] == info["unit_bytes"]
    assert info["kbit_per_s"] == pytest.approx(8e-3 * info["unit_bytes"] / info["duration_s"])
    assert f", {info['kbit_per_s']:.1f} kbit/s, " in said


def test_a_clip_goes_through_pipes(tmp_path: Path, network: Path) -> None:
    film = film_of(tmp_path / "film.mkv", [image(n) for n in range(3)])
    made = midstream("video", "encode", "-", "-m", network, "-o", "-", *PAPER, stdin=film.read_bytes())
    assert made.stdout == encoded(tmp_path, network, film).read_bytes()
    assert b"3 frames (3 keys), " in made.stderr
    assert b" kbit/s, at " in made.stderr
    found = midstream("video", "decode", "-", "-m", network, stdin=made.stdout)
    assert [json.loads(line)["frame"] for line in found.stdout.splitlines()] == [0, 1, 2]
    told = midstream("video", "info", "-", "--json", stdin=made.stdout)
    assert json.loads(told.stdout)["frames"] == 3
    assert json.loads(midstream("inspect", "-", "--json", stdin=made.stdout).stdout)["frames"] == 3


def test_of_a_clip_that_was_cut_off_all_that_is_whole_is_decoded(
    tmp_path: Path, network: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = encoded(tmp_path, network, folder_of(tmp_path / "frames", [image(n) for n in range(4)]))
    data = clip.read_bytes()
    clip.write_bytes(data[: len(data) * 3 // 5])
    assert len(decoded(tmp_path, network, clip, code=1)) == 2
    assert "ends within frame 2: " in capsys.readouterr().err
    for command in (["video", "info"], ["inspect"]):
        assert call(*command, clip, "--json") == 1
        shown = capsys.readouterr()
        assert json.loads(shown.out)["frames"] == 2
        assert "ends within frame 2: " in json.loads(shown.out)["problem"]


def test_a_damaged_unit_costs_its_own_frame_and_those_that_need_it(
    tmp_path: Path, network: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    deltas.install(monkeypatch)
    frames = folder_of(tmp_path / "frames", [image(n) for n in range(8)])
    clip = encoded(tmp_path, network, frames, "--codec", "deltas", "--key-interval", 4)
    before = decoded(tmp_path, network, clip)
    with ms.ClipReader(clip) as reader:
        units = list(reader.units())
    lost = tmp_path / "lost.midv"
    with ms.ClipWriter(lost) as writer:  # frame 1 is lost, frame 6 comes twice, 5 too late
        for time, number in enumerate((0, 2, 3, 4, 6, 6, 5, 7)):
            writer.write(units[number].data, time_s=time, key=units[number].key, size=units[number].size)
    lines = decoded(tmp_path, network, lost, code=1)
    errors = [line.get("error", {}).get("code") for line in lines]
    missing = "MissingReferenceError"
    assert errors == [None, missing, missing, None, missing, missing, None, missing]
    assert lines[6]["detections"] == before[5]["detections"]
    data = bytearray(clip.read_bytes())
    data[data.index(units[1].data) + 9] ^= 1
    clip.write_bytes(data)
    capsys.readouterr()
    assert [line["frame"] for line in decoded(tmp_path, network, clip, code=1)] == [0, 4, 5, 6, 7]
    assert "skipped: " in capsys.readouterr().err
    with ms.ClipReader(clip) as reader:
        info = clip_info(reader)
    assert info.frames == 5
    assert "frame 1: wrong checksum" in info.problem


def test_a_bit_rate_is_held(tmp_path: Path, network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deltas.install(monkeypatch)
    frames = folder_of(tmp_path / "frames", [image(n, scene=n // 40) for n in range(100)])
    sizes = {}
    for rate in ("17kbit", "19kbit"):
        options = ("--codec", "deltas", "--bitrate", rate, "--fps", 25, "--max-bytes", 150, "--bucket", "800ms")
        with ms.ClipReader(encoded(tmp_path, network, frames, *options)) as reader:
            sizes[rate] = [len(unit.data) for unit in reader.units()]
        assert sum(sizes[rate]) == pytest.approx(1000 * float(rate.removesuffix("kbit")) / 8 * 4, rel=0.1)
        assert max(sizes[rate]) <= 150


def test_inspect_shows_keys_predicted_frames_their_steps_and_groups(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    encoder = ms.StreamEncoder(profile=profiles.profile(), quality=60, key_interval=4)
    clip = tmp_path / "clip.midv"
    with ms.ClipWriter(clip, ms.ClipHeader(network="toy")) as writer:
        for number, frame in enumerate(profiles.clip(6)):
            writer.write(encoder.encode(frame), time_s=number / 5, key=number in (0, 4), size=(48, 64))
    assert call("inspect", clip, "--json") == 0
    units = json.loads(capsys.readouterr().out)["units"]
    assert [unit["distance"] for unit in units] == [None, 1, 1, 1, None, 1]
    assert {unit["step"] for unit in units} == {profiles.profile().step_of(60)}
    for unit in units:
        assert sum(unit["group_bytes"]) == unit["payload_bytes"]
    assert call("inspect", clip) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"{clip}: 6 frames of 64x48, 1.20 s, ")
    for part in (
        "headers of units",
        "features, group 0",
        "features, group 1",
        "checksums of units",
        "beside the units",
    ):
        assert part in shown
    rows = {line.split()[1]: line.replace("│", " ").split() for line in shown.splitlines() if line.startswith("│ ")}
    assert rows["keys"][1] == "2"
    assert rows["keys"][-1] == "-"
    assert rows["predicted"][1] == "4"
    assert rows["predicted"][-1] == "1"


def test_info_and_inspect_say_where_the_bytes_go(
    tmp_path: Path, network: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = encoded(tmp_path, network, folder_of(tmp_path / "frames", [image(n) for n in range(5)]))
    capsys.readouterr()
    plot = tmp_path / "bytes.png"
    assert call("inspect", clip, "--json", "--plot", plot) == 0
    about = json.loads(capsys.readouterr().out)
    assert (about["network"], about["frames"], about["duration_s"], about["sizes"]) == ("toy", 5, 1.0, [[48, 64]])
    assert about["codecs"] == {"paper": 5}
    assert about["unit_bytes"] + about["beside_bytes"] == clip.stat().st_size
    assert about["unit_bytes"] == sum(unit["bytes"] for unit in about["units"]) == about["keys"]["total"]
    for unit in about["units"]:
        assert unit["bytes"] == unit["header_bytes"] + unit["payload_bytes"] + unit["checksum_bytes"]
    drawn = read_image(plot)
    assert len({tuple(pixel) for pixel in drawn.reshape(-1, 3)[::7].tolist()}) > 3
    assert call("inspect", clip) == 0
    assert call("video", "info", clip) == 0
    shown = "".join(capsys.readouterr().out.split())
    assert shown.count("5framesof64x48,1.00s,") == 2
    assert "headersofunits" in shown


def test_ctrl_c_ends_a_camera_and_the_file_is_whole(
    tmp_path: Path, network: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    coded = ms.StreamEncoder.encode_levels

    def interrupted(self: ms.StreamEncoder, *arguments: Any) -> bytes:
        if self.frames == 2:
            raise KeyboardInterrupt
        return coded(self, *arguments)

    monkeypatch.setattr(ms.StreamEncoder, "encode_levels", interrupted)
    clip = encoded(tmp_path, network, folder_of(tmp_path / "frames", [image(n) for n in range(5)]))
    assert "interrupted: the clip ends here" in capsys.readouterr().err
    with ms.ClipReader(clip) as reader:
        assert reader.whole
        assert len(list(reader.units())) == 2


def test_mistakes_are_one_line(tmp_path: Path, network: Path) -> None:
    frames = folder_of(tmp_path / "frames", [image(0)])
    clip = encoded(tmp_path, network, frames)
    encode = ["video", "encode", frames, "-m", network, "-o"]
    assert "needs a profile" in mistake(*encode, tmp_path / "x.midv").replace("--profile", "profile")
    assert "--bitrate: the codec paper has no steps" in mistake(*encode, tmp_path / "x.midv", *PAPER, "--bitrate", "1k")
    assert "--json prints the summary" in mistake(*encode, "-", *PAPER, "--json")
    assert "--fps is a number above 0" in mistake(*encode, tmp_path / "x.midv", *PAPER, "--fps", "nan")
    assert "cannot be written" in mistake(*encode, tmp_path, *PAPER)
    assert not (tmp_path / "x.midv").exists()
    decode = ["video", "decode", clip, "-m", network, "-o", tmp_path / "found.jsonl"]
    assert "--over is what --draw" in mistake(*decode, "--over", frames)
    assert "is an .mp4 file" in mistake(*decode, "--draw", tmp_path / "x.avi")
    (tmp_path / "image.mids").write_bytes(ms.encode({"p3": image(0).astype(np.float32)}, symbols=4, z=1.5))
    assert "it does not begin with 'MIDV'" in mistake("video", "info", tmp_path / "image.mids")
    assert "--plot is of the file of a clip" in mistake(
        "inspect", tmp_path / "image.mids", "--plot", tmp_path / "x.png"
    )
    assert "--map is of a bitstream" in mistake("inspect", clip, "--map", "p3:0", "-o", tmp_path / "x.png")
    with ms.ClipWriter(tmp_path / "other.midv") as writer:
        data = ms.encode({"p9": image(0).astype(np.float32)}, symbols=4, z=1.5)
        writer.write(data, time_s=0, key=True, size=(1, 1 << 24))
    wrong = ["video", "decode", tmp_path / "other.midv", "-m", network, "-o", tmp_path / "none.jsonl"]
    assert "a unit has the levels p9 [48, 64, 3]; toy takes p3 [5, 4, 4], p4 [5, 2, 2]" in mistake(*wrong)


def test_features_that_make_no_numbers_cost_their_own_frame(
    tmp_path: Path, network: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = encoded(tmp_path, network, folder_of(tmp_path / "frames", [image(n) for n in range(3)]))
    usual, calls = OnnxModel.back, iter(range(3))
    broken = Detections(np.full((1, 4), np.nan, np.float32), np.ones(1, np.float32), np.zeros(1, np.int64))

    def back(self: OnnxModel, pyramid: Any, size: tuple[int, int]) -> Detections:
        ours = size == (48, 64)  # not the network's look at itself when it is loaded
        return broken if ours and next(calls) == 1 else usual(self, pyramid, size)

    monkeypatch.setattr(OnnxModel, "back", back)
    lines = decoded(tmp_path, network, clip, code=1)
    assert ["detections" in line for line in lines] == [True, False, True]
    assert "numbers that are not finite" in lines[1]["error"]["message"]


@pytest.mark.usefixtures("_deltas")
def test_a_network_goes_with_a_stream_without_any_file(tmp_path: Path, network: Path) -> None:
    model = ms.models.load(str(network))
    edge, back = ClipEdge(model, ms.StreamEncoder("deltas")), ClipBack(model, ms.StreamDecoder())
    for number in range(3):
        pixels = image(number)
        found = back.decode(edge.encode(pixels), (48, 64))
        whole = model.back(model.front(pixels), (48, 64))
        assert len(found) == pytest.approx(len(whole), abs=2)
    tally = ClipTally()
    source = open_source(str(folder_of(tmp_path / "frames", [image(n) for n in range(4)])))
    with ms.ClipWriter(tmp_path / "clip.midv") as writer:
        encode_clip(source, ClipEdge(model, ms.StreamEncoder("deltas")), writer, tally, limit=3)
    with ms.ClipReader(tmp_path / "clip.midv") as reader:
        frames = list(decode_clip(reader, ClipBack(model, ms.StreamDecoder())))
    assert (tally.frames, tally.keys, len(frames)) == (3, 1, 3)


@pytest.mark.usefixtures("_deltas")
def test_memory_of_a_stream_is_flat(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    still = rng.normal(size=(2, 3, 3))

    def frames(count: int) -> Iterator[dict[str, NDArray[np.float32]]]:
        for _ in range(count):
            yield {"p3": (still + 0.1 * rng.normal(size=still.shape)).astype(np.float32)}

    encoder, decoder = ms.StreamEncoder("deltas", bitrate=20_000, fps=25), ms.StreamDecoder()
    tracemalloc.start()
    try:
        with ms.ClipWriter(tmp_path / "clip.midv") as writer:
            for number, frame in enumerate(frames(4000)):
                unit = encoder.encode(frame)
                assert encoder.last is not None
                writer.write(unit, time_s=number / 25, key=encoder.last.key)
                decoder.decode(unit)
                if number == 1000:
                    early = tracemalloc.get_traced_memory()[0]
            late = tracemalloc.get_traced_memory()[0]
        assert late - early < 30_000
        with ms.ClipReader(tmp_path / "clip.midv") as reader:
            for unit_read in reader.units():
                decoder.decode(unit_read.data)
                if unit_read.number == 1000:
                    early = tracemalloc.get_traced_memory()[0]
            assert tracemalloc.get_traced_memory()[0] - early < 30_000
    finally:
        tracemalloc.stop()
