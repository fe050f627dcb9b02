"""How a batch job's rate, processor time and memory grow with its workers.

    python benchmarks/scaling.py encode --input IMAGES --workers 1,2

Between the first part of the table and the last: images a second, and processor milliseconds an image, of the
workers and of all processes. The latter do not depend on what else a machine does. Memory is the largest sum of the
processes' proportional shares, Ray's object store included. One Ray, started here, is joined by all runs.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import ray

#: So that the first part comes early, and the last ones of several workers together.
_PART_ROWS = 16
_SAMPLE_S = 0.5
#: As of a job's own Ray.
_STORE_BYTES = 512 << 20
_WORKER = "ray::MapWorker"


@dataclass
class Usage:
    """Of all that this process started: processor seconds by process at every moment, and largest memory by kind."""

    driver: int
    moments: list[tuple[float, dict[int, float]]] = field(default_factory=list)
    workers: set[int] = field(default_factory=set)
    memory: dict[str, int] = field(default_factory=lambda: {"worker": 0, "driver": 0, "all": 0})

    def watch(self, folder: Path, stop: threading.Event) -> None:
        seconds: dict[int, float] = {}
        while not stop.wait(_SAMPLE_S):
            shares = {}
            for process in psutil.Process().children(recursive=True):
                try:
                    times = process.cpu_times()
                    seconds[process.pid] = times.user + times.system
                    shares[process.pid] = process.memory_full_info().pss
                    if " ".join(process.cmdline()).startswith(_WORKER):
                        self.workers.add(process.pid)
                except (psutil.NoSuchProcess, psutil.AccessDenied):
                    continue
            probe = folder / "clock"  # the clock of the file system, which dates the parts
            probe.touch()
            self.moments.append((probe.stat().st_mtime, dict(seconds)))
            largest = max((shares[pid] for pid in self.workers if pid in shares), default=0)
            now = {"worker": largest, "driver": shares.get(self.driver, 0), "all": sum(shares.values())}
            self.memory = {name: max(size, now[name]) for name, size in self.memory.items()}

    def seconds(self, start: float, end: float, workers_only: bool) -> float:
        """Processor seconds between two times, to the nearest samples."""
        first, last = (min(self.moments, key=lambda moment: abs(moment[0] - at))[1] for at in (start, end))
        chosen = self.workers if workers_only else last.keys()
        return sum(last.get(pid, 0.0) - first.get(pid, 0.0) for pid in chosen)


def measure(arguments: argparse.Namespace, workers: int, address: str) -> list[float]:
    with tempfile.TemporaryDirectory() as folder:
        command = [
            *(sys.executable, "-m", "midstream", "batch", arguments.job, "--model", arguments.model),
            *(word for each in arguments.input for word in ("--input", each)),
            *("--output", f"{folder}/out", "--workers", str(workers), "--part-rows", str(_PART_ROWS)),
            *("--ray", address, *arguments.more),
        ]
        with subprocess.Popen(command) as process:
            usage, stop = Usage(process.pid), threading.Event()
            thread = threading.Thread(target=usage.watch, args=[Path(folder), stop])
            thread.start()
            try:
                while process.poll() is None and not stop.wait(_SAMPLE_S):
                    pass
            finally:
                stop.set()
                thread.join()
        parts = sorted(Path(folder, "out", "results").glob("*.parquet"), key=lambda path: path.stat().st_mtime)
        start, end = parts[0].stat().st_mtime, parts[-1].stat().st_mtime
        later = sum(pq.read_metadata(path).num_rows for path in parts[1:])
        each = [1e3 * usage.seconds(start, end, workers_only) / later for workers_only in (True, False)]
        return [later / (end - start), *each, *(size / (1 << 20) for size in usage.memory.values())]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("job", choices=["encode", "decode"])
    parser.add_argument("--input", action="append", required=True)
    parser.add_argument("--model", default="picodet-s-416")
    parser.add_argument("--workers", default="1,2")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("more", nargs="*", help="for the job, after --")
    arguments = parser.parse_args()
    counts = [int(count) for count in arguments.workers.split(",")]
    context = ray.init("local", num_cpus=max(counts) + 2, include_dashboard=False, object_store_memory=_STORE_BYTES)
    address = context.address_info["gcs_address"]
    runs = [(count, measure(arguments, count, address)) for _ in range(arguments.repeats) for count in counts]
    print("| workers | images/s | ms of processor an image, workers | of all | MiB, a worker | driver | all |")
    print("|---|---|---|---|---|---|---|")
    for count in counts:
        best = max(run for workers, run in runs if workers == count)
        print(f"| {count} | {best[0]:.1f} | " + " | ".join(f"{value:.0f}" for value in best[1:]) + " |", flush=True)


if __name__ == "__main__":
    main()
