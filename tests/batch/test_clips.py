"""Clips in batch jobs on a real Ray: by groups, whatever the workers, resumed and killed."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import cv2
import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest
from tests.helpers import toy
from tests.helpers.batch_commands import command, parts, run, wait_for
from tests.helpers.cluster import Cluster

import midstream as ms
from midstream import models

#: Large enough that reading a frame takes tens of milliseconds, so that there is time to kill.
SIDE = 2000
CLIPS, FRAMES, INTERVAL = 3, 20, 2
GROUPS = CLIPS * FRAMES // INTERVAL
CODEC = {"symbols": 4, "coder": "dense"}
OPTIONS = ("--coder", "dense", "--key-interval", INTERVAL)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy network and clips `in/0`, `in/1`, ... of large frames."""
    folder = tmp_path_factory.mktemp("made")
    toy.write_toy(folder)
    rng = np.random.default_rng(0)
    for clip in range(CLIPS):
        (folder / "in" / str(clip)).mkdir(parents=True)
        coarse = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        for i in range(FRAMES):
            moved = np.roll(cv2.resize(coarse, (SIDE, SIDE)), 20 * i, axis=1)
            cv2.imwrite(str(folder / "in" / str(clip) / f"{i}.jpg"), moved)
    return folder


def source(made: Path) -> tuple[str, str]:
    return "--input", f"clips:{made / 'in'}"


def coded(output: Path) -> dict[str, bytes]:
    rows = pq.read_table(output / "results", columns=["id", "bitstream"]).to_pylist()
    assert len(rows) == GROUPS
    return {row["id"]: row["bitstream"] for row in rows}


@pytest.fixture(scope="module")
def expected(made: Path) -> dict[str, bytes]:
    """The units of each group, one after the other, of a run without Ray."""
    network = models.load(str(made / "toy.toml"))
    units: dict[str, bytes] = {}
    for clip in sorted((made / "in").iterdir()):
        for i in range(FRAMES):
            if i % INTERVAL == 0:
                encoder, name = ms.StreamEncoder("paper", **CODEC), f"{clip}#{i:08}"
            unit = encoder.encode(network.front(ms.data.read_image(clip / f"{i}.jpg")))
            units[name] = units.get(name, b"") + unit
    return units


def check_all_once(output: Path, expected: dict[str, bytes]) -> None:
    def units(file: bytes) -> Iterator[bytes]:
        with ms.ClipReader(io.BytesIO(file)) as reader:
            yield from (unit.data for unit in reader.units())

    assert {name: b"".join(units(file)) for name, file in coded(output).items()} == expected


def test_results_do_not_depend_on_the_workers_and_are_decoded(
    made: Path, tmp_path: Path, cluster: Cluster, expected: dict[str, bytes]
) -> None:
    for workers in (1, 2):
        output = tmp_path / str(workers)
        more = ("--ray", cluster.address, "--workers", workers)
        summary = run("encode", made, output, *source(made), *OPTIONS, *more)
        assert (summary["done"], summary["failed"]) == (GROUPS, 0)
        assert (summary["frames"], summary["failed_frames"]) == (CLIPS * FRAMES, 0)
        check_all_once(output, expected)
    assert coded(tmp_path / "1") == coded(tmp_path / "2")
    (total,) = duckdb.sql(
        f"SELECT sum(f.bytes) FROM (SELECT unnest(frames) AS f FROM '{tmp_path}/1/results/*.parquet')"
    ).fetchall()
    assert total == (summary["bytes"],)

    found = tmp_path / "found"
    summary = run("decode", made, found, "--input", tmp_path / "1", "--ray", cluster.address)
    assert (summary["done"], summary["frames"], summary["failed_frames"]) == (GROUPS, CLIPS * FRAMES, 0)
    network = models.load(str(made / "toy.toml"))
    files = coded(tmp_path / "1")
    for row in pq.read_table(found / "results").to_pylist():
        decoder = ms.StreamDecoder()
        with ms.ClipReader(io.BytesIO(files[row["id"]])) as reader:
            for unit, frame in zip(reader.units(), row["frames"], strict=True):
                there = network.back(decoder.decode(unit.data), (SIDE, SIDE))
                assert [each["score"] for each in frame["detections"]] == there.scores.tolist()


def test_a_driver_that_is_killed_goes_on_and_options_are_of_the_job(
    made: Path, tmp_path: Path, expected: dict[str, bytes]
) -> None:
    output = tmp_path / "out"
    with subprocess.Popen(
        command("encode", made, output, *source(made), *OPTIONS), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        wait_for(lambda: len(parts(output)) > 2, process)
        process.kill()
        process.wait()
    done = len(parts(output))
    assert done < GROUPS
    other = command("encode", made, output, *source(made), "--coder", "dense", "--key-interval", "3")
    refused = subprocess.run(other, capture_output=True, check=False, timeout=300)
    assert refused.returncode == 2
    assert b"its key_interval is 2, this one's 3" in refused.stderr
    summary = run("encode", made, output, *source(made), *OPTIONS)
    assert 0 < summary["before"] < summary["done"] == GROUPS
    check_all_once(output, expected)


def test_a_worker_that_is_killed_costs_nothing(
    made: Path, tmp_path: Path, cluster: Cluster, expected: dict[str, bytes]
) -> None:
    output = tmp_path / "out"
    with subprocess.Popen(
        command("encode", made, output, *source(made), *OPTIONS, "--ray", cluster.address),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:

        def at_work() -> int | None:
            busy = any((output / ".attempts").iterdir())
            return next(iter(cluster.pids("ray::MapWorker")), None) if busy else None

        wait_for(lambda: parts(output), process)
        os.kill(wait_for(at_work, process), signal.SIGKILL)
        out, err = process.communicate(timeout=300)
    assert process.returncode == 0, (out, err)
    assert json.loads(out)["failed"] == 0
    check_all_once(output, expected)


def test_eval_of_clips(made: Path, tmp_path: Path, cluster: Cluster, expected: dict[str, bytes]) -> None:
    summary = run("eval", made, tmp_path / "out", *source(made), *OPTIONS, "--ray", cluster.address)
    assert summary["result"]["images"] == CLIPS * FRAMES
    assert summary["bytes"] == sum(map(len, expected.values()))
    assert 0 < summary["result"]["ap"] <= 100
