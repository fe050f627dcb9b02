"""What batch jobs make of their inputs, without Ray: the function from batch to batch, and scores."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.helpers.jobs import OPTIONS, a_job, commit, inputs_of, outcome

import midstream as ms
from midstream import data as datasets
from midstream import models
from midstream.batch import job as job_module
from midstream.batch import schema, sources
from midstream.batch.folder import Folder, JobManifest
from midstream.batch.job import work
from midstream.batch.score import score
from midstream.data import read_image
from midstream.errors import InputError
from midstream.models import Detections, SplitModel
from midstream.models.reference import Reference
from midstream.models.tasks.detection import Detection, InstanceSegmentation


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
