"""The inputs of batch jobs: images, tables, videos, and what is none of these."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.helpers.jobs import a_job, inputs_of, outcome

import midstream as ms
from midstream.batch import inputs, schema, sources
from midstream.errors import InputError
from midstream.models import SplitModel


def write_video(path: Path, frames: int) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for i in range(frames):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 40 * i, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


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
    monkeypatch.setattr(inputs, "INPUT_BYTES", sizes[0] + sizes[1])
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
