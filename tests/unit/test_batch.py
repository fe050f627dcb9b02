"""Batch jobs without Ray: inputs, the function from batch to batch, the folder of tables."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.helpers.toy import write_labelled

import midstream as ms
from midstream import data as datasets
from midstream import models
from midstream.batch import folder as folder_module
from midstream.batch import job as job_module
from midstream.batch import schema, sources
from midstream.batch.folder import KEY, Attempts, Folder, JobManifest
from midstream.batch.job import Job, work
from midstream.batch.score import score
from midstream.cli import main
from midstream.codec.paper import Paper
from midstream.data import read_image
from midstream.errors import InputError, MidstreamError
from midstream.models import Detections, SplitModel
from midstream.models.reference import Reference
from midstream.models.tasks.detection import Detection, InstanceSegmentation

OPTIONS = Paper(symbols=4)


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    return write_labelled(tmp_path)


@pytest.fixture
def network(labelled: Path) -> SplitModel:
    return models.load(str(labelled / "toy.toml"), threads=1)


def a_job(network: SplitModel, kind: schema.JobKind, **more: object) -> Job:
    options = None if kind == "decode" else OPTIONS
    return Job(kind, Reference("toy", None, network.identity, network.fingerprint), options, **more)  # type: ignore[arg-type]


def inputs_of(*what: Path | str, kind: schema.JobKind = "encode") -> pa.Table:
    chunks = sources.find([str(each) for each in what], kind)
    return pa.concat_tables([table for chunk in chunks for table in chunk.read()])


def outcome(network: SplitModel, job: Job, inputs: pa.Table) -> pa.Table:
    return pa.concat_tables(list(work(network, job, inputs)))


def write_video(path: Path, frames: int) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for i in range(frames):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 40 * i, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def commit(folder: Folder, name: str, rows: pa.Table) -> None:
    """What Ray Data does: the keys, the part."""
    pq.write_table(rows.select([KEY]), folder.checkpoint / name)
    folder.write_part(name, rows)


@pytest.fixture
def folder(tmp_path: Path, network: SplitModel) -> Iterator[Folder]:
    there = Folder(tmp_path / "out")
    with there.opened(JobManifest.of(a_job(network, "encode"), "toy")):
        yield there


def test_images_are_named_by_their_path_and_keyed_by_name_and_content(labelled: Path) -> None:
    files = sorted((labelled / "images").iterdir())
    table = inputs_of(labelled / "images")
    assert table.schema == schema.INPUT
    assert table["id"].to_pylist() == [str(file) for file in files]
    assert table["data"].to_pylist() == [file.read_bytes() for file in files]
    (labelled / "images" / "copy.png").write_bytes(files[0].read_bytes())
    files[1].write_bytes(files[2].read_bytes())
    changed = inputs_of(labelled / "images" / "*.png")
    assert changed["sha256"][4] == table["sha256"][0]  # the copy comes after 0 to 3
    assert len(set(changed["key"].to_pylist())) == 5
    same = set(changed["key"].to_pylist()) & set(table["key"].to_pylist())
    assert same == {table["key"][i].as_py() for i in (0, 2, 3)}


def test_a_file_that_is_named_twice_is_one_input(labelled: Path) -> None:
    assert inputs_of(labelled / "images", labelled / "**" / "*.png").num_rows == 4


def test_tables_of_inputs_are_cut_by_bytes(labelled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = [len(file.read_bytes()) for file in sorted((labelled / "images").iterdir())]
    monkeypatch.setattr(sources, "INPUT_BYTES", sizes[0] + sizes[1])
    (chunk,) = sources.find([str(labelled / "images")], "encode")
    assert [table.num_rows for table in chunk.read()] == [2, 2]


def test_frames_of_a_video(tmp_path: Path, network: SplitModel) -> None:
    write_video(tmp_path / "clip.mp4", 3)
    table = inputs_of(tmp_path / "clip.mp4")
    assert table["id"].to_pylist() == [f"{tmp_path}/clip.mp4#{i:08}" for i in range(3)]
    assert table["height"].to_pylist() == [48] * 3
    assert table["width"].to_pylist() == [64] * 3
    found = outcome(network, a_job(network, "encode"), table)
    assert found["error"].null_count == 3
    frame = np.frombuffer(table["data"][1].as_py(), np.uint8).reshape(48, 64, 3)
    assert abs(int(frame.mean()) - 40) < 4
    assert found["bitstream"][1].as_py() == ms.encode(network.front(frame), symbols=4)


def test_a_video_that_is_none_is_a_failure_with_its_frame(tmp_path: Path, network: SplitModel) -> None:
    write_video(tmp_path / "clip.mp4", 3)
    (tmp_path / "cut.mp4").write_bytes((tmp_path / "clip.mp4").read_bytes()[:500])
    found = outcome(network, a_job(network, "encode"), inputs_of(tmp_path / "cut.mp4"))
    assert found["id"].to_pylist() == [f"{tmp_path}/cut.mp4#00000000"]
    assert "cannot read the video" in found["error"][0].as_py()


@pytest.mark.parametrize("form", ["bytes", "hugging face", "path"])
def test_images_in_a_table(labelled: Path, form: str) -> None:
    files = sorted((labelled / "images").iterdir())
    values: list[object] = [file.read_bytes() for file in files]
    if form == "hugging face":
        values = [{"bytes": values[0], "path": None}, {"bytes": None, "path": "images/1.png"}]
        values += [{"bytes": None, "path": None}]
    elif form == "path":
        values = ["images/0.png", str(files[1]), "absent.png"]
    else:
        values = [*values[:2], None]
    pq.write_table(pa.table({"id": ["a", "b", "c"], "image": values}), labelled / "t.parquet", row_group_size=2)
    chunks = sources.find([str(labelled / "t.parquet")], "encode")
    assert [chunk.count for chunk in chunks] == [2, 1]
    table = pa.concat_tables([t for chunk in chunks for t in chunk.read()])
    assert table["id"].to_pylist() == ["a", "b", "c"]
    assert table["data"].to_pylist()[:2] == [file.read_bytes() for file in files[:2]]
    error = table["error"].to_pylist()
    assert error[:2] == [None, None]
    assert "absent.png" in error[2] if form == "path" else "row 'c'" in error[2]


def test_rows_without_an_id_are_numbered_through_the_file(labelled: Path) -> None:
    data = (labelled / "images" / "0.png").read_bytes()
    pq.write_table(pa.table({"bytes": [data] * 3}), labelled / "t.parquet", row_group_size=2)
    assert inputs_of(labelled / "t.parquet")["id"].to_pylist() == [f"{labelled}/t.parquet#{i:08}" for i in range(3)]


def test_inputs_that_are_none(labelled: Path) -> None:
    (labelled / "empty").mkdir()
    (labelled / "hidden").mkdir()
    (labelled / "hidden" / "._0.png").write_bytes(b"what macOS leaves in archives")
    pq.write_table(pa.table({"image": pa.array([], pa.binary())}), labelled / "no-row.parquet")
    (labelled / "bad.parquet").write_bytes(b"PAR1 no")
    pq.write_table(pa.table({"x": [1]}), labelled / "x.parquet")
    for what, said in (
        ("absent.jpg", "no such file, folder or pattern"),
        ("*.gif", "no such file, folder or pattern"),
        ("empty", "no file in this folder ends in"),
        ("hidden", "no file in this folder ends in"),
        ("no-row.parquet", "a table without a row"),
        ("truth.json", "unknown kind of input"),
        ("bad.parquet", "not a readable Parquet file"),
        ("x.parquet", "looked for image, picture, bytes, data, path, it has x"),
    ):
        with pytest.raises(InputError, match=said):
            sources.find([str(labelled / what)], "encode")


def test_encoding_makes_the_bitstreams_of_encode(labelled: Path, network: SplitModel) -> None:
    table = inputs_of(labelled / "images")
    found = outcome(network, a_job(network, "encode"), table)
    assert found.schema == schema.outcome("encode", Detection())
    for i, row in enumerate(found.to_pylist()):
        pyramid = network.front(read_image(labelled / "images" / f"{i}.png"))
        assert row["bitstream"] == ms.encode(pyramid, symbols=4)
        assert (row["height"], row["width"], row["bytes"]) == (60, 50, len(row["bitstream"]))
        assert row["shapes"][0] == {"level": "p3", "channels": 5, "height": 4, "width": 4}
        assert row["elements"] == sum(values.size for values in pyramid.values())
        assert row["error"] is None


def test_an_input_that_fails_does_not_touch_the_others(labelled: Path, network: SplitModel) -> None:
    whole = outcome(network, a_job(network, "encode"), inputs_of(labelled / "images"))
    (labelled / "images" / "1.png").write_bytes(b"no image")
    (labelled / "images" / "2.png").unlink()
    (labelled / "images" / "2.png").symlink_to("nowhere")
    names = [(str(i), str(labelled / "images" / f"{i}.png")) for i in range(4)]
    (chunk,) = sources.in_chunks(names)
    found = outcome(network, a_job(network, "encode"), pa.concat_tables(list(chunk.read())))
    errors = found["error"].to_pylist()
    assert errors[0] is errors[3] is None
    assert "not a whole image" in errors[1]
    assert "No such file" in errors[2]
    assert [found["bitstream"][i] for i in (0, 3)] == [whole["bitstream"][i] for i in (0, 3)]
    assert found["bitstream"][1].as_py() is None


def test_a_bug_in_one_input_is_a_failure_with_its_kind(
    labelled: Path, network: SplitModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> bytes:
        raise ZeroDivisionError("of the test")

    monkeypatch.setattr(job_module, "encode_features", broken)
    found = outcome(network, a_job(network, "encode"), inputs_of(labelled / "images" / "0.png"))
    assert found["error"].to_pylist() == ["ZeroDivisionError: of the test"]


def test_decoding_finds_what_the_back_finds(labelled: Path, network: SplitModel, folder: Folder) -> None:
    commit(folder, "a.parquet", outcome(network, a_job(network, "encode"), inputs_of(labelled / "images")))
    found = outcome(network, a_job(network, "decode", pyramids=True), inputs_of(folder.path, kind="decode"))
    assert found["id"].to_pylist() == [str(labelled / "images" / f"{i}.png") for i in range(4)]
    detections = schema.read_detections(found["detections"], has_masks=False)
    for i, coded in enumerate(pq.read_table(folder.results).to_pylist()):
        pyramid = ms.decode(coded["bitstream"])
        expected = network.back(pyramid, (60, 50))
        assert len(expected) > 0
        np.testing.assert_array_equal(detections[i].boxes, expected.boxes)
        np.testing.assert_array_equal(detections[i].scores, expected.scores)
        np.testing.assert_array_equal(detections[i].labels, expected.labels)
        (labelled / "p.safetensors").write_bytes(found["pyramid"][i].as_py())
        kept = ms.files.read_pyramid(str(labelled / "p.safetensors"))
        assert list(kept) == list(pyramid)
        assert all(np.array_equal(kept[name], pyramid[name]) for name in pyramid)


def test_bitstreams_in_files_need_the_size_of_the_images(labelled: Path, network: SplitModel) -> None:
    data = ms.encode(network.front(read_image(labelled / "images" / "0.png")), symbols=4)
    (labelled / "0.mids").write_bytes(data)
    (labelled / "1.mids").write_bytes(data[:-1])
    table = inputs_of(labelled / "*.mids", kind="decode")
    without = outcome(network, a_job(network, "decode"), table)
    assert "--image-size" in without["error"][0].as_py()
    found = outcome(network, a_job(network, "decode", size=(60, 50)), table)
    assert found["error"][0].as_py() is None
    assert "ends" in found["error"][1].as_py()
    (boxes,) = schema.read_detections(found["detections"][:1], has_masks=False)
    np.testing.assert_array_equal(boxes.boxes, network.back(ms.decode(data), (60, 50)).boxes)


def test_large_results_are_cut(labelled: Path, network: SplitModel, monkeypatch: pytest.MonkeyPatch) -> None:
    table = inputs_of(labelled / "images")
    whole = outcome(network, a_job(network, "encode"), table)
    monkeypatch.setattr(job_module, "RESULT_BYTES", 2 * min(whole["bytes"].to_pylist()))
    parts = list(work(network, a_job(network, "encode"), table))
    assert [part.num_rows for part in parts] == [2, 2]
    assert pa.concat_tables(parts)["bitstream"] == whole["bitstream"]


def test_another_network_on_another_machine_is_refused(labelled: Path) -> None:
    network = models.load(str(labelled / "toy.toml"))
    there = Reference.of(network, str(labelled / "toy.toml"), None)
    assert there.weights == labelled / "toy.onnx"
    assert there.load().identity == network.identity
    with pytest.raises(InputError, match="put the same weights on both"):
        replace(there, identity="0" * 64).load()


def test_detections_with_masks_come_back() -> None:
    rng = np.random.default_rng(0)
    found = [
        Detections(
            rng.uniform(0, 50, (n, 4)).astype(np.float32),
            rng.uniform(0, 1, n).astype(np.float32),
            rng.integers(0, 3, n),
            [{"size": [60, 50], "counts": bytes([65 + i])} for i in range(n)],
        )
        for n in (2, 0, 3)
    ]
    rows = [{"detections": schema.detection_rows(each, ("cat", "dog", "cow"), (4, 5, 9))} for each in found]
    table = pa.Table.from_pylist(
        rows, pa.schema([schema.results("decode", InstanceSegmentation()).field("detections")])
    )
    assert [d["name"] for d in table["detections"][0].as_py()] == [("cat", "dog", "cow")[i] for i in found[0].labels]
    ids = [d["category_id"] for d in table["detections"][0].as_py()]
    assert ids == [(4, 5, 9)[i] for i in found[0].labels], "the data set's, not the network's"
    assert schema.detection_rows(found[0], ("cat", "dog", "cow"), None)[0]["category_id"] is None
    for back, each in zip(schema.read_detections(table["detections"], has_masks=True), found, strict=True):
        np.testing.assert_array_equal(back.boxes, each.boxes)
        np.testing.assert_array_equal(back.scores, each.scores)
        np.testing.assert_array_equal(back.labels, each.labels)
        assert back.masks == each.masks


@pytest.mark.parametrize("labels", [True, False])
def test_scores_are_those_of_eval(labelled: Path, network: SplitModel, tmp_path: Path, labels: bool) -> None:
    spec = f"coco:{labelled}/images,{labelled}/truth.json" if labels else str(labelled / "images")
    dataset = datasets.load(spec)
    expected = ms.evaluation.run(network, dataset, [OPTIONS])[0].model_dump()
    job = a_job(network, "eval")
    if labels:
        (chunk,) = sources.in_chunks([(str(image.id), str(image.path)) for image in dataset.images])
        inputs = pa.concat_tables(list(chunk.read()))
    else:
        inputs = inputs_of(labelled / "images")
    rows = outcome(network, job, inputs)
    there = Folder(tmp_path / "eval")
    with there.opened(JobManifest.of(job, "toy")):
        commit(there, "a.parquet", rows[2:])  # parts come in no order
        commit(there, "b.parquet", rows[:2])
    result = score(there, network, OPTIONS, dataset if labels else None).model_dump()
    times = {"data", "encode_ms", "decode_ms", "front_ms", "back_ms"}
    assert 0 < result["ap"] <= 100
    assert {k: v for k, v in result.items() if k not in times} == {k: v for k, v in expected.items() if k not in times}


def test_parts_split_results_from_failures(labelled: Path, network: SplitModel, folder: Folder) -> None:
    (labelled / "images" / "1.png").write_bytes(b"")
    commit(folder, "a.parquet", outcome(network, a_job(network, "encode"), inputs_of(labelled / "images")))
    assert pq.read_schema(folder.results / "a.parquet").equals(schema.results("encode", Detection()))
    assert [Path(row["id"]).name for row in folder.rows(folder.results)] == ["0.png", "2.png", "3.png"]
    (failure,) = folder.rows(folder.failures)
    assert failure["id"] == str(labelled / "images" / "1.png")
    assert "the file is empty" in failure["error"]
    assert (folder.count(folder.results), folder.count(folder.failures)) == (3, 1)
    assert list(folder.partial.iterdir()) == []


def test_what_was_not_committed_is_swept(labelled: Path, network: SplitModel, folder: Folder) -> None:
    rows = outcome(network, a_job(network, "encode"), inputs_of(labelled / "images"))
    commit(folder, "a.parquet", rows[:2])
    folder.write_part("b.parquet", rows[2:])
    pq.write_table(rows[2:].select([KEY]), folder.checkpoint / "b.pending.parquet")
    (folder.partial / "results-c.parquet").write_bytes(b"PAR1")
    (folder.attempts.path / "key").write_bytes(b".")
    folder.sweep()
    assert [path.name for path in folder.parts()] == ["a.parquet"]
    assert list(folder.partial.iterdir()) == list(folder.attempts.path.iterdir()) == []


@pytest.mark.parametrize("killed", [False, True])
def test_failures_can_be_tried_again(
    labelled: Path, network: SplitModel, folder: Folder, killed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    (labelled / "images" / "1.png").write_bytes(b"")
    rows = outcome(network, a_job(network, "encode"), inputs_of(labelled / "images"))
    commit(folder, "a.parquet", rows)
    if killed:  # just before the failure goes
        with monkeypatch.context() as patch:
            patch.setattr(Path, "unlink", _interrupt)
            with pytest.raises(KeyboardInterrupt):
                folder.forget_failures()
        assert folder.count(folder.failures) == 1
        folder.sweep()
    else:
        assert folder.forget_failures() == 1
    done = pq.read_table(folder.checkpoint / "a.parquet")[KEY].to_pylist()
    assert done == [rows[KEY][i].as_py() for i in (0, 2, 3)]
    assert (folder.count(folder.results), folder.count(folder.failures)) == (3, 0)


def _interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("at_once", [4, 1])
def test_inputs_that_are_there_twice_are_found(
    labelled: Path, network: SplitModel, folder: Folder, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_module, "_KEYS_AT_ONCE", at_once)
    rows = outcome(network, a_job(network, "encode"), inputs_of(labelled / "images"))
    commit(folder, "a.parquet", rows[:3])
    folder.check_once()
    commit(folder, "b.parquet", rows[2:])
    with pytest.raises(MidstreamError, match="1 inputs of 5 are there twice"):
        folder.check_once()


def test_a_folder_is_of_one_job_and_has_one_at_work(network: SplitModel, folder: Folder) -> None:
    mine = JobManifest.of(a_job(network, "encode"), "toy")
    with pytest.raises(InputError, match="is writing to it"), folder.opened(mine):
        pass
    other = Folder(folder.path.with_name("other"))
    with other.opened(mine):
        pass
    for changed, said in (
        (mine.model_copy(update={"identity": "another"}), "its identity is"),
        (mine.model_copy(update={"codec": {"symbols": 3}}), "its codec is"),
    ):
        with pytest.raises(InputError, match=said), other.opened(changed):
            pass
    with other.opened(mine):  # given back, although the manifest was refused
        pass


def test_an_input_that_ends_its_process_is_given_up(labelled: Path, network: SplitModel, folder: Folder) -> None:
    table = inputs_of(labelled / "images")
    deadly = table[KEY][1].as_py()
    attempts = Attempts(folder.attempts.path)
    for _ in range(3):  # the process ends: what it leaves is its marker
        with (folder.attempts.path / deadly).open("ab") as file:
            file.write(b".")
    found = pa.concat_tables(list(work(network, a_job(network, "encode"), table, attempts)))
    assert [error is None for error in found["error"].to_pylist()] == [True, False, True, True]
    assert "ended 3 times" in found["error"][1].as_py()
    assert [path.name for path in folder.attempts.path.iterdir()] == [deadly]


def test_bitstreams_of_another_network_are_refused(network: SplitModel, folder: Folder, tmp_path: Path) -> None:
    folder.check_made_by(network)
    Folder(tmp_path).check_made_by(network)  # no folder of a job
    there = folder.manifest().model_copy(update={"cut": "0" * 64})
    (folder.path / "run.json").write_text(there.model_dump_json())
    with pytest.raises(InputError, match="holds the bitstreams of toy, cut graph 0000000000000000; toy is"):
        folder.check_made_by(network)


def run_cli(
    *arguments: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[int, str, str]:
    monkeypatch.setattr("sys.argv", ["midstream", *map(str, arguments)])
    with pytest.raises(SystemExit) as exit_:
        main.run()
    shown = capsys.readouterr()
    return int(exit_.value.code or 0), shown.out, shown.err


def test_read(
    labelled: Path,
    network: SplitModel,
    folder: Folder,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (labelled / "images" / "1.png").write_bytes(b"")
    rows = outcome(network, a_job(network, "encode"), inputs_of(labelled / "images"))
    commit(folder, "a.parquet", rows)

    def read(*more: object) -> tuple[int, str, str]:
        return run_cli("batch", "read", folder.path, *more, monkeypatch=monkeypatch, capsys=capsys)

    code, out, _ = read()
    assert code == 0
    assert "3 done, 1 failed" in out
    assert "p3 5x4x4, p4 5x2x2" in out
    code, out, _ = read("--json", "--columns", "id,bytes", "--limit", 2)
    assert [json.loads(line) for line in out.splitlines()] == [
        {"id": rows["id"][i].as_py(), "bytes": rows["bytes"][i].as_py()} for i in (0, 2)
    ]
    code, out, _ = read("--failures", "--json")
    assert "the file is empty" in json.loads(out)["error"]
    code, _, said = read("--columns", "nothing")
    assert code == 2
    assert "unknown column 'nothing'" in said
    code, _, said = read("--extract", folder.path / "streams")
    assert code == 0
    stream = folder.path / "streams" / f"{rows[KEY][0].as_py()}.mids"
    assert stream.read_bytes() == rows["bitstream"][0].as_py()
    code, _, said = run_cli("batch", "read", labelled, monkeypatch=monkeypatch, capsys=capsys)
    assert code == 2
    assert "is not the folder of a batch job" in said
