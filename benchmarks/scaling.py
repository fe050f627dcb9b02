"""How a batch job's rate grows with its workers: python -m benchmarks.scaling --input PICTURES --workers 1,2."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

#: So that the first part comes early, and the last ones of several workers together.
_PART_ROWS = 16


def measure(arguments: argparse.Namespace, workers: int) -> tuple[float, float, float]:
    """Pictures a second between the first part and the last, milliseconds of work a picture, seconds in all."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            *(sys.executable, "-m", "midstream", "batch", arguments.job, "--model", arguments.model),
            *(word for each in arguments.input for word in ("--input", each)),
            *("--output", folder, "--workers", str(workers), "--part-rows", str(_PART_ROWS), *arguments.more),
        ]
        subprocess.run(command, check=True)
        parts = sorted((Path(folder) / "results").glob("*.parquet"), key=lambda path: path.stat().st_mtime)
        tables = [pq.read_table(path) for path in parts]
        times = [path.stat().st_mtime for path in parts]
        stages = [name for name in ("front_ms", "encode_ms", "decode_ms", "back_ms") if name in tables[0].column_names]
        work = float(np.concatenate([sum(table[name].to_numpy() for name in stages) for table in tables]).mean())
        later = sum(table.num_rows for table in tables[1:])
        return later / (times[-1] - times[0]), work, times[-1] - (Path(folder) / "run.json").stat().st_mtime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("job", choices=["encode", "decode"])
    parser.add_argument("--input", action="append", required=True)
    parser.add_argument("--model", default="picodet-s-416")
    parser.add_argument("--workers", default="1,2")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("more", nargs="*", help="for the job, after --")
    arguments = parser.parse_args()
    counts = [int(count) for count in arguments.workers.split(",")]
    runs = [(count, *measure(arguments, count)) for _ in range(arguments.repeats) for count in counts]
    print("| workers | pictures/s | ms of work a picture | seconds in all |\n|---|---|---|---|")
    for count in counts:
        rate, work, seconds = max(run[1:] for run in runs if run[0] == count)
        print(f"| {count} | {rate:.1f} | {work:.1f} | {seconds:.1f} |")


if __name__ == "__main__":
    main()
