"""The scripts in examples/ run as they stand; that of torch is tested with the torch adapters."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.helpers.toy import write_images, write_labelled

import midstream as ms
from midstream import models
from midstream.batch import sources
from midstream.batch.folder import Folder, JobManifest
from midstream.batch.job import Job, work
from midstream.models.reference import Reference

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(script: str, *arguments: object, cwd: Path) -> str:
    command = [sys.executable, str(EXAMPLES / script), *map(str, arguments)]
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=600, env=os.environ | {"HOME": str(cwd)}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    return write_labelled(tmp_path)


def test_calibrate_and_measure(labelled: Path) -> None:
    write_images(labelled / "unlabelled", 20)
    said = run(
        "calibrate_and_measure.py", "--model", labelled / "toy.toml", "--images", labelled / "unlabelled",
        "--data", f"coco:{labelled / 'images'},{labelled / 'truth.json'}", "--output", "toy.profile", cwd=labelled,
    )  # fmt: skip
    assert (labelled / "toy.profile").is_file()
    rows = [line.split() for line in said.splitlines()[-3:]]
    assert [row[0] for row in rows] == ["paper", "calibrated", "calibrated"]
    sizes = [float(row[-3].replace(",", "")) for row in rows]
    assert sizes[1] >= sizes[2] > 0
    assert {row[-1] for row in rows} == {rows[0][-1]}  # the uncompressed AP is the same for all


def test_server_and_client(tmp_path: Path) -> None:
    said = run("server_and_client.py", cwd=tmp_path).splitlines()
    found = [re.fullmatch(r"scene (\d): ([\d,]+) bytes sent, \d+ ms: \d+ [a-z]+(, \d+ [a-z]+)*", line) for line in said]
    assert [each and each[1] for each in found] == ["0", "1", "2", "3"]


def a_job(folder: Path, kind: str, inputs: Path, description: Path) -> None:
    """What `midstream batch` does, without Ray."""
    network = models.load(str(description), threads=1)
    codec = ms.Paper(symbols=4) if kind == "encode" else None
    job = Job(kind, Reference("toy", None, network.identity, network.fingerprint), codec)  # type: ignore[arg-type]
    tables = [table for chunk in sources.find([str(inputs)], kind) for table in chunk.read()]  # type: ignore[arg-type]
    there = Folder(folder)
    with there.opened(JobManifest.of(job, "toy")):
        rows = pa.concat_tables([part for table in tables for part in work(network, job, table)])
        pq.write_table(rows.select(["key"]), there.checkpoint / "0.parquet")
        there.write_part("0.parquet", rows)


def test_read_batch(labelled: Path) -> None:
    (labelled / "images" / "broken.png").write_bytes(b"no image")
    a_job(labelled / "coded", "encode", labelled / "images", labelled / "toy.toml")
    a_job(labelled / "found", "decode", labelled / "coded", labelled / "toy.toml")
    said = run("read_batch.py", "coded", "found", cwd=labelled)
    assert "4 images" in said
    assert "p3 [5, 4, 4], p4 [5, 2, 2]" in said
    assert "broken.png" in said
    assert "in 4 images" in said
