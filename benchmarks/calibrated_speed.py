"""What the codec `calibrated` takes of one core for each image, beside what the network itself takes of it.

    OMP_NUM_THREADS=1 python benchmarks/calibrated_speed.py -m picodet-s-416 -d photos --profile picodet.profile

Processor time, with a codec that is made once. Of each image, the front, coding at each quality and the back are timed
one after the other, several times over, and the least of each counts; printed are medians over the images. The ratio is
that of encode and decode together to front and back together.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

import midstream as ms
from midstream import data as datasets
from midstream import models
from midstream.data import read_image
from midstream.halves.levels import sent


@dataclass
class Times:
    """Of one image, milliseconds, the least so far of what has a name."""

    least: dict[str, float] = field(default_factory=dict)

    def of(self, name: str, work: Callable[..., Any], *arguments: Any) -> Any:
        """What `work` gives; the time that it took counts under this name."""
        start = time.process_time()
        result = work(*arguments)
        took = (time.process_time() - start) * 1e3
        self.least[name] = min(took, self.least.get(name, took))
        return result

    def ratio(self, quality: int) -> float:
        codec = self.least[f"encode {quality}"] + self.least[f"decode {quality}"]
        return codec / (self.least["front"] + self.least["back"])


def measure(
    model: models.SplitModel, image: NDArray[Any], profile: ms.Profile, qualities: list[int], rounds: int
) -> tuple[Times, dict[int, int]]:
    """Times of an image, and its bytes at each quality."""
    times, sizes = Times(), {}
    codecs = {quality: ms.Calibrated(profile=profile, quality=quality) for quality in qualities}

    def encode(pyramid: Mapping[str, NDArray[Any]], quality: int) -> bytes:
        return ms.encode(pyramid, codecs[quality], threads=1)

    def decode(data: bytes) -> dict[str, NDArray[Any]]:
        return ms.decode(data, profile=profile, threads=1)

    for _ in range(rounds):
        pyramid = times.of("front", model.front, image)
        for quality in qualities:
            data = times.of(f"encode {quality}", encode, sent(model, pyramid), quality)
            times.of(f"decode {quality}", decode, data)
            sizes[quality] = len(data)
        times.of("back", model.back, pyramid, (image.shape[0], image.shape[1]))
    return times, sizes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-m", "--model", required=True)
    parser.add_argument("-d", "--data", required=True)
    parser.add_argument("--profile", type=Path, required=True)
    parser.add_argument("--quality", type=int, nargs="+", default=[30, 60, 90])
    parser.add_argument("--limit", type=int, default=40, help="images (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="times that each is measured (default: %(default)s)")
    arguments = parser.parse_args()
    model, profile = models.load(arguments.model, threads=1), ms.Profile.read(arguments.profile)
    images = [read_image(each.path) for each in datasets.load(arguments.data).images[: arguments.limit]]
    found = [measure(model, image, profile, arguments.quality, arguments.rounds) for image in images]

    def median(name: str) -> float:
        return statistics.median(times.least[name] for times, _ in found)

    print(f"front {median('front'):.1f} ms, back {median('back'):.1f} ms\n")
    print("| quality | bytes | encode, ms | decode, ms | ratio |\n|---|---|---|---|---|")
    for quality in arguments.quality:
        size = statistics.median(sizes[quality] for _, sizes in found)
        ratio = statistics.median(times.ratio(quality) for times, _ in found)
        encode, decode = median(f"encode {quality}"), median(f"decode {quality}")
        print(f"| {quality} | {size:,.0f} | {encode:.1f} | {decode:.1f} | {ratio:.3f} |")


if __name__ == "__main__":
    main()
