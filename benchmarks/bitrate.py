"""How well a bit rate is held: any ten seconds, the fullest bucket, passes, and how much the step swings.

    python benchmarks/bitrate.py --model picodet-s-416 --profile picodet.profile --clip street=highway \\
        --clip cuts=davis/eval/dog,davis/eval/bmx-trees,davis/eval/blackswan --clip still=room.mp4@0-300

A clip is made of parts, one after another: files or folders, of which `@0-300` takes some frames; `noise` is made here.
The rates are what the clip takes, on average, at each quality. Of the rates, the worst is shown, and the mean of passes
and of the standard deviation of the step.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import midstream as ms
from midstream import models
from midstream.data.frames import open_source
from midstream.errors import InputError
from midstream.features import Level, check_pyramid
from midstream.halves.levels import sent

Frames = list[Sequence[Level]]
WINDOW_S = 10


def images(part: str) -> Iterator[NDArray[np.uint8]]:
    place, _, span = part.partition("@")
    first, last = (int(each) for each in span.split("-")) if span else (0, None)
    if place == "noise":
        rng = np.random.default_rng(0)
        return (
            rng.integers(0, 256, (416, 416, 3), dtype=np.uint8) for _ in range(first, 300 if last is None else last)
        )
    return (each.image for each in islice(open_source(place).frames(), first, last) if each.image is not None)


def run(
    frames: Frames, profile: ms.Profile, fps: float, rate: float, interval: int | None, cap: float | None
) -> list[float]:
    """Least and most of any ten seconds beside the rate, fullest bucket, passes, deviation of steps, refused frames."""
    most = None if cap is None else round(cap * rate / fps)
    encoder = ms.StreamEncoder(profile=profile, bitrate=8 * rate, fps=fps, key_interval=interval, max_bytes=most)
    sizes, steps, passes = [], [], []
    for frame in frames:
        try:
            sizes.append(len(encoder.encode_levels(frame)))
        except InputError:
            sizes.append(0)
            continue
        assert encoder.last is not None
        assert encoder.last.step is not None
        steps.append(encoder.last.step)
        passes.append(encoder.last.passes)
    filled = fullest = 0.0
    for size in sizes:
        filled = max(filled - rate / fps, 0.0) + size
        fullest = max(fullest, filled)
    sums = np.convolve(sizes, np.ones(min(round(WINDOW_S * fps), len(sizes))), "valid")
    off = sums / (min(WINDOW_S, len(sizes) / fps) * rate) - 1
    assert most is None or max(sizes) <= most
    bucket_s = max(1.0, 10 / fps)
    return [off.min(), off.max(), fullest / (bucket_s * rate), np.mean(passes), np.std(steps), sizes.count(0)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--profile", type=Path, required=True)
    parser.add_argument("--clip", action="append", required=True, metavar="NAME=PART,PART...")
    parser.add_argument("--quality", type=int, nargs="+", default=[20, 40, 65])
    parser.add_argument("--fps", type=float, nargs="+", default=[25, 10, 5])
    parser.add_argument("--cap", type=float, help="max_bytes, as so many times the mean of a frame")
    arguments = parser.parse_args()
    model, profile = models.load(arguments.model), ms.Profile.read(arguments.profile)
    print("| clip | frames/s | keys | kbit/s | ten seconds, % | fullest bucket | passes | steps | refused |")
    print("|---|---|---|---|---|---|---|---|---|")
    for clip in arguments.clip:
        name, _, parts = clip.partition("=")
        frames = [check_pyramid(sent(model, model.front(image))) for part in parts.split(",") for image in images(part)]
        means = []
        for quality in arguments.quality:
            encoder = ms.StreamEncoder(profile=profile, quality=quality)
            means.append(float(np.mean([len(encoder.encode_levels(frame)) for frame in frames])))
        for fps in arguments.fps:
            for interval in (64, None):
                found = np.array([run(frames, profile, fps, mean * fps, interval, arguments.cap) for mean in means])
                rates = " / ".join(f"{8e-3 * mean * fps:.3g}" for mean in means)
                least, most, bucket = found[:, 0].min(), found[:, 1].max(), found[:, 2].max()
                passes, steps, refused = found[:, 3].mean(), found[:, 4].mean(), found[:, 5].sum()
                print(
                    f"| {name} | {fps:g} | {interval or 'first'} | {rates} | {100 * least:+.1f} to {100 * most:+.1f} | "
                    f"{bucket:.2f} | {passes:.2f} | {steps:.1f} | {refused:.0f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
