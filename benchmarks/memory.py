"""Peak memory of encode and of decode above the float32 pyramid itself, each in a process of its own.

    python benchmarks/memory.py --shape r50 --coder fast --threads 2
    python benchmarks/memory.py --profile P.profile --pyramid photo.npz --threads 1

The second measures the codec `calibrated`, of a network's pyramid from `midstream extract`; the profile is read before.
Peaks are the process's largest resident set (Linux), less what it had before the call; for encode the pyramid was there
before, for decode it is what the call makes.
"""

from __future__ import annotations

import argparse
import ctypes
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import midstream as ms
from midstream.codec.speed import shapes_of, smooth_pyramid
from midstream.files import read_pyramid


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def read_profile(path: str | None) -> ms.Profile | None:
    if path is None:
        return None
    profile = ms.Profile.read(path)
    ctypes.CDLL(None).malloc_trim(0)  # reading frees more than the call takes, which would use it unseen
    return profile


def reset_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")  # else the peak of what made the pyramid counts


def high_water() -> int:
    line = next(row for row in Path("/proc/self/status").read_text().splitlines() if row.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def encode(arguments: argparse.Namespace) -> None:
    pyramid = read_pyramid(arguments.pyramid) if arguments.pyramid else smooth_pyramid(shapes_of(arguments.shape))
    profile = read_profile(arguments.profile)
    floats = sum(values.nbytes for values in pyramid.values())
    reset_peak()
    before = resident()
    if profile is None:
        data = ms.encode(pyramid, symbols=4, z=1.5, coder=arguments.coder, threads=arguments.threads)
    else:
        data = ms.encode(pyramid, "calibrated", profile=profile, threads=arguments.threads)
    above = high_water() - before
    print(f"| encode | {arguments.coder} | {floats:,} | {above:,} | {above / floats:.1%} |")
    arguments.stream.write_bytes(data)


def decode(arguments: argparse.Namespace) -> None:
    data = arguments.stream.read_bytes()
    profile = read_profile(arguments.profile)
    reset_peak()
    before = resident()
    floats = sum(values.nbytes for values in ms.decode(data, profile=profile, threads=arguments.threads).values())
    above = high_water() - before - floats
    print(f"| decode | {arguments.coder} | {floats:,} | {above:,} | {above / floats:.1%} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", default="r50")
    parser.add_argument("--coder", default="fast")
    parser.add_argument("--profile", help="measure the codec calibrated with it, at its default quality")
    parser.add_argument("--pyramid", help="a file from 'midstream extract', for --profile")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--step", choices=["encode", "decode"], help=argparse.SUPPRESS)
    parser.add_argument("--stream", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if (arguments.profile is None) != (arguments.pyramid is None):
        parser.error("--profile and --pyramid go together")
    if arguments.profile is not None:
        arguments.coder = "calibrated"
    if arguments.step:
        (encode if arguments.step == "encode" else decode)(arguments)
        return
    print("| | coder | bytes of float32 | above them | share |\n|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for step in ("encode", "decode"):
            options = ["--step", step, "--stream", str(Path(folder) / "stream.mids")]
            subprocess.run([sys.executable, *sys.argv, *options], check=True)


if __name__ == "__main__":
    main()
