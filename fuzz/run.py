"""Runs every fuzz target on the inputs that are kept, then for some seconds, one on each core: `make fuzz SECONDS=600`.

    python fuzz/run.py --seconds=0       # only what is kept
    python fuzz/run.py --keep            # keeps the least of fuzz/corpus that reaches as much

Fails when a target does. What it failed on stays in fuzz/crashes, and the command that runs it again is printed.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import kept

FUZZ = Path(__file__).parent
BUILD = FUZZ.parent / "build" / "fuzz"
NATIVE = ("fast", "dense", "fields", "round_trip", "components", "predicted")
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


def started(name: str, command: list[str], options: list[str], folders: list[Path]) -> tuple[int, str]:
    """Exit code and log of a target with these options of libFuzzer."""
    log = BUILD / f"{name}.log"
    # Minutes: a shared machine can stand still for one, and what hangs does not end in ten either.
    usual = [f"-max_len={LONGEST.get(name, 600)}", "-timeout=600", "-report_slow_units=600", "-rss_limit_mb=4096",
             "-print_final_stats=1", f"-artifact_prefix={FUZZ / 'crashes' / name}-"]  # fmt: skip
    with log.open("wb") as out:
        code = subprocess.run(
            [*command, *usual, *options, *map(str, folders)],
            stdout=out, stderr=subprocess.STDOUT, env={**SANITIZERS, **os.environ},
        ).returncode  # fmt: skip
    text = log.read_text(errors="replace")
    if code:
        report(name, command, text)
    return code, text


def corpus_of(name: str, command: list[str]) -> Path:
    """The folder that fuzzing fills, with what it begins with."""
    corpus = FUZZ / "corpus" / name
    corpus.mkdir(parents=True, exist_ok=True)
    if name == "decode":
        subprocess.run([*command, "--seeds", str(corpus)], check=True)
    return corpus


def executions(text: str) -> int:
    """As the log of a target says."""
    return sum(int(count) for count in re.findall(r"number_of_executed_units: (\d+)", text))


def run(name: str, command: list[str], seconds: int) -> tuple[int, bool]:
    """Run what is kept of a target, then fuzz: executions, and whether nothing was found."""
    corpus = corpus_of(name, command)
    with tempfile.TemporaryDirectory() as there:
        count = kept.unpack(name, Path(there))
        code, text = started(name, command, ["-runs=0"], [Path(there)])
        if code == 0 and seconds:
            code, text = started(name, command, [f"-max_total_time={seconds}"], [corpus, Path(there)])
    done = executions(text)
    print(f"{name:10} {count:6,} kept inputs, {done:12,} executions in {seconds} s", flush=True)
    return done, code == 0


def keep(name: str, command: list[str]) -> bool:
    """Keep as few inputs as reach what those that are kept and the corpus reach; whether that has worked."""
    corpus = corpus_of(name, command)
    with tempfile.TemporaryDirectory() as there:
        old, new = Path(there) / "old", Path(there) / "new"
        kept.unpack(name, old)
        new.mkdir()
        code, _ = started(name, command, ["-merge=1"], [new, old, corpus])
        if code:
            return False
        inputs = [path.read_bytes() for path in new.iterdir()]
    path = kept.write(name, inputs)
    print(f"{name:10} {len(inputs):6,} kept inputs, {path.stat().st_size:12,} bytes", flush=True)
    return True


def report(name: str, command: list[str], text: str) -> None:
    """Say what was found and how to see it again."""
    found = re.search(r"^.*(ERROR: |runtime error|wrong: |Uncaught)", text, re.MULTILINE)
    print(f"{name} failed; from {os.path.relpath(BUILD)}/{name}.log:")
    print(*text[found.start() if found else 0 :].splitlines()[:30], sep="\n")
    for unit in re.findall(r"Test unit written to (\S+)", text):
        again = (os.path.relpath(part) if Path(part).is_absolute() else part for part in (*command, unit))
        print("run it again:", *again)


def main() -> None:
    """Run all, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--keep", action="store_true", help="keep inputs instead of running")
    parser.add_argument("targets", nargs="*")
    arguments = parser.parse_args()
    (FUZZ / "crashes").mkdir(exist_ok=True)
    known = commands()
    if arguments.keep:
        good = [keep(name, known[name]) for name in arguments.targets or known]
        sys.exit(not all(good))
    with ThreadPoolExecutor(os.cpu_count()) as cores:
        chosen = arguments.targets or list(known)
        results = list(cores.map(lambda name: run(name, known[name], arguments.seconds), chosen))
    print(f"{sum(count for count, _ in results):,} executions in all")
    sys.exit(not all(good for _, good in results))


if __name__ == "__main__":
    main()
