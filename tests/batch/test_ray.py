"""Batch jobs on a real Ray: resumed, killed, joined; needs the extra `ray` (make test-batch)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.helpers import toy
from tests.helpers.batch_commands import command, parts, run, wait_for
from tests.helpers.cluster import Cluster

import midstream as ms
from midstream import models

#: Of one image: large enough that reading it takes tens of milliseconds, so that there is time to kill.
SIDE = 2500
IMAGES, ROWS = 48, 4


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy network and tables `in/*.parquet` of ROWS large images each, every one another."""
    folder = tmp_path_factory.mktemp("made")
    toy.write_toy(folder)
    (folder / "in").mkdir()
    rng = np.random.default_rng(0)
    rows = []
    for i in range(IMAGES):
        coarse = cv2.resize(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8), (SIDE, SIDE))
        rows.append({"id": f"image {i}", "image": cv2.imencode(".jpg", coarse)[1].tobytes()})
    for start in range(0, IMAGES, ROWS):
        pq.write_table(pa.Table.from_pylist(rows[start : start + ROWS]), folder / "in" / f"{start:03}.parquet")
    return folder


def expected(made: Path) -> dict[str, bytes]:
    network = models.load(str(made / "toy.toml"))
    coded = {}
    for row in pq.read_table(made / "in").to_pylist():
        pixels = cv2.imdecode(np.frombuffer(row["image"], np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]
        coded[row["id"]] = ms.encode(network.front(np.ascontiguousarray(pixels)), symbols=4)
    return coded


def check_all_once(made: Path, output: Path) -> None:
    """Every input once, with the bytes of a run without Ray."""
    rows = pq.read_table(output / "results", columns=["id", "bitstream"]).to_pylist()
    assert len(rows) == IMAGES
    assert {row["id"]: row["bitstream"] for row in rows} == expected(made)


def test_a_job_and_what_reads_its_tables(made: Path, tmp_path: Path, cluster: Cluster) -> None:
    coded = tmp_path / "coded"
    summary = run("encode", made, coded, "--input", made / "in", "--ray", cluster.address)
    assert (summary["done"], summary["failed"], summary["before"]) == (IMAGES, 0, 0)
    check_all_once(made, coded)
    (total,) = duckdb.sql(f"SELECT sum(bytes) FROM '{coded}/results/*.parquet'").fetchall()
    assert total == (summary["bytes"],)

    found = tmp_path / "found"
    summary = run("decode", made, found, "--input", coded, "--pyramids", "--ray", cluster.address)
    assert summary["done"] == IMAGES
    network = models.load(str(made / "toy.toml"))
    for row in pq.read_table(found / "results").to_pylist():
        there = network.back(ms.decode(expected_bytes := pyramid_source(coded, row["id"])), (SIDE, SIDE))
        assert row["bytes"] == len(expected_bytes)
        assert [d["score"] for d in row["detections"]] == there.scores.tolist()
        assert len(row["pyramid"]) > 4 * row["elements"]


def pyramid_source(coded: Path, name: str) -> bytes:
    table = pq.read_table(coded / "results", filters=[("id", "=", name)])
    assert table.num_rows == 1
    data: bytes = table["bitstream"][0].as_py()
    return data


def test_failures_resumption_and_new_inputs(made: Path, tmp_path: Path, cluster: Cluster) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for i in range(6):
        cv2.imwrite(str(images / f"{i}.png"), np.full((50, 60, 3), 40 * i, np.uint8))
    (images / "3.png").write_bytes(b"no image")
    output = tmp_path / "out"
    summary = run("encode", made, output, "--input", images, "--ray", cluster.address, code=1)
    assert (summary["done"], summary["failed"]) == (5, 1)
    (failure,) = pq.read_table(output / "failures").to_pylist()
    assert failure["id"] == str(images / "3.png")
    assert "not a whole image" in failure["error"]

    before = {path: path.stat().st_mtime_ns for path in parts(output)}
    cv2.imwrite(str(images / "6.png"), np.full((50, 60, 3), 7, np.uint8))
    summary = run("encode", made, output, "--input", images, "--ray", cluster.address, code=1)
    assert (summary["done"], summary["failed"], summary["before"]) == (6, 1, 6)
    after = {path: path.stat().st_mtime_ns for path in parts(output)}
    assert before.items() < after.items()  # nothing was done again

    (images / "3.png").write_bytes((images / "2.png").read_bytes())
    summary = run("encode", made, output, "--input", images, "--ray", cluster.address, "--retry-failed")
    assert (summary["done"], summary["failed"]) == (7, 0)
    ids = pq.read_table(output / "results")["id"].to_pylist()
    assert sorted(ids) == [str(images / f"{i}.png") for i in range(7)]


def test_a_worker_that_is_killed_costs_nothing(made: Path, tmp_path: Path, cluster: Cluster) -> None:
    output = tmp_path / "out"
    with subprocess.Popen(
        command("encode", made, output, "--input", made / "in", "--ray", cluster.address),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        killed: set[int] = set()

        def at_work() -> int | None:
            if not any((output / ".attempts").iterdir()):
                return None
            return next((pid for pid in cluster.pids("ray::MapWorker") if pid not in killed), None)

        wait_for(lambda: parts(output), process)
        for _ in range(2):
            killed.add(worker := wait_for(at_work, process))
            os.kill(worker, signal.SIGKILL)
        out, err = process.communicate(timeout=300)
    assert process.returncode == 0, (out, err)
    assert len(killed) == 2
    assert json.loads(out)["failed"] == 0
    check_all_once(made, output)


def test_a_driver_that_is_killed_goes_on_where_it_was(made: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    done = 0
    for _ in range(2):
        with subprocess.Popen(
            command("encode", made, output, "--input", made / "in"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            wait_for(lambda before=done: len(parts(output)) > before + 1 and len(parts(output)), process)
            process.kill()
            process.wait()
        done = len(parts(output))
        assert ROWS * done < IMAGES
    summary = run("encode", made, output, "--input", made / "in")
    assert 0 < summary["before"] < summary["done"] == IMAGES
    check_all_once(made, output)
    assert list((output / ".partial").iterdir()) == list((output / ".attempts").iterdir()) == []


def test_eval_is_that_of_one_machine(tmp_path: Path, cluster: Cluster) -> None:
    toy.write_labelled(tmp_path)
    spec = f"coco:{tmp_path}/images,{tmp_path}/truth.json"
    summary = run("eval", tmp_path, tmp_path / "out", "--input", spec, "--ray", cluster.address)
    one = [sys.executable, "-m", "midstream", "eval", "-m", str(tmp_path / "toy.toml"), "-d", spec, "--json"]
    alone = json.loads(subprocess.run(one, capture_output=True, check=True).stdout)
    assert alone["ap"] > 0
    times = {"encode_ms", "decode_ms", "front_ms", "back_ms"}
    assert {k: v for k, v in summary["result"].items() if k not in times} == {
        k: v for k, v in alone.items() if k not in times
    }


def test_no_ray_at_an_address(made: Path, tmp_path: Path) -> None:
    arguments = command("encode", made, tmp_path / "out", "--input", made / "in", "--ray", "127.0.0.1:1")
    done = subprocess.run(arguments, capture_output=True, check=False, timeout=300)
    assert done.returncode == 2
    assert done.stdout == b""
    assert done.stderr.decode().startswith("midstream: no Ray at 127.0.0.1:1: ")
