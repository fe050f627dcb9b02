"""Runs every fuzz target for some seconds, one after the other: `make fuzz SECONDS=600`.

Fails when a target does. What it failed on stays in fuzz/crashes, and the command that runs it again is printed.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

FUZZ = Path(__file__).parent
BUILD = FUZZ.parent / "build" / "fuzz"
NATIVE = ("fast", "dense", "fields", "round_trip", "components")
# Small inputs are run often; a whole bitstream is not that small.
LONGEST = {"decode": 2000}
SANITIZERS = {
    # Large blocks that wait to be given back, and deep traces of each allocation, are most of the time otherwise.
    "ASAN_OPTIONS": "quarantine_size_mb=16:malloc_context_size=8",
    "UBSAN_OPTIONS": "print_stacktrace=1",
}


def commands() -> dict[str, list[str]]:
    """What starts each target."""
    out = {name: [str(BUILD / name)] for name in NATIVE}
    if importlib.util.find_spec("atheris"):
        out["decode"] = [sys.executable, str(FUZZ / "fuzz_decode.py")]
    else:
        print("decode is not run: atheris is not installed (the group fuzz of pyproject.toml)")
    return out


def run(name: str, command: list[str], seconds: int) -> tuple[int, bool]:
    """Executions of one target, and whether nothing was found."""
    corpus, log = FUZZ / "corpus" / name, BUILD / f"{name}.log"
    corpus.mkdir(parents=True, exist_ok=True)
    # Minutes: a shared machine can stand still for one, and what hangs does not end in ten either.
    options = [f"-max_total_time={seconds}", f"-max_len={LONGEST.get(name, 600)}", "-timeout=600",
               "-report_slow_units=600", "-rss_limit_mb=4096", "-print_final_stats=1",
               f"-artifact_prefix={FUZZ / 'crashes' / name}-"]  # fmt: skip
    with log.open("wb") as out:
        code = subprocess.run(
            [*command, *options, str(corpus)], stdout=out, stderr=subprocess.STDOUT, env={**SANITIZERS, **os.environ}
        ).returncode
    text = log.read_text(errors="replace")
    executions = sum(int(count) for count in re.findall(r"number_of_executed_units: (\d+)", text))
    print(f"{name:10} {executions:12,} executions in {seconds} s", flush=True)
    if code:
        report(name, command, text)
    return executions, code == 0


def report(name: str, command: list[str], text: str) -> None:
    """Say what was found and how to see it again."""
    found = re.search(r"^.*(ERROR: |runtime error|wrong: |Uncaught)", text, re.MULTILINE)
    print(f"{name} failed; from {os.path.relpath(BUILD)}/{name}.log:")
    print(*text[found.start() if found else 0 :].splitlines()[:30], sep="\n")
    for kept in re.findall(r"Test unit written to (\S+)", text):
        again = (os.path.relpath(part) if Path(part).is_absolute() else part for part in (*command, kept))
        print("run it again:", *again)


def main() -> None:
    """Run all, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("targets", nargs="*")
    arguments = parser.parse_args()
    (FUZZ / "crashes").mkdir(exist_ok=True)
    known = commands()
    results = [run(name, known[name], arguments.seconds) for name in arguments.targets or known]
    print(f"{sum(executions for executions, _ in results):,} executions in all")
    sys.exit(not all(good for _, good in results))


if __name__ == "__main__":
    main()
