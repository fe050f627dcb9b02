"""What a predicted frame takes of one core beside a frame alone, and what a stream keeps for it.

    python benchmarks/stream_speed.py --model picodet-s-416 --clip clip.mp4 --profile picodet.profile

Processor time of one thread, without the network's part; the two take turns, frame by frame. Medians over the frames.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import midstream as ms
from midstream import models
from midstream.data.frames import open_source
from midstream.features import check_pyramid
from midstream.halves.levels import sent

KINDS = {"alone": 1, "predicted": None}


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    start = time.process_time()
    return work(), (time.process_time() - start) * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--clip", required=True)
    parser.add_argument("--profile", type=Path, required=True)
    parser.add_argument("--quality", type=int, nargs="+", default=[60, 30])
    parser.add_argument("--limit", type=int, default=40)
    arguments = parser.parse_args()
    model, profile = models.load(arguments.model), ms.Profile.read(arguments.profile)
    images = [each.image for each in islice(open_source(arguments.clip).frames(), arguments.limit)]
    frames = [check_pyramid(sent(model, model.front(image))) for image in images if image is not None]
    print("| quality | frames | bytes | encode, ms | decode, ms |\n|---|---|---|---|---|")
    for quality in arguments.quality:
        sides = {
            kind: (
                ms.StreamEncoder(profile=profile, quality=quality, key_interval=interval, threads=1),
                ms.StreamDecoder(profile, threads=1),
            )
            for kind, interval in KINDS.items()
        }
        took: dict[str, list[tuple[float, float, int]]] = {kind: [] for kind in KINDS}
        for frame in frames:
            for kind, (encoder, decoder) in sides.items():
                unit, encode_ms = timed(lambda encoder=encoder, frame=frame: encoder.encode_levels(frame))  # type: ignore[misc]
                _, decode_ms = timed(lambda decoder=decoder, unit=unit: decoder.decode(unit))  # type: ignore[misc]
                took[kind].append((encode_ms, decode_ms, len(unit)))
        medians = {}
        for kind, each in took.items():
            encode_ms, decode_ms = (statistics.median(row[i] for row in each[1:]) for i in (0, 1))
            size = statistics.mean(row[2] for row in each[1:])
            medians[kind] = encode_ms, decode_ms
            print(f"| {quality} | {kind} | {size:,.0f} | {encode_ms:.1f} | {decode_ms:.1f} |")
        ratios = [after / before for before, after in zip(medians["alone"], medians["predicted"], strict=True)]
        print(f"| {quality} | ratio | | {ratios[0]:.2f} | {ratios[1]:.2f} |")


if __name__ == "__main__":
    main()
