"""Clips in batch jobs: cut into groups, coded and decoded anywhere, and what is damaged in them."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from tests.helpers import toy
from tests.helpers.jobs import commit, outcome

import midstream as ms
from midstream import data as datasets
from midstream import evaluation, models
from midstream.batch import schema, sources
from midstream.batch.folder import Folder, JobManifest
from midstream.batch.groups import Group
from midstream.batch.job import Job
from midstream.batch.score import score
from midstream.data import read_image
from midstream.data.video import Video
from midstream.errors import InputError
from midstream.models import SplitModel
from midstream.models.reference import Reference
from midstream.models.tasks.detection import Detection

CODEC = ms.Paper(symbols=4, z=1.5, coder="dense")
INTERVAL, FRAMES = 4, 10


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> SplitModel:
    return models.load(str(toy.write_toy(tmp_path_factory.mktemp("toy"))), threads=1)


def pixels(count: int, size: tuple[int, int] = (48, 64), seed: int = 0) -> list[NDArray[np.uint8]]:
    """A scene that drifts, and a little noise."""
    rng = np.random.default_rng(seed)
    height, width = size
    wide = cv2.resize(rng.integers(0, 256, (6, 12, 3), dtype=np.uint8), (width + 2 * count, height))
    scenes = (wide[:, 2 * i : 2 * i + width].astype(np.int64) for i in range(count))
    return [np.clip(scene + rng.integers(-4, 5, scene.shape), 0, 255).astype(np.uint8) for scene in scenes]


def write_clip(folder: Path, count: int = FRAMES, seed: int = 0) -> Path:
    folder.mkdir(parents=True)
    for i, image in enumerate(pixels(count, seed=seed)):
        cv2.imwrite(str(folder / f"{i}.png"), image[:, :, ::-1])
    return folder


def write_video(path: Path, count: int = FRAMES, **options: str) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for image in pixels(count):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return path


def a_job(network: SplitModel, kind: schema.JobKind, **more: Any) -> Job:
    reference = Reference("toy", None, network.identity, network.fingerprint)
    return Job(kind, reference, None if kind == "decode" else CODEC, groups=True, **more)


def inputs_of(*what: Path | str, kind: schema.JobKind = "encode") -> pa.Table:
    chunks = sources.find([str(each) for each in what], kind, INTERVAL)
    assert all(sources.are_groups(chunk) for chunk in chunks)
    return pa.concat_tables([table for chunk in chunks for table in chunk.read()])


def by_hand(network: SplitModel, images: Sequence[NDArray[np.uint8]]) -> list[tuple[bytes, Any, Any]]:
    """(Unit, what is found in it, what is found without coding) of each frame, in groups of INTERVAL."""
    out = []
    for number, image in enumerate(images):
        if number % INTERVAL == 0:
            encoder, decoder = ms.StreamEncoder(CODEC), ms.StreamDecoder()
        pyramid = network.front(image)
        unit = encoder.encode(pyramid)
        size = image.shape[:2]
        out.append((unit, network.back(decoder.decode(unit), size), network.back(pyramid, size)))
    return out


def found_in(rows: Sequence[Any]) -> list[Any]:
    column = pa.chunked_array([pa.array(rows, schema.results("decode", Detection()).field("detections").type)])
    return schema.read_detections(column, has_masks=False)


def same(found: Any, expected: Any) -> None:
    for name in ("boxes", "scores", "labels"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


@pytest.mark.parametrize("options", [{"g": "3", "bf": "0"}, {"g": "12", "bf": "2"}, {"g": "100", "bf": "2"}])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
def test_frames_of_groups_of_a_video_are_those_of_the_video(
    tmp_path: Path, options: dict[str, str], suffix: str
) -> None:
    path = write_video(tmp_path / f"clip{suffix}", 30, **options)
    whole = [frame.image for frame in Video(str(path)).frames()]
    table = inputs_of(path)
    groups = [Group.model_validate_json(data) for data in reversed(table["data"].to_pylist())]
    assert table["id"].to_pylist() == [f"{path}#{first:08}" for first in range(0, 30, INTERVAL)]
    frames = {frame.number: frame for group in groups for frame in group.frames()}
    assert sorted(frames) == list(range(30))
    for number, image in enumerate(whole):
        np.testing.assert_array_equal(frames[number].image, image)
        assert frames[number].time_s == pytest.approx(number / 25, abs=2e-3)
    for number, numbers in enumerate(table["numbers"].to_pylist()):
        assert numbers == list(range(INTERVAL * number, min(INTERVAL * (number + 1), 30)))


def test_a_group_is_coded_as_a_stream_of_its_own(network: SplitModel, tmp_path: Path) -> None:
    folder = write_clip(tmp_path / "clip")
    table = inputs_of(f"clips:{folder}")
    found = outcome(network, a_job(network, "encode"), table[::-1])  # in any order
    assert found.schema == schema.outcome("encode", Detection(), groups=True)
    assert found["error"].null_count == 3
    expected = by_hand(network, [read_image(folder / f"{i}.png") for i in range(FRAMES)])
    sizes = []
    for row in sorted(found.to_pylist(), key=lambda row: row["first_frame"]):
        assert row["id"] == f"{folder}#{row['first_frame']:08}"
        with ms.ClipReader(io.BytesIO(row["bitstream"])) as reader:
            units = list(reader.units())
        assert reader.header.network == "toy"
        assert row["bytes"] == sum(len(unit.data) for unit in units)
        assert (row["frame_count"], row["failed_frames"]) == (len(units), 0)
        for frame, unit in zip(row["frames"], units, strict=True):
            assert unit.data == expected[frame["frame"]][0]
            assert (frame["key"], frame["bytes"]) == (unit.key, len(unit.data))
            assert frame["time_s"] == pytest.approx(frame["frame"] / 25) == pytest.approx(unit.time_s)
            assert (frame["height"], frame["width"], unit.size) == (48, 64, (48, 64))
            sizes.append(unit.key)
    assert sizes == [number % INTERVAL == 0 for number in range(FRAMES)]


def test_what_is_decoded_from_a_table_or_a_file_is_what_was_coded(network: SplitModel, tmp_path: Path) -> None:
    folder = write_clip(tmp_path / "clip")
    images = [read_image(folder / f"{i}.png") for i in range(FRAMES)]
    job = a_job(network, "encode", key_interval=INTERVAL)
    coded = Folder(tmp_path / "coded")
    with coded.opened(JobManifest.of(job, "toy")):
        commit(coded, "a.parquet", outcome(network, job, inputs_of(f"clips:{folder}")))
    encoder = ms.StreamEncoder(CODEC, key_interval=INTERVAL)
    with ms.ClipWriter(tmp_path / "clip.midv") as clip:
        for number, image in enumerate(images):
            unit = encoder.encode(network.front(image))
            assert encoder.last is not None
            clip.write(unit, time_s=number / 25, key=encoder.last.key, size=(48, 64))
    for source in (coded.path, tmp_path / "clip.midv"):
        table = inputs_of(source, kind="decode")
        rows = outcome(network, a_job(network, "decode"), table).to_pylist()
        assert [row["first_frame"] for row in rows] == [0, 4, 8]
        frames = [frame for row in rows for frame in row["frames"]]
        assert [frame["frame"] for frame in frames] == list(range(FRAMES))
        for frame, found, right in zip(
            frames, found_in([frame["detections"] for frame in frames]), by_hand(network, images), strict=True
        ):
            assert frame["error"] is None
            same(found, right[1])


def test_frames_that_cannot_be_read_are_told_of_and_keep_their_numbers(network: SplitModel, tmp_path: Path) -> None:
    folder = write_clip(tmp_path / "clip")
    for number in (0, 5, 8, 9):  # the first of a group, one within, and all of a group
        (folder / f"{number}.png").write_bytes(b"no image")
    job = a_job(network, "encode")
    coded = outcome(network, job, inputs_of(f"clips:{folder}"))
    first, second, third = coded.to_pylist()
    assert [frame["frame"] for frame in first["frames"] if frame["error"]] == [0]
    assert [frame["key"] for frame in first["frames"]] == [None, True, False, False]
    assert (second["frame_count"], second["failed_frames"]) == (4, 1)
    assert "not a whole image" in second["frames"][1]["error"]
    assert third["error"].startswith("none of 2 frames can be read; the first: ")
    there = Folder(tmp_path / "coded")
    with there.opened(JobManifest.of(job, "toy")):
        commit(there, "a.parquet", coded)
        assert there.frames() == (8, 2)
    table = inputs_of(there.path, kind="decode")
    assert table["numbers"].to_pylist() == [[1, 2, 3], [4, 6, 7]]
    decoded = outcome(network, a_job(network, "decode"), table).to_pylist()
    assert [frame["frame"] for row in decoded for frame in row["frames"]] == [1, 2, 3, 4, 6, 7]
    assert all(frame["error"] is None for row in decoded for frame in row["frames"])


def test_damage_in_a_file_of_a_clip_costs_its_group(network: SplitModel, tmp_path: Path) -> None:
    units = [each[0] for each in by_hand(network, pixels(FRAMES))]
    path = tmp_path / "clip.midv"
    with ms.ClipWriter(path) as clip:
        for number, unit in enumerate(units):
            clip.write(unit, time_s=number / 25, key=number % INTERVAL == 0, size=(48, 64))
    whole = path.read_bytes()
    at = whole.index(units[5])
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    table = inputs_of(path, kind="decode")
    assert table["numbers"].to_pylist() == [[0, 1, 2, 3], [4], None, [8, 9]]
    assert table["id"][2].as_py() == f"{path}#00000005"
    assert "wrong checksum" in table["error"][2].as_py()
    path.write_bytes(whole[: whole.index(units[9]) + 3])
    table = inputs_of(path, kind="decode")
    assert table["numbers"].to_pylist() == [[0, 1, 2, 3], [4, 5, 6, 7], [8], None]
    assert "ends within frame 9" in table["error"][3].as_py()
    path.write_bytes(b"MIDX")
    (row,) = inputs_of(path, kind="decode").to_pylist()
    assert "not the file of a clip" in row["error"]


def test_a_group_without_its_key_is_never_answered_wrongly(network: SplitModel, tmp_path: Path) -> None:
    units = [each[0] for each in by_hand(network, pixels(FRAMES))]
    path = tmp_path / "clip.midv"
    with ms.ClipWriter(path) as clip:
        for number in (1, 2, 3, 4, 5):  # whoever wrote it lost frame 0 and calls the next one a key
            clip.write(units[number], time_s=number / 25, key=number in (1, 4), size=(48, 64))
    first, second = outcome(network, a_job(network, "decode"), inputs_of(path, kind="decode")).to_pylist()
    assert first["failed_frames"] == 3
    assert all("refers to" in frame["error"] for frame in first["frames"])
    assert second["failed_frames"] == 0


def test_scores_are_those_of_the_frames(network: SplitModel, tmp_path: Path) -> None:
    folder = write_clip(tmp_path / "clip")
    expected = by_hand(network, [read_image(folder / f"{i}.png") for i in range(FRAMES)])
    job = a_job(network, "eval", key_interval=INTERVAL)
    rows = outcome(network, job, inputs_of(f"clips:{folder}"))
    assert rows["error"].null_count == 3
    frames = [frame for row in rows.to_pylist() for frame in row["frames"]]
    for column, place in (("detections", 1), ("uncompressed", 2)):
        for found, each in zip(found_in([frame[column] for frame in frames]), expected, strict=True):
            same(found, each[place])
    there = Folder(tmp_path / "eval")
    with there.opened(JobManifest.of(job, "toy")):
        commit(there, "a.parquet", rows[1:])
        commit(there, "b.parquet", rows[:1])
    result = score(there, network, CODEC, None)
    assert result.images == FRAMES
    assert result.bytes_per_image == pytest.approx(sum(len(each[0]) for each in expected) / FRAMES)
    assert 0 < result.ap <= 100


@pytest.mark.parametrize("interval", [2, None])
def test_labels_of_clips_are_scored_as_eval_does(network: SplitModel, tmp_path: Path, interval: int | None) -> None:
    """The coder `dense` says the same values of a frame in a stream as by itself, so the scores are those of eval."""
    truth = json.loads((toy.write_labelled(tmp_path) / "truth.json").read_text())
    truth["videos"] = [{"id": 2, "name": "later"}, {"id": 1, "name": "street"}]
    for number, image in enumerate(truth["images"]):
        image["video_id"] = 1 + number // 2
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    spec = f"coco-video:{tmp_path}/images,{tmp_path}/truth.json"
    dataset = datasets.load(spec)
    (expected,) = evaluation.run(network, dataset, [CODEC])
    job = replace(a_job(network, "eval", key_interval=interval), groups=interval is not None)
    chunks = sources.of_dataset(dataset, interval)
    rows = outcome(network, job, pa.concat_tables([table for chunk in chunks for table in chunk.read()]))
    there = Folder(tmp_path / "eval")
    with there.opened(JobManifest.of(job, "toy")):
        commit(there, "a.parquet", rows[1:])
        commit(there, "b.parquet", rows[:1])
    result = score(there, network, CODEC, dataset)
    assert (result.images, result.scores, result.metric) == (4, expected.scores, expected.metric)
    assert result.scores_uncompressed == expected.scores_uncompressed
    assert result.scores["ap"] != score(there, network, CODEC, None).scores["ap"], "the agreement is another figure"
    with pytest.raises(InputError, match="one data set at a time"):
        sources.find([spec, f"clips:{tmp_path}/images"], "eval", interval)


def test_clips_and_images_are_jobs_of_their_own(tmp_path: Path) -> None:
    folder = write_clip(tmp_path / "clips" / "a", 3)
    write_clip(tmp_path / "clips" / "b", 6, seed=1)
    video = write_video(tmp_path / "v.mp4", 3)
    table = inputs_of(f"clips:{tmp_path / 'clips'}", f"video:{video}", video)
    assert [Path(name).name for name in table["id"].to_pylist()] == [
        "a#00000000", "b#00000000", "b#00000004", "v.mp4#00000000",
    ]  # fmt: skip
    with pytest.raises(InputError, match=r"clips and images together.*--independent"):
        sources.find([str(folder), str(video)], "encode", INTERVAL)
    chunks = sources.find([str(folder), str(video), f"clips:{tmp_path / 'clips'}"], "encode", None)
    assert not any(sources.are_groups(chunk) for chunk in chunks)
    assert sum(table.num_rows for chunk in chunks for table in chunk.read()) == 3 + 3 + 6
    (tmp_path / "x.mids").write_bytes(b"")
    (tmp_path / "x.midv").write_bytes(b"")
    with pytest.raises(InputError, match="clips and images together"):
        sources.find([str(tmp_path / "x.mid*")], "decode")
    with pytest.raises(InputError, match="there is no folder"):
        sources.find([f"clips:{tmp_path / 'absent'}"], "encode", INTERVAL)


def test_clips_of_one_folder_are_told_apart(tmp_path: Path) -> None:
    folder = write_clip(tmp_path / "frames", 6)
    images = [
        {"id": n + 1, "file_name": f"{n}.png", "height": 48, "width": 64, "video_id": 1 + n // 3} for n in range(6)
    ]
    videos = [{"id": n, "name": "street"} for n in (1, 2)]
    (tmp_path / "truth.json").write_text(
        json.dumps({"videos": videos, "images": images, "annotations": [], "categories": []})
    )
    table = inputs_of(f"coco-video:{folder},{tmp_path / 'truth.json'}")
    assert table["id"].to_pylist() == [f"{folder} (street ({n}))#00000000" for n in (1, 2)]
    assert [len(numbers) for numbers in table["numbers"].to_pylist()] == [3, 3]


def test_keys_of_groups_follow_names_contents_and_cuts(tmp_path: Path) -> None:
    folder = write_clip(tmp_path / "clip")
    before = inputs_of(f"clips:{folder}")["key"].to_pylist()
    assert inputs_of(f"clips:{folder}")["key"].to_pylist() == before
    (folder / "5.png").write_bytes((folder / "6.png").read_bytes())
    after = inputs_of(f"clips:{folder}")["key"].to_pylist()
    assert [new == old for new, old in zip(after, before, strict=True)] == [True, False, True]
    (chunk,) = sources.find([f"clips:{folder}"], "encode", 5)
    (table,) = chunk.read()
    assert not {*table["key"].to_pylist()} & {*after}


def test_a_job_of_images_has_the_columns_that_it_had(network: SplitModel, tmp_path: Path) -> None:
    old = '{"kind":"encode","model":"toy","identity":"%s","cut":"%s","codec":null,"pyramids":false}'
    (tmp_path / "run.json").write_text(old % (network.identity, network.fingerprint))
    manifest = Folder(tmp_path).manifest()
    assert (manifest.groups, manifest.key_interval) == (False, None)
    assert schema.results("encode", Detection()).names == [
        "key", "id", "sha256", "height", "width", "shapes", "elements", "bitstream", "bytes", "front_ms", "encode_ms",
    ]  # fmt: skip
    pq.write_table(pa.table({"bitstream": [b"x"]}), tmp_path / "t.parquet")
    (chunk,) = sources.find([str(tmp_path / "t.parquet")], "decode")
    assert not sources.are_groups(chunk)
