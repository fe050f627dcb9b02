"""Bytes of a frame of `paper` with the coder dense, each frame alone and in a stream, and the time of both.

    python benchmarks/symbols_stream.py --model picodet-s-416 --data clips:FOLDER --data video:FILE

The first frames of each clip, on one core. Every frame of the stream must decode to what it decodes to alone.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import midstream as ms
from midstream import data, models
from midstream.data import ImageFile, read_image

T = TypeVar("T")
RULES: list[dict[str, Any]] = [
    {"symbols": 4, "z": 1.5},
    {"symbols": 3, "z": 1.0},
    {"symbols": 8, "thresholds": "lloyd-max"},
]
FIELDS = ("alone", "stream", "encode alone", "encode", "decode alone", "decode")


def spent(work: Callable[[], T]) -> tuple[T, float]:
    """What it gives, and milliseconds of processor time."""
    begun = time.process_time()
    return work(), 1e3 * (time.process_time() - begun)


def measured(frames: list[Mapping[str, Any]], rule: Mapping[str, Any]) -> list[float]:
    """Of FIELDS, the mean of a frame."""
    encoder, decoder = ms.StreamEncoder("paper", coder="dense", threads=1, **rule), ms.StreamDecoder(threads=1)
    sums = [0.0] * len(FIELDS)
    for frame in frames:
        alone, encoded_ms = spent(lambda frame=frame: ms.encode(frame, "paper", coder="dense", threads=1, **rule))
        unit, unit_ms = spent(lambda frame=frame: encoder.encode(frame))
        wanted, decoded_ms = spent(lambda alone=alone: ms.decode(alone, threads=1))
        found, read_ms = spent(lambda unit=unit: decoder.decode(unit))
        assert all(found[name].tobytes() == values.tobytes() for name, values in wanted.items())
        values = (len(alone), len(unit), encoded_ms, unit_ms, decoded_ms, read_ms)
        sums = [sum(pair) for pair in zip(sums, values, strict=True)]
    return [each / len(frames) for each in sums]


def main() -> None:
    """Print a row for each clip and rule."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="picodet-s-416")
    parser.add_argument("--data", action="append", required=True, help="clips:FOLDER or video:FILE; repeatable")
    parser.add_argument("--frames", type=int, default=40, help="of each clip")
    arguments = parser.parse_args()
    model = models.load(arguments.model)
    print("| clip | symbols | bytes alone | in a stream | | encode, ms | decode, ms |\n|---|---|---|---|---|---|---|")
    for spec in arguments.data:
        clips: dict[str, list[ImageFile]] = {}
        for image in data.load(spec).images:
            clips.setdefault(image.clip.name if image.clip else spec, []).append(image)
        for clip, images in clips.items():
            frames = [model.front(read_image(image.path)) for image in images[: arguments.frames]]
            for rule in RULES:
                alone, stream, *times = measured(frames, rule)
                row = f"| {clip} | {rule['symbols']} | {alone:,.0f} | {stream:,.0f} | {stream / alone - 1:+.0%} |"
                print(f"{row} {times[0]:.0f} -> {times[1]:.0f} | {times[2]:.0f} -> {times[3]:.0f} |", flush=True)


if __name__ == "__main__":
    main()
