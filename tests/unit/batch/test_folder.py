"""The folder of a batch job: parts, failures, what a killed job leaves, and reading it."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.helpers.jobs import a_job, commit, inputs_of, outcome

from midstream.batch import folder as folder_module
from midstream.batch import schema
from midstream.batch.folder import KEY, Attempts, Folder, JobManifest
from midstream.batch.job import work
from midstream.cli import main
from midstream.errors import InputError, MidstreamError
from midstream.models import SplitModel
from midstream.models.tasks.detection import Detection


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
