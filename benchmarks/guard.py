"""Whether the codec's speed has drifted: the read passes of `midstream bench` beside those recorded in guard.json.

    python benchmarks/guard.py              # prints what lies outside of its range, and never fails on it
    python benchmarks/guard.py --record 5   # measures five times, and writes the least and the most of each figure

A read pass is the time in which one core reads all elements once, so that figures of different machines can be
compared at all; a range still belongs to an instruction set and a memory, which are printed.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

RECORD = Path(__file__).with_name("guard.json")
#: Options of `midstream bench`: the founding paper's shapes, and a tenth of them for the coder that computes more.
WORKLOADS = (
    ("--shape", "r50", "--coder", "fast", "--threads", "1", "--repeats", "10"),
    ("--shape", "256x100x168", "--coder", "dense", "--threads", "1", "--repeats", "10"),
)
#: A figure has drifted when it lies outside of its range by more than this share.
SLACK = 0.15


def measured(workload: tuple[str, ...]) -> tuple[str, dict[str, float]]:
    """The instruction set, and read passes by coder and direction."""
    command = [sys.executable, "-m", "midstream", "bench", *workload, "--json", "--quiet"]
    report = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    passes = {f"{row['coder']} {way}": row[f"{way}_passes"] for row in report["rows"] for way in ("encode", "decode")}
    return report["simd"], passes


def record(times: int) -> dict[str, Any]:
    """Ranges of all workloads."""
    ranges: dict[str, dict[str, list[float]]] = {}
    simd = ""
    for workload in WORKLOADS:
        runs = []
        for _ in range(times):
            simd, passes = measured(workload)
            runs.append(passes)
        each = {name: [round(run[name], 2) for run in runs] for name in runs[0]}
        ranges[" ".join(workload)] = {name: [min(values), max(values)] for name, values in each.items()}
    return {
        "date": datetime.date.today().isoformat(),
        "machine": f"{platform.machine()}, {simd}",
        "runs": times,
        "passes": ranges,
    }


def verdict(value: float, low: float, high: float) -> str:
    """Of a number of passes beside its range."""
    if value > high * (1 + SLACK):
        return f"SLOWER by {value / high - 1:.0%} than the slowest that was recorded"
    if value < low * (1 - SLACK):
        return f"faster by {1 - value / low:.0%} than the fastest that was recorded"
    return "as recorded"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", type=int, metavar="TIMES", help="write the ranges instead of comparing with them")
    arguments = parser.parse_args()
    if arguments.record:
        RECORD.write_text(json.dumps(record(arguments.record), indent=1) + "\n")
        return
    recorded = json.loads(RECORD.read_text())
    print(f"recorded on {recorded['date']}: {recorded['machine']}")
    for workload in WORKLOADS:
        simd, passes = measured(workload)
        for name, value in passes.items():
            low, high = recorded["passes"][" ".join(workload)][name]
            about = f"{value:.2f} read passes ({low:.2f} to {high:.2f}; {simd})"
            print(f"bench {' '.join(workload)}: {name} {about}: {verdict(value, low, high)}")


if __name__ == "__main__":
    main()
