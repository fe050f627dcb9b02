"""What the codec `calibrated` takes of one core for each image, without the network's part.

    python benchmarks/calibrated_speed.py --model picodet-s-416 --images photos --profile picodet.profile

Processor time, medians over the images. What `importance=network` asks the network for comes on top of encode.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

import midstream as ms
from midstream import data as datasets
from midstream import models
from midstream.data import read_image
from midstream.split.levels import sent


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    start = time.process_time()
    return work(), (time.process_time() - start) * 1e3


def encode(pyramid: Mapping[str, NDArray[Any]], profile: ms.Profile, quality: int) -> bytes:
    return ms.encode(pyramid, "calibrated", profile=profile, quality=quality, threads=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--images", required=True)
    parser.add_argument("--profile", type=Path, required=True)
    parser.add_argument("--quality", type=int, nargs="+", default=[30, 60, 90])
    parser.add_argument("--limit", type=int, default=40)
    arguments = parser.parse_args()
    model, profile = models.load(arguments.model), ms.Profile.read(arguments.profile)
    images = [read_image(each.path) for each in datasets.load(arguments.images).images[: arguments.limit]]
    pyramids = [sent(model, model.front(pixels)) for pixels in images]
    print("| quality | bytes | encode, ms | decode, ms |\n|---|---|---|---|")
    for quality in arguments.quality:
        encoded = [timed(partial(encode, pyramid, profile, quality)) for pyramid in pyramids]
        decoded = [timed(partial(ms.decode, data, profile=profile, threads=1)) for data, _ in encoded]
        size = statistics.mean(len(data) for data, _ in encoded)
        times = [statistics.median(each[1] for each in runs) for runs in (encoded, decoded)]
        print(f"| {quality} | {size:,.0f} | {times[0]:.1f} | {times[1]:.1f} |")


if __name__ == "__main__":
    main()
